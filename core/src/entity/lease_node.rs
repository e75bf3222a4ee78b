//! What a lease holds of a node: [`LeaseNode`].

use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use super::gpu_lease::LeaseId;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::store::{Column, Invariant, Reference, Table};

/// What a lease holds of a node; of which GPUs, [`LeaseGpu`](super::LeaseGpu) says. Released, it keeps what was held and pins no node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseNode {
    /// The lease.
    pub lease_id: LeaseId,
    /// The node that it is or was of.
    pub of_node: NodeId,
    /// The node; `None` when released.
    pub node_id: Option<NodeId>,
    /// How many members of the run are there.
    pub members: u32,
    /// Processor time of all of them.
    pub cpu_milli: CpuMilli,
    /// Memory of all of them.
    pub memory_mib: MemoryMib,
    /// Disk space of all of them.
    pub storage_mib: StorageMib,
    /// GPU thousandths of all of them.
    pub gpu_milli: GpuMilli,
}

/// The table of [`LeaseNode`].
pub static LEASE_NODES: Table = Table::new(
    "lease_nodes",
    &[
        Column::uuid("lease_id"),
        Column::uuid("of_node"),
        Column::uuid("node_id").nullable(),
        Column::int("members").immutable(),
        Column::int("cpu_milli").immutable(),
        Column::int("memory_mib").immutable(),
        Column::int("storage_mib").immutable(),
        Column::int("gpu_milli").immutable(),
    ],
    &["lease_id", "of_node"],
)
.references(&[
    Reference::new("lease_nodes_lease", &["lease_id"], "gpu_leases"),
    Reference::new("lease_nodes_node", &["node_id"], "compute_nodes"),
])
.invariants(&[
    Invariant::at_least("lease_nodes_members_positive", "members", 1),
    Invariant::at_least("lease_nodes_cpu_not_negative", "cpu_milli", 0),
    Invariant::at_least("lease_nodes_memory_not_negative", "memory_mib", 0),
    Invariant::at_least("lease_nodes_storage_not_negative", "storage_mib", 0),
    Invariant::at_least("lease_nodes_gpu_not_negative", "gpu_milli", 0),
]);

entity!(LeaseNode, "lease_node", LEASE_NODES {
    fixed: lease_id, of_node, members, cpu_milli, memory_mib, storage_mib, gpu_milli;
    plain: node_id;
});
