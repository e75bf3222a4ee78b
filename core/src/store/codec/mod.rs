//! A compact encoding of values and records, for backends that keep bytes. Every encoding begins with a version
//! byte, so that it can change.
//!
//! Numbers are varints of seven bits a byte, least significant first; signed ones are folded so that small
//! magnitudes stay short (0, -1, 1, -2 …). Decoding any bytes gives a value or [`Malformed`], and never panics.

mod record;

use std::sync::Arc;

use uuid::Uuid;

use super::value::{Json, Kind, MAX_INT, Value};
use crate::time::Timestamp;

pub use record::{decode_changes, decode_record, encode_changes, encode_record};

/// The version byte of everything written by this build.
pub const VERSION: u8 = 1;

/// What is wrong with some bytes.
pub type Malformed = &'static str;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const UUID: u8 = 4;
const TIME: u8 = 5;
const TEXT: u8 = 6;
const JSON: u8 = 7;

/// Appends a number.
pub fn put_u64(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    out.push(low_bits(number));
}

fn low_bits(number: u64) -> u8 {
    let [low, ..] = number.to_le_bytes();
    low & 0x7f
}

/// Appends a signed number.
pub fn put_i64(out: &mut Vec<u8>, number: i64) {
    put_u64(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Appends a length.
pub fn put_len(out: &mut Vec<u8>, len: usize) {
    // A length in memory fits 64 bits on every platform.
    put_u64(out, u64::try_from(len).unwrap_or(u64::MAX));
}

/// Appends a text with its length.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Appends a value with its type.
pub fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Int(number) => {
            out.push(INT);
            put_i64(out, *number);
        }
        Value::Uuid(id) => {
            out.push(UUID);
            out.extend_from_slice(id.as_bytes());
        }
        Value::Time(at) => {
            out.push(TIME);
            put_i64(out, at.as_micros());
        }
        Value::Text(text) => {
            out.push(TEXT);
            put_text(out, text);
        }
        Value::Json(json) => {
            out.push(JSON);
            put_text(out, json.as_str());
        }
    }
}

/// Takes things off the front of some bytes.
#[derive(Debug)]
pub struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// Reads bytes that begin with this build's version byte.
    pub fn versioned(bytes: &'b [u8]) -> Result<Self, Malformed> {
        let mut reader = Self(bytes);
        match reader.byte()? {
            VERSION => Ok(reader),
            _ => Err("an unknown version of the encoding"),
        }
    }

    /// Says no where bytes are left.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err("bytes behind the end") }
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// So many bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or("it ends too early")?;
        self.0 = rest;
        Ok(*head)
    }

    /// A number.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number beyond 64 bits")
    }

    /// A signed number.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        let folded = self.u64()?;
        Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    /// A count of things that take at least one byte each.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        let count = usize::try_from(self.u64()?).map_err(|_| "a count that is too large")?;
        if count > self.0.len() {
            return Err("a count that is too large");
        }
        Ok(count)
    }

    /// A text.
    pub fn text(&mut self) -> Result<&'b str, Malformed> {
        let len = self.count()?;
        let (text, rest) = self.0.split_at_checked(len).ok_or("it ends too early")?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| "text that is not UTF-8")
    }

    /// A UUID.
    pub fn uuid(&mut self) -> Result<Uuid, Malformed> {
        self.array().map(Uuid::from_bytes)
    }

    /// A moment.
    pub fn time(&mut self) -> Result<Timestamp, Malformed> {
        let micros = self.i64()?;
        let at = Timestamp::from_micros(micros);
        if at.as_micros() == micros { Ok(at) } else { Err("a time out of range") }
    }

    /// Yes or no.
    pub fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("neither yes nor no"),
        }
    }

    /// A value of any type.
    pub fn value(&mut self) -> Result<Value, Malformed> {
        match self.byte()? {
            NULL => Ok(Value::Null),
            FALSE => Ok(Value::Bool(false)),
            TRUE => Ok(Value::Bool(true)),
            INT => match self.i64()? {
                number if number.unsigned_abs() <= MAX_INT.unsigned_abs() => Ok(Value::Int(number)),
                _ => Err("an integer beyond ±2^53"),
            },
            UUID => self.uuid().map(Value::Uuid),
            TIME => self.time().map(Value::Time),
            TEXT => self.text().map(|text| Value::Text(Arc::from(text))),
            JSON => {
                let text = self.text()?;
                let json = Json::parse(text).map_err(|_| "text that is not JSON")?;
                if json.as_str() == text {
                    Ok(Value::Json(json))
                } else {
                    Err("JSON that is not in canonical form")
                }
            }
            _ => Err("an unknown type of value"),
        }
    }

    /// A value that a column of `kind` can hold, or null.
    pub fn value_of(&mut self, kind: Kind) -> Result<Value, Malformed> {
        let value = self.value()?;
        if fits(&value, kind) { Ok(value) } else { Err("a value of another type") }
    }
}

fn fits(value: &Value, kind: Kind) -> bool {
    matches!(
        (value, kind),
        (Value::Null, _)
            | (Value::Bool(_), Kind::Bool)
            | (Value::Int(_), Kind::Int)
            | (Value::Uuid(_), Kind::Uuid)
            | (Value::Time(_), Kind::Time)
            | (Value::Text(_), Kind::Text { .. })
            | (Value::Json(_), Kind::Json { .. })
    )
}
