//! Who may take back what from whom.

use uuid::Uuid;

use super::super::resources::{Resource, Resources};
use super::QueueTree;

impl QueueTree {
    /// What a queue that asks for so much may take back from another one, if anything.
    ///
    /// From the claimant up to below the queue that both have in common, each stays within its own; on the other side
    /// each borrows. A queue takes nothing from those below it or above it, nor from another root's.
    pub fn may_reclaim(&self, claimant: Uuid, asked: Resources, victim: Uuid) -> Option<Resource> {
        let (ours, theirs) = self.sides(claimant, victim)?;
        if !self.all_within(&ours, asked, asked) {
            return None;
        }
        let lent = |(resource, asked)| asked > 0 && self.all_borrow(&theirs, resource, 0);
        asked.iter().find(|asked| lent(*asked)).map(|(resource, _)| resource)
    }

    /// Whether a run that holds `held` in queue `victim` could take its place back, if it lost it to one that asks for
    /// `asked` in queue `claimant`.
    ///
    /// `before` is the tree before anybody else gave way: some of those may stay after all, and then the claimant's
    /// side uses more than it does here.
    pub(in super::super) fn could_take_back(
        &self,
        before: &Self,
        (victim, held): (Uuid, Resources),
        (claimant, asked): (Uuid, Resources),
    ) -> bool {
        let Some((theirs, ours)) = self.sides(victim, claimant) else {
            return false;
        };
        let lent = |(resource, held)| held > 0 && before.all_borrow(&ours, resource, asked.get(resource));
        self.all_within(&theirs, held, Resources::ZERO) && held.iter().any(lent)
    }

    /// The places from each of two queues up to below the one that they have in common.
    fn sides(&self, one: Uuid, other: Uuid) -> Option<(Vec<usize>, Vec<usize>)> {
        let path = |queue| self.by_id.get(queue).map(|at| self.up(*at).collect::<Vec<_>>());
        let (mut one, mut other) = (path(&one)?, path(&other)?);
        let mut common = false;
        while one.last().is_some() && one.last() == other.last() {
            common = true;
            one.pop();
            other.pop();
        }
        (common && !one.is_empty() && !other.is_empty()).then_some((one, other))
    }

    /// Whether each of these has a quota of some of what is asked, and stays within it with `more`.
    fn all_within(&self, places: &[usize], asked: Resources, more: Resources) -> bool {
        places.iter().filter_map(|at| self.places.get(*at)).all(|place| {
            let own = |(resource, asked): &(Resource, i64)| *asked > 0 && place.has_quota(*resource);
            asked.iter().any(|asked| own(&asked))
                && asked.iter().filter(own).all(|(resource, _)| !place.borrows(resource, more.get(resource)))
        })
    }

    fn all_borrow(&self, places: &[usize], resource: Resource, more: i64) -> bool {
        places.iter().filter_map(|at| self.places.get(*at)).all(|place| place.borrows(resource, more))
    }
}
