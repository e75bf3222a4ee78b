//! The tree of queues with their quotas: [`QueueTree`].

mod charge;
mod cover;
mod quota;
mod reclaim;

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use uuid::Uuid;

pub use charge::Charge;
pub(super) use cover::Filling;
pub use quota::{QueueNode, Quota, Quotas};

use super::resources::{Resource, Resources};

/// The most levels of a tree, so that no path is long.
pub const MAX_LEVELS: usize = 16;

/// Queues with their quotas, each under another or a root, and what is charged to them.
///
/// A queue has a *nominal* quota. What a queue does not use, the queues beside it and under them may borrow through
/// their common parent, unless it keeps that for itself (`lending`); how much a queue may borrow can be limited
/// (`borrowing`). Nobody keeps who borrowed from whom: charging adds to the queue and passes to its parent only what is
/// beyond the part that the queue keeps for itself.
///
/// Where a queue has no nominal quota of something, it has no limit of its own and no claim: what it uses is its
/// parent's matter, it never counts as borrowing, and it takes nothing back from others. A queue that is to have only
/// what others leave has a nominal quota of zero.
///
/// A quota may be lowered below what is used: then less than nothing is available, and what is charged stays until it
/// is released.
///
/// Source: Kubernetes Kueue, `pkg/cache/scheduler/resource_node.go`, and its enhancement proposal 79.
#[derive(Debug, Clone, Default)]
pub struct QueueTree {
    places: Vec<Place>,
    by_id: FxHashMap<Uuid, usize>,
}

/// A queue with what follows from its quota and those below it.
#[derive(Debug, Clone)]
struct Place {
    node: QueueNode,
    parent: Option<usize>,
    /// Own nominal quota and what the queues below do not keep for themselves.
    subtree: Resources,
    /// One of each resource of which it or a queue below has a nominal quota.
    governed: Resources,
    /// The part of it that is kept from the parent.
    kept: Resources,
    /// Charged to this very queue.
    own: Resources,
    /// Own, and of each queue below what is beyond the part that it keeps.
    usage: Resources,
    /// Own, and all that is charged below.
    held: Resources,
}

/// A change of the tree that is not possible; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTree {
    /// There is no queue of this id.
    #[error("no queue {queue}")]
    Unknown {
        /// The id that was given.
        queue: Uuid,
    },
    /// A queue would be below itself, or too deep.
    #[error("queue {queue} would be below itself or deeper than {MAX_LEVELS} levels")]
    Depth {
        /// The queue that was to be changed.
        queue: Uuid,
    },
    /// The queue has queues below it.
    #[error("queue {queue} has queues below it")]
    HasChildren {
        /// The queue that was to go.
        queue: Uuid,
    },
    /// Something is charged to the queue or waits in it.
    #[error("queue {queue} is in use")]
    InUse {
        /// The queue that was to go.
        queue: Uuid,
    },
}

/// What is asked for is more than is available to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{asked} {resource} asked, {available} available to queue {queue} because of queue {at}")]
pub struct QueueMisfit {
    /// The queue that was asked.
    pub queue: Uuid,
    /// The queue at whose level too little is left: itself or one above it.
    pub at: Uuid,
    /// What is lacking.
    pub resource: Resource,
    /// What is available of it to the queue.
    pub available: i64,
    /// What was asked of it.
    pub asked: i64,
}

impl QueueTree {
    /// A tree without queues.
    pub fn new() -> Self {
        Self::default()
    }

    /// One queue without limits.
    pub fn single(queue: Uuid) -> Self {
        let mut tree = Self::new();
        tree.put(QueueNode::new(queue));
        tree
    }

    /// Adds a queue or changes it. What is charged to it stays.
    pub fn set(&mut self, node: QueueNode) -> Result<(), InvalidTree> {
        let parent = match node.parent {
            Some(parent) => Some(*self.by_id.get(&parent).ok_or(InvalidTree::Unknown { queue: parent })?),
            None => None,
        };
        let own = self.by_id.get(&node.id).copied();
        let deep = InvalidTree::Depth { queue: node.id };
        let above = parent.map_or(0, |parent| self.up(parent).count());
        if own.is_some_and(|own| parent.is_some_and(|parent| self.up(parent).any(|at| at == own))) {
            return Err(deep);
        }
        if above + own.map_or(1, |own| self.height(own)) > MAX_LEVELS {
            return Err(deep);
        }
        self.put(node);
        Ok(())
    }

    /// Removes a queue to which nothing is charged and which has none below it.
    pub fn remove(&mut self, queue: Uuid) -> Result<(), InvalidTree> {
        let at = *self.by_id.get(&queue).ok_or(InvalidTree::Unknown { queue })?;
        if self.places.iter().any(|place| place.parent == Some(at)) {
            return Err(InvalidTree::HasChildren { queue });
        }
        if self.places.get(at).is_some_and(|place| !place.own.is_zero()) {
            return Err(InvalidTree::InUse { queue });
        }
        self.places.remove(at);
        self.derive();
        Ok(())
    }

    /// The number of queues.
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are no queues.
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A queue.
    pub fn get(&self, queue: Uuid) -> Option<&QueueNode> {
        self.place(queue).map(|place| &place.node)
    }

    /// The queues, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &QueueNode> {
        self.places.iter().map(|place| &place.node)
    }

    /// A queue and those above it, itself first. Nothing where there is no such queue.
    pub fn path(&self, queue: Uuid) -> impl Iterator<Item = &QueueNode> {
        let start = self.by_id.get(&queue).copied();
        start.into_iter().flat_map(|at| self.up(at)).filter_map(|at| self.places.get(at)).map(|at| &at.node)
    }

    fn put(&mut self, node: QueueNode) {
        match self.by_id.get(&node.id).and_then(|at| self.places.get_mut(*at)) {
            Some(place) => place.node = node,
            None => self.places.push(Place {
                node,
                parent: None,
                subtree: Resources::ZERO,
                governed: Resources::ZERO,
                kept: Resources::ZERO,
                own: Resources::ZERO,
                usage: Resources::ZERO,
                held: Resources::ZERO,
            }),
        }
        self.derive();
    }

    /// Works out everything that follows from the nodes and from what is charged to each.
    fn derive(&mut self) {
        self.by_id = self.places.iter().enumerate().map(|(at, place)| (place.node.id, at)).collect();
        for place in &mut self.places {
            place.parent = place.node.parent.and_then(|parent| self.by_id.get(&parent).copied());
        }
        // Children first: the deepest have the longest way up.
        let mut levels: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for at in 0..self.places.len() {
            levels.entry(self.up(at).count()).or_default().push(at);
        }
        for place in &mut self.places {
            place.subtree = place.node.quotas.nominal(place.parent.is_none());
            place.governed = place.node.quotas.governed();
            (place.usage, place.held) = (place.own, place.own);
        }
        for at in levels.into_values().rev().flatten() {
            let Some(place) = self.places.get_mut(at) else { continue };
            place.kept = place.node.quotas.kept(place.subtree, place.parent.is_none());
            let lent = place.subtree.minus(place.kept);
            let (beyond, held, governed) = (place.beyond(place.usage), place.held, place.governed);
            if let Some(parent) = place.parent.and_then(|parent| self.places.get_mut(parent)) {
                parent.subtree = parent.subtree.plus(lent);
                parent.usage = parent.usage.plus(beyond);
                parent.held = parent.held.plus(held);
                parent.governed = parent.governed.zip(governed, i64::max);
            }
        }
    }

    fn place(&self, queue: Uuid) -> Option<&Place> {
        self.places.get(*self.by_id.get(&queue)?)
    }

    /// A place and those above it.
    fn up(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        // A tree under construction has no circles, but a bound costs nothing.
        std::iter::successors(Some(at), |at| self.places.get(*at)?.parent).take(MAX_LEVELS + 1)
    }

    /// How many levels there are from a place down.
    fn height(&self, at: usize) -> usize {
        let below = |node: usize| self.up(node).position(|up| up == at).map_or(0, |way| way + 1);
        (0..self.places.len()).map(below).max().unwrap_or(1)
    }
}

impl Place {
    /// What of such a usage is beyond the kept part, and so the parent's.
    fn beyond(&self, usage: Resources) -> Resources {
        usage.zip(self.kept, |usage, kept| usage.saturating_sub(kept).max(0))
    }
}
