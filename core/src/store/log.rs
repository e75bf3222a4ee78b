//! What a commit leaves behind: [`Record`]s in the feed, and [`Receipt`]s.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::batch::Fingerprint;
use super::error::StoreError;
use super::row::Key;
use super::value::Value;
use crate::time::Timestamp;

/// A place in the feed: behind which record a follower stands.
///
/// It carries the batch id at its position, so that it cannot be used on another database, nor on one that was
/// restored to an earlier state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// The position of the last record that was read; 0 before the first.
    pub position: u64,
    /// The batch at that position; nil before the first.
    pub batch: Uuid,
}

impl Cursor {
    /// Before the first record.
    pub const START: Self = Self { position: 0, batch: Uuid::nil() };
}

/// One commit, as the feed tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place: dense, from 1.
    pub position: u64,
    /// The batch.
    pub batch: Uuid,
    /// The store's time at the commit.
    pub at: Timestamp,
    /// On whose behalf.
    pub actor: Option<Uuid>,
    /// The operation.
    pub operation: String,
    /// The request.
    pub fingerprint: Fingerprint,
    /// What changed, one entry a row, in the order in which the batch first changed the rows.
    pub changes: Vec<RowChange>,
}

impl Record {
    /// The cursor of a follower that has read this record.
    pub fn cursor(&self) -> Cursor {
        Cursor { position: self.position, batch: self.batch }
    }
}

/// What a commit did to one row. Secret columns are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The table.
    pub table: &'static str,
    /// The row.
    pub key: Key,
    /// What happened.
    pub verb: Verb,
    /// The row's revision afterwards; of a deleted row, its last.
    pub revision: i64,
    /// The row's version afterwards; of a deleted row, one above its last. Followers ignore a change whose
    /// version is not above theirs.
    pub version: i64,
    /// Every column of an inserted row, the changed columns of an updated one, none of a deleted one.
    pub columns: Vec<(&'static str, Value)>,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// It is new.
    Insert,
    /// It was changed.
    Update,
    /// It is gone.
    Delete,
}

/// A stretch of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// The records, in order.
    pub records: Vec<Arc<Record>>,
    /// Where to go on.
    pub next: Cursor,
    /// How many records are behind `next`.
    pub lag: u64,
}

impl Changes {
    /// A stretch of the feed, as a backend answers it.
    pub fn new(records: Vec<Arc<Record>>, next: Cursor, lag: u64) -> Self {
        Self { records, next, lag }
    }
}

/// The proof that a batch was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The batch.
    pub batch: Uuid,
    /// The request.
    pub fingerprint: Fingerprint,
    /// The store's time at the commit.
    pub at: Timestamp,
    /// The position of its record, where the store gives positions at the commit and anything but quiet tables
    /// changed.
    pub position: Option<u64>,
    /// Whether the batch had been committed before, by an earlier call with the same id and fingerprint.
    pub repeated: bool,
}

impl Receipt {
    /// The receipt of a batch that was committed once, as a backend read it.
    pub const fn new(batch: Uuid, fingerprint: Fingerprint, at: Timestamp, position: Option<u64>) -> Self {
        Self { batch, fingerprint, at, position, repeated: false }
    }
}

/// What is stored under a batch id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stored {
    /// The batch was committed.
    Committed(Receipt),
    /// The batch was resolved as not happened at this time, and never will.
    Void(Timestamp),
}

/// The outcome of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// It was committed.
    Committed(Receipt),
    /// It did not happen, and never will.
    NotCommitted,
}

/// What to throw away; see `Store::prune`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prune {
    /// Records up to this position may go, as far as every registered consumer has read them.
    pub records_up_to: u64,
    /// Whether receipts older than [`RECEIPT_RETENTION`] go too.
    pub receipts: bool,
}

impl Prune {
    /// Throws away records up to `position`, and old receipts.
    pub const fn up_to(position: u64) -> Self {
        Self { records_up_to: position, receipts: true }
    }
}

/// What was thrown away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// How many records.
    pub records: u64,
    /// How many receipts.
    pub receipts: u64,
    /// The last position that is gone.
    pub low_water: u64,
}

impl Pruned {
    /// What a backend threw away.
    pub const fn new(records: u64, receipts: u64, low_water: u64) -> Self {
        Self { records, receipts, low_water }
    }
}

/// How long receipts are kept at least, and how old a batch id may be: 7 days.
pub const RECEIPT_RETENTION: std::time::Duration = std::time::Duration::from_hours(7 * 24);

/// The largest stretch of the feed that one call gives.
pub const MAX_CHANGES: u32 = 1000;

impl Cursor {
    /// Whether the feed can be read from here: the checks that every backend makes. `low_water` is the last record
    /// that is gone, `head` the last there is, and `found` the batch of the record at the cursor's position.
    pub fn check(
        self,
        limit: u32,
        low_water: Self,
        head: Self,
        found: Option<Uuid>,
    ) -> Result<(), StoreError> {
        if !(1..=MAX_CHANGES).contains(&limit) {
            return Err(StoreError::invalid(
                "limit",
                format!("must be from 1 to {MAX_CHANGES}, got {limit}"),
            ));
        }
        let foreign = Err(StoreError::CursorForeign { position: self.position });
        if self.position > head.position {
            return foreign;
        }
        if self.position < low_water.position {
            return Err(StoreError::CursorExpired { low_water: low_water.position });
        }
        let known = if self.position == low_water.position { Some(low_water.batch) } else { found };
        if known == Some(self.batch) { Ok(()) } else { foreign }
    }
}
