//! The nodes of a queue, and how much there is on them: [`Nodes`].

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::resources::Resources;
use super::running::RunningSet;
use crate::sched::{Cluster, InvalidNode, NodeState};

/// The nodes, and how much the runs of the queue could have of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Nodes {
    pub(super) cluster: Cluster,
    capacity: FxHashMap<Uuid, Resources>,
    /// Over all nodes.
    pub(super) total: Resources,
}

impl Nodes {
    /// Takes in a node as it is now, with what runs on it already taken off.
    pub(super) fn upsert(&mut self, node: &NodeState, running: &RunningSet) -> Result<(), InvalidNode> {
        self.cluster.upsert(node)?;
        let capacity = Resources::free_on(node).plus(running.on_node(node.id));
        let before = self.capacity.insert(node.id, capacity).unwrap_or_default();
        self.total = self.total.minus(before).plus(capacity);
        Ok(())
    }

    pub(super) fn remove(&mut self, node: Uuid) -> bool {
        let before = self.capacity.remove(&node).unwrap_or_default();
        self.total = self.total.minus(before);
        self.cluster.remove(&node)
    }
}
