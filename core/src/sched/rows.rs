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

/// For each state that nodes were in, a row of verdicts: by the number of a shape of demand, whether it fits and its
/// score.
///
/// A cluster comes back to the same states again and again, so a row outlives the class that it was made for. To find the
/// row of a class takes a look at its number, and only for a new class a search.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    by_state: FxHashMap<ClassState, u32>,
    all: Vec<Vec<i32>>,
    /// The row of each class, by the number of the class, with its stamp.
    of_class: Vec<(u64, u32)>,
    verdicts: usize,
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
        *self = Self::default();
    }

    /// What is known of a class and a shape.
    #[inline]
    pub(super) fn recall(&self, number: u32, stamp: u64, shape: u32) -> Option<Verdict> {
        let (held, row) = *self.of_class.get(usize::try_from(number).ok()?)?;
        if held != stamp {
            return None;
        }
        let row = self.all.get(usize::try_from(row).ok()?)?;
        let packed = *row.get(usize::try_from(shape).ok()?)?;
        (packed != UNKNOWN).then(|| Verdict::unpack(packed))
    }

    /// The same where the class is new and its state is not.
    pub(super) fn recognise(&mut self, number: u32, class: &Class, shape: u32) -> Option<Verdict> {
        self.row(number, class)?;
        self.recall(number, class.stamp, shape)
    }

    pub(super) fn remember(&mut self, number: u32, class: &Class, shape: u32, verdict: Verdict) {
        let (Some(row), Ok(shape)) = (self.row(number, class), usize::try_from(shape)) else {
            return;
        };
        if row.len() <= shape {
            let more = shape + 1 - row.len();
            row.resize(shape + 1, UNKNOWN);
            self.verdicts += more;
        }
        if let Some(place) = self.row(number, class).and_then(|row| row.get_mut(shape)) {
            *place = verdict.pack();
        }
        if self.verdicts > MAX_VERDICTS {
            self.forget();
        }
    }

    fn row(&mut self, number: u32, class: &Class) -> Option<&mut Vec<i32>> {
        let at = usize::try_from(number).ok()?;
        if self.of_class.len() <= at {
            self.of_class.resize(at + 1, (0, 0));
        }
        let held = self.of_class.get_mut(at)?;
        if held.0 != class.stamp {
            let next = u32::try_from(self.all.len()).ok()?;
            let row = *self.by_state.entry(class.state).or_insert(next);
            if row == next {
                self.all.push(Vec::new());
            }
            *held = (class.stamp, row);
        }
        self.all.get_mut(usize::try_from(held.1).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_packed_and_unpacked() {
        for score in [0, 1, -1, MOST, -MOST, 12_345, -12_345] {
            for verdict in [Verdict::All(score), Verdict::Some(score), Verdict::None] {
                assert_ne!(verdict.pack(), UNKNOWN);
                assert_eq!(Verdict::unpack(verdict.pack()), verdict);
            }
        }
    }
}
