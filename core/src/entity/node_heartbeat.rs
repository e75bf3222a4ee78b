//! When the agent of a node was last heard: [`NodeHeartbeat`].

use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use crate::store::{Column, Fixed, Reference, Table};
use crate::time::Timestamp;

/// When the agent of a node was last heard, and in which of its lives.
///
/// It is a row of its own, out of the feed and without an index, so that a hundred thousand heartbeats disturb nobody who reads
/// or changes nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHeartbeat {
    /// The node.
    pub node_id: NodeId,
    /// The session epoch: how often an agent has joined as this node. What an agent says is of the session in which it joined,
    /// and counts only in that one.
    pub session: u32,
    /// When it was last heard, by the clock of the store.
    pub seen_at: Timestamp,
}

/// The table of [`NodeHeartbeat`].
pub static NODE_HEARTBEATS: Table = Table::new(
    "node_heartbeats",
    &[
        Column::uuid("node_id"),
        Column::int("session").counter().default(Fixed::Int(0)),
        Column::time("seen_at").counter(),
    ],
    &["node_id"],
)
.references(&[Reference::new("node_heartbeats_node", &["node_id"], "compute_nodes")])
.quiet();

entity!(NodeHeartbeat, "node_heartbeat", NODE_HEARTBEATS {
    fixed: node_id;
    counters: session, seen_at;
});
