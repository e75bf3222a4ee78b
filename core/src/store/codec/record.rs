//! A record of the feed: version byte, batch, time, actor, operation, fingerprint, and the changed rows.
//!
//! A change names its table, and its columns by their position, which never changes.

use super::{Malformed, Reader, VERSION, put_i64, put_len, put_text, put_u64, put_value};
use crate::store::batch::Fingerprint;
use crate::store::error::StoreError;
use crate::store::log::{Record, RowChange, Verb};
use crate::store::row::Key;
use crate::store::schema::Schema;

const INSERT: u8 = 1;
const UPDATE: u8 = 2;
const DELETE: u8 = 3;

/// The bytes of a record.
pub fn encode_record(schema: &Schema, record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(96 + 160 * record.changes.len());
    out.push(VERSION);
    out.extend_from_slice(record.batch.as_bytes());
    put_i64(&mut out, record.at.as_micros());
    match record.actor {
        None => out.push(0),
        Some(actor) => {
            out.push(1);
            out.extend_from_slice(actor.as_bytes());
        }
    }
    put_text(&mut out, &record.operation);
    out.extend_from_slice(&record.fingerprint.0);
    put_changes(schema, &mut out, &record.changes);
    out
}

/// The bytes of what a record changed, for a backend that keeps the rest of it in columns.
pub fn encode_changes(schema: &Schema, changes: &[RowChange]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + 160 * changes.len());
    out.push(VERSION);
    put_changes(schema, &mut out, changes);
    out
}

fn put_changes(schema: &Schema, out: &mut Vec<u8>, changes: &[RowChange]) {
    put_len(out, changes.len());
    for change in changes {
        put_change(schema, out, change);
    }
}

fn put_change(schema: &Schema, out: &mut Vec<u8>, change: &RowChange) {
    put_text(out, change.table);
    out.push(match change.verb {
        Verb::Insert => INSERT,
        Verb::Update => UPDATE,
        Verb::Delete => DELETE,
    });
    put_i64(out, change.revision);
    put_i64(out, change.version);
    put_len(out, change.key.values().len());
    for value in change.key.values() {
        put_value(out, value);
    }
    put_len(out, change.columns.len());
    let info = schema.find(change.table);
    for (name, value) in &change.columns {
        let at = info.and_then(|info| info.column(name));
        put_u64(out, at.and_then(|at| u64::try_from(at).ok()).unwrap_or(u64::MAX));
        put_value(out, value);
    }
}

/// The record at `position`.
pub fn decode_record(schema: &Schema, position: u64, bytes: &[u8]) -> Result<Record, StoreError> {
    parse(schema, position, bytes).map_err(|reason| unreadable(position, reason))
}

/// What the record at `position` changed.
pub fn decode_changes(schema: &Schema, position: u64, bytes: &[u8]) -> Result<Vec<RowChange>, StoreError> {
    let parse = || {
        let mut reader = Reader::versioned(bytes)?;
        let changes = changes(schema, &mut reader)?;
        reader.end().map(|()| changes)
    };
    parse().map_err(|reason| unreadable(position, reason))
}

fn unreadable(position: u64, reason: Malformed) -> StoreError {
    StoreError::corrupt("the log", None, "", format!("record {position}: {reason}"))
}

fn changes(schema: &Schema, reader: &mut Reader<'_>) -> Result<Vec<RowChange>, Malformed> {
    let count = reader.count()?;
    let mut changes = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        changes.push(change(schema, reader)?);
    }
    Ok(changes)
}

fn parse(schema: &Schema, position: u64, bytes: &[u8]) -> Result<Record, Malformed> {
    let mut reader = Reader::versioned(bytes)?;
    let mut record = Record {
        position,
        batch: reader.uuid()?,
        at: reader.time()?,
        actor: None,
        operation: String::new(),
        fingerprint: Fingerprint([0; 16]),
        changes: Vec::new(),
    };
    if reader.flag()? {
        record.actor = Some(reader.uuid()?);
    }
    reader.text()?.clone_into(&mut record.operation);
    record.fingerprint = Fingerprint(reader.array()?);
    record.changes = changes(schema, &mut reader)?;
    reader.end()?;
    Ok(record)
}

fn change(schema: &Schema, reader: &mut Reader<'_>) -> Result<RowChange, Malformed> {
    let info = schema.find(reader.text()?).ok_or("a table that is not declared")?;
    let verb = match reader.byte()? {
        INSERT => Verb::Insert,
        UPDATE => Verb::Update,
        DELETE => Verb::Delete,
        _ => return Err("an unknown verb"),
    };
    let (revision, version) = (reader.i64()?, reader.i64()?);
    if reader.count()? != info.key.len() {
        return Err("a key of another length");
    }
    let mut key = Vec::with_capacity(info.key.len());
    for at in &info.key {
        let column = info.table.columns.get(*at).ok_or("a column that is not declared")?;
        key.push(reader.value_of(column.kind)?);
    }
    let count = reader.count()?;
    let mut columns = Vec::with_capacity(count.min(info.table.columns.len()));
    for _ in 0..count {
        let at = usize::try_from(reader.u64()?).unwrap_or(usize::MAX);
        let column = info.table.columns.get(at).ok_or("a column that is not declared")?;
        columns.push((column.name, reader.value_of(column.kind)?));
    }
    Ok(RowChange { table: info.table.name, key: Key::new(key), verb, revision, version, columns })
}
