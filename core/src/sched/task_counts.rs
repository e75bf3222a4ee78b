//! How many tasks of each kind run on each node: [`Tally`] and [`TaskCounts`].

use rustc_hash::FxHashMap;

use super::demand::Tag;
use super::node::Running;

/// The bits of a tally for each kind.
const BITS: u32 = 3;

/// This many or more of a kind are counted elsewhere.
const MANY: u32 = (1 << BITS) - 1;

/// How many tasks of each kind run on one node, counted up to [`MANY`], in three bits for each of the 17 kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally(u64);

impl Tally {
    /// The tally of these tasks.
    pub(super) fn of(running: &Running) -> Self {
        running.iter().fold(Self::default(), |tally, (tag, count)| tally.with(tag, count))
    }

    /// How many run, up to [`MANY`].
    fn few(self, tag: Tag) -> u32 {
        u32::try_from(self.0 >> (BITS * tag.index()) & u64::from(MANY)).unwrap_or(MANY)
    }

    fn with(self, tag: Tag, count: u32) -> Self {
        let at = BITS * tag.index();
        Self(self.0 & !(u64::from(MANY) << at) | u64::from(count.min(MANY)) << at)
    }

    /// Whether any task of this kind runs.
    pub(super) fn runs(self, tag: Tag) -> bool {
        self.few(tag) > 0
    }

    /// Whether all counts are in the tally.
    pub(super) fn is_exact(self) -> bool {
        self.kinds().all(|tag| self.few(tag) < MANY)
    }

    /// The kinds that run.
    pub(super) fn kinds(self) -> impl Iterator<Item = Tag> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let kind = (rest != 0).then(|| rest.trailing_zeros() / BITS)?;
            rest &= !(u64::from(MANY) << (BITS * kind));
            Some(Tag::from_index(kind))
        })
    }

    /// The kinds that run, a bit each, see [`Tag::index`].
    pub(super) fn tags(self) -> u32 {
        self.kinds().fold(0, |tags, tag| tags | 1 << tag.index())
    }
}

/// The counts of tasks by node and kind that are too large for the tally of the node.
#[derive(Debug, Clone, Default)]
pub(super) struct TaskCounts(FxHashMap<(u32, u8), u32>);

impl TaskCounts {
    /// How many of a kind run on a node of this tally.
    pub(super) fn get(&self, node: u32, tally: Tally, tag: Tag) -> u32 {
        match tally.few(tag) {
            MANY => self.0.get(&key(node, tag)).copied().unwrap_or(MANY),
            few => few,
        }
    }

    /// The tally of a node after so many of a kind run on it.
    pub(super) fn set(&mut self, node: u32, tally: Tally, tag: Tag, count: u32) -> Tally {
        if count > MANY {
            self.0.insert(key(node, tag), count);
        } else if tally.few(tag) == MANY {
            self.0.remove(&key(node, tag));
        }
        tally.with(tag, count)
    }

    /// The tally of a node after these and no others run on it.
    pub(super) fn replace(&mut self, node: u32, tally: Tally, running: &Running) -> Tally {
        let after = Tally::of(running);
        if !(tally.is_exact() && after.is_exact()) {
            for tag in tally.kinds() {
                self.0.remove(&key(node, tag));
            }
            for (tag, count) in running.iter().filter(|(_, count)| *count > MANY) {
                self.0.insert(key(node, tag), count);
            }
        }
        after
    }
}

fn key(node: u32, tag: Tag) -> (u32, u8) {
    (node, u8::try_from(tag.index()).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_tally_and_what_is_counted_elsewhere_are_what_runs(
            steps in prop::collection::vec((0_u32..2, 0_u32..=16, 0_u32..12, any::<bool>()), 1..100),
        ) {
            let mut counts = TaskCounts::default();
            let mut nodes = [(Tally::default(), [0_u32; 17]); 2];
            for (node, kind, count, all) in steps {
                let (tally, model) = &mut nodes[usize::try_from(node).unwrap()];
                if all {
                    *model = [0; 17];
                }
                model[usize::try_from(kind).unwrap()] = count;
                *tally = if all {
                    let mut running = Running::default();
                    running.add(Tag::from_index(kind), count);
                    counts.replace(node, *tally, &running)
                } else {
                    counts.set(node, *tally, Tag::from_index(kind), count)
                };
                for (node, (tally, model)) in (0..).zip(nodes) {
                    let told = (0..=16).map(|kind| counts.get(node, tally, Tag::from_index(kind)));
                    prop_assert_eq!(told.collect::<Vec<_>>(), model);
                    let tags = (0..).zip(model).fold(0_u32, |tags, (kind, count)| tags | u32::from(count > 0) << kind);
                    prop_assert_eq!(tally.tags(), tags);
                }
                // Nothing is kept that no tally refers to.
                let many = nodes.iter().flat_map(|(_, model)| model).filter(|count| **count > MANY).count();
                prop_assert_eq!(counts.0.len(), many);
            }
        }
    }
}
