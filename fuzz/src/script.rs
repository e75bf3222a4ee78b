//! What a fuzzer can do: a [`Script`] of calls.

use arbitrary::{Arbitrary, Unstructured};

/// The longest script: longer ones find nothing new.
const MAX_CALLS: usize = 40;

/// A list of calls on a store.
#[derive(Clone, Debug)]
pub struct Script {
    /// The calls.
    pub calls: Vec<Call>,
}

/// One call.
#[derive(Clone, Debug)]
pub enum Call {
    /// Commits batches together.
    Commit(Vec<Vec<Act>>),
    /// Commits once more what was last committed.
    Repeat,
    /// Resolves an id that nothing was committed under, and then tries to.
    Void(Vec<Act>),
    /// Prunes the first so many records.
    Prune(u8),
    /// Closes and opens the store.
    Reopen,
}

// Derived, a list would end at each element with a chance of one half.
impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut calls = Vec::new();
        while !u.is_empty() && calls.len() < MAX_CALLS {
            calls.push(Call::arbitrary(u)?);
        }
        Ok(Self { calls })
    }
}

impl<'a> Arbitrary<'a> for Call {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match u.int_in_range(0..=31)? {
            0 => Self::Repeat,
            1 => Self::Void(acts(u)?),
            2 => Self::Prune(u.arbitrary()?),
            3 => Self::Reopen,
            _ => {
                let count = u.int_in_range(1..=4)?;
                Self::Commit((0..count).map(|_| acts(u)).collect::<Result<_, _>>()?)
            }
        })
    }
}

fn acts(u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<Act>> {
    let count = u.int_in_range(1..=5)?;
    (0..count).map(|_| Act::arbitrary(u)).collect()
}

/// One write.
#[derive(Arbitrary, Clone, Debug)]
pub enum Act {
    /// Inserts an owner, or ensures it.
    Owner {
        /// Its key.
        id: Small,
        /// Its name.
        name: Option<Small>,
        /// Its ceiling.
        cap: Option<Small>,
        /// Whether an owner that is there is left alone.
        ensure: bool,
    },
    /// Inserts an item, or ensures it.
    Item {
        /// Its key.
        id: Small,
        /// Its owner.
        owner: Option<Small>,
        /// The item that it is part of.
        parent: Option<Small>,
        /// Unique among those of an owner.
        tag: Option<Small>,
        /// What it is indexed by.
        slot: Option<Small>,
        /// Whether an item that is there is left alone.
        ensure: bool,
    },
    /// Inserts a sign of life.
    Pulse {
        /// Whose.
        owner: Small,
    },
    /// Changes an owner's name and ceiling.
    Rename {
        /// Which.
        id: Small,
        /// How wrong the revision is.
        off: Off,
        /// The new name.
        name: Option<Small>,
        /// The new ceiling.
        cap: Option<Small>,
    },
    /// Changes an item's owner, parent and tag.
    Move {
        /// Which.
        id: Small,
        /// How wrong the revision is.
        off: Off,
        /// The new owner.
        owner: Option<Small>,
        /// The new parent.
        parent: Option<Small>,
        /// The new tag.
        tag: Option<Small>,
    },
    /// Deletes a row.
    Delete {
        /// Of which table.
        table: Which,
        /// Which.
        id: Small,
        /// How wrong the revision is.
        off: Off,
    },
    /// Guards a row.
    Guard {
        /// Of which table.
        table: Which,
        /// Which.
        id: Small,
        /// How wrong the revision is.
        off: Off,
    },
    /// Adds to a row's counter.
    Adjust {
        /// Of which table.
        table: Which,
        /// Which.
        id: Small,
        /// What is added.
        delta: Delta,
        /// Whether ceilings are judged.
        admit: bool,
    },
    /// Sets a row's counter where it is at most `test`.
    Patch {
        /// Of which table.
        table: Which,
        /// Which.
        id: Small,
        /// The largest counter that is replaced.
        test: Option<Small>,
        /// What it is set, raised or added to.
        value: Small,
        /// How.
        how: How,
    },
}

/// One of few numbers, so that they meet often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Small(pub i64);

impl<'a> Arbitrary<'a> for Small {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(u.int_in_range(0..=3)?))
    }

    fn size_hint(_: usize) -> (usize, Option<usize>) {
        (1, Some(1))
    }
}

/// What is added to a counter: around what its rules allow.
#[derive(Clone, Copy, Debug)]
pub struct Delta(pub i64);

impl<'a> Arbitrary<'a> for Delta {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(u.int_in_range(-5..=10)?))
    }

    fn size_hint(_: usize) -> (usize, Option<usize>) {
        (1, Some(1))
    }
}

/// How far a revision is from the row's.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Off {
    /// It is the row's.
    Right,
    /// Also that: right ones are to be more frequent.
    RightToo,
    /// One too small.
    Behind,
    /// One too large.
    Ahead,
}

/// A table.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// The owners.
    Owners,
    /// The items.
    Items,
    /// The signs of life.
    Pulses,
}

/// How a patch changes a counter.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum How {
    /// Adds.
    Add,
    /// Replaces.
    Set,
    /// Raises.
    Max,
}
