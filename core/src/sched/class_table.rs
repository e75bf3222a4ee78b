//! The classes of a cluster by number and by state: [`ClassTable`].

use std::hash::BuildHasher as _;

use rustc_hash::FxBuildHasher;

use super::change_log::NEVER;
use super::class::{Class, ClassState};
use super::hash_index::{HashIndex, tag_of};
use super::members::{Members, NodeKey};

/// No class.
const NONE: u32 = u32::MAX;

/// All classes. A number is used again after its class has gone; the stamp of a class is not.
#[derive(Debug, Clone, Default)]
pub(super) struct ClassTable {
    places: Vec<Option<Class>>,
    free: Vec<u32>,
    by_state: HashIndex,
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

    /// The class of nodes in this state, whose tag is given, see [`tag`].
    pub(super) fn find(&self, tag: u32, state: &ClassState) -> Option<u32> {
        self.by_state.find(tag, |number| self.get(number).is_some_and(|class| class.state == *state))
    }

    /// Makes the class of a state that has none, with its first node.
    pub(super) fn insert(&mut self, tag: u32, state: ClassState, node: u32, first: NodeKey) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            if self.places.len() == self.places.capacity() {
                // Grows by a quarter, not to the double: it is the largest part of a busy cluster.
                self.places.reserve_exact(self.places.len() / 4 + 16);
            }
            self.places.push(None);
            u32::try_from(self.places.len() - 1).unwrap_or(NONE)
        });
        self.stamps += 1;
        self.by_state.insert(tag, number);
        let class =
            Class { state, members: Members::one(node), first, stamp: self.stamps, changed: NEVER, tag };
        if let Some(place) = usize::try_from(number).ok().and_then(|at| self.places.get_mut(at)) {
            *place = Some(class);
        }
        number
    }

    /// Takes a class away.
    pub(super) fn remove(&mut self, number: u32) {
        let place = usize::try_from(number).ok().and_then(|at| self.places.get_mut(at));
        let Some(place) = place else { return };
        let Some(tag) = place.as_ref().map(|class| class.tag) else { return };
        *place = None;
        self.free.push(number);
        self.by_state.remove(tag, number);
    }
}

/// What a state is found by.
#[cfg(not(test))]
pub(super) fn tag(state: &ClassState) -> u32 {
    tag_of(FxBuildHasher.hash_one(state))
}

/// Few tags, so that the unit tests of this crate meet states of equal tag.
#[cfg(test)]
pub(super) fn tag(state: &ClassState) -> u32 {
    tag_of(FxBuildHasher.hash_one(state)) % 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::class::Slots;

    #[test]
    fn states_of_equal_tag_are_told_apart_whichever_goes_first() {
        let state = |cpu| {
            let mut state = ClassState::new(&Slots::from_gpus(&[]), 0);
            state.free.cpu = cpu;
            state
        };
        let key = NodeKey { rank: 0, id: uuid::Uuid::nil() };
        for order in 0..12_i64 {
            let mut table = ClassTable::default();
            let numbers: Vec<u32> =
                (0..12).map(|cpu| table.insert(tag(&state(cpu)), state(cpu), 0, key)).collect();
            for gone in 0..12 {
                let cpu = (gone * 5 + order) % 12;
                assert_eq!(
                    table.find(tag(&state(cpu)), &state(cpu)),
                    Some(numbers[usize::try_from(cpu).unwrap()])
                );
                table.remove(numbers[usize::try_from(cpu).unwrap()]);
                assert_eq!(table.find(tag(&state(cpu)), &state(cpu)), None);
            }
            assert_eq!((table.len(), table.by_state.len()), (0, 0));
            let again = table.insert(tag(&state(0)), state(0), 1, key);
            assert_eq!(table.get(again).map(|class| class.stamp), Some(13));
        }
    }
}
