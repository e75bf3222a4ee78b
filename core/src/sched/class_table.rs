//! The classes of a cluster by number and by state: [`ClassTable`].

use std::hash::BuildHasher as _;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::class::{Class, ClassState};
use super::members::{Members, NodeKey};

/// No class.
const NONE: u32 = u32::MAX;

/// All classes. A number is used again after its class has gone; the stamp of a class is not.
///
/// States are found by their hash, and states of equal hash are chained: so each is kept once.
#[derive(Debug, Clone, Default)]
pub(super) struct ClassTable {
    places: Vec<Option<Class>>,
    free: Vec<u32>,
    by_hash: FxHashMap<u64, u32>,
    stamps: u64,
}

impl ClassTable {
    /// The number of classes.
    pub(super) const fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Class> {
        self.places.get(usize::try_from(number).ok()?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Class> {
        self.places.get_mut(usize::try_from(number).ok()?)?.as_mut()
    }

    /// All classes with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Class)> {
        (0..).zip(&self.places).filter_map(|(number, class)| Some((number, class.as_ref()?)))
    }

    /// The class of nodes in this state.
    pub(super) fn find(&self, state: &ClassState) -> Option<u32> {
        let mut number = *self.by_hash.get(&hash(state))?;
        loop {
            let class = self.get(number)?;
            if class.state == *state {
                return Some(number);
            }
            number = class.next;
        }
    }

    /// Makes the class of a state that has none, with its first node.
    pub(super) fn insert(&mut self, state: ClassState, node: u32, first: NodeKey) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            if self.places.len() == self.places.capacity() {
                // Grows by a quarter, not to the double: it is the largest part of a busy cluster.
                self.places.reserve_exact(self.places.len() / 4 + 16);
            }
            self.places.push(None);
            u32::try_from(self.places.len() - 1).unwrap_or(NONE)
        });
        self.stamps += 1;
        let next = self.by_hash.insert(hash(&state), number).unwrap_or(NONE);
        let class = Class { state, members: Members::One(node), first, stamp: self.stamps, changed: 0, next };
        if let Some(place) = usize::try_from(number).ok().and_then(|at| self.places.get_mut(at)) {
            *place = Some(class);
        }
        number
    }

    /// Takes a class away.
    pub(super) fn remove(&mut self, number: u32) {
        let place = usize::try_from(number).ok().and_then(|at| self.places.get_mut(at));
        let Some(class) = place.and_then(Option::take) else {
            return;
        };
        self.free.push(number);
        let hash = hash(&class.state);
        if self.by_hash.get(&hash) == Some(&number) {
            if class.next == NONE {
                self.by_hash.remove(&hash);
            } else {
                self.by_hash.insert(hash, class.next);
            }
            return;
        }
        let mut before = self.by_hash.get(&hash).copied().unwrap_or(NONE);
        while let Some(other) = self.get_mut(before) {
            if other.next == number {
                other.next = class.next;
                return;
            }
            before = other.next;
        }
    }
}

#[cfg(not(test))]
fn hash(state: &ClassState) -> u64 {
    FxBuildHasher.hash_one(state)
}

/// Few hashes, so that the unit tests of this crate meet states of equal hash.
#[cfg(test)]
fn hash(state: &ClassState) -> u64 {
    FxBuildHasher.hash_one(state) % 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::class::Slots;

    #[test]
    fn states_of_equal_hash_are_told_apart_whichever_goes_first() {
        let state = |cpu| {
            let mut state = ClassState::new(&Slots::from_gpus(&[]), 0);
            state.free.cpu = cpu;
            state
        };
        let key = NodeKey { rank: 0, id: uuid::Uuid::nil() };
        for order in 0..12_i64 {
            let mut table = ClassTable::default();
            let numbers: Vec<u32> = (0..12).map(|cpu| table.insert(state(cpu), 0, key)).collect();
            for gone in 0..12 {
                let cpu = (gone * 5 + order) % 12;
                assert_eq!(table.find(&state(cpu)), Some(numbers[usize::try_from(cpu).unwrap()]));
                table.remove(numbers[usize::try_from(cpu).unwrap()]);
                assert_eq!(table.find(&state(cpu)), None);
            }
            assert_eq!((table.len(), table.by_hash.len()), (0, 0));
            let again = table.insert(state(0), 1, key);
            assert_eq!(table.get(again).map(|class| class.stamp), Some(13));
        }
    }
}
