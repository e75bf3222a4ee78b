//! One execution of a training: [`TrainingRun`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::{document, entity, fingerprint_hex, json_document};
use super::run_queue::QueueId;
use super::run_state::RunState;
use super::text::text_enum;
use super::training::{BaseModel, TrainingId};
use super::user::UserId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{
    Column, Fingerprint, Fixed, Index, Invariant, Json, Reference, Scan, Table, Test, Unique,
};
use crate::time::Timestamp;

/// The id of a [`TrainingRun`].
pub type RunId = Id<TrainingRun>;

/// One execution of a training: a copy of what is trained, taken when it was asked for, and how far it is.
///
/// A training has at most one that has not ended. An ended one keeps its history and pins neither training nor queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingRun {
    /// The id, chosen by the caller.
    pub id: RunId,
    /// Whose it is: the account that its GPUs are charged to.
    pub owner_id: UserId,
    /// The training; `None` when it has ended.
    pub training_id: Option<TrainingId>,
    /// The training that it was, or is, an execution of.
    pub of_training: TrainingId,
    /// The queue that it waits in and is charged to; `None` when it has ended.
    pub queue_id: Option<QueueId>,
    /// What the trainer is told: that of the training when the run was asked for.
    #[serde(with = "json_document")]
    pub config: Json,
    /// The word that stands for what is learned: likewise.
    pub trigger_word: String,
    /// What it starts from: likewise.
    pub base_model: Option<BaseModel>,
    /// What it asks for.
    pub ask: RunAsk,
    /// What was asked, to recognise the same request again.
    #[serde(with = "fingerprint_hex")]
    pub request_fingerprint: Fingerprint,
    /// Those with a higher one go first.
    pub priority: i64,
    /// How long it is expected to run, in milliseconds.
    pub estimate_ms: Option<u64>,
    /// How long it may run before its GPUs may be given to another, in milliseconds.
    pub min_runtime_ms: u64,
    /// When it should have ended.
    pub due: Option<Timestamp>,
    /// It is not begun before this.
    pub not_before: Option<Timestamp>,
    /// Where it is.
    pub state: RunState,
    /// When its state becomes too old; `None` when it has ended.
    pub state_deadline: Option<Timestamp>,
    /// Images of its copy that are still to be resized. Changed by operations only.
    pub images_left: u32,
    /// How often GPUs were leased for it: the number of its attempt, and a fencing token.
    pub attempt: u32,
    /// How often its attempts may fail or be lost.
    pub max_failures: u32,
    /// How often they did.
    pub failures: u32,
    /// How often its GPUs were given to another.
    pub preemptions: u32,
    /// Why its last attempt ended, or why it has; `None` where that was no failure: it is complete, or its worker has given it back.
    pub cause: Option<RunCause>,
    /// What the trainer, or its worker, said of that, as it said it; at most 4,096 bytes.
    pub status_info: Option<String>,
    /// How long earlier attempts ran whose work was kept, in milliseconds.
    pub kept_ms: u64,
    /// How long GPUs were held for it, in milliseconds, over all leases that are over.
    pub held_ms: u64,
    /// The key of its artefact in the host's storage.
    pub artifact_key: Option<String>,
    /// The size of its artefact.
    pub artifact_bytes: Option<u64>,
    /// The SHA-256 of its artefact: 64 hexadecimal digits.
    pub artifact_sha256: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// What a run asks for: equal members, all of them or none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct RunAsk {
    /// How many members there are, each on one node: 1 to 1,024.
    pub members: u32,
    /// Whether each member has to be on another node.
    pub spread: bool,
    /// Processor time of each.
    pub cpu: CpuMilli,
    /// Memory of each.
    pub memory: MemoryMib,
    /// Disk space of each.
    pub storage: StorageMib,
    /// GPUs of each: 0 to 16.
    pub gpus: u32,
    /// How much of each GPU: a share only where there is one GPU.
    pub gpu_milli: GpuMilli,
    /// The models that will do; all where none is named.
    pub models: Vec<String>,
    /// The memory that each GPU must have.
    pub gpu_memory: Option<MemoryMib>,
    /// Whether GPUs may be rented for it where those of own nodes do not do, and for how much an hour at most, in millionths of
    /// the host's currency.
    pub rent_micros: Option<u64>,
}
document!(RunAsk);

impl Default for RunAsk {
    fn default() -> Self {
        Self {
            members: 1,
            spread: false,
            cpu: CpuMilli::ZERO,
            memory: MemoryMib::ZERO,
            storage: StorageMib::ZERO,
            gpus: 1,
            gpu_milli: GpuMilli::from_u32(1000),
            models: Vec::new(),
            gpu_memory: None,
            rent_micros: None,
        }
    }
}

text_enum!(
    /// Why an attempt or a run ended.
    RunCause, "cause" {
        /// The trainer failed, in a way that another attempt may not.
        Crashed = "crashed",
        /// The trainer says that it can never succeed as it is.
        Invalid = "invalid",
        /// The GPU broke, or its machine did.
        Hardware = "hardware",
        /// The worker was not heard for too long.
        WorkerLost = "worker_lost",
        /// No worker began in time.
        NotBegun = "not_begun",
        /// It was silent about its progress for too long.
        NoProgress = "no_progress",
        /// Its images were not prepared in time.
        NotPrepared = "not_prepared",
        /// It got no GPUs in time.
        NoGpus = "no_gpus",
        /// Its artefact was not uploaded in time.
        NotUploaded = "not_uploaded",
        /// No GPU could be rented.
        NotRented = "not_rented",
        /// Its GPUs were given to another run.
        Preempted = "preempted",
        /// Its owner, or whoever may, ended it.
        Requested = "requested",
    }
);

/// The table of [`TrainingRun`].
pub static TRAINING_RUNS: Table = Table::new(
    "training_runs",
    &[
        Column::uuid("id"),
        Column::uuid("owner_id").immutable(),
        Column::uuid("training_id").nullable(),
        Column::uuid("of_training").immutable(),
        Column::uuid("queue_id").nullable(),
        Column::json("config", 65_536).immutable(),
        Column::text("trigger_word", 64).immutable(),
        Column::json("base_model", 4096).nullable().immutable(),
        Column::json("ask", 16_384).immutable(),
        Column::text("request_fingerprint", 32).immutable(),
        Column::int("priority"),
        Column::int("estimate_ms").nullable(),
        Column::int("min_runtime_ms"),
        Column::time("due").nullable(),
        Column::time("not_before").nullable(),
        Column::text("state", 32),
        Column::time("state_deadline").nullable(),
        Column::int("images_left").counter().default(Fixed::Int(0)),
        Column::int("attempt"),
        Column::int("max_failures"),
        Column::int("failures"),
        Column::int("preemptions"),
        Column::text("cause", 32).nullable(),
        Column::text("status_info", 4096).nullable(),
        Column::int("kept_ms"),
        Column::int("held_ms"),
        Column::text("artifact_key", 512).nullable(),
        Column::int("artifact_bytes").nullable(),
        Column::text("artifact_sha256", 64).nullable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
        Column::time("ended_at").nullable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("training_runs_live", &["training_id"])])
.indexes(&[
    Index::new("training_runs_of_training", &["of_training"]),
    Index::new("training_runs_state", &["state"]),
    Index::new("training_runs_state_deadline", &["state_deadline"]),
])
.references(&[
    Reference::new("training_runs_owner", &["owner_id"], "users"),
    Reference::new("training_runs_training", &["training_id"], "trainings"),
    Reference::new("training_runs_queue", &["queue_id"], "run_queues"),
])
.invariants(&[
    Invariant::together_null("training_runs_ended_together", &["training_id", "queue_id", "state_deadline"]),
    Invariant::together_null(
        "training_runs_artifact_together",
        &["artifact_key", "artifact_bytes", "artifact_sha256"],
    ),
    Invariant::one_of("training_runs_state", "state", RunState::TEXTS),
    Invariant::one_of("training_runs_cause", "cause", RunCause::TEXTS),
    Invariant::at_least("training_runs_estimate_not_negative", "estimate_ms", 0),
    Invariant::at_least("training_runs_min_runtime_not_negative", "min_runtime_ms", 0),
    Invariant::at_least("training_runs_images_left_not_negative", "images_left", 0),
    Invariant::at_least("training_runs_attempt_not_negative", "attempt", 0),
    Invariant::at_least("training_runs_failures_not_negative", "failures", 0),
    Invariant::at_least("training_runs_preemptions_not_negative", "preemptions", 0),
    Invariant::at_least("training_runs_kept_not_negative", "kept_ms", 0),
    Invariant::at_least("training_runs_held_not_negative", "held_ms", 0),
    Invariant::at_least("training_runs_artifact_bytes_not_negative", "artifact_bytes", 0),
]);

entity!(TrainingRun, "training_run", TRAINING_RUNS {
    fixed: id, owner_id, of_training, config, trigger_word, base_model, ask, request_fingerprint, created_at;
    plain: training_id, queue_id, priority, estimate_ms, min_runtime_ms, due, not_before, state, state_deadline, attempt, max_failures,
        failures, preemptions, cause, status_info, kept_ms, held_ms, artifact_key, artifact_bytes, artifact_sha256, updated_at,
        ended_at;
    counters: images_left;
});

/// Which runs a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainingRunFilter {
    /// Only those of this training.
    pub training_id: Option<TrainingId>,
    /// Only those of this user.
    pub owner_id: Option<UserId>,
    /// Only those in this state.
    pub state: Option<RunState>,
}

/// Where [`TrainingRun`]s are kept. They are submitted, run and ended by operations.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TrainingRunRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: RunId) -> Result<Option<Entry<TrainingRun>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: RunId) -> Result<Entry<TrainingRun>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(TrainingRun::KIND, id))
    }

    /// A page, in the order of ids.
    async fn list(&self, filter: TrainingRunFilter, page: PageRequest) -> Result<ListPage<TrainingRun>>;
}

#[async_trait]
impl TrainingRunRepository for Repositories {
    async fn get(&self, id: RunId) -> Result<Option<Entry<TrainingRun>>> {
        self.get_entry(id).await
    }

    async fn list(&self, filter: TrainingRunFilter, page: PageRequest) -> Result<ListPage<TrainingRun>> {
        let all = Scan::of(&TRAINING_RUNS);
        let state = filter.state.map(RunState::as_str);
        let (mut scan, by_state) = match (filter.training_id, filter.owner_id, state) {
            (Some(training), _, _) => (all.by("training_runs_of_training").with(training), false),
            (None, Some(owner), _) => (all.by("training_runs_owner").with(owner), false),
            (None, None, Some(state)) => (all.by("training_runs_state").with(state), true),
            (None, None, None) => (all, true),
        };
        if let (Some(owner), Some(_)) = (filter.owner_id, filter.training_id) {
            scan = scan.test(Test::eq("owner_id", owner));
        }
        if let (Some(state), false) = (state, by_state) {
            scan = scan.test(Test::eq("state", state));
        }
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`TrainingRun`]s.
    pub fn training_runs(&self) -> &dyn TrainingRunRepository {
        self
    }
}
