//! A machine that instances run on: [`ComputeNode`].

use std::net::{Ipv4Addr, Ipv6Addr};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::{Field, entity, port_ranges_json};
use super::node_ledger::NodeLedger;
use super::node_lifecycle::NodeLifecycle;
use super::text::{NodeName, text_enum};
use super::user::UserId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::amount::StorageMib;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::ports::PortRanges;
use crate::store::{Column, Fixed, Index, Invariant, Reference, Scan, Table, Unique};
use crate::time::Timestamp;

/// The id of a [`ComputeNode`].
pub type NodeId = Id<ComputeNode>;

/// What is known of a machine that instances run on: its profile.
///
/// Its state is in [`NodeLifecycle`](super::NodeLifecycle), its capacity and what of it is taken in
/// [`NodeLedger`](super::NodeLedger), each GPU in [`Gpu`](super::Gpu). So a machine that reports its kernel version
/// disturbs no launch on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputeNode {
    /// The id, chosen by the caller.
    pub id: NodeId,
    /// Whose machine it is.
    pub owner_id: UserId,
    /// Its name; no two nodes of one owner share one.
    pub name: NodeName,
    /// The processor architecture, such as `x64`; at most 32 bytes.
    pub arch: Option<String>,
    /// The operating system, such as `linux`; at most 32 bytes.
    pub platform: Option<String>,
    /// The processor's model, at most 256 bytes.
    pub cpu_info: Option<String>,
    /// What drives its GPUs.
    pub gpu_driver: Option<GpuDriver>,
    /// What the driver tells of its GPUs, at most 4,096 bytes.
    pub gpu_info: Option<String>,
    /// The model of its GPUs, of which all are alike; `None` where it has none. At most 64 bytes.
    pub gpu_model: Option<String>,
    /// Whether NVIDIA's container runtime is installed.
    pub nvidia_docker: bool,
    /// What runs its containers, such as `docker`; at most 32 bytes.
    pub manipulator_driver: Option<String>,
    /// Whether its IPv4 ports are offered.
    pub use_ipv4: bool,
    /// Whether its IPv6 ports are offered.
    pub use_ipv6: bool,
    /// Its public IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its public IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// The IPv4 ports that instances may have.
    #[serde(with = "port_ranges_json")]
    pub ipv4_ports: Option<PortRanges>,
    /// The IPv6 ports that instances may have.
    #[serde(with = "port_ranges_json")]
    pub ipv6_ports: Option<PortRanges>,
    /// Free disk space as the machine measured it. Nothing is decided by it: see the ledger.
    pub free_storage_mib: Option<StorageMib>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its profile was last changed. It is no heartbeat.
    pub updated_at: Timestamp,
}

impl ComputeNode {
    /// A node of which nothing is known but its name, that offers IPv4 and runs `docker`.
    pub fn new(id: NodeId, owner_id: UserId, name: NodeName, at: Timestamp) -> Self {
        Self {
            id,
            owner_id,
            name,
            arch: None,
            platform: None,
            cpu_info: None,
            gpu_driver: None,
            gpu_info: None,
            gpu_model: None,
            nvidia_docker: false,
            manipulator_driver: Some("docker".into()),
            use_ipv4: true,
            use_ipv6: false,
            ipv4: None,
            ipv6: None,
            ipv4_ports: None,
            ipv6_ports: None,
            free_storage_mib: None,
            created_at: at,
            updated_at: at,
        }
    }

    /// Whether it has GPUs.
    pub const fn gpu(&self) -> bool {
        self.gpu_model.is_some()
    }

    /// Whether instances can use its GPUs: it has some, and their driver is known.
    pub const fn available_as_gpu_node(&self) -> bool {
        self.gpu() && self.gpu_driver.is_some()
    }
}

text_enum!(
    /// What drives the GPUs of a node.
    GpuDriver, "gpu_driver" {
        /// NVIDIA's.
        Cuda = "cuda",
        /// AMD's.
        Rocm = "rocm",
    }
);

/// The table of [`ComputeNode`].
pub static COMPUTE_NODES: Table = Table::new(
    "compute_nodes",
    &[
        Column::uuid("id"),
        Column::uuid("owner_id").immutable(),
        Column::text("name", 256),
        Column::text("arch", 32).nullable(),
        Column::text("platform", 32).nullable(),
        Column::text("cpu_info", 256).nullable(),
        Column::text("gpu_driver", 32).nullable(),
        Column::text("gpu_info", 4096).nullable(),
        Column::text("gpu_model", 64).nullable(),
        Column::bool("nvidia_docker").default(Fixed::Bool(false)),
        Column::text("manipulator_driver", 32).nullable().default(Fixed::Text("docker")),
        Column::bool("use_ipv4").default(Fixed::Bool(true)),
        Column::bool("use_ipv6").default(Fixed::Bool(false)),
        Column::text("ipv4", 45).nullable(),
        Column::text("ipv6", 45).nullable(),
        Column::json("ipv4_ports", 16_384).nullable(),
        Column::json("ipv6_ports", 16_384).nullable(),
        Column::int("free_storage_mib").nullable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.uniques(&[Unique::new("compute_nodes_owner_name", &["owner_id", "name"])])
// The unique key begins with the owner too, but gives an owner's nodes by name; lists go by id.
.indexes(&[Index::new("compute_nodes_owner", &["owner_id"])])
.references(&[Reference::new("compute_nodes_owner", &["owner_id"], "users")])
.invariants(&[
    Invariant::one_of("compute_nodes_gpu_driver", "gpu_driver", GpuDriver::TEXTS),
    Invariant::at_least("compute_nodes_free_storage_not_negative", "free_storage_mib", 0),
]);

entity!(ComputeNode, "compute_node", COMPUTE_NODES {
    fixed: id, owner_id, created_at;
    plain: name, arch, platform, cpu_info, gpu_driver, gpu_info, gpu_model, nvidia_docker, manipulator_driver,
        use_ipv4, use_ipv6, ipv4, ipv6, ipv4_ports, ipv6_ports, free_storage_mib, updated_at;
});

/// Which nodes a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComputeNodeFilter {
    /// Only those of this owner.
    pub owner_id: Option<UserId>,
}

/// Where [`ComputeNode`]s are kept.
///
/// There is no `create` here: a node is registered by the control plane, which charges the owner's quota and makes
/// lifecycle, ledger and GPUs in the same batch.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ComputeNodeRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: NodeId) -> Result<Option<Entry<ComputeNode>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: NodeId) -> Result<Entry<ComputeNode>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(ComputeNode::KIND, id))
    }

    /// The owner's node of this name.
    async fn find_by_name(&self, owner: UserId, name: &NodeName) -> Result<Option<Entry<ComputeNode>>>;

    /// Changes the profile of the one that still has this revision: all but id, owner and creation time.
    async fn update(&self, value: Entry<ComputeNode>) -> Result<Entry<ComputeNode>>;

    /// A page, in the order of ids.
    async fn list(&self, filter: ComputeNodeFilter, page: PageRequest) -> Result<ListPage<ComputeNode>>;

    /// What the node has and what of it is taken.
    async fn ledger(&self, id: NodeId) -> Result<Option<Entry<NodeLedger>>>;

    /// The node's state.
    async fn lifecycle(&self, id: NodeId) -> Result<Option<Entry<NodeLifecycle>>>;
}

#[async_trait]
impl ComputeNodeRepository for Repositories {
    async fn get(&self, id: NodeId) -> Result<Option<Entry<ComputeNode>>> {
        self.get_entry(id).await
    }

    async fn find_by_name(&self, owner: UserId, name: &NodeName) -> Result<Option<Entry<ComputeNode>>> {
        let scan = Scan::of(&COMPUTE_NODES).by("compute_nodes_owner_name");
        self.find_entry(scan.with(owner).with(name.to_value())).await
    }

    async fn update(&self, value: Entry<ComputeNode>) -> Result<Entry<ComputeNode>> {
        self.update_entry(value.id.into(), value.value, value.revision).await
    }

    async fn list(&self, filter: ComputeNodeFilter, page: PageRequest) -> Result<ListPage<ComputeNode>> {
        let scan = match filter.owner_id {
            Some(owner) => Scan::of(&COMPUTE_NODES).by("compute_nodes_owner").with(owner),
            None => Scan::of(&COMPUTE_NODES),
        };
        self.list_entries(scan, page).await
    }

    async fn ledger(&self, id: NodeId) -> Result<Option<Entry<NodeLedger>>> {
        self.get_entry(id).await
    }

    async fn lifecycle(&self, id: NodeId) -> Result<Option<Entry<NodeLifecycle>>> {
        self.get_entry(id).await
    }
}

impl Repositories {
    /// The repository of [`ComputeNode`]s.
    pub fn compute_nodes(&self) -> &dyn ComputeNodeRepository {
        self
    }
}
