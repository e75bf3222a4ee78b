//! A container that nobody launched here: [`ForeignInstance`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::command::CommandId;
use super::compute_node::NodeId;
use super::field::entity;
use super::instance::InstanceId;
use super::{ListPage, PageRequest, Repositories};
use crate::amount::{CpuMilli, MemoryMib, StorageMib};
use crate::error::Result;
use crate::id::Id;
use crate::store::{Column, Fixed, Invariant, Reference, Scan, Table, Unique};
use crate::time::Timestamp;

/// The id of a [`ForeignInstance`].
pub type ForeignInstanceId = Id<ForeignInstance>;

/// A container that a node reports and that nobody launched here.
///
/// What it uses is counted on its node, so that nothing is placed there twice. It has no owner and gets none: it is the machine's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignInstance {
    /// The id.
    pub id: ForeignInstanceId,
    /// The node.
    pub node_id: NodeId,
    /// The container runtime's id for it, at most 128 bytes.
    pub key: String,
    /// What its machine calls it, at most 256 bytes.
    pub name: Option<String>,
    /// What its machine says of it, as it says it; at most 1,024 bytes.
    pub status_info: Option<String>,
    /// Processor time that it uses.
    pub cpu_milli: CpuMilli,
    /// Memory that it uses.
    pub memory_mib: MemoryMib,
    /// Disk space that it uses.
    pub storage_mib: StorageMib,
    /// The instance that it was, where it was left behind by one that has ended.
    pub left_by: Option<InstanceId>,
    /// The command that removes it, where it was left behind.
    pub command_id: Option<CommandId>,
    /// When it was first reported.
    pub created_at: Timestamp,
    /// When a report last changed it.
    pub updated_at: Timestamp,
}

/// The table of [`ForeignInstance`].
pub static FOREIGN_INSTANCES: Table = Table::new(
    "foreign_instances",
    &[
        Column::uuid("id"),
        Column::uuid("node_id").immutable(),
        Column::text("key", 128).immutable(),
        Column::text("name", 256).nullable(),
        Column::text("status_info", 1024).nullable(),
        Column::int("cpu_milli").default(Fixed::Int(0)),
        Column::int("memory_mib").default(Fixed::Int(0)),
        Column::int("storage_mib").default(Fixed::Int(0)),
        Column::uuid("left_by").nullable(),
        Column::uuid("command_id").nullable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.uniques(&[Unique::new("foreign_instances_node_key", &["node_id", "key"])])
.references(&[Reference::new("foreign_instances_node", &["node_id"], "compute_nodes")])
.invariants(&[
    Invariant::at_least("foreign_instances_cpu_not_negative", "cpu_milli", 0),
    Invariant::at_least("foreign_instances_memory_not_negative", "memory_mib", 0),
    Invariant::at_least("foreign_instances_storage_not_negative", "storage_mib", 0),
]);

entity!(ForeignInstance, "foreign_instance", FOREIGN_INSTANCES {
    fixed: id, node_id, key, created_at;
    plain: name, status_info, cpu_milli, memory_mib, storage_mib, left_by, command_id, updated_at;
});

/// Where [`ForeignInstance`]s are read. Reports make, change and remove them.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ForeignInstanceRepository: Send + Sync {
    /// A page of those of a node, in the order of their keys.
    async fn list(&self, node: NodeId, page: PageRequest) -> Result<ListPage<ForeignInstance>>;
}

#[async_trait]
impl ForeignInstanceRepository for Repositories {
    async fn list(&self, node: NodeId, page: PageRequest) -> Result<ListPage<ForeignInstance>> {
        let scan = Scan::of(&FOREIGN_INSTANCES).by("foreign_instances_node_key").with(node);
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`ForeignInstance`]s.
    pub fn foreign_instances(&self) -> &dyn ForeignInstanceRepository {
        self
    }
}
