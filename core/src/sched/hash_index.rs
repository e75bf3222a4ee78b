//! Numbers by the hash of what they stand for: [`HashIndex`].

use hashbrown::HashTable;

/// Finds numbers by 32 bits of a hash, which are called their tag, and by a look at what they stand for.
///
/// What they stand for is kept elsewhere, and only here the table: nine bytes a place. To make the table grow, the tags are
/// enough.
#[derive(Debug, Clone, Default)]
pub(super) struct HashIndex(HashTable<Entry>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: u32,
    number: u32,
}

impl HashIndex {
    /// How many numbers there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The number with this tag of which it is true.
    pub(super) fn find(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let found = self.0.find(spread(tag), |entry| entry.tag == tag && is_it(entry.number));
        found.map(|entry| entry.number)
    }

    /// Adds a number that is not there.
    pub(super) fn insert(&mut self, tag: u32, number: u32) {
        self.0.insert_unique(spread(tag), Entry { tag, number }, |entry| spread(entry.tag));
    }

    /// Takes a number away.
    pub(super) fn remove(&mut self, tag: u32, number: u32) {
        if let Ok(entry) = self.0.find_entry(spread(tag), |entry| *entry == Entry { tag, number }) {
            entry.remove();
        }
    }
}

/// A tag in both halves of a hash: the table takes its place from the one, and tells it from others by the other.
fn spread(tag: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(tag)
}

/// The tag of a hash, whichever of its bits are the good ones.
pub(super) fn tag_of(hash: u64) -> u32 {
    // By 2^64 divided by the golden ratio: the upper half of the product depends on all bits of the hash.
    u32::try_from(hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Few tags, at both ends of the table and in the middle of it: numbers meet on the way, and go around the end.
    fn tag(number: u32) -> u32 {
        [u32::MAX, u32::MAX - 1, 0, 1 << 31, u32::MAX / 3][usize::try_from(number % 5).unwrap()]
    }

    proptest! {
        #[test]
        fn what_is_in_the_index_is_found_and_nothing_else(
            steps in prop::collection::vec((0_u32..60, any::<bool>()), 1..300),
        ) {
            let mut index = HashIndex::default();
            let mut model: BTreeSet<u32> = BTreeSet::new();
            for (number, comes) in steps {
                if comes && model.insert(number) {
                    index.insert(tag(number), number);
                } else if !comes {
                    index.remove(tag(number), number);
                    model.remove(&number);
                }
                prop_assert_eq!(index.len(), model.len());
                for asked in 0..60 {
                    let found = index.find(tag(asked), |number| number == asked);
                    prop_assert_eq!(found, model.contains(&asked).then_some(asked));
                }
            }
        }
    }

    #[test]
    fn a_number_costs_no_more_than_21_bytes_once_there_are_many() {
        let mut index = HashIndex::default();
        for number in 0..100_000 {
            index.insert(tag_of(u64::from(number)), number);
            let bytes = index.0.allocation_size();
            assert!(number < 1_000 || bytes <= 21 * index.len(), "{bytes} bytes of {}", index.len());
        }
    }
}
