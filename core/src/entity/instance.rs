//! A container that somebody launched: [`Instance`].

use std::net::{Ipv4Addr, Ipv6Addr};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::command::CommandId;
use super::compute_node::NodeId;
use super::field::{Field, entity, fingerprint_hex};
use super::image::ImageId;
use super::instance_state::{DesiredState, InstanceState};
use super::port_map::{PORT_MAPS, PortMap};
use super::text::{InstanceName, text_enum};
use super::user::UserId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{
    Column, Fingerprint, Fixed, Index, Invariant, Is, Reference, Scan, StoreExt, Table, Test, Unique,
};
use crate::time::Timestamp;

/// The id of an [`Instance`].
pub type InstanceId = Id<Instance>;

/// A container that a user launched.
///
/// In a terminal state it keeps its history and gives up what it pointed to: name, node and image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The id, chosen by the caller.
    pub id: InstanceId,
    /// Who launched it.
    pub owner_id: UserId,
    /// Its name.
    pub name: InstanceName,
    /// Its name while it is live, which no two live instances of one owner share; `None` in a terminal state.
    pub live_name: Option<InstanceName>,
    /// The node that it is on; `None` in a terminal state.
    pub node_id: Option<NodeId>,
    /// The node that it is or was on, which may be gone.
    pub last_node_id: NodeId,
    /// The image that it was made from; `None` in a terminal state.
    pub image_id: Option<ImageId>,
    /// The container runtime's id for it, at most 128 bytes; `None` until it is made.
    pub key: Option<String>,
    /// Its state: what is known of it.
    pub state: InstanceState,
    /// What is wanted of it.
    pub desired: DesiredState,
    /// Whether its node's agent makes it and speaks for it. Otherwise whoever asks for something has done it.
    pub by_agent: bool,
    /// The command that it waits for, one that is parked too; of another one nothing becomes of it.
    pub command_id: Option<CommandId>,
    /// What its machine says of it, as it says it; at most 1,024 bytes.
    pub status_info: Option<String>,
    /// The address under which it is reached from outside.
    pub ipv4: Option<Ipv4Addr>,
    /// The address under which it is reached from outside.
    pub ipv6: Option<Ipv6Addr>,
    /// Its address in the node's own network.
    pub local_ipv4: Option<Ipv4Addr>,
    /// Its address in the node's own network.
    pub local_ipv6: Option<Ipv6Addr>,
    /// Processor time that it holds.
    pub cpu_milli: CpuMilli,
    /// Memory that it holds.
    pub memory_mib: MemoryMib,
    /// Disk space that it holds.
    pub storage_mib: StorageMib,
    /// The size of the disk that it sees.
    pub total_storage_mib: Option<StorageMib>,
    /// How many GPUs it has.
    pub gpu_count: u32,
    /// Thousandths of each of its GPUs that it holds.
    pub gpu_milli: GpuMilli,
    /// The GPU models that were acceptable; `None` where any was.
    pub gpu_models: Option<Vec<String>>,
    /// At most 4,096 bytes.
    pub description: Option<String>,
    /// How it is connected.
    pub network_mode: NetworkMode,
    /// The name of the SSH key that opens it, at most 256 bytes.
    pub ssh_key_name: Option<String>,
    /// The SSH key that opens it, at most 4,096 bytes.
    pub ssh_key: Option<String>,
    /// The name of the image that it was made from, at most 1,024 bytes.
    pub base_image: Option<String>,
    /// Which request made it: the same one again is answered with it.
    #[serde(with = "fingerprint_hex")]
    pub request_fingerprint: Fingerprint,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

text_enum!(
    /// How an instance is connected.
    NetworkMode, "network_mode" {
        /// To the node's own interfaces.
        Host = "host",
        /// To a network inside the node.
        Bridge = "bridge",
    }
);

impl Instance {
    /// The GPU milli of all its GPUs together.
    pub fn gpu_milli_total(&self) -> i64 {
        i64::from(self.gpu_count) * self.gpu_milli.get()
    }
}

/// The table of [`Instance`].
pub static INSTANCES: Table = Table::new(
    "instances",
    &[
        Column::uuid("id"),
        Column::uuid("owner_id").immutable(),
        Column::text("name", 32).immutable(),
        Column::text("live_name", 32).nullable(),
        Column::uuid("node_id").nullable(),
        Column::uuid("last_node_id").immutable(),
        Column::uuid("image_id").nullable(),
        Column::text("key", 128).nullable(),
        Column::text("state", 32),
        Column::text("status_info", 1024).nullable(),
        Column::text("ipv4", 45).nullable(),
        Column::text("ipv6", 45).nullable(),
        Column::text("local_ipv4", 45).nullable(),
        Column::text("local_ipv6", 45).nullable(),
        Column::int("cpu_milli"),
        Column::int("memory_mib"),
        Column::int("storage_mib"),
        Column::int("total_storage_mib").nullable(),
        Column::int("gpu_count"),
        Column::int("gpu_milli"),
        Column::json("gpu_models", 4096).nullable(),
        Column::text("description", 4096).nullable(),
        Column::text("network_mode", 32),
        Column::text("ssh_key_name", 256).nullable(),
        Column::text("ssh_key", 4096).nullable(),
        Column::text("base_image", 1024).nullable(),
        Column::text("request_fingerprint", 32).immutable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
        Column::text("desired", 32).default(Fixed::Text("running")),
        Column::bool("by_agent").default(Fixed::Bool(false)),
        Column::uuid("command_id").nullable(),
    ],
    &["id"],
)
.uniques(&[
    Unique::new("instances_owner_live_name", &["owner_id", "live_name"]),
    Unique::new("instances_node_key", &["node_id", "key"]),
])
// The unique keys begin with owner and node too, but lists go by id.
.indexes(&[Index::new("instances_owner", &["owner_id"]), Index::new("instances_node", &["node_id"])])
.references(&[
    Reference::new("instances_owner", &["owner_id"], "users"),
    Reference::new("instances_node", &["node_id"], "compute_nodes"),
    Reference::new("instances_image", &["image_id"], "images"),
])
.invariants(&[
    Invariant::one_of("instances_state", "state", InstanceState::TEXTS),
    Invariant::one_of("instances_desired", "desired", DesiredState::TEXTS),
    Invariant::one_of("instances_network_mode", "network_mode", NetworkMode::TEXTS),
    Invariant::together_null("instances_live_together", &["live_name", "node_id"]),
    Invariant::at_least("instances_cpu_not_negative", "cpu_milli", 0),
    Invariant::at_least("instances_memory_not_negative", "memory_mib", 0),
    Invariant::at_least("instances_storage_not_negative", "storage_mib", 0),
    Invariant::at_least("instances_total_storage_not_negative", "total_storage_mib", 0),
    Invariant::at_least("instances_gpu_count_not_negative", "gpu_count", 0),
    Invariant::at_least("instances_gpu_milli_not_negative", "gpu_milli", 0),
    Invariant::at_most("instances_gpu_milli_at_most_whole", "gpu_milli", 1000),
]);

entity!(Instance, "instance", INSTANCES {
    fixed: id, owner_id, name, last_node_id, request_fingerprint, created_at;
    plain: live_name, node_id, image_id, key, state, desired, by_agent, command_id, status_info, ipv4, ipv6, local_ipv4, local_ipv6, cpu_milli,
        memory_mib, storage_mib, total_storage_mib, gpu_count, gpu_milli, gpu_models, description, network_mode,
        ssh_key_name, ssh_key, base_image, updated_at;
});

/// Which instances a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFilter {
    /// Only those of this owner.
    pub owner_id: Option<UserId>,
    /// Only those on this node.
    pub node_id: Option<NodeId>,
    /// Only those in one of these states; in any where none is named.
    pub states: Vec<InstanceState>,
}

impl InstanceFilter {
    /// What an instance has to pass.
    pub(crate) fn tests(&self) -> Vec<Test> {
        let mut tests = Vec::new();
        tests.extend(self.owner_id.map(|owner| Test::eq("owner_id", owner)));
        tests.extend(self.node_id.map(|node| Test::eq("node_id", node)));
        if !self.states.is_empty() {
            let mut states = self.states.clone();
            states.sort_unstable();
            states.dedup();
            tests.push(Test::new("state", Is::In(states.iter().map(Field::to_value).collect())));
        }
        tests
    }
}

/// Where [`Instance`]s are kept.
///
/// There is no `create` here: launching by the control plane is the only way, since it also takes what the
/// instance holds.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait InstanceRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: InstanceId) -> Result<Option<Entry<Instance>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: InstanceId) -> Result<Entry<Instance>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(Instance::KIND, id))
    }

    /// The owner's live instance of this name.
    async fn find_live_by_name(&self, owner: UserId, name: &InstanceName) -> Result<Option<Entry<Instance>>>;

    /// Sets the description of the one that still has this revision.
    async fn set_description(
        &self,
        id: InstanceId,
        description: Option<String>,
        at: Timestamp,
        revision: i64,
    ) -> Result<()>;

    /// A page, in the order of ids.
    async fn list(&self, filter: InstanceFilter, page: PageRequest) -> Result<ListPage<Instance>>;

    /// The ports that the instance has.
    async fn ports(&self, id: InstanceId) -> Result<Vec<PortMap>>;
}

#[async_trait]
impl InstanceRepository for Repositories {
    async fn get(&self, id: InstanceId) -> Result<Option<Entry<Instance>>> {
        self.get_entry(id).await
    }

    async fn find_live_by_name(&self, owner: UserId, name: &InstanceName) -> Result<Option<Entry<Instance>>> {
        let scan = Scan::of(&INSTANCES).by("instances_owner_live_name");
        self.find_entry(scan.with(owner).with(name.to_value())).await
    }

    async fn set_description(
        &self,
        id: InstanceId,
        description: Option<String>,
        at: Timestamp,
        revision: i64,
    ) -> Result<()> {
        let set = vec![("description", description.to_value()), ("updated_at", at.into())];
        self.update_columns::<Instance>(id.into(), revision, set).await
    }

    async fn list(&self, filter: InstanceFilter, page: PageRequest) -> Result<ListPage<Instance>> {
        let scan = Scan::of(&INSTANCES);
        let mut scan = match (filter.owner_id, filter.node_id) {
            (Some(owner), _) => scan.by("instances_owner").with(owner),
            (None, Some(node)) => scan.by("instances_node").with(node),
            (None, None) => scan,
        };
        scan.tests = filter.tests();
        self.list_entries(scan, page).await
    }

    async fn ports(&self, id: InstanceId) -> Result<Vec<PortMap>> {
        let rows = self.store.scan_all(Scan::of(&PORT_MAPS).by("port_maps_instance").with(id)).await?;
        let ports: std::result::Result<_, _> = rows.iter().map(PortMap::from_row).collect();
        Ok(ports?)
    }
}

impl Repositories {
    /// The repository of [`Instance`]s.
    pub fn instances(&self) -> &dyn InstanceRepository {
        self
    }
}
