//! Every decoder of this crate at once: [`decode`].

use apportion::store::Schema;
use uuid::Uuid;

use crate::codec::{
    DeclaredTable, decode_key, decode_record, decode_row, decode_stored, encode_record, encode_row,
    encode_stored,
};
use crate::layout::State;

/// Reads `bytes` as each thing that a file holds, and says how many of them it was. What could be read must be
/// read back the same after it is written again; the answer is `None` where it is not.
pub fn decode(schema: &Schema, bytes: &[u8]) -> Option<usize> {
    let mut read = 0;
    for info in schema.tables() {
        if let Ok(row) = decode_row(info, &[], &[], bytes) {
            read += 1;
            (decode_row(info, &[], &[], &encode_row(&row)).ok()? == row).then_some(())?;
        }
        if let Ok(key) = decode_key(info, bytes) {
            read += 1;
            (decode_key(info, &info.key_bytes(&key)).ok()? == key).then_some(())?;
        }
    }
    if let Ok(record) = decode_record(schema, 1, bytes) {
        read += 1;
        (decode_record(schema, 1, &encode_record(schema, &record)).ok()? == record).then_some(())?;
    }
    if let Ok(stored) = decode_stored(Uuid::nil(), bytes) {
        read += 1;
        (decode_stored(Uuid::nil(), &encode_stored(&stored)) == Ok(stored)).then_some(())?;
    }
    if let Ok(declared) = DeclaredTable::decode(bytes) {
        read += 1;
        (DeclaredTable::decode(&declared.encode()) == Ok(declared)).then_some(())?;
    }
    if let Some(state) = State::decode(bytes) {
        read += 1;
        (State::decode(&state.encode()) == Some(state)).then_some(())?;
    }
    Some(read)
}
