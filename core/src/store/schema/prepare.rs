//! Batches, resolved and checked against the declarations: [`Prepared`].

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;
use uuid::Uuid;

use super::fingerprint::fingerprint;
use super::{Schema, TableId, TableInfo};
use crate::id::v7_millis;
use crate::store::batch::{Batch, Change, Fingerprint, MAX_WRITES, Mode, Write};
use crate::store::error::StoreError;
use crate::store::query::Is;
use crate::store::row::{Key, NewRow, Row, TableRef};
use crate::store::table::{Column, Role};
use crate::store::value::{Kind, MAX_INT, Value};

const MAX_OPERATION_BYTES: usize = 64;

/// A batch whose every name and value fits the declarations: what the evaluator judges.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Prepared {
    /// The batch's id, a UUIDv7.
    pub id: Uuid,
    /// On whose behalf.
    pub actor: Option<Uuid>,
    /// The operation.
    pub operation: Cow<'static, str>,
    /// The request.
    pub fingerprint: Fingerprint,
    /// How long the caller waits.
    pub deadline: Option<Duration>,
    /// The writes.
    pub writes: Vec<PreparedWrite>,
}

/// A write with its names resolved.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PreparedWrite {
    /// The table.
    pub table: TableId,
    /// The row.
    pub key: Key,
    /// What is done.
    pub op: Op,
}

/// What a write does. Columns are given by position.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Op {
    /// Inserts the row.
    Insert(Arc<Row>),
    /// Inserts the row where its key is free.
    Ensure(Arc<Row>),
    /// Changes columns of the row at this revision.
    Update(i64, Vec<(usize, Value)>),
    /// Deletes the row at this revision.
    Delete(i64),
    /// Requires the row at this revision.
    Guard(i64),
    /// Adds to a counter.
    Adjust(usize, i64, Mode),
    /// Changes counters where the tests hold.
    Patch(Vec<(usize, Is)>, Vec<(usize, Change)>),
}

impl Schema {
    /// Resolves a batch, or says what in it does not fit the declarations.
    pub fn prepare(&self, batch: Batch) -> Result<Prepared, StoreError> {
        if v7_millis(batch.id).is_none() {
            return Err(StoreError::invalid("id", "a batch id must be a UUIDv7"));
        }
        if batch.operation.is_empty() || batch.operation.len() > MAX_OPERATION_BYTES {
            return Err(StoreError::invalid(
                "operation",
                format!("must be 1 to {MAX_OPERATION_BYTES} bytes long"),
            ));
        }
        Value::from(&*batch.operation)
            .check(Kind::Text { max_bytes: MAX_OPERATION_BYTES })
            .map_err(|reason| StoreError::invalid("operation", reason))?;
        if batch.writes.is_empty() || batch.writes.len() > MAX_WRITES {
            return Err(StoreError::invalid(
                "writes",
                format!("must be 1 to {MAX_WRITES}, got {}", batch.writes.len()),
            ));
        }
        let fingerprint = batch.fingerprint.unwrap_or_else(|| fingerprint(&batch));
        let mut seen = FxHashSet::default();
        let mut writes = Vec::with_capacity(batch.writes.len());
        for (at, write) in batch.writes.into_iter().enumerate() {
            let adjust = matches!(write, Write::Adjust { .. });
            let write = self.resolve(at, write)?;
            if !adjust && !seen.insert((write.table, write.key.clone())) {
                let field = format!("writes[{at}].{}", self.table(write.table).table.name);
                return Err(StoreError::invalid(field, "the key occurs in an earlier write of the batch"));
            }
            writes.push(write);
        }
        // An adjust comes after whatever else the batch does with its row, or alone.
        check_adjusts_last(&writes)?;
        Ok(Prepared {
            id: batch.id,
            actor: batch.actor,
            operation: batch.operation,
            fingerprint,
            deadline: batch.deadline,
            writes,
        })
    }

    fn resolve(&self, at: usize, write: Write) -> Result<PreparedWrite, StoreError> {
        let name = write.table().name;
        let path = format!("writes[{at}].{name}");
        let info =
            self.find(name).ok_or_else(|| StoreError::invalid(&*path, "the store has no such table"))?;
        let table = info.id;
        let (key, op) = match write {
            Write::Insert(row) => info.new_row(row, &path).map(|(key, row)| (key, Op::Insert(row)))?,
            Write::Ensure(row) => info.new_row(row, &path).map(|(key, row)| (key, Op::Ensure(row)))?,
            Write::Update { key, revision, set, .. } => {
                (key, Op::Update(revision, info.updates(set, &path)?))
            }
            Write::Delete { key, revision, .. } => (key, Op::Delete(revision)),
            Write::Guard { key, revision, .. } => (key, Op::Guard(revision)),
            Write::Adjust { key, column, delta, mode, .. } => {
                let (position, declared) = info.writable(column, &[Role::Counter], &path)?;
                if declared.kind != Kind::Int || delta.unsigned_abs() > MAX_INT.unsigned_abs() {
                    return Err(StoreError::invalid(
                        format!("{path}.{column}"),
                        "an adjust needs an integer within ±2^53",
                    ));
                }
                (key, Op::Adjust(position, delta, mode))
            }
            Write::Patch { key, tests, set, .. } => {
                let tests = info.resolve_tests(&tests, &path)?;
                (key, Op::Patch(tests, info.patches(set, &path)?))
            }
        };
        info.check_key_values(&key, &path)?;
        Ok(PreparedWrite { table, key, op })
    }
}

fn check_adjusts_last(writes: &[PreparedWrite]) -> Result<(), StoreError> {
    let mut adjusted = FxHashSet::default();
    for (at, write) in writes.iter().enumerate() {
        let row = (write.table, &write.key);
        if matches!(write.op, Op::Adjust(..)) {
            adjusted.insert(row);
        } else if adjusted.contains(&row) {
            return Err(StoreError::invalid(
                format!("writes[{at}]"),
                "the key was adjusted by an earlier write of the batch",
            ));
        }
    }
    Ok(())
}

impl TableInfo {
    pub(super) fn check_key_values(&self, key: &Key, path: &str) -> Result<(), StoreError> {
        if key.values().len() != self.key.len() {
            return Err(StoreError::invalid(
                path,
                format!("the key has {} columns, got {}", self.key.len(), key.values().len()),
            ));
        }
        for (value, at) in key.values().iter().zip(&self.key) {
            if let Some(column) = self.table.columns.get(*at) {
                check_value(value, column, path)?;
            }
        }
        Ok(())
    }

    fn new_row(&self, row: NewRow, path: &str) -> Result<(Key, Arc<Row>), StoreError> {
        let mut given: Vec<Option<Value>> = vec![None; self.table.columns.len()];
        for (name, value) in row.values {
            let place = self.column(name).and_then(|at| given.get_mut(at));
            let place = place.ok_or_else(|| {
                StoreError::invalid(format!("{path}.{name}"), "the table has no such column")
            })?;
            if place.replace(value).is_some() {
                return Err(StoreError::invalid(format!("{path}.{name}"), "the column is given twice"));
            }
        }
        let mut values = Vec::with_capacity(given.len());
        for (value, column) in given.into_iter().zip(self.table.columns) {
            let missing = || StoreError::invalid(format!("{path}.{}", column.name), "a value is required");
            let value = value.or_else(|| column.fallback()).ok_or_else(missing)?;
            check_value(&value, column, path)?;
            values.push(value);
        }
        let key = self.row_key(&values);
        Ok((key, Arc::new(Row { table: TableRef(self.table), values, revision: 1, version: 1 })))
    }

    fn writable(&self, name: &str, roles: &[Role], path: &str) -> Result<(usize, &Column), StoreError> {
        let field = || format!("{path}.{name}");
        let at =
            self.column(name).ok_or_else(|| StoreError::invalid(field(), "the table has no such column"))?;
        let column = self
            .table
            .columns
            .get(at)
            .ok_or_else(|| StoreError::invalid(field(), "the table has no such column"))?;
        if self.key.contains(&at) || !roles.contains(&column.role) {
            return Err(StoreError::invalid(field(), "this kind of write cannot change the column"));
        }
        Ok((at, column))
    }

    fn updates(
        &self,
        set: Vec<(&'static str, Value)>,
        path: &str,
    ) -> Result<Vec<(usize, Value)>, StoreError> {
        let mut out = Vec::with_capacity(set.len());
        for (name, value) in set {
            let (at, column) = self.writable(name, &[Role::Plain, Role::Secret], path)?;
            check_value(&value, column, path)?;
            push_once(&mut out, at, value, path, name)?;
        }
        Ok(out)
    }

    fn patches(
        &self,
        set: Vec<(&'static str, Change)>,
        path: &str,
    ) -> Result<Vec<(usize, Change)>, StoreError> {
        let mut out = Vec::with_capacity(set.len());
        for (name, change) in set {
            let (at, column) = self.writable(name, &[Role::Counter], path)?;
            let field = || format!("{path}.{name}");
            match &change {
                Change::Add(delta)
                    if column.kind != Kind::Int || delta.unsigned_abs() > MAX_INT.unsigned_abs() =>
                {
                    return Err(StoreError::invalid(field(), "an addition needs an integer within ±2^53"));
                }
                Change::Max(Value::Null) => {
                    return Err(StoreError::invalid(field(), "a maximum cannot be null"));
                }
                Change::Add(_) => {}
                Change::Set(value) | Change::Max(value) => check_value(value, column, path)?,
            }
            push_once(&mut out, at, change, path, name)?;
        }
        Ok(out)
    }
}

fn push_once<T>(
    out: &mut Vec<(usize, T)>,
    at: usize,
    item: T,
    path: &str,
    name: &str,
) -> Result<(), StoreError> {
    if out.iter().any(|(taken, _)| *taken == at) {
        return Err(StoreError::invalid(format!("{path}.{name}"), "the column is given twice"));
    }
    out.push((at, item));
    Ok(())
}

fn check_value(value: &Value, column: &Column, path: &str) -> Result<(), StoreError> {
    let field = || format!("{path}.{}", column.name);
    if value.is_null() && !column.nullable {
        return Err(StoreError::invalid(field(), "the column cannot be null"));
    }
    value.check(column.kind).map_err(|reason| StoreError::invalid(field(), reason))
}
