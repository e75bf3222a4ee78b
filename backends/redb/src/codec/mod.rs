//! The bytes of what is stored, made of the kernel's own encoding of values and records.

mod declared;
mod receipt;
mod row;
#[cfg(test)]
mod tests;

pub(crate) use apportion::store::codec::{
    Malformed, Reader, VERSION, decode_record, encode_record, put_i64, put_len, put_text, put_u64, put_value,
};

pub(crate) use declared::{DeclaredColumn, DeclaredTable};
pub(crate) use receipt::{decode_stored, encode_stored};
pub(crate) use row::{decode_key, decode_row, encode_row};
