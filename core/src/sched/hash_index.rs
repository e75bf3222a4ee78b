//! Numbers by the hash of what they stand for: [`HashIndex`].

/// No number is here; it is the tag and the number of nothing.
const EMPTY: u64 = u64::MAX;

/// The fewest places of an index that is not empty.
const MIN_PLACES: usize = 16;

/// Finds numbers by 32 bits of a hash, which are called their tag, and by a look at what they stand for.
///
/// What they stand for is kept elsewhere, and only here the table: eight bytes a place, and a number costs one access to
/// memory. A number is at the first free place from that on which its tag says; tags that are close together are close
/// together in the table, so that growing it reads and writes in order. It grows by a half, not to the double.
#[derive(Debug, Clone, Default)]
pub(super) struct HashIndex {
    /// A tag above a number each.
    places: Vec<u64>,
    len: usize,
}

impl HashIndex {
    /// How many numbers there are.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The number with this tag of which it is true.
    pub(super) fn find(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(tag);
        loop {
            let (found, number) = unpack(*self.places.get(at)?)?;
            if found == tag && is_it(number) {
                return Some(number);
            }
            at = self.after(at);
        }
    }

    /// Adds a number that is not there, below `u32::MAX`.
    pub(super) fn insert(&mut self, tag: u32, number: u32) {
        // A quarter stays free: so that the next free place is never far.
        if (self.len + 1) * 4 > self.places.len() * 3 {
            let places = (self.places.len() + self.places.len() / 2).max(MIN_PLACES);
            let old = std::mem::replace(&mut self.places, vec![EMPTY; places]);
            old.into_iter().filter_map(unpack).for_each(|(tag, number)| self.put(tag, number));
        }
        self.len += 1;
        self.put(tag, number);
    }

    /// Takes a number away.
    pub(super) fn remove(&mut self, tag: u32, number: u32) {
        let gone = pack(tag, number);
        let mut hole = self.home(tag);
        while self.places.get(hole).is_some_and(|place| *place != gone) {
            if self.places.get(hole) == Some(&EMPTY) {
                return;
            }
            hole = self.after(hole);
        }
        let mut at = hole;
        // What follows moves up to the hole, unless it would then be before the place on which its tag says.
        loop {
            at = self.after(at);
            let Some(place) = self.places.get(at).copied() else { return };
            let Some((tag, _)) = unpack(place) else { break };
            if self.distance(self.home(tag), at) >= self.distance(hole, at) {
                self.set(hole, place);
                hole = at;
            }
        }
        self.set(hole, EMPTY);
        self.len -= 1;
    }

    fn put(&mut self, tag: u32, number: u32) {
        let mut at = self.home(tag);
        while self.places.get(at).is_some_and(|place| *place != EMPTY) {
            at = self.after(at);
        }
        self.set(at, pack(tag, number));
    }

    fn set(&mut self, at: usize, to: u64) {
        if let Some(place) = self.places.get_mut(at) {
            *place = to;
        }
    }

    /// Where a tag is looked for first: as far along the table as the tag is among all tags.
    fn home(&self, tag: u32) -> usize {
        let places = u64::try_from(self.places.len()).unwrap_or(0);
        usize::try_from((u64::from(tag) * places) >> 32).unwrap_or(0)
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 < self.places.len() { at + 1 } else { 0 }
    }

    /// How many steps it is from a place on to another one.
    fn distance(&self, from: usize, to: usize) -> usize {
        if from <= to { to - from } else { to + self.places.len() - from }
    }
}

fn pack(tag: u32, number: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(number)
}

fn unpack(place: u64) -> Option<(u32, u32)> {
    let (tag, number) = (u32::try_from(place >> 32).ok()?, u32::try_from(place & 0xFFFF_FFFF).ok()?);
    (place != EMPTY).then_some((tag, number))
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
    fn a_number_costs_no_more_than_sixteen_bytes_once_there_are_many() {
        let mut index = HashIndex::default();
        for number in 0..100_000 {
            index.insert(tag_of(u64::from(number)), number);
            let places = index.places.len();
            assert!(places <= MIN_PLACES || places <= 2 * index.len() + 2);
        }
        // However alike the hashes are, the tags are spread.
        let steps = index.places.iter().enumerate().filter_map(|(at, place)| {
            let (tag, _) = unpack(*place)?;
            Some(index.distance(index.home(tag), at))
        });
        let farthest = steps.max();
        assert!(farthest < Some(200), "{farthest:?}");
    }
}
