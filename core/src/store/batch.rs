//! What a caller asks for: a [`Batch`] of [`Write`]s, all or none.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use super::query::Test;
use super::row::{Key, NewRow, visible};
use super::table::Table;
use super::value::Value;

/// The largest number of writes in one batch.
pub const MAX_WRITES: usize = 4096;

/// An atomic list of writes, judged in order.
///
/// A key occurs in at most one write of a batch; `Adjust`s alone may repeat, and may follow another write of the
/// same key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The id under which the batch happens at most once: a UUIDv7.
    pub id: Uuid,
    /// The user on whose behalf.
    pub actor: Option<Uuid>,
    /// The operation's name, for the log: at most 64 bytes.
    pub operation: Cow<'static, str>,
    /// What tells a repetition of this request from another request under the same id. Where none is given it is
    /// the fingerprint of the writes.
    pub fingerprint: Option<Fingerprint>,
    /// How long the caller is ready to wait, from the call on.
    pub deadline: Option<Duration>,
    /// The writes.
    pub writes: Vec<Write>,
}

impl Batch {
    /// An empty batch.
    pub fn new(id: Uuid, operation: impl Into<Cow<'static, str>>) -> Self {
        Self {
            id,
            actor: None,
            operation: operation.into(),
            fingerprint: None,
            deadline: None,
            writes: Vec::new(),
        }
    }

    /// Says on whose behalf.
    pub fn by(mut self, actor: impl Into<Option<Uuid>>) -> Self {
        self.actor = actor.into();
        self
    }

    /// Gives the request's fingerprint.
    pub fn fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        self.fingerprint = Some(fingerprint);
        self
    }

    /// Limits the wait.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Appends a write.
    pub fn push(&mut self, write: Write) -> &mut Self {
        self.writes.push(write);
        self
    }

    /// Appends a write.
    pub fn with(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }
}

/// 128 bits that tell one request from another: the first half of a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// The fingerprint of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(bytes);
        let mut half = [0; 16];
        for (to, from) in half.iter_mut().zip(hash.iter()) {
            *to = *from;
        }
        Self(half)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether a ceiling is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// The counter is raised because somebody asked: a ceiling may refuse.
    Admit,
    /// The counter is raised because it is so: no ceiling is judged.
    Record,
}

/// How a patch changes one counter column.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Adds to the integer; refused on null.
    Add(i64),
    /// Replaces the value.
    Set(Value),
    /// Replaces the value where the new one is larger, or the old one null.
    Max(Value),
}

/// One write of a batch.
#[derive(Clone)]
#[non_exhaustive]
pub enum Write {
    /// Inserts a row; refused as a duplicate where its key is taken.
    Insert(NewRow),
    /// Inserts a row where its key is free; leaves the row that is there as it is, and never refuses for it.
    Ensure(NewRow),
    /// Changes plain and secret columns of the row that still has this revision.
    Update {
        /// The table.
        table: &'static Table,
        /// The row.
        key: Key,
        /// The revision that the caller read.
        revision: i64,
        /// The new values.
        set: Vec<(&'static str, Value)>,
    },
    /// Deletes the row that still has this revision.
    Delete {
        /// The table.
        table: &'static Table,
        /// The row.
        key: Key,
        /// The revision that the caller read.
        revision: i64,
    },
    /// Changes nothing, and refuses the batch where the row's revision is another.
    Guard {
        /// The table.
        table: &'static Table,
        /// The row.
        key: Key,
        /// The revision that the caller read.
        revision: i64,
    },
    /// Adds to a counter. Needs no revision: additions commute.
    Adjust {
        /// The table.
        table: &'static Table,
        /// The row.
        key: Key,
        /// The counter.
        column: &'static str,
        /// What is added; negative takes away.
        delta: i64,
        /// Whether ceilings are judged.
        mode: Mode,
    },
    /// Changes counter columns of a row on which all tests hold. Needs no revision.
    Patch {
        /// The table.
        table: &'static Table,
        /// The row.
        key: Key,
        /// What must hold before.
        tests: Vec<Test>,
        /// The changes.
        set: Vec<(&'static str, Change)>,
    },
}

impl Write {
    /// See [`Write::Update`].
    pub fn update(
        table: &'static Table,
        key: impl Into<Key>,
        revision: i64,
        set: Vec<(&'static str, Value)>,
    ) -> Self {
        Self::Update { table, key: key.into(), revision, set }
    }

    /// See [`Write::Delete`].
    pub fn delete(table: &'static Table, key: impl Into<Key>, revision: i64) -> Self {
        Self::Delete { table, key: key.into(), revision }
    }

    /// See [`Write::Guard`].
    pub fn guard(table: &'static Table, key: impl Into<Key>, revision: i64) -> Self {
        Self::Guard { table, key: key.into(), revision }
    }

    /// An [`Write::Adjust`] that ceilings may refuse.
    pub fn admit(table: &'static Table, key: impl Into<Key>, column: &'static str, delta: i64) -> Self {
        Self::Adjust { table, key: key.into(), column, delta, mode: Mode::Admit }
    }

    /// An [`Write::Adjust`] that no ceiling judges.
    pub fn record(table: &'static Table, key: impl Into<Key>, column: &'static str, delta: i64) -> Self {
        Self::Adjust { table, key: key.into(), column, delta, mode: Mode::Record }
    }

    /// See [`Write::Patch`].
    pub fn patch(
        table: &'static Table,
        key: impl Into<Key>,
        tests: Vec<Test>,
        set: Vec<(&'static str, Change)>,
    ) -> Self {
        Self::Patch { table, key: key.into(), tests, set }
    }

    /// The table that is written.
    pub fn table(&self) -> &'static Table {
        match self {
            Self::Insert(row) | Self::Ensure(row) => row.table,
            Self::Update { table, .. }
            | Self::Delete { table, .. }
            | Self::Guard { table, .. }
            | Self::Adjust { table, .. }
            | Self::Patch { table, .. } => table,
        }
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.table().name;
        match self {
            Self::Insert(row) => f.debug_tuple("Insert").field(row).finish(),
            Self::Ensure(row) => f.debug_tuple("Ensure").field(row).finish(),
            Self::Update { table, key, revision, set } => {
                let set: Vec<_> =
                    set.iter().map(|(column, value)| (column, visible(table, column, value))).collect();
                f.debug_tuple("Update").field(&name).field(key).field(revision).field(&set).finish()
            }
            Self::Delete { key, revision, .. } => {
                f.debug_tuple("Delete").field(&name).field(key).field(revision).finish()
            }
            Self::Guard { key, revision, .. } => {
                f.debug_tuple("Guard").field(&name).field(key).field(revision).finish()
            }
            Self::Adjust { key, column, delta, mode, .. } => f
                .debug_tuple("Adjust")
                .field(&name)
                .field(key)
                .field(column)
                .field(delta)
                .field(mode)
                .finish(),
            Self::Patch { key, tests, set, .. } => {
                f.debug_tuple("Patch").field(&name).field(key).field(tests).field(set).finish()
            }
        }
    }
}
