//! What a column holds: [`Value`], [`Kind`], canonical [`Json`].

use std::fmt::{self, Write as _};
use std::sync::Arc;

use uuid::Uuid;

use crate::time::Timestamp;

/// The largest integer that a column holds, in either direction: 2^53, exact in JSON and in every database.
pub const MAX_INT: i64 = 1 << 53;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// True or false.
    Bool,
    /// An integer within ±2^53.
    Int,
    /// A UUID.
    Uuid,
    /// A moment, to the microsecond.
    Time,
    /// Text without NUL, ordered by its UTF-8 bytes.
    Text {
        /// The longest text, in bytes of UTF-8.
        max_bytes: usize,
    },
    /// A canonical JSON document.
    Json {
        /// The longest document, in bytes of its canonical form.
        max_bytes: usize,
    },
}

/// One column's content. The order is: null, then by the kind's own order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Value {
    /// Nothing is known or nothing applies.
    #[default]
    Null,
    /// See [`Kind::Bool`].
    Bool(bool),
    /// See [`Kind::Int`].
    Int(i64),
    /// See [`Kind::Uuid`].
    Uuid(Uuid),
    /// See [`Kind::Time`].
    Time(Timestamp),
    /// See [`Kind::Text`].
    Text(Arc<str>),
    /// See [`Kind::Json`].
    Json(Json),
}

impl Value {
    /// Whether this is [`Value::Null`].
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Why a column of `kind` cannot hold this; `Ok` for null, whose place the column's declaration decides.
    pub(crate) fn check(&self, kind: Kind) -> Result<(), String> {
        match (self, kind) {
            (Self::Null, _)
            | (Self::Bool(_), Kind::Bool)
            | (Self::Uuid(_), Kind::Uuid)
            | (Self::Time(_), Kind::Time) => Ok(()),
            (Self::Int(n), Kind::Int) if n.unsigned_abs() <= MAX_INT.unsigned_abs() => Ok(()),
            (Self::Int(_), Kind::Int) => Err("an integer must lie within ±2^53".into()),
            (Self::Text(text), Kind::Text { max_bytes }) => check_text(text, max_bytes),
            (Self::Json(json), Kind::Json { max_bytes }) => check_text(json.as_str(), max_bytes),
            _ => Err(format!("expected {}, got {}", kind.name(), self.kind_name())),
        }
    }

    fn kind_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Uuid(_) => "a uuid",
            Self::Time(_) => "a time",
            Self::Text(_) => "text",
            Self::Json(_) => "json",
        }
    }
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bool => "a boolean",
            Self::Int => "an integer",
            Self::Uuid => "a uuid",
            Self::Time => "a time",
            Self::Text { .. } => "text",
            Self::Json { .. } => "json",
        }
    }
}

fn check_text(text: &str, max_bytes: usize) -> Result<(), String> {
    if text.len() > max_bytes {
        return Err(format!("{} bytes long, and at most {max_bytes} are allowed", text.len()));
    }
    match text.bytes().position(|byte| byte == 0) {
        Some(at) => Err(format!("a NUL character at byte {at}")),
        None => Ok(()),
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}
impl From<u16> for Value {
    fn from(value: u16) -> Self {
        Self::Int(value.into())
    }
}
impl From<Uuid> for Value {
    fn from(value: Uuid) -> Self {
        Self::Uuid(value)
    }
}
impl<T> From<crate::id::Id<T>> for Value {
    fn from(value: crate::id::Id<T>) -> Self {
        Self::Uuid(value.uuid())
    }
}
impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Time(value)
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}
impl From<Json> for Value {
    fn from(value: Json) -> Self {
        Self::Json(value)
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A JSON document in one canonical form: no spaces, the keys of every object in byte order.
///
/// Two documents with the same content are the same text, so they compare and hash alike on every backend.
/// Numbers are integers within ±2^53 or finite floating-point numbers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// The canonical form of a document. Fails where a number is an integer beyond ±2^53.
    pub fn new(document: &serde_json::Value) -> Result<Self, String> {
        let mut text = String::new();
        write_canonical(document, &mut text)?;
        Ok(Self(text.into()))
    }

    /// The document in a text that a database made of a canonical one.
    ///
    /// A database that keeps numbers as decimals writes `1e16` as an integer; it was a floating-point number, since
    /// no canonical document has an integer beyond ±2^53.
    pub fn from_stored(text: &str) -> Result<Self, String> {
        let mut document: serde_json::Value =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        restore_floats(&mut document);
        Self::new(&document)
    }

    /// The empty object.
    pub fn empty() -> Self {
        Self("{}".into())
    }

    /// Parses any JSON text and brings it into the canonical form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let document: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Self::new(&document)
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The document as a tree.
    pub fn to_value(&self) -> serde_json::Value {
        // What a canonical text was made from parses again.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn write_canonical(value: &serde_json::Value, out: &mut String) -> Result<(), String> {
    match value {
        serde_json::Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_canonical(item, out)?;
            }
            out.push(']');
        }
        serde_json::Value::Object(members) => {
            // The map may keep insertion order, by a feature that any crate of the application can turn on.
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| name.as_str());
            out.push('{');
            for (at, (name, member)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_canonical(&serde_json::Value::String(name.clone()), out)?;
                out.push(':');
                write_canonical(member, out)?;
            }
            out.push('}');
        }
        serde_json::Value::Number(number) => write_number(number, out)?,
        serde_json::Value::String(text) if text.contains('\0') => {
            return Err("a NUL character in a string".into());
        }
        // Writing to a string does not fail.
        plain => write!(out, "{plain}").map_err(|error| error.to_string())?,
    }
    Ok(())
}

fn restore_floats(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(items) => items.iter_mut().for_each(restore_floats),
        serde_json::Value::Object(members) => members.values_mut().for_each(restore_floats),
        serde_json::Value::Number(number) if magnitude(number) > Some(MAX_INT.unsigned_abs()) => {
            if let Some(float) = number.as_f64().and_then(serde_json::Number::from_f64) {
                *number = float;
            }
        }
        _ => {}
    }
}

/// How large an integer is; none where the number is no integer.
fn magnitude(number: &serde_json::Number) -> Option<u64> {
    number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64())
}

fn write_number(number: &serde_json::Number, out: &mut String) -> Result<(), String> {
    if magnitude(number) > Some(MAX_INT.unsigned_abs()) {
        return Err(format!("the integer {number} lies beyond ±2^53"));
    }
    // There is one zero: not every database keeps a negative one.
    if number.is_f64() && number.as_f64() == Some(0.0) {
        return write!(out, "0.0").map_err(|error| error.to_string());
    }
    write!(out, "{number}").map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_one_form_whatever_it_was_written_as() {
        let json = Json::parse(" { \"b\" : [1, 2.5], \"a\": {\"z\":null, \"y\":\"é\\n\"} } ").unwrap();
        assert_eq!(json.as_str(), "{\"a\":{\"y\":\"é\\n\",\"z\":null},\"b\":[1,2.5]}");
        assert_eq!(Json::parse(json.as_str()).unwrap(), json);
        assert!(Json::parse("9007199254740993").is_err());
        assert_eq!(Json::parse("[-0.0]").unwrap().as_str(), "[0.0]");
    }

    #[test]
    fn a_number_that_a_database_rewrote_is_what_it_was() {
        for (number, rewritten) in [
            ("1e16", "10000000000000000"),
            ("-1e300", &format!("-1{}", "0".repeat(300))),
            ("2e-7", "0.0000002"),
            ("9007199254740994.0", "9007199254740994.0"),
            ("9007199254740992", "9007199254740992"),
        ] {
            let json = Json::parse(number).unwrap();
            assert_eq!(Json::from_stored(rewritten).unwrap(), json, "{number}");
        }
    }

    #[test]
    fn a_value_says_why_a_column_cannot_hold_it() {
        let text = Kind::Text { max_bytes: 3 };
        for (value, kind, says) in [
            (Value::from("four"), text, Some("4 bytes long, and at most 3 are allowed")),
            (Value::from("a\0"), text, Some("a NUL character at byte 1")),
            (Value::from(MAX_INT + 1), Kind::Int, Some("an integer must lie within ±2^53")),
            (Value::from(true), Kind::Int, Some("expected an integer, got a boolean")),
            (Value::from(-MAX_INT), Kind::Int, None),
            (Value::Null, text, None),
        ] {
            assert_eq!(value.check(kind).err().as_deref(), says);
        }
    }

    #[test]
    fn nulls_come_first_and_text_compares_by_bytes() {
        let mut texts = [Value::from("b"), Value::from("é"), Value::from("B"), Value::Null, Value::from("")];
        texts.sort();
        assert_eq!(
            texts,
            [Value::Null, Value::from(""), Value::from("B"), Value::from("b"), Value::from("é")]
        );
    }
}
