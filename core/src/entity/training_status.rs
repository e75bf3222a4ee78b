//! What a run was told to be doing: [`TrainingStatus`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::{document, entity};
use super::training_run::RunId;
use super::{Entry, ListPage, PageRequest, Repositories};
use crate::error::Result;
use crate::id::Id;
use crate::store::{Column, Invariant, Reference, Scan, Table, Unique};
use crate::time::Timestamp;

/// The id of a [`TrainingStatus`].
pub type TrainingStatusId = Id<TrainingStatus>;

/// One message of a run, never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingStatus {
    /// The id.
    pub id: TrainingStatusId,
    /// The run.
    pub run_id: RunId,
    /// Its place among the messages of the run, from 1, without gaps.
    pub sequence: u64,
    /// The attempt that it is of.
    pub attempt: u32,
    /// The sender's id for it, at most 128 bytes: the same one again has no effect.
    pub message_id: Option<String>,
    /// What is being done, such as `downloading_images`: 1 to 64 lower-case letters, digits and `_`.
    pub status: String,
    /// What is told of it.
    pub told: StatusTold,
    /// When it was received.
    pub created_at: Timestamp,
}

impl TrainingStatus {
    /// When it was last changed, which is when it was received.
    pub const fn updated_at(&self) -> Timestamp {
        self.created_at
    }
}

/// What is told with a status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusTold {
    /// How much is done, such as steps or bytes.
    pub done: Option<u64>,
    /// Of how much.
    pub total: Option<u64>,
    /// Finite measures of the training, such as `loss`; at most 32, with names of at most 64 bytes.
    pub metrics: BTreeMap<String, f64>,
    /// A text, at most 4,096 bytes.
    pub note: Option<String>,
}
document!(StatusTold);

/// The table of [`TrainingStatus`].
pub static TRAINING_STATUSES: Table = Table::new(
    "training_statuses",
    &[
        Column::uuid("id"),
        Column::uuid("run_id").immutable(),
        Column::int("sequence").immutable(),
        Column::int("attempt").immutable(),
        Column::text("message_id", 128).nullable().immutable(),
        Column::text("status", 64).immutable(),
        Column::json("told", 16_384).immutable(),
        Column::time("created_at").immutable(),
    ],
    &["id"],
)
.uniques(&[
    Unique::new("training_statuses_sequence", &["run_id", "sequence"]),
    Unique::new("training_statuses_message", &["run_id", "message_id"]),
])
.references(&[Reference::new("training_statuses_run", &["run_id"], "training_runs")])
.invariants(&[
    Invariant::at_least("training_statuses_sequence_positive", "sequence", 1),
    Invariant::at_least("training_statuses_attempt_not_negative", "attempt", 0),
]);

entity!(TrainingStatus, "training_status", TRAINING_STATUSES {
    fixed: id, run_id, sequence, attempt, message_id, status, told, created_at;
});

/// Where [`TrainingStatus`]es are kept. They are added by operations.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TrainingStatusRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: TrainingStatusId) -> Result<Option<Entry<TrainingStatus>>>;

    /// The last one of a run: how far it is. Costs the same however many there are.
    async fn last(&self, run: RunId) -> Result<Option<Entry<TrainingStatus>>>;

    /// A page of those of a run, in their order.
    async fn list(&self, run: RunId, page: PageRequest) -> Result<ListPage<TrainingStatus>>;
}

#[async_trait]
impl TrainingStatusRepository for Repositories {
    async fn get(&self, id: TrainingStatusId) -> Result<Option<Entry<TrainingStatus>>> {
        self.get_entry(id).await
    }

    async fn last(&self, run: RunId) -> Result<Option<Entry<TrainingStatus>>> {
        let of_run = Scan::of(&TRAINING_STATUSES).by("training_statuses_sequence").with(run);
        self.find_entry(of_run.descending()).await
    }

    async fn list(&self, run: RunId, page: PageRequest) -> Result<ListPage<TrainingStatus>> {
        let scan = Scan::of(&TRAINING_STATUSES).by("training_statuses_sequence").with(run);
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`TrainingStatus`]es.
    pub fn training_statuses(&self) -> &dyn TrainingStatusRepository {
        self
    }
}
