//! A port of a node that is taken: [`PortMap`].

use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use super::instance::InstanceId;
use crate::id::Id;
use crate::ports::{Family, Protocol};
use crate::store::{Column, Fixed, Invariant, Reference, Table, Unique};
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
    ],
    &["id"],
)
.uniques(&[Unique::new("port_maps_slot", &["node_id", "family", "protocol", "port"])])
.references(&[
    Reference::new("port_maps_node", &["node_id"], "compute_nodes"),
    Reference::new("port_maps_instance", &["instance_id"], "instances"),
])
.invariants(&[
    Invariant::one_of("port_maps_family", "family", &["ipv4", "ipv6"]),
    Invariant::one_of("port_maps_protocol", "protocol", &["tcp", "udp"]),
    Invariant::at_least("port_maps_port_positive", "port", 1),
    Invariant::at_most("port_maps_port_at_most_65535", "port", 65_535),
]);

entity!(PortMap, "port_map", PORT_MAPS {
    fixed: id, node_id, family, protocol, port, created_at;
    plain: instance_id, managed, name;
});
