//! What a lease holds of a node: [`LeaseNode`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use super::gpu_lease::LeaseId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::error::{Error, Result};
use crate::store::{Column, Invariant, Reference, Scan, Table, Test};

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

/// Which of them a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseNodeFilter {
    /// Only what this lease holds, or held.
    pub lease_id: Option<LeaseId>,
    /// Only what is held of this node: what was held of it pins no node.
    pub node_id: Option<NodeId>,
}

/// Where [`LeaseNode`]s are kept. They come and go with their leases.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait LeaseNodeRepository: Send + Sync {
    /// What a lease holds, or held, of a node.
    async fn get(&self, lease_id: LeaseId, of_node: NodeId) -> Result<Option<Entry<LeaseNode>>>;

    /// What a lease holds, or held, of a node, or `NotFound`.
    async fn require(&self, lease_id: LeaseId, of_node: NodeId) -> Result<Entry<LeaseNode>> {
        self.get(lease_id, of_node)
            .await?
            .ok_or_else(|| Error::not_found(LeaseNode::KIND, format!("{lease_id} {of_node}")))
    }

    /// A page: a node's in the order of leases, otherwise in the order of leases and nodes.
    async fn list(&self, filter: LeaseNodeFilter, page: PageRequest) -> Result<ListPage<LeaseNode>>;
}

#[async_trait]
impl LeaseNodeRepository for Repositories {
    async fn get(&self, lease_id: LeaseId, of_node: NodeId) -> Result<Option<Entry<LeaseNode>>> {
        self.get_entry((lease_id, of_node)).await
    }

    async fn list(&self, filter: LeaseNodeFilter, page: PageRequest) -> Result<ListPage<LeaseNode>> {
        let all = Scan::of(&LEASE_NODES);
        let scan = match (filter.lease_id, filter.node_id) {
            (Some(lease), None) => all.with(lease),
            (Some(lease), Some(node)) => all.with(lease).test(Test::eq("node_id", node)),
            (None, Some(node)) => all.by("lease_nodes_node").with(node),
            (None, None) => all,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`LeaseNode`]s.
    pub fn lease_nodes(&self) -> &dyn LeaseNodeRepository {
        self
    }
}
