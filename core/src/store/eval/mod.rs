//! The one judge of a batch, used by every backend: [`Group`].
//!
//! A backend that is about to commit makes a group over what is committed, shows it the waiting batches in order,
//! and writes what [`Group::finish`] gives. An accepted batch is seen by those judged after it; a refused one
//! leaves no trace.

mod loaded;
mod needs;
mod rules;
mod view;

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::batch::Change;
use super::error::{Cause, IdProblem, Refusal, StoreError};
use super::log::{RECEIPT_RETENTION, Receipt, Record, RowChange, Stored, Verb};
use super::query::Is;
use super::row::{Key, Row};
use super::schema::{Op, Prepared, PreparedWrite, Schema, TableId};
use super::table::Role;
use super::value::{Kind, MAX_INT, Value};
use crate::id::v7_millis;
use crate::time::Timestamp;
use view::{Member, Shared};

pub use loaded::Loaded;
pub use needs::{KeysOf, Lock, Locks, Needs, ValuesOf};

/// What the evaluator asks of a backend: the committed state.
pub trait Source {
    /// The row with this key.
    fn row(&self, table: TableId, key: &Key) -> Result<Option<Arc<Row>>, StoreError>;

    /// Whether there is a row with this key.
    fn exists(&self, table: TableId, key: &Key) -> Result<bool, StoreError> {
        Ok(self.row(table, key)?.is_some())
    }

    /// The key of the row that holds these values, none of them null, in a unique order of the table.
    fn owner(&self, table: TableId, order: usize, values: &[Value]) -> Result<Option<Key>, StoreError> {
        let mut owner = None;
        self.children(table, order, values, &mut |key| {
            owner = Some(key);
            Ok(false)
        })?;
        Ok(owner)
    }

    /// The keys of the rows whose entries in an order begin with `values`, until `visit` says that it has seen
    /// enough by answering false.
    fn children(
        &self,
        table: TableId,
        order: usize,
        values: &[Value],
        visit: &mut dyn FnMut(Key) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError>;

    /// What is stored under a batch id.
    fn stored(&self, id: Uuid) -> Result<Option<Stored>, StoreError>;
}

/// A number of batches that are committed together, each judged on its own.
pub struct Group<'a, S: Source + ?Sized> {
    schema: &'a Schema,
    source: &'a S,
    at: Timestamp,
    head: Option<u64>,
    shared: Shared,
    receipts: FxHashMap<Uuid, Stored>,
    /// Whether records are made.
    recording: bool,
    records: Vec<Record>,
    accepted: Vec<Receipt>,
}

/// What a group did, for the backend to write.
#[derive(Debug)]
#[non_exhaustive]
pub struct Effects {
    /// The rows that changed, in table and key order; one entry a row.
    pub rows: Vec<RowEffect>,
    /// The records for the feed, in order.
    pub records: Vec<Record>,
    /// The receipts of the batches that were committed now, in order.
    pub receipts: Vec<Receipt>,
}

/// What a group did to one row.
#[derive(Debug)]
#[non_exhaustive]
pub struct RowEffect {
    /// The table.
    pub table: TableId,
    /// The row.
    pub key: Key,
    /// What is committed.
    pub before: Option<Arc<Row>>,
    /// What is to be written; none to delete.
    pub after: Option<Arc<Row>>,
}

impl RowEffect {
    /// What is done to one row.
    pub fn new(table: TableId, key: Key, before: Option<Arc<Row>>, after: Option<Arc<Row>>) -> Self {
        Self { table, key, before, after }
    }
}

impl<S: Source + ?Sized> std::fmt::Debug for Group<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("accepted", &self.accepted.len()).finish_non_exhaustive()
    }
}

impl<'a, S: Source + ?Sized> Group<'a, S> {
    /// A group that commits at `at`, the larger of the clock's time and the last commit's. `head` is the position
    /// of the last record, where the backend gives positions at the commit.
    pub fn new(schema: &'a Schema, source: &'a S, at: Timestamp, head: Option<u64>) -> Self {
        Self {
            schema,
            source,
            at,
            head,
            shared: Shared::default(),
            receipts: FxHashMap::default(),
            recording: true,
            records: Vec::new(),
            accepted: Vec::new(),
        }
    }

    /// Makes no records: for a backend that only wants to know what would become of the rows, and judges again before
    /// it commits. No receipt has a position then.
    pub fn without_records(mut self) -> Self {
        self.recording = false;
        self
    }

    /// Judges one batch. Where it is refused or cannot be judged the group is as before.
    pub fn judge(&mut self, batch: &Prepared) -> Result<Receipt, StoreError> {
        if let Some(earlier) = self.repetition(batch)? {
            return Ok(earlier);
        }
        let mut member = Member::default();
        for (at, write) in batch.writes.iter().enumerate() {
            self.apply(&mut member, write)?.map_err(|cause| Refusal {
                write: at,
                table: self.schema.table(write.table).table.name,
                key: write.key.clone(),
                cause,
            })?;
        }
        let changes = if self.recording { self.changes(&member) } else { Vec::new() };
        let position = if changes.is_empty() { None } else { self.next_position() };
        let receipt = Receipt {
            batch: batch.id,
            fingerprint: batch.fingerprint,
            at: self.at,
            position,
            repeated: false,
        };
        if !changes.is_empty() {
            self.records.push(Record {
                position: position.unwrap_or(0),
                batch: batch.id,
                at: self.at,
                actor: batch.actor,
                operation: batch.operation.to_string(),
                fingerprint: batch.fingerprint,
                changes,
            });
        }
        self.receipts.insert(batch.id, Stored::Committed(receipt));
        self.accepted.push(receipt);
        self.shared.absorb(member);
        Ok(receipt)
    }

    /// What the accepted batches did.
    pub fn finish(self) -> Effects {
        Effects { rows: self.shared.into_effects(), records: self.records, receipts: self.accepted }
    }

    fn next_position(&self) -> Option<u64> {
        let count = u64::try_from(self.records.len()).ok()?;
        self.head.map(|head| head + count + 1)
    }

    fn repetition(&self, batch: &Prepared) -> Result<Option<Receipt>, StoreError> {
        let unusable = |why| Err(StoreError::UnusableId { id: batch.id, why });
        let stored = match self.receipts.get(&batch.id) {
            Some(stored) => Some(*stored),
            None => self.source.stored(batch.id)?,
        };
        match stored {
            Some(Stored::Committed(receipt)) if receipt.fingerprint == batch.fingerprint => {
                Ok(Some(Receipt { repeated: true, ..receipt }))
            }
            Some(Stored::Committed(_)) => unusable(IdProblem::Reused),
            Some(Stored::Void(_)) => unusable(IdProblem::Voided),
            None if is_too_old(batch.id, self.at) => unusable(IdProblem::TooOld),
            None => Ok(None),
        }
    }

    /// Stages one write, or says what refuses it.
    fn apply(&mut self, member: &mut Member, write: &PreparedWrite) -> Result<Result<(), Cause>, StoreError> {
        let (table, key) = (write.table, &write.key);
        let before = self.current(member, table, key)?;
        let after = match (&write.op, before) {
            (Op::Insert(_), Some(_)) => {
                return Ok(Err(Cause::Duplicate {
                    unique: self.schema.table(table).table.name,
                    owner: key.clone(),
                }));
            }
            (Op::Insert(row) | Op::Ensure(row), None) => {
                return self.put(member, write, None, Arc::clone(row), true);
            }
            (_, None) => return Ok(Err(Cause::Missing)),
            (Op::Update(revision, _) | Op::Delete(revision) | Op::Guard(revision), Some(row))
                if row.revision != *revision =>
            {
                return Ok(Err(Cause::Conflict { expected: *revision, found: row.revision }));
            }
            (Op::Ensure(_) | Op::Guard(_), Some(_)) => return Ok(Ok(())),
            (Op::Delete(_), Some(row)) => return self.remove(member, write, &row),
            (Op::Update(_, set), Some(row)) => {
                let mut after = Row::clone(&row);
                for (at, value) in set {
                    replace(&mut after, *at, value.clone());
                }
                after.revision += 1;
                Ok((row, after, false))
            }
            (Op::Adjust(column, delta, mode), Some(row)) => {
                let mut after = Row::clone(&row);
                add(&mut after, *column, *delta).map(|()| (row, after, mode.judges()))
            }
            (Op::Patch(tests, set), Some(row)) => {
                let mut after = Row::clone(&row);
                patch(&mut after, tests, set).map(|()| (row, after, true))
            }
        };
        match after {
            Err(cause) => Ok(Err(cause)),
            Ok((before, mut after, admit)) => {
                after.version += 1;
                self.put(member, write, Some(before), Arc::new(after), admit)
            }
        }
    }

    /// Stages a row, where keys, references and rules allow it.
    fn put(
        &mut self,
        member: &mut Member,
        write: &PreparedWrite,
        before: Option<Arc<Row>>,
        after: Arc<Row>,
        admit: bool,
    ) -> Result<Result<(), Cause>, StoreError> {
        if let Some(cause) = self.duplicate(member, write, before.as_deref(), &after)? {
            return Ok(Err(cause));
        }
        if let Some(cause) = self.no_parent(member, write, before.as_deref(), &after)? {
            return Ok(Err(cause));
        }
        if let Some(cause) = rules::broken(self.schema.table(write.table), before.as_deref(), &after, admit) {
            return Ok(Err(cause));
        }
        member.stage(self.schema, write, before, Some(after));
        Ok(Ok(()))
    }

    fn remove(
        &mut self,
        member: &mut Member,
        write: &PreparedWrite,
        row: &Arc<Row>,
    ) -> Result<Result<(), Cause>, StoreError> {
        if let Some(cause) = self.still_referenced(member, write)? {
            return Ok(Err(cause));
        }
        member.stage(self.schema, write, Some(Arc::clone(row)), None);
        Ok(Ok(()))
    }

    fn changes(&self, member: &Member) -> Vec<RowChange> {
        let mut changes = Vec::new();
        for (table, key, before, after) in member.touched() {
            let table = self.schema.table(table).table;
            if table.quiet {
                continue;
            }
            let named = |row: &Row, differs_from: Option<&Row>| {
                let columns = table.columns.iter().zip(&row.values).enumerate();
                let shown = columns.filter(|(at, (column, value))| {
                    column.role != Role::Secret
                        && differs_from.and_then(|other| other.values.get(*at)) != Some(value)
                });
                shown.map(|(_, (column, value))| (column.name, value.clone())).collect()
            };
            let (verb, row, columns) = match (before, after) {
                (None, Some(after)) => (Verb::Insert, after, named(after, None)),
                (Some(before), Some(after)) if before.version != after.version => {
                    (Verb::Update, after, named(after, Some(before)))
                }
                (Some(before), None) => (Verb::Delete, before, Vec::new()),
                _ => continue,
            };
            let version = if verb == Verb::Delete { row.version + 1 } else { row.version };
            changes.push(RowChange {
                table: table.name,
                key: key.clone(),
                verb,
                revision: row.revision,
                version,
                columns,
            });
        }
        changes
    }
}

/// Whether a batch id is older than receipts are kept.
pub fn is_too_old(id: Uuid, now: Timestamp) -> bool {
    let oldest = now.minus(RECEIPT_RETENTION).as_micros() / 1000;
    v7_millis(id).is_none_or(|millis| millis < oldest)
}

/// The largest id that is too old at `now`: what receipts may be pruned up to.
pub fn oldest_kept_id(now: Timestamp) -> Uuid {
    let oldest = now.minus(RECEIPT_RETENTION + Duration::from_millis(1)).as_micros() / 1000;
    let millis = u64::try_from(oldest).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0xff; 10]).into_uuid()
}

fn replace(row: &mut Row, at: usize, value: Value) {
    if let Some(place) = row.values.get_mut(at) {
        *place = value;
    }
}

fn add(row: &mut Row, at: usize, delta: i64) -> Result<(), Cause> {
    let column = row.table.0.columns.get(at).map_or("", |column| column.name);
    let Some(Value::Int(counter)) = row.values.get_mut(at) else {
        return Err(Cause::Overflow { column });
    };
    let sum = counter.checked_add(delta).filter(|sum| sum.unsigned_abs() <= MAX_INT.unsigned_abs());
    *counter = sum.ok_or(Cause::Overflow { column })?;
    Ok(())
}

fn patch(row: &mut Row, tests: &[(usize, Is)], set: &[(usize, Change)]) -> Result<(), Cause> {
    for (at, is) in tests {
        if !row.values.get(*at).is_some_and(|value| is.holds(value)) {
            let column = row.table.0.columns.get(*at).map_or("", |column| column.name);
            return Err(Cause::TestFailed { column });
        }
    }
    for (at, change) in set {
        match change {
            Change::Add(delta) => add(row, *at, *delta)?,
            Change::Set(value) => replace(row, *at, value.clone()),
            // Null sorts first: any value is larger.
            Change::Max(value) if row.values.get(*at).is_some_and(|found| found < value) => {
                replace(row, *at, value.clone());
            }
            Change::Max(_) => {}
        }
    }
    Ok(())
}

/// Whether a column of this kind can be compared for "raised".
pub(super) fn int_of(value: Option<&Value>, kind: Kind) -> Option<i64> {
    match (value, kind) {
        (Some(Value::Int(value)), Kind::Int) => Some(*value),
        (Some(Value::Time(value)), Kind::Time) => Some(value.as_micros()),
        _ => None,
    }
}
