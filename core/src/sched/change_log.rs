//! What changed in a cluster, for those who remember something of each class: [`ChangeLog`].

/// No entry of a class.
pub(super) const NEVER: u64 = u64::MAX;

/// A class has a node that it had not, or that has more free than before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub(super) class: u32,
    pub(super) node: u32,
    /// How many entries back the last one of the class is; 0 if this is its first.
    back: u32,
}

/// Classes in the order in which they came to be or got a new first node.
///
/// A class that stands for more than one state is in it for every node that joins it, and for one that has more free than
/// before and stays. What remembers a score per class reads it to see what it has not seen yet. What left a class is not
/// in it: that is noticed when the class is looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct ChangeLog {
    entries: Vec<Change>,
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
    pub(super) fn since(&self, position: u64) -> Option<impl Iterator<Item = (u64, Change)> + '_> {
        let skip = usize::try_from(position.checked_sub(self.base)?).ok()?;
        Some((position..).zip(self.entries.get(skip..)?.iter().copied()))
    }

    /// The nodes of the entries of one class from a position on, the last of which is known, the last first.
    pub(super) fn nodes_since(&self, position: u64, last: u64) -> impl Iterator<Item = u32> + '_ {
        let mut next = Some(last);
        std::iter::from_fn(move || {
            let at = next.filter(|at| *at >= position)?;
            let change = self.entries.get(usize::try_from(at.checked_sub(self.base)?).ok()?)?;
            next = if change.back == 0 { None } else { at.checked_sub(u64::from(change.back)) };
            Some(change.node)
        })
    }

    /// Adds an entry of a class, whose last one was at that position. Answers where this one is.
    pub(super) fn push(&mut self, class: u32, node: u32, last: u64, classes: usize) -> u64 {
        // A reader that lags further behind walks all classes instead, which is less than reading so much.
        if self.entries.len() > classes.saturating_mul(2) + 4096 {
            let drop = self.entries.len() / 2;
            self.entries.drain(..drop);
            self.base += u64::try_from(drop).unwrap_or(u64::MAX);
        }
        let position = self.end();
        // What is further back than can be told is no longer kept.
        let back = position.checked_sub(last).and_then(|back| u32::try_from(back).ok()).unwrap_or(0);
        self.entries.push(Change { class, node, back });
        position
    }
}
