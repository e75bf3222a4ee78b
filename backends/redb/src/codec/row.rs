//! A row: version byte, revision, version, the number of columns, and the columns in declared order.

use apportion::store::{Key, Row, StoreError, TableInfo, Value};

use super::{Malformed, Reader, VERSION, put_i64, put_len, put_value};

/// The bytes of a row.
pub(crate) fn encode_row(row: &Row) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + 20 * row.values().len());
    out.push(VERSION);
    put_i64(&mut out, row.revision());
    put_i64(&mut out, row.version());
    put_len(&mut out, row.values().len());
    for value in row.values() {
        put_value(&mut out, value);
    }
    out
}

/// The row in these bytes. Columns that it was written without take `pads`: what was declared for them when they
/// were added.
pub(crate) fn decode_row(
    info: &TableInfo,
    pads: &[Option<Value>],
    key: &[u8],
    bytes: &[u8],
) -> Result<Row, StoreError> {
    let corrupt = |column: &str, reason: Malformed| {
        StoreError::corrupt(info.table.name, info.decode_key(key), column, reason)
    };
    let whole = |reason| corrupt("", reason);
    let mut reader = Reader::versioned(bytes).map_err(whole)?;
    let revision = reader.i64().map_err(whole)?;
    let version = reader.i64().map_err(whole)?;
    let count = reader.count().map_err(whole)?;
    let columns = info.table.columns;
    if count > columns.len() {
        return Err(whole("more values than declared columns"));
    }
    let mut values = Vec::with_capacity(columns.len());
    for column in columns.iter().take(count) {
        let value = reader.value_of(column.kind);
        let value = value.map_err(|reason| corrupt(column.name, reason))?;
        if value.is_null() && !column.nullable {
            return Err(corrupt(column.name, "null where none may be"));
        }
        values.push(value);
    }
    reader.end().map_err(whole)?;
    for pad in pads.iter().skip(count) {
        let Some(pad) = pad else { break };
        values.push(pad.clone());
    }
    Row::from_parts(info.table, values, revision, version)
}

/// The primary key in these bytes.
pub(crate) fn decode_key(info: &TableInfo, bytes: &[u8]) -> Result<Key, StoreError> {
    info.decode_key(bytes).ok_or_else(|| StoreError::corrupt(info.table.name, None, "", "an unreadable key"))
}
