//! Where runs wait, and what they may hold together: [`RunQueue`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Invariant, Reference, Scan, Table, Unique};
use crate::time::Timestamp;

/// The id of a [`RunQueue`].
pub type QueueId = Id<RunQueue>;

impl RunQueue {
    /// The id of the queue of runs that name none. It is changed with every change of any queue, so that whoever looked at all
    /// of them can tell by it that they are as they were.
    pub const DEFAULT: QueueId = Id::new(uuid::Uuid::nil());
}

/// A queue of runs, in a tree of queues.
///
/// Its *nominal* quota is its own; what it does not use the others may borrow, as far as its *lending* limit goes, and it may
/// borrow of theirs as far as its *borrowing* limit goes. `None` is no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunQueue {
    /// The id, chosen by the caller.
    pub id: QueueId,
    /// Its name, 1 to 128 bytes; no two share one.
    pub name: String,
    /// The queue that it is a part of.
    pub parent_id: Option<QueueId>,
    /// Its weight among its neighbours in thousandths: 1000 is one share.
    pub weight_milli: u32,
    /// GPU thousandths that are its own.
    pub gpu_milli: Option<GpuMilli>,
    /// The most of them that it may borrow.
    pub gpu_milli_borrowing: Option<GpuMilli>,
    /// The most of them that it lends.
    pub gpu_milli_lending: Option<GpuMilli>,
    /// Processor time that is its own.
    pub cpu_milli: Option<CpuMilli>,
    /// The most of it that it may borrow.
    pub cpu_milli_borrowing: Option<CpuMilli>,
    /// The most of it that it lends.
    pub cpu_milli_lending: Option<CpuMilli>,
    /// Memory that is its own.
    pub memory_mib: Option<MemoryMib>,
    /// The most of it that it may borrow.
    pub memory_mib_borrowing: Option<MemoryMib>,
    /// The most of it that it lends.
    pub memory_mib_lending: Option<MemoryMib>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The table of [`RunQueue`].
pub static RUN_QUEUES: Table = Table::new(
    "run_queues",
    &[
        Column::uuid("id"),
        Column::text("name", 128),
        Column::uuid("parent_id").nullable(),
        Column::int("weight_milli"),
        Column::int("gpu_milli").nullable(),
        Column::int("gpu_milli_borrowing").nullable(),
        Column::int("gpu_milli_lending").nullable(),
        Column::int("cpu_milli").nullable(),
        Column::int("cpu_milli_borrowing").nullable(),
        Column::int("cpu_milli_lending").nullable(),
        Column::int("memory_mib").nullable(),
        Column::int("memory_mib_borrowing").nullable(),
        Column::int("memory_mib_lending").nullable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.uniques(&[Unique::new("run_queues_name", &["name"])])
.references(&[Reference::new("run_queues_parent", &["parent_id"], "run_queues")])
.invariants(&[
    Invariant::at_least("run_queues_weight_not_negative", "weight_milli", 0),
    Invariant::at_least("run_queues_gpu_not_negative", "gpu_milli", 0),
    Invariant::at_least("run_queues_gpu_borrowing_not_negative", "gpu_milli_borrowing", 0),
    Invariant::at_least("run_queues_gpu_lending_not_negative", "gpu_milli_lending", 0),
    Invariant::at_least("run_queues_cpu_not_negative", "cpu_milli", 0),
    Invariant::at_least("run_queues_cpu_borrowing_not_negative", "cpu_milli_borrowing", 0),
    Invariant::at_least("run_queues_cpu_lending_not_negative", "cpu_milli_lending", 0),
    Invariant::at_least("run_queues_memory_not_negative", "memory_mib", 0),
    Invariant::at_least("run_queues_memory_borrowing_not_negative", "memory_mib_borrowing", 0),
    Invariant::at_least("run_queues_memory_lending_not_negative", "memory_mib_lending", 0),
]);

entity!(RunQueue, "run_queue", RUN_QUEUES {
    fixed: id, created_at;
    plain: name, parent_id, weight_milli, gpu_milli, gpu_milli_borrowing, gpu_milli_lending, cpu_milli, cpu_milli_borrowing,
        cpu_milli_lending, memory_mib, memory_mib_borrowing, memory_mib_lending, updated_at;
});

/// Where [`RunQueue`]s are kept. They are made and changed by operations, with the row of their use.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RunQueueRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: QueueId) -> Result<Option<Entry<RunQueue>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: QueueId) -> Result<Entry<RunQueue>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(RunQueue::KIND, id))
    }

    /// A page, in the order of ids.
    async fn list(&self, page: PageRequest) -> Result<ListPage<RunQueue>>;
}

#[async_trait]
impl RunQueueRepository for Repositories {
    async fn get(&self, id: QueueId) -> Result<Option<Entry<RunQueue>>> {
        self.get_entry(id).await
    }

    async fn list(&self, page: PageRequest) -> Result<ListPage<RunQueue>> {
        self.list_entries(Scan::of(&RUN_QUEUES), page).await
    }
}

impl Repositories {
    /// The repository of [`RunQueue`]s.
    pub fn run_queues(&self) -> &dyn RunQueueRepository {
        self
    }
}
