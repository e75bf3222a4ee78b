//! What is available to a queue, and charging it.

use uuid::Uuid;

use super::super::resources::{Resource, Resources};
use super::{Place, QueueMisfit, QueueTree};

/// What a charge or a release adds to the use of one queue on its way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// The queue.
    pub queue: Uuid,
    /// How much its use changes by.
    pub amount: Resources,
}

impl QueueTree {
    /// What a queue may take now of each resource. It is less than nothing where a quota was lowered below its use.
    pub fn available(&self, queue: Uuid) -> Resources {
        let of = |resource| self.available_of(queue, resource).0;
        Resources {
            gpu_milli: of(Resource::GpuMilli),
            cpu_milli: of(Resource::CpuMilli),
            memory_mib: of(Resource::MemoryMib),
        }
    }

    /// Whether a queue may take so much, and if not, what is lacking and at which level.
    ///
    /// Nothing is available to a queue that is not there. What is not asked for is not looked at.
    pub fn fits(&self, queue: Uuid, asked: Resources) -> Result<(), QueueMisfit> {
        for (resource, asked) in asked.iter().filter(|(_, asked)| *asked > 0) {
            let (available, at) = self.available_of(queue, resource);
            if asked > available {
                return Err(QueueMisfit { queue, at, resource, available, asked });
            }
        }
        Ok(())
    }

    /// Charges a queue, whether that fits or not.
    pub fn charge(&mut self, queue: Uuid, amount: Resources) {
        self.apply(queue, amount, Resources::plus);
    }

    /// Takes back what was charged: the exact inverse of [`charge`](Self::charge), in whatever order.
    pub fn release(&mut self, queue: Uuid, amount: Resources) {
        self.apply(queue, amount, Resources::minus);
    }

    /// What is charged to a queue and passed up to it.
    pub fn usage(&self, queue: Uuid) -> Resources {
        self.place(queue).map_or(Resources::ZERO, |place| place.usage)
    }

    /// Everything that is charged to a queue and to those below it.
    pub fn held(&self, queue: Uuid) -> Resources {
        self.place(queue).map_or(Resources::ZERO, |place| place.held)
    }

    /// The quota of a queue with what those below it do not keep for themselves.
    pub fn subtree_quota(&self, queue: Uuid) -> Resources {
        self.place(queue).map_or(Resources::ZERO, |place| place.subtree)
    }

    /// Whether a queue uses more than its own of anything.
    pub fn is_borrowing(&self, queue: Uuid) -> bool {
        self.is_borrowing_with(queue, Resources::ZERO)
    }

    /// Whether it would with so much more, of what there is more of; with nothing more, of anything. A root cannot
    /// borrow.
    pub fn is_borrowing_with(&self, queue: Uuid, more: Resources) -> bool {
        let any = more.is_zero();
        self.place(queue).is_some_and(|place| {
            more.iter().any(|(resource, more)| (any || more > 0) && place.borrows(resource, more))
        })
    }

    /// The queues whose use such a charge changes, the charged one first, with how much each gets.
    ///
    /// Whether the charge fits depends on the use of exactly these: whoever commits it guards or limits these.
    pub fn touched(&self, queue: Uuid, amount: Resources) -> Vec<Charge> {
        let mut charges = Vec::new();
        let mut amount = amount;
        let start = self.by_id.get(&queue).copied();
        for place in start.into_iter().flat_map(|at| self.up(at)).filter_map(|at| self.places.get(at)) {
            if amount.is_zero() && !charges.is_empty() {
                break;
            }
            charges.push(Charge { queue: place.node.id, amount });
            amount = place.beyond(place.usage.plus(amount)).minus(place.beyond(place.usage));
        }
        charges
    }

    /// What is available of one resource, and the queue at whose level no more is.
    fn available_of(&self, queue: Uuid, resource: Resource) -> (i64, Uuid) {
        self.place(queue).map_or((0, queue), |place| self.available_at(place, resource))
    }

    fn available_at(&self, place: &Place, resource: Resource) -> (i64, Uuid) {
        let parent = place.parent.and_then(|parent| self.places.get(parent));
        let above = parent.map_or((i64::MAX, place.node.id), |parent| self.available_at(parent, resource));
        place.available(resource, above)
    }

    fn apply(
        &mut self,
        queue: Uuid,
        mut passed: Resources,
        change: impl Fn(Resources, Resources) -> Resources,
    ) {
        let whole = passed;
        let mut next = self.by_id.get(&queue).copied();
        if let Some(place) = next.and_then(|at| self.places.get_mut(at)) {
            place.own = change(place.own, whole);
        }
        while let Some(place) = next.and_then(|at| self.places.get_mut(at)) {
            let before = place.beyond(place.usage);
            place.usage = change(place.usage, passed);
            place.held = change(place.held, whole);
            let after = place.beyond(place.usage);
            // One of the two is the larger in all resources, as the whole is added or taken.
            passed = before.zip(after, |before, after| before.abs_diff(after).try_into().unwrap_or(i64::MAX));
            next = place.parent;
        }
    }
}

impl Place {
    pub(super) fn has_quota(&self, resource: Resource) -> bool {
        self.governed.get(resource) > 0
    }

    /// Whether it uses more than its own with so much more.
    pub(super) fn borrows(&self, resource: Resource, more: i64) -> bool {
        self.parent.is_some()
            && self.has_quota(resource)
            && self.usage.get(resource).saturating_add(more) > self.subtree.get(resource)
    }

    /// What is available here, where so much is available to the parent.
    fn available(&self, resource: Resource, parent: (i64, Uuid)) -> (i64, Uuid) {
        let (subtree, usage) = (self.subtree.get(resource), self.usage.get(resource));
        if self.parent.is_none() {
            return (subtree.saturating_sub(usage), self.node.id);
        }
        let left = self.kept.get(resource).saturating_sub(usage).max(0);
        let limit = self.node.quotas.borrowing().get(resource);
        let stored = subtree.saturating_sub(self.kept.get(resource));
        let used = usage.saturating_sub(self.kept.get(resource)).max(0);
        let own = (stored.saturating_sub(used).saturating_add(limit), self.node.id);
        let (beyond, at) = if own.0 <= parent.0 { own } else { parent };
        // What a queue keeps for itself is its own even where those above are charged with more than they have.
        if left > 0 { (left.saturating_add(beyond.max(0)), at) } else { (beyond, at) }
    }
}
