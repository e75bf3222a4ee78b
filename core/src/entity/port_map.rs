//! A port of a node that is taken: [`PortMap`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use super::foreign_instance::ForeignInstanceId;
use super::instance::InstanceId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::ports::{Family, Protocol};
use crate::store::{Column, Fixed, Invariant, Reference, Scan, Table, Test, Unique};
use crate::time::Timestamp;

/// The id of a [`PortMap`].
pub type PortMapId = Id<PortMap>;

/// That a port of a node is taken, by an instance or by something else on the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMap {
    /// The id.
    pub id: PortMapId,
    /// The node.
    pub node_id: NodeId,
    /// The instance that has it; `None` where it is kept free of instances.
    pub instance_id: Option<InstanceId>,
    /// Over IPv4 or IPv6.
    pub family: Family,
    /// Over TCP or UDP.
    pub protocol: Protocol,
    /// From 1 to 65,535.
    pub port: u16,
    /// Whether a launch took it, and the end of its instance gives it back.
    pub managed: bool,
    /// What it is for, at most 64 bytes.
    pub name: Option<String>,
    /// The container that has it and that nobody launched here, where there is one.
    pub foreign_id: Option<ForeignInstanceId>,
    /// When it was taken.
    pub created_at: Timestamp,
}

impl PortMap {
    /// Whether it is an IPv4 port.
    pub const fn is_ipv4(&self) -> bool {
        matches!(self.family, Family::Ipv4)
    }

    /// Whether it is an IPv6 port.
    pub const fn is_ipv6(&self) -> bool {
        matches!(self.family, Family::Ipv6)
    }
}

/// The table of [`PortMap`].
pub static PORT_MAPS: Table = Table::new(
    "port_maps",
    &[
        Column::uuid("id"),
        Column::uuid("node_id").immutable(),
        Column::uuid("instance_id").nullable(),
        Column::text("family", 32).immutable(),
        Column::text("protocol", 32).immutable(),
        Column::int("port").immutable(),
        Column::bool("managed").default(Fixed::Bool(true)),
        Column::text("name", 64).nullable(),
        Column::time("created_at").immutable(),
        Column::uuid("foreign_id").nullable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("port_maps_slot", &["node_id", "family", "protocol", "port"])])
.references(&[
    Reference::new("port_maps_node", &["node_id"], "compute_nodes"),
    Reference::new("port_maps_instance", &["instance_id"], "instances"),
    Reference::new("port_maps_foreign", &["foreign_id"], "foreign_instances"),
])
.invariants(&[
    Invariant::one_of("port_maps_family", "family", &["ipv4", "ipv6"]),
    Invariant::one_of("port_maps_protocol", "protocol", &["tcp", "udp"]),
    Invariant::at_least("port_maps_port_positive", "port", 1),
    Invariant::at_most("port_maps_port_at_most_65535", "port", 65_535),
]);

entity!(PortMap, "port_map", PORT_MAPS {
    fixed: id, node_id, family, protocol, port, created_at;
    plain: instance_id, managed, name, foreign_id;
});

/// Which ports a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortMapFilter {
    /// Only those of this node, in the order of family, protocol and port.
    pub node_id: Option<NodeId>,
    /// Only those of this instance.
    pub instance_id: Option<InstanceId>,
}

/// Where [`PortMap`]s are kept.
///
/// The ports of an instance are taken by its launch and given back with it. Here a port of a node can be kept free
/// of instances, because something else on the node listens there.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait PortMapRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: PortMapId) -> Result<Option<Entry<PortMap>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: PortMapId) -> Result<Entry<PortMap>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(PortMap::KIND, id))
    }

    /// Keeps a port free of instances; `Invalid` where it is managed or has an instance, `AlreadyExists` where the
    /// port is taken. The same one again is answered with the one that is there.
    async fn create(&self, value: PortMap) -> Result<Entry<PortMap>>;

    /// Gives back a port that was kept free of instances and still has this revision; `Invalid` where it is managed
    /// or has an instance.
    async fn delete(&self, id: PortMapId, revision: i64) -> Result<()>;

    /// A page, in the order of ids, or as the filter says.
    async fn list(&self, filter: PortMapFilter, page: PageRequest) -> Result<ListPage<PortMap>>;
}

#[async_trait]
impl PortMapRepository for Repositories {
    async fn get(&self, id: PortMapId) -> Result<Option<Entry<PortMap>>> {
        self.get_entry(id).await
    }

    async fn create(&self, value: PortMap) -> Result<Entry<PortMap>> {
        value.must_be_unmanaged()?;
        self.create_entry(value.id.into(), value).await
    }

    async fn delete(&self, id: PortMapId, revision: i64) -> Result<()> {
        // Read at another revision than the one to be deleted, it decides nothing: the delete is then refused.
        if let Some(found) = self.get_entry::<PortMap>(id).await?.filter(|found| found.revision == revision) {
            found.must_be_unmanaged()?;
        }
        self.delete_entry::<PortMap>(id.into(), revision).await
    }

    async fn list(&self, filter: PortMapFilter, page: PageRequest) -> Result<ListPage<PortMap>> {
        let scan = Scan::of(&PORT_MAPS);
        let scan = match (filter.node_id, filter.instance_id) {
            (Some(node), None) => scan.by("port_maps_slot").with(node),
            (None, Some(instance)) => scan.by("port_maps_instance").with(instance),
            (Some(node), Some(instance)) => {
                scan.by("port_maps_instance").with(instance).test(Test::eq("node_id", node))
            }
            (None, None) => scan,
        };
        self.list_entries(scan, page).await
    }
}

impl PortMap {
    fn must_be_unmanaged(&self) -> Result<()> {
        if self.managed {
            return Err(Error::invalid(
                "managed",
                "a managed port is taken by a launch and given back with its instance",
            ));
        }
        if self.instance_id.is_some() {
            return Err(Error::invalid("instance_id", "the ports of an instance are taken by its launch"));
        }
        Ok(())
    }
}

impl Repositories {
    /// The repository of [`PortMap`]s.
    pub fn port_maps(&self) -> &dyn PortMapRepository {
        self
    }
}
