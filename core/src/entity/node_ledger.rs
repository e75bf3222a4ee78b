//! What a node has and what of it is taken: [`NodeLedger`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::error::{Error, Result};
use crate::store::{Ceiling, Column, Fixed, Invariant, Reference, Scan, Table};

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
    /// All GPU thousandths: 1000 a GPU, and what was held of GPUs that are gone when that was reported.
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

/// Where [`NodeLedger`]s are read. Only operations write them.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait NodeLedgerRepository: Send + Sync {
    /// That of a node.
    async fn get(&self, node: NodeId) -> Result<Option<Entry<NodeLedger>>>;

    /// That of a node, or `NotFound`.
    async fn require(&self, node: NodeId) -> Result<Entry<NodeLedger>> {
        self.get(node).await?.ok_or_else(|| Error::not_found(NodeLedger::KIND, node))
    }

    /// A page, in the order of the nodes' ids.
    async fn list(&self, page: PageRequest) -> Result<ListPage<NodeLedger>>;
}

#[async_trait]
impl NodeLedgerRepository for Repositories {
    async fn get(&self, node: NodeId) -> Result<Option<Entry<NodeLedger>>> {
        self.get_entry(node).await
    }

    async fn list(&self, page: PageRequest) -> Result<ListPage<NodeLedger>> {
        self.list_entries(Scan::of(&NODE_LEDGERS), page).await
    }
}

impl Repositories {
    /// The repository of [`NodeLedger`]s.
    pub fn node_ledgers(&self) -> &dyn NodeLedgerRepository {
        self
    }
}
