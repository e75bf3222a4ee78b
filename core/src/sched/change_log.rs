//! What changed in a cluster, for those who remember something of each class: [`ChangeLog`].

/// Classes in the order in which they came to be or got a new first node.
///
/// A class that stands for more than one state is in it for every node that joins it, and for one that has more free than
/// before and stays. What remembers a score per class reads it to see what it has not seen yet. What left a class is not
/// in it: that is noticed when the class is looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct ChangeLog {
    entries: Vec<u32>,
    base: u64,
    /// Raised by every change of the cluster, also those that are not in the log.
    pub(super) version: u64,
}

impl ChangeLog {
    /// The position after the last entry.
    pub(super) fn end(&self) -> u64 {
        self.base + u64::try_from(self.entries.len()).unwrap_or(u64::MAX)
    }

    /// The entries from a position on with their positions, or `None` if they are no longer kept.
    pub(super) fn since(&self, position: u64) -> Option<impl Iterator<Item = (u64, u32)> + '_> {
        let skip = usize::try_from(position.checked_sub(self.base)?).ok()?;
        Some((position..).zip(self.entries.get(skip..)?.iter().copied()))
    }

    pub(super) fn push(&mut self, class: u32, classes: usize) -> u64 {
        // A reader that lags further behind walks all classes instead, which is less than reading so much.
        if self.entries.len() > classes.saturating_mul(2) + 4096 {
            let drop = self.entries.len() / 2;
            self.entries.drain(..drop);
            self.base += u64::try_from(drop).unwrap_or(u64::MAX);
        }
        let position = self.end();
        self.entries.push(class);
        position
    }
}
