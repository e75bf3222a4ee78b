//! What was found out about states and shapes of demand: [`Rows`].

use rustc_hash::FxHashMap;

use super::class::{Class, ClassState};
use super::cluster::Admits;

/// The most verdicts that are remembered, four bytes each.
const MAX_VERDICTS: usize = 1 << 24;

/// No verdict yet.
const UNKNOWN: i32 = i32::MIN;

/// Scores are kept within this of zero, so that two bits are left for what fits.
const MOST: i32 = 1 << 28;

/// No outlook yet.
const UNSEEN: i64 = i64::MIN;

/// How many shapes there is room for at first.
const MIN_WIDTH: usize = 32;

/// For each state that nodes were in, its outlook and a row of verdicts: by the number of a shape of demand, whether it
/// fits and its score.
///
/// A cluster comes back to the same states again and again, so a row outlives the class that it was made for. To find the
/// row of a class takes a look at its number, and only for a new class a search.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    by_state: FxHashMap<ClassState, u32>,
    /// The row of each class, by the number of the class, with its stamp.
    of_class: Vec<(u64, u32)>,
    /// All rows, one behind the other, each of `width` verdicts.
    verdicts: Vec<i32>,
    width: usize,
    /// What is left over of each state, by the number of its row.
    outlooks: Vec<i64>,
}

/// Whether a demand fits the nodes of a class, and its score there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It fits all of them.
    All(i32),
    /// It may fit some.
    Some(i32),
    /// It fits none.
    None,
}

impl Verdict {
    /// `score` is asked for only where something fits.
    pub(super) fn new(admits: Admits, score: impl FnOnce() -> i32) -> Self {
        match admits {
            Admits::All => Self::All(score().clamp(-MOST, MOST)),
            Admits::Some => Self::Some(score().clamp(-MOST, MOST)),
            Admits::None(_) => Self::None,
        }
    }

    const fn pack(self) -> i32 {
        match self {
            Self::All(score) => score << 2,
            Self::Some(score) => score << 2 | 1,
            Self::None => 2,
        }
    }

    const fn unpack(packed: i32) -> Self {
        match packed & 3 {
            0 => Self::All(packed >> 2),
            1 => Self::Some(packed >> 2),
            _ => Self::None,
        }
    }
}

impl Rows {
    /// Forgets everything: the numbers of shapes or classes mean something else from now on.
    pub(super) fn forget(&mut self) {
        self.by_state.clear();
        self.of_class.clear();
        self.verdicts.clear();
        self.outlooks.clear();
        self.width = 0;
    }

    /// The row of a class.
    #[inline]
    pub(super) fn row(&mut self, number: u32, class: &Class) -> usize {
        let known = usize::try_from(number).ok().and_then(|at| self.of_class.get(at));
        match known {
            Some(&(stamp, row)) if stamp == class.stamp => row as usize,
            _ => self.find(number, class),
        }
    }

    /// The row of a class that is new.
    fn find(&mut self, number: u32, class: &Class) -> usize {
        if self.verdicts.len() > MAX_VERDICTS {
            self.forget();
        }
        let next = u32::try_from(self.outlooks.len()).unwrap_or(u32::MAX);
        let row = *self.by_state.entry(class.state).or_insert(next);
        if row == next {
            self.outlooks.push(UNSEEN);
            self.verdicts.resize(self.outlooks.len() * self.width, UNKNOWN);
        }
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        if self.of_class.len() <= at {
            self.of_class.resize(at + 1, (0, 0));
        }
        if let Some(held) = self.of_class.get_mut(at) {
            *held = (class.stamp, row);
        }
        row as usize
    }

    /// What is known of a row and a shape.
    #[inline]
    pub(super) fn recall(&self, row: usize, shape: usize) -> Option<Verdict> {
        if shape >= self.width {
            return None;
        }
        let packed = *self.verdicts.get(row * self.width + shape)?;
        (packed != UNKNOWN).then(|| Verdict::unpack(packed))
    }

    pub(super) fn remember(&mut self, row: usize, shape: usize, verdict: Verdict) {
        if shape >= self.width {
            self.widen(shape);
        }
        if let Some(place) = self.verdicts.get_mut(row * self.width + shape) {
            *place = verdict.pack();
        }
    }

    /// Makes room for the verdicts of a shape.
    fn widen(&mut self, shape: usize) {
        let width = (shape + 1).next_power_of_two().max(MIN_WIDTH);
        let mut wide = vec![UNKNOWN; self.outlooks.len() * width];
        if self.width > 0 {
            for (to, from) in wide.chunks_mut(width).zip(self.verdicts.chunks(self.width)) {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
        (self.verdicts, self.width) = (wide, width);
    }

    /// What is left over of the state of a row; `find` is asked where that is not known yet.
    pub(super) fn outlook(&mut self, row: usize, find: impl FnOnce() -> i64) -> i64 {
        match self.outlooks.get_mut(row) {
            Some(known) => {
                if *known == UNSEEN {
                    *known = find();
                }
                *known
            }
            None => find(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::class::Slots;
    use crate::sched::members::{Members, NodeKey};

    #[test]
    fn a_verdict_is_packed_and_unpacked() {
        for score in [0, 1, -1, MOST, -MOST, 12_345, -12_345] {
            for verdict in [Verdict::All(score), Verdict::Some(score), Verdict::None] {
                assert_ne!(verdict.pack(), UNKNOWN);
                assert_eq!(Verdict::unpack(verdict.pack()), verdict);
            }
        }
    }

    #[test]
    fn what_is_known_of_a_state_outlives_its_class_and_the_coming_of_shapes() {
        let class = |stamp, cpu| {
            let mut state = ClassState::new(&Slots::from_gpus(&[]), 0);
            state.free.cpu = cpu;
            let first = NodeKey { rank: 0, id: uuid::Uuid::nil() };
            Class { state, members: Members::one(0), first, stamp, changed: 0, tag: 0 }
        };
        let mut rows = Rows::default();
        let (one, other) = (class(1, 1), class(2, 2));
        let row = rows.row(0, &one);
        rows.remember(row, 3, Verdict::All(7));
        let second = rows.row(1, &other);
        assert_ne!(row, second);
        assert_eq!((rows.recall(second, 3), rows.recall(second, 5_000)), (None, None));
        // More shapes than there was room for.
        rows.remember(second, 100, Verdict::None);
        assert_eq!((rows.recall(row, 3), rows.recall(row, 100)), (Some(Verdict::All(7)), None));
        assert_eq!((rows.outlook(row, || 5), rows.outlook(row, || 6), rows.outlook(second, || 7)), (5, 5, 7));
        // The class went, and another one has its number; then its state is back under a third number.
        assert_eq!(rows.row(0, &class(3, 2)), second);
        assert_eq!((rows.row(2, &class(4, 1)), rows.recall(row, 3)), (row, Some(Verdict::All(7))));
        assert_eq!(rows.recall(second, 100), Some(Verdict::None));
    }
}
