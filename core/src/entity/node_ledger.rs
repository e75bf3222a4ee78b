//! What a node has and what of it is taken: [`NodeLedger`].

use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::store::{Ceiling, Column, Fixed, Invariant, Reference, Table};

/// What a node has in total, and what of it instances hold.
///
/// What is held is changed by operations only, in the batch that places or removes an instance. A total may be set
/// below what is held, since machines shrink: then nothing more is placed there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLedger {
    /// The node.
    pub node_id: NodeId,
    /// Processor time held.
    pub cpu_milli: CpuMilli,
    /// All processor time.
    pub cpu_milli_total: CpuMilli,
    /// Memory held.
    pub memory_mib: MemoryMib,
    /// All memory.
    pub memory_mib_total: MemoryMib,
    /// Disk space held.
    pub storage_mib: StorageMib,
    /// All disk space.
    pub storage_mib_total: StorageMib,
    /// GPU thousandths held, over all GPUs.
    pub gpu_milli: GpuMilli,
    /// All GPU thousandths: 1000 a GPU.
    pub gpu_milli_total: GpuMilli,
    /// Instances placed there.
    pub instances: u32,
}

/// The table of [`NodeLedger`].
pub static NODE_LEDGERS: Table = Table::new(
    "node_ledgers",
    &[
        Column::uuid("node_id"),
        Column::int("cpu_milli").counter().default(Fixed::Int(0)),
        Column::int("cpu_milli_total").default(Fixed::Int(0)),
        Column::int("memory_mib").counter().default(Fixed::Int(0)),
        Column::int("memory_mib_total").default(Fixed::Int(0)),
        Column::int("storage_mib").counter().default(Fixed::Int(0)),
        Column::int("storage_mib_total").default(Fixed::Int(0)),
        Column::int("gpu_milli").counter().default(Fixed::Int(0)),
        Column::int("gpu_milli_total").default(Fixed::Int(0)),
        Column::int("instances").counter().default(Fixed::Int(0)),
    ],
    &["node_id"],
)
.references(&[Reference::new("node_ledgers_node", &["node_id"], "compute_nodes")])
.invariants(&[
    Invariant::at_least("node_ledgers_cpu_not_negative", "cpu_milli", 0),
    Invariant::at_least("node_ledgers_cpu_total_not_negative", "cpu_milli_total", 0),
    Invariant::at_least("node_ledgers_memory_not_negative", "memory_mib", 0),
    Invariant::at_least("node_ledgers_memory_total_not_negative", "memory_mib_total", 0),
    Invariant::at_least("node_ledgers_storage_not_negative", "storage_mib", 0),
    Invariant::at_least("node_ledgers_storage_total_not_negative", "storage_mib_total", 0),
    Invariant::at_least("node_ledgers_gpu_not_negative", "gpu_milli", 0),
    Invariant::at_least("node_ledgers_gpu_total_not_negative", "gpu_milli_total", 0),
    Invariant::at_least("node_ledgers_instances_not_negative", "instances", 0),
])
.ceilings(&[
    Ceiling::column("node_cpu", "cpu_milli", "cpu_milli_total"),
    Ceiling::column("node_memory", "memory_mib", "memory_mib_total"),
    Ceiling::column("node_storage", "storage_mib", "storage_mib_total"),
    Ceiling::column("node_gpu", "gpu_milli", "gpu_milli_total"),
]);

entity!(NodeLedger, "node_ledger", NODE_LEDGERS {
    fixed: node_id;
    plain: cpu_milli_total, memory_mib_total, storage_mib_total, gpu_milli_total;
    counters: cpu_milli, memory_mib, storage_mib, gpu_milli, instances;
});
