//! What a store answers when it does not do what it was asked: [`StoreError`], and the [`Refusal`] of a batch.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::row::Key;

/// Why a store did not do what it was asked. Every variant says whether the change happened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The batch broke a rule or met another state than it expected. Nothing of it happened.
    #[error("the batch was refused")]
    Refused(#[source] Box<Refusal>),
    /// The request does not fit the declarations or a limit. Nothing happened.
    #[error("{field} is invalid: {reason}")]
    Invalid {
        /// What is wrong, such as `writes[2].users.email`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The batch id cannot be used: nothing happened under it now.
    #[error("batch {id} cannot be committed: {why}")]
    UnusableId {
        /// The id.
        id: Uuid,
        /// Why it cannot.
        why: IdProblem,
    },
    /// The batch may have happened or not: ask with `resolve`.
    #[error("the outcome of batch {id} is unknown")]
    Unknown {
        /// The id to resolve.
        id: Uuid,
    },
    /// The deadline passed before the work began. Nothing happened.
    #[error("the deadline passed after {waited:?}")]
    DeadlineExceeded {
        /// How long the caller waited.
        waited: Duration,
    },
    /// The store cannot be reached or cannot write. Nothing happened; trying again may help.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// What went wrong, without any data.
        reason: String,
        /// The driver's own error.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    /// Too much of something is open at once. Nothing happened; trying later may help.
    #[error("too many {what} at once, at most {limit} are allowed")]
    Busy {
        /// What there is too much of.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// What the cursor points behind is pruned. Take a snapshot and follow from there.
    #[error("the feed is pruned up to position {low_water}")]
    CursorExpired {
        /// The last position that is gone.
        low_water: u64,
    },
    /// The cursor is not of this store's history: another database, or one restored to an earlier state.
    #[error("the cursor at position {position} is not of this store's history")]
    CursorForeign {
        /// The cursor's position.
        position: u64,
    },
    /// The snapshot is older than its lifetime, or its store is closed.
    #[error("the snapshot has expired")]
    SnapshotExpired,
    /// Something stored cannot be read as what it was declared to be.
    #[error("stored data is corrupt in table {table:?}, column {column:?}: {reason}")]
    Corrupt {
        /// The table.
        table: String,
        /// The row, where it is known.
        key: Option<Key>,
        /// The column, or empty where the whole row is unreadable.
        column: String,
        /// What was expected.
        reason: String,
    },
    /// The storage cannot be opened as asked. Nothing was changed.
    #[error("{what} cannot be opened: {reason}")]
    CannotOpen {
        /// What was to be opened.
        what: String,
        /// Why it cannot.
        reason: OpenProblem,
    },
    /// The store is closed. Nothing happened.
    #[error("the store is closed")]
    Closed,
}

/// Why a batch id cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdProblem {
    /// Another request was committed under it.
    Reused,
    /// It was resolved as not happened, and stays so.
    Voided,
    /// It is older than receipts are kept, so that a repetition could not be recognised.
    TooOld,
}

impl fmt::Display for IdProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reused => "another request was committed under this id",
            Self::Voided => "it was resolved as not happened",
            Self::TooOld => "it is older than receipts are kept",
        })
    }
}

/// Why a store cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenProblem {
    /// Another handle has it open.
    InUse,
    /// It is not there, or its folder is not.
    Missing,
    /// The operating system, or the database, forbids it.
    Forbidden,
    /// It cannot be reached over the network.
    Unreachable(String),
    /// It lacks tables, and was to be opened without making any.
    Unmigrated(String),
    /// It is something else than a store of this kind.
    Foreign(String),
    /// It was written by a later format than this build knows.
    TooNew(String),
    /// It is damaged.
    Damaged(String),
    /// The declarations cannot be brought together with what is stored.
    Incompatible(String),
    /// Anything else that the operating system says.
    Other(String),
}

impl fmt::Display for OpenProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("it is already open"),
            Self::Missing => f.write_str("there is no such file, folder or database"),
            Self::Forbidden => f.write_str("permission denied"),
            Self::Unreachable(what) => write!(f, "it cannot be reached: {what}"),
            Self::Unmigrated(what) => write!(f, "it is not migrated: {what}"),
            Self::Foreign(what) => write!(f, "it is not a store of this kind: {what}"),
            Self::TooNew(what) => write!(f, "it was written by a later version: {what}"),
            Self::Damaged(what) => write!(f, "it is damaged: {what}"),
            Self::Incompatible(what) => write!(f, "its tables do not fit the declarations: {what}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl StoreError {
    /// A value that its declaration does not allow.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// Stored data that cannot be read.
    pub fn corrupt(table: &str, key: Option<Key>, column: &str, reason: impl Into<String>) -> Self {
        Self::Corrupt { table: table.into(), key, column: column.into(), reason: reason.into() }
    }

    /// A store that cannot be reached.
    pub fn unavailable(
        reason: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Unavailable { reason: reason.into(), source: Some(Arc::new(source)) }
    }

    /// The refusal, where this is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether the same request can succeed later without anybody changing it.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_conflict(),
            Self::Unavailable { .. } | Self::Busy { .. } | Self::DeadlineExceeded { .. } => true,
            _ => false,
        }
    }

    /// A stable short name, for programs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.cause.code(),
            Self::Invalid { .. } => "invalid",
            Self::UnusableId { .. } => "unusable_id",
            Self::Unknown { .. } => "unknown",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::Unavailable { .. } => "unavailable",
            Self::Busy { .. } => "busy",
            Self::CursorExpired { .. } => "cursor_expired",
            Self::CursorForeign { .. } => "cursor_foreign",
            Self::SnapshotExpired => "snapshot_expired",
            Self::Corrupt { .. } => "corrupt",
            Self::CannotOpen { .. } => "cannot_open",
            Self::Closed => "closed",
        }
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// Which write of a batch was refused, and by what. It is the same on every store: the first write that is
/// refused; within it first what is missing or in conflict, then duplicates, references and rules, each in
/// declared order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write {write} on table {table} was refused: {cause}")]
#[non_exhaustive]
pub struct Refusal {
    /// The position of the write in its batch, from 0.
    pub write: usize,
    /// The table.
    pub table: &'static str,
    /// The row.
    pub key: Key,
    /// By what.
    pub cause: Cause,
}

/// What refused a write. Names are those of the declarations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// There is no such row.
    Missing,
    /// The row has another revision.
    Conflict {
        /// The revision that the write expected.
        expected: i64,
        /// The revision that the row has.
        found: i64,
    },
    /// A patch's test on this column does not hold.
    TestFailed {
        /// The column.
        column: &'static str,
    },
    /// Another row has the same key.
    Duplicate {
        /// The unique key's name; the table's name for the primary key.
        unique: &'static str,
        /// The row that has it.
        owner: Key,
    },
    /// The row that a reference names is not there.
    NoParent {
        /// The reference's name.
        reference: &'static str,
    },
    /// A row still names this one.
    StillReferenced {
        /// The reference's name.
        reference: &'static str,
        /// The table of the row that names it.
        by: &'static str,
    },
    /// A rule that always holds would not.
    Invariant {
        /// The invariant's name.
        rule: &'static str,
    },
    /// A counter would be raised above its limit.
    Ceiling {
        /// The ceiling's name.
        rule: &'static str,
        /// The limit in force.
        limit: i64,
        /// The counter before this write.
        used: i64,
        /// What the write adds.
        asked: i64,
    },
    /// A counter would leave ±2^53, or is null.
    Overflow {
        /// The counter.
        column: &'static str,
    },
}

impl Cause {
    /// A stable short name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Conflict { .. } => "conflict",
            Self::TestFailed { .. } => "test_failed",
            Self::Duplicate { .. } => "duplicate",
            Self::NoParent { .. } => "no_parent",
            Self::StillReferenced { .. } => "still_referenced",
            Self::Invariant { .. } => "invariant",
            Self::Ceiling { .. } => "ceiling",
            Self::Overflow { .. } => "overflow",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such row"),
            Self::Conflict { expected, found } => write!(f, "expected revision {expected}, found {found}"),
            Self::TestFailed { column } => write!(f, "the test on column {column} does not hold"),
            Self::Duplicate { unique, .. } => write!(f, "another row has the same {unique}"),
            Self::NoParent { reference } => write!(f, "the row that {reference} names is not there"),
            Self::StillReferenced { reference, by } => {
                write!(f, "a row of {by} still names it by {reference}")
            }
            Self::Invariant { rule } => write!(f, "invariant {rule} would not hold"),
            Self::Ceiling { rule, limit, used, asked } => {
                write!(f, "ceiling {rule}: {used} of {limit} used, {asked} more asked")
            }
            Self::Overflow { column } => write!(f, "counter {column} would leave its range"),
        }
    }
}

impl Refusal {
    /// A refusal of the first write of a batch on a table, as a backend found it; rules of the declarations are
    /// refused by the evaluator alone.
    pub fn new(write: usize, table: &'static str, key: Key, cause: Cause) -> Self {
        Self { write, table, key, cause }
    }

    /// Whether another decision over fresh rows may be accepted: somebody else was first.
    pub fn is_conflict(&self) -> bool {
        matches!(self.cause, Cause::Missing | Cause::Conflict { .. } | Cause::TestFailed { .. })
    }

    /// Whether it was refused by the declaration of this name.
    pub fn names(&self, declaration: &str) -> bool {
        match &self.cause {
            Cause::Duplicate { unique: name, .. }
            | Cause::NoParent { reference: name }
            | Cause::StillReferenced { reference: name, .. }
            | Cause::Invariant { rule: name }
            | Cause::Ceiling { rule: name, .. } => *name == declaration,
            _ => false,
        }
    }
}
