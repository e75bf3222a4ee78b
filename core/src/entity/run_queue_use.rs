//! What the runs of a queue hold: [`RunQueueUse`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::run_queue::QueueId;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib};
use crate::store::{Column, Fixed, Invariant, Reference, Table};

/// What the runs of a queue hold, those of the queues below it not counted.
///
/// It is a row of its own, so that charging it does not disturb whoever edits the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunQueueUse {
    /// The queue.
    pub queue_id: QueueId,
    /// GPU thousandths.
    pub gpu_milli: GpuMilli,
    /// Processor time.
    pub cpu_milli: CpuMilli,
    /// Memory.
    pub memory_mib: MemoryMib,
    /// Of a root: how often something was charged below it that more than one queue has a part in. Whoever charges such a thing
    /// has looked at all of them, and tests that nobody else has charged one since.
    pub epoch: u64,
}

/// The table of [`RunQueueUse`].
pub static RUN_QUEUE_USES: Table = Table::new(
    "run_queue_uses",
    &[
        Column::uuid("queue_id"),
        Column::int("gpu_milli").counter().default(Fixed::Int(0)),
        Column::int("cpu_milli").counter().default(Fixed::Int(0)),
        Column::int("memory_mib").counter().default(Fixed::Int(0)),
        Column::int("epoch").counter().default(Fixed::Int(0)),
    ],
    &["queue_id"],
)
.references(&[Reference::new("run_queue_uses_queue", &["queue_id"], "run_queues")])
.invariants(&[
    Invariant::at_least("run_queue_uses_gpu_not_negative", "gpu_milli", 0),
    Invariant::at_least("run_queue_uses_cpu_not_negative", "cpu_milli", 0),
    Invariant::at_least("run_queue_uses_memory_not_negative", "memory_mib", 0),
    Invariant::at_least("run_queue_uses_epoch_not_negative", "epoch", 0),
]);

entity!(RunQueueUse, "run_queue_use", RUN_QUEUE_USES {
    fixed: queue_id;
    counters: gpu_milli, cpu_milli, memory_mib, epoch;
});
