//! Which of some runs the quota of a queue is enough for.

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::super::resources::Resources;
use super::{Place, QueueTree};

/// The quota of one queue, filled by one run after the other, whatever is really charged.
#[derive(Debug)]
pub(in super::super) struct Filling<'a> {
    tree: &'a QueueTree,
    at: Uuid,
    usage: FxHashMap<usize, Resources>,
}

impl QueueTree {
    /// The quota of a queue, empty.
    pub(in super::super) fn filling(&self, at: Uuid) -> Filling<'_> {
        Filling { tree: self, at, usage: FxHashMap::default() }
    }

    /// The queues right below a queue.
    pub(in super::super) fn below(&self, queue: Uuid) -> impl Iterator<Item = Uuid> + '_ {
        self.places
            .iter()
            .map(|place| &place.node)
            .filter(move |node| node.parent == Some(queue))
            .map(|node| node.id)
    }

    /// Whether any queue under another has a quota, so that there is something to borrow.
    pub(in super::super) fn has_quotas(&self) -> bool {
        self.places.iter().any(|place| place.parent.is_some() && !place.governed.is_zero())
    }

    /// How many queues two queues have in common on their ways down from the root, themselves included and the root
    /// not.
    pub(in super::super) fn common_depth(&self, one: Uuid, other: Uuid) -> usize {
        let way = |queue: Uuid| {
            let mut up: Vec<usize> = self.by_id.get(&queue).into_iter().flat_map(|at| self.up(*at)).collect();
            up.reverse();
            up
        };
        let common = way(one).into_iter().zip(way(other)).take_while(|(one, other)| one == other).count();
        common.saturating_sub(1)
    }
}

impl Filling<'_> {
    /// Adds what a queue at or below this one holds, if that is within the quota, or in any case.
    ///
    /// It is within the quota if there is a quota of some of it, and of that there is enough.
    pub(in super::super) fn add(&mut self, queue: Uuid, amount: Resources, in_any_case: bool) -> bool {
        let Some(start) = self.tree.by_id.get(&queue).copied() else { return false };
        let (mut passed, mut changes, mut within) = (amount, Vec::new(), false);
        for at in self.tree.up(start) {
            let Some(place) = self.tree.places.get(at) else { break };
            let before = self.usage.get(&at).copied().unwrap_or_default();
            let after = before.plus(passed);
            changes.push((at, after));
            if place.node.id == self.at {
                within = place.is_enough(amount, after);
                break;
            }
            passed = place.beyond(after).minus(place.beyond(before));
        }
        if within || in_any_case {
            self.usage.extend(changes);
        }
        within
    }
}

impl Place {
    /// Whether the quota, of what there is one of, is enough for such a usage, of which the last was `amount`.
    fn is_enough(&self, amount: Resources, usage: Resources) -> bool {
        let governed = |(resource, amount): &(_, i64)| *amount > 0 && self.has_quota(*resource);
        amount.iter().any(|each| governed(&each))
            && amount
                .iter()
                .filter(governed)
                .all(|(resource, _)| usage.get(resource) <= self.subtree.get(resource))
    }
}
