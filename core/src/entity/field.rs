//! How a field of an entity is kept in a column: [`Field`], and the macro [`entity!`] that maps a whole struct.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::id::Id;
use crate::ports::{Family, PortRanges, Protocol};
use crate::store::{Fingerprint, Json, Row, StoreError, Value};
use crate::time::Timestamp;

/// What one column can hold.
///
/// `from_value` gives `None` for whatever `to_value` never makes, null included; only an `Option` reads null.
pub(crate) trait Field: Sized {
    fn from_value(value: &Value) -> Option<Self>;
    fn to_value(&self) -> Value;
}

/// Reads a field; what it cannot hold is `Corrupt` and names table, row and column.
pub(crate) fn read<F: Field>(row: &Row, column: &'static str) -> Result<F, StoreError> {
    row.decode(column, F::from_value)
}

impl<F: Field> Field for Option<F> {
    fn from_value(value: &Value) -> Option<Self> {
        if value.is_null() { Some(None) } else { F::from_value(value).map(Some) }
    }
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Field::to_value)
    }
}

impl<T> Field for Id<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Uuid(id) => Some(Self::new(*id)),
            _ => None,
        }
    }
    fn to_value(&self) -> Value {
        (*self).into()
    }
}

impl Field for uuid::Uuid {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Uuid(id) => Some(*id),
            _ => None,
        }
    }
    fn to_value(&self) -> Value {
        (*self).into()
    }
}

impl Field for Timestamp {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Time(time) => Some(*time),
            _ => None,
        }
    }
    fn to_value(&self) -> Value {
        (*self).into()
    }
}

impl Field for bool {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }
    fn to_value(&self) -> Value {
        (*self).into()
    }
}

impl Field for String {
    fn from_value(value: &Value) -> Option<Self> {
        text(value).map(str::to_owned)
    }
    fn to_value(&self) -> Value {
        self.as_str().into()
    }
}

/// A type kept as an integer that may lie outside its range.
macro_rules! integers {
    ($($name:ty),*) => {$(
        impl Field for $name {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Int(number) => Self::try_from(*number).ok(),
                    _ => None,
                }
            }
            fn to_value(&self) -> Value {
                Value::Int((*self).into())
            }
        }
    )*};
}
integers!(i64, u32, u16, CpuMilli, MemoryMib, StorageMib, GpuMilli);

impl Field for u64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Int(number) => Self::try_from(*number).ok(),
            _ => None,
        }
    }
    fn to_value(&self) -> Value {
        // What is too large for an integer is too large for a column too, and refused there.
        Value::Int(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

/// A type kept as its text.
macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl Field for $name {
            fn from_value(value: &Value) -> Option<Self> {
                text(value)?.parse().ok()
            }
            fn to_value(&self) -> Value {
                self.to_string().into()
            }
        }
    )*};
}
as_text!(Ipv4Addr, Ipv6Addr, IpAddr, Family, Protocol);

pub(crate) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// A list of texts is a JSON array.
impl Field for Vec<String> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Json(json) => serde_json::from_str(json.as_str()).ok(),
            _ => None,
        }
    }
    fn to_value(&self) -> Value {
        // A text with a NUL has no canonical form. Null would mean something else; of the wrong kind, it is refused.
        Json::new(&self.as_slice().into()).map_or_else(Value::from, Value::Json)
    }
}

impl Field for PortRanges {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Json(json) => Self::from_json(json).ok(),
            _ => None,
        }
    }
    fn to_value(&self) -> Value {
        self.to_json().into()
    }
}

/// How port ranges are serialized: as the document in their column.
pub(crate) mod port_ranges_json {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::ports::PortRanges;
    use crate::store::Json;

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(crate) fn serialize<S: Serializer>(ranges: &Option<PortRanges>, to: S) -> Result<S::Ok, S::Error> {
        ranges.as_ref().map(|ranges| ranges.to_json().to_value()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PortRanges>, D::Error> {
        let Some(document) = Option::<serde_json::Value>::deserialize(from)? else {
            return Ok(None);
        };
        let json = Json::new(&document).map_err(D::Error::custom)?;
        PortRanges::from_json(&json).map(Some).map_err(D::Error::custom)
    }
}

/// A document of no fixed shape.
impl Field for Json {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Json(json) => Some(json.clone()),
            _ => None,
        }
    }
    fn to_value(&self) -> Value {
        self.clone().into()
    }
}

/// How a document of no fixed shape is serialized: as itself.
pub(crate) mod json_document {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::store::Json;

    pub(crate) fn serialize<S: Serializer>(json: &Json, to: S) -> Result<S::Ok, S::Error> {
        json.to_value().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Json, D::Error> {
        Json::new(&serde_json::Value::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// A struct that is kept as a JSON document, as it is serialized.
macro_rules! document {
    ($name:ty) => {
        impl $crate::entity::field::Field for $name {
            fn from_value(value: &$crate::store::Value) -> Option<Self> {
                match value {
                    $crate::store::Value::Json(json) => serde_json::from_str(json.as_str()).ok(),
                    _ => None,
                }
            }
            fn to_value(&self) -> $crate::store::Value {
                // What has no canonical form is of the wrong kind as a text, and so refused.
                let json = serde_json::to_value(self)
                    .map_err(|error| error.to_string())
                    .and_then(|document| $crate::store::Json::new(&document));
                json.map_or_else(Into::into, Into::into)
            }
        }
    };
}
pub(crate) use document;

/// 32 hexadecimal digits.
impl Field for Fingerprint {
    fn from_value(value: &Value) -> Option<Self> {
        let text = text(value)?;
        if text.len() != 32 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|bits| Self(bits.to_be_bytes()))
    }
    fn to_value(&self) -> Value {
        format!("{:032x}", u128::from_be_bytes(self.0)).into()
    }
}

/// How a fingerprint is serialized: as in its column.
pub(crate) mod fingerprint_hex {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::{Field, text};
    use crate::store::{Fingerprint, Value};

    pub(crate) fn serialize<S: Serializer>(fingerprint: &Fingerprint, to: S) -> Result<S::Ok, S::Error> {
        text(&fingerprint.to_value()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Fingerprint, D::Error> {
        let hex = Value::from(String::deserialize(from)?);
        Fingerprint::from_value(&hex)
            .ok_or_else(|| D::Error::custom("a fingerprint has 32 hexadecimal digits"))
    }
}

/// Maps an entity: every field goes to the column of its name.
///
/// `fixed` are the key and the immutable columns, `plain` those that an update may change, `counters` those that
/// only operations change.
macro_rules! entity {
    ($name:ident, $kind:literal, $table:ident {
        fixed: $($fixed:ident),+;
        $(plain: $($plain:ident),+;)?
        $(counters: $($counter:ident),+;)?
    }) => {
        impl $crate::entity::Entity for $name {
            const KIND: &'static str = $kind;
            const TABLE: &'static $crate::store::Table = &$table;

            fn from_row(row: &$crate::store::Row) -> std::result::Result<Self, $crate::store::StoreError> {
                Ok(Self {
                    $($fixed: $crate::entity::field::read(row, stringify!($fixed))?,)+
                    $($($plain: $crate::entity::field::read(row, stringify!($plain))?,)+)?
                    $($($counter: $crate::entity::field::read(row, stringify!($counter))?,)+)?
                })
            }

            fn to_row(&self) -> $crate::store::NewRow {
                use $crate::entity::field::Field;
                $crate::store::NewRow::new(&$table)
                    $(.set(stringify!($fixed), Field::to_value(&self.$fixed)))+
                    $($(.set(stringify!($plain), Field::to_value(&self.$plain)))+)?
                    $($(.set(stringify!($counter), Field::to_value(&self.$counter)))+)?
            }

            fn plain(&self) -> Vec<(&'static str, $crate::store::Value)> {
                vec![$($((stringify!($plain), $crate::entity::field::Field::to_value(&self.$plain)),)+)?]
            }
        }
    };
}
pub(crate) use entity;

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;
    use crate::store::MAX_INT;

    fn kept<F: Field + PartialEq + Debug>(field: &F) {
        assert_eq!(F::from_value(&field.to_value()).as_ref(), Some(field));
    }

    proptest! {
        #[test]
        fn every_field_is_read_as_it_was_written(
            number in 0..=MAX_INT, small: u32, port: u16, v4: Ipv4Addr, v6: Ipv6Addr, bits: [u8; 16],
            texts in prop::collection::vec("[^\\x00]{0,20}", 0..5),
        ) {
            kept(&number);
            kept(&-number);
            kept(&small);
            kept(&port);
            kept(&CpuMilli::new(number).unwrap());
            kept(&v4);
            kept(&v6);
            kept(&IpAddr::V4(v4));
            kept(&IpAddr::V6(v6));
            kept(&Fingerprint(bits));
            kept(&texts);
            kept(&Some(texts));
            kept(&None::<Vec<String>>);
        }
    }

    #[test]
    fn what_no_field_writes_is_not_read() {
        assert_eq!(u32::from_value(&Value::Int(-1)), None);
        assert_eq!(u16::from_value(&Value::Int(65_536)), None);
        assert_eq!(GpuMilli::from_value(&Value::Int(-1)), None);
        assert_eq!(Ipv4Addr::from_value(&"10.0.0.256".into()), None);
        assert_eq!(Fingerprint::from_value(&"+0000000000000000000000000000000".into()), None);
        assert_eq!(Fingerprint::from_value(&"ABCDEF00000000000000000000000000".into()), None);
        assert_eq!(Vec::<String>::from_value(&Json::parse("[1]").unwrap().into()), None);
        assert_eq!(PortRanges::from_value(&Json::parse("[1]").unwrap().into()), None);
        assert_eq!(bool::from_value(&Value::Null), None);
    }

    #[test]
    fn a_list_with_a_nul_is_never_kept_as_null() {
        let value = vec!["a\0".to_owned()].to_value();
        assert!(value.check(crate::store::Kind::Json { max_bytes: 100 }).is_err(), "{value:?}");
        assert!(!value.is_null());
    }
}
