//! That a run holds GPUs: [`GpuLease`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use super::gpu_binding::BindingState;
use super::quota::AccountId;
use super::run_queue::QueueId;
use super::training_run::RunId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Fixed, Index, Invariant, Reference, Scan, Table, Test, Unique};
use crate::time::Timestamp;

/// The id of a [`GpuLease`].
pub type LeaseId = Id<GpuLease>;

/// That a run holds GPUs, from when they are given to it until it is known that nothing of it uses them.
///
/// Its states are those of every binding of a GPU: reserved until a worker begins, bound while it works, releasing when it is to
/// stop or was not heard in time (and everything is still held), released. A run has at most one lease that is its own; one
/// that is being released is the run's no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuLease {
    /// The id.
    pub id: LeaseId,
    /// The run, while the lease is its own.
    pub run_id: Option<RunId>,
    /// The run that it is or was of.
    pub of_run: RunId,
    /// The number of the run's attempt: part of the fence.
    pub attempt: u32,
    /// The account that is charged.
    pub account_id: AccountId,
    /// The queue that is charged, while anything is held.
    pub queue_id: Option<QueueId>,
    /// Where it is.
    pub state: BindingState,
    /// Counts the workers that took it: the fencing token.
    pub token: u32,
    /// The worker that took it, at most 128 bytes. A name proves nothing.
    pub worker: Option<String>,
    /// The node as whose agent the worker took it.
    pub node_id: Option<NodeId>,
    /// The session of that agent.
    pub session: Option<u32>,
    /// GPU thousandths that are held.
    pub gpu_milli: GpuMilli,
    /// Processor time that is held.
    pub cpu_milli: CpuMilli,
    /// Memory that is held.
    pub memory_mib: MemoryMib,
    /// Disk space that is held.
    pub storage_mib: StorageMib,
    /// Until when what is held is charged to the account's use.
    pub charged_until: Timestamp,
    /// Why it is being released, or was: at most 256 bytes.
    pub reason: Option<String>,
    /// When it was given.
    pub created_at: Timestamp,
    /// When a worker took it.
    pub bound_at: Option<Timestamp>,
    /// When it was released.
    pub released_at: Option<Timestamp>,
}

impl GpuLease {
    /// How long it has been held at a time, or was held: what is billed.
    pub fn held(&self, now: Timestamp) -> std::time::Duration {
        self.released_at.unwrap_or(now).since(self.created_at)
    }
}

/// The table of [`GpuLease`].
pub static GPU_LEASES: Table = Table::new(
    "gpu_leases",
    &[
        Column::uuid("id"),
        Column::uuid("run_id").nullable(),
        Column::uuid("of_run").immutable(),
        Column::int("attempt").immutable(),
        Column::uuid("account_id").immutable(),
        Column::uuid("queue_id").nullable(),
        Column::text("state", 32),
        Column::int("token").default(Fixed::Int(0)),
        Column::text("worker", 128).nullable(),
        Column::uuid("node_id").nullable(),
        Column::int("session").nullable(),
        Column::int("gpu_milli").immutable(),
        Column::int("cpu_milli").immutable(),
        Column::int("memory_mib").immutable(),
        Column::int("storage_mib").immutable(),
        Column::time("charged_until"),
        Column::text("reason", 256).nullable(),
        Column::time("created_at").immutable(),
        Column::time("bound_at").nullable(),
        Column::time("released_at").nullable(),
    ],
    &["id"],
)
.uniques(&[
    Unique::new("gpu_leases_run", &["run_id"]),
    Unique::new("gpu_leases_attempt", &["of_run", "attempt"]),
])
.indexes(&[Index::new("gpu_leases_state", &["state"])])
.references(&[
    Reference::new("gpu_leases_of_run", &["of_run"], "training_runs"),
    Reference::new("gpu_leases_queue", &["queue_id"], "run_queues"),
    Reference::new("gpu_leases_node", &["node_id"], "compute_nodes"),
])
.invariants(&[
    Invariant::one_of("gpu_leases_state", "state", BindingState::TEXTS),
    Invariant::at_least("gpu_leases_attempt_positive", "attempt", 1),
    Invariant::at_least("gpu_leases_token_not_negative", "token", 0),
    Invariant::at_least("gpu_leases_gpu_not_negative", "gpu_milli", 0),
    Invariant::at_least("gpu_leases_cpu_not_negative", "cpu_milli", 0),
    Invariant::at_least("gpu_leases_memory_not_negative", "memory_mib", 0),
    Invariant::at_least("gpu_leases_storage_not_negative", "storage_mib", 0),
]);

entity!(GpuLease, "gpu_lease", GPU_LEASES {
    fixed: id, of_run, attempt, account_id, gpu_milli, cpu_milli, memory_mib, storage_mib, created_at;
    plain: run_id, queue_id, state, token, worker, node_id, session, charged_until, reason, bound_at, released_at;
});

/// Which leases a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuLeaseFilter {
    /// Only those that are or were of this run, in the order of their attempts.
    pub of_run: Option<RunId>,
    /// Only those in this state.
    pub state: Option<BindingState>,
}

/// Where [`GpuLease`]s are kept. They are given, taken and released by operations.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait GpuLeaseRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: LeaseId) -> Result<Option<Entry<GpuLease>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: LeaseId) -> Result<Entry<GpuLease>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(GpuLease::KIND, id))
    }

    /// A page, in the order of ids, or of one run's attempts.
    async fn list(&self, filter: GpuLeaseFilter, page: PageRequest) -> Result<ListPage<GpuLease>>;
}

#[async_trait]
impl GpuLeaseRepository for Repositories {
    async fn get(&self, id: LeaseId) -> Result<Option<Entry<GpuLease>>> {
        self.get_entry(id).await
    }

    async fn list(&self, filter: GpuLeaseFilter, page: PageRequest) -> Result<ListPage<GpuLease>> {
        let all = Scan::of(&GPU_LEASES);
        let scan = match (filter.of_run, filter.state) {
            (Some(run), None) => all.by("gpu_leases_attempt").with(run),
            (Some(run), Some(state)) => {
                all.by("gpu_leases_attempt").with(run).test(Test::eq("state", state.as_str()))
            }
            (None, Some(state)) => all.by("gpu_leases_state").with(state.as_str()),
            (None, None) => all,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`GpuLease`]s.
    pub fn gpu_leases(&self) -> &dyn GpuLeaseRepository {
        self
    }
}
