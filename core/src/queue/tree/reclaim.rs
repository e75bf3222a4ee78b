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
        if !self.all_within(&ours, asked) {
            return None;
        }
        let lent = |(resource, asked): &(Resource, i64)| {
            *asked > 0 && self.all_have(&ours, *resource) && self.all_borrow(&theirs, *resource)
        };
        asked.iter().find(lent).map(|(resource, _)| resource)
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

    /// Whether each of these has a quota of some of what is asked, and stays within it with that.
    fn all_within(&self, places: &[usize], asked: Resources) -> bool {
        places.iter().filter_map(|at| self.places.get(*at)).all(|place| {
            let own = |(resource, asked): &(Resource, i64)| *asked > 0 && place.has_quota(*resource);
            asked.iter().any(|asked| own(&asked))
                && asked.iter().filter(own).all(|(resource, asked)| !place.borrows(resource, asked))
        })
    }

    fn all_have(&self, places: &[usize], resource: Resource) -> bool {
        places.iter().filter_map(|at| self.places.get(*at)).all(|place| place.has_quota(resource))
    }

    fn all_borrow(&self, places: &[usize], resource: Resource) -> bool {
        places.iter().filter_map(|at| self.places.get(*at)).all(|place| place.borrows(resource, 0))
    }
}
