//! An encoding of values whose bytes sort as the values do: what keys and index entries are made of.
//!
//! Each value is a tag byte (0 null, 1 not null) and, for what is not null, its content: a boolean as one byte;
//! an integer, or a time in microseconds, as eight bytes big-endian with the sign bit flipped; a UUID as its 16
//! bytes; a text as its UTF-8 bytes and a closing zero, which texts cannot contain. JSON is not ordered and
//! cannot be part of a key.

use std::sync::Arc;

use uuid::Uuid;

use super::value::{Kind, Value};
use crate::time::Timestamp;

const NULL: u8 = 0;
const PRESENT: u8 = 1;
const SIGN: u64 = 1 << 63;

/// Appends the encoding of `value`.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    if value.is_null() {
        out.push(NULL);
        return;
    }
    out.push(PRESENT);
    match value {
        Value::Null => {}
        Value::Bool(value) => out.push(u8::from(*value)),
        Value::Int(value) => out.extend((value.cast_unsigned() ^ SIGN).to_be_bytes()),
        Value::Time(value) => out.extend((value.as_micros().cast_unsigned() ^ SIGN).to_be_bytes()),
        Value::Uuid(value) => out.extend(value.as_bytes()),
        Value::Text(value) => {
            out.extend(value.as_bytes());
            out.push(0);
        }
        Value::Json(value) => {
            out.extend(value.as_str().as_bytes());
            out.push(0);
        }
    }
}

/// The encoding of several values, one after the other.
pub fn encode_all<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    for value in values {
        encode(value, &mut out);
    }
    out
}

/// Takes one value of `kind` off the front of `bytes`; `None` where they are no such encoding.
pub fn decode(kind: Kind, bytes: &mut &[u8]) -> Option<Value> {
    let [tag] = take::<1>(bytes)?;
    match (tag, kind) {
        (NULL, _) => Some(Value::Null),
        (PRESENT, Kind::Bool) => match take::<1>(bytes)? {
            [0] => Some(Value::Bool(false)),
            [1] => Some(Value::Bool(true)),
            _ => None,
        },
        (PRESENT, Kind::Int) => Some(Value::Int((u64::from_be_bytes(take(bytes)?) ^ SIGN).cast_signed())),
        (PRESENT, Kind::Time) => {
            let micros = (u64::from_be_bytes(take(bytes)?) ^ SIGN).cast_signed();
            let time = Timestamp::from_micros(micros);
            (time.as_micros() == micros).then_some(Value::Time(time))
        }
        (PRESENT, Kind::Uuid) => Some(Value::Uuid(Uuid::from_bytes(take(bytes)?))),
        (PRESENT, Kind::Text { .. }) => {
            let end = bytes.iter().position(|byte| *byte == 0)?;
            let (text, rest) = bytes.split_at_checked(end)?;
            *bytes = rest.get(1..)?;
            Some(Value::Text(Arc::from(std::str::from_utf8(text).ok()?)))
        }
        _ => None,
    }
}

/// The first encoding after all that begin with `prefix`; `None` where there is none.
pub fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut next = prefix.to_vec();
    while let Some(last) = next.pop() {
        if let Some(raised) = last.checked_add(1) {
            next.push(raised);
            return Some(next);
        }
    }
    None
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = (Kind, Vec<Value>)> {
        let text = Kind::Text { max_bytes: 64 };
        prop_oneof![
            (Just(Kind::Bool), prop::collection::vec(any::<bool>().prop_map(Value::Bool), 2)),
            (Just(Kind::Int), prop::collection::vec(any::<i64>().prop_map(Value::Int), 2)),
            (
                Just(Kind::Uuid),
                prop::collection::vec(any::<u128>().prop_map(|id| Value::Uuid(Uuid::from_u128(id))), 2)
            ),
            (
                Just(Kind::Time),
                prop::collection::vec(any::<i64>().prop_map(|at| Value::Time(Timestamp::from_micros(at))), 2)
            ),
            (Just(text), prop::collection::vec("[^\0]{0,6}".prop_map(|text: String| Value::from(text)), 2)),
        ]
    }

    proptest! {
        #[test]
        fn bytes_sort_as_the_values_do_and_read_back((kind, mut pair) in values(), null in any::<bool>()) {
            if null {
                pair[0] = Value::Null;
            }
            let bytes: Vec<_> = pair.iter().map(|value| encode_all([value])).collect();
            prop_assert_eq!(bytes[0].cmp(&bytes[1]), pair[0].cmp(&pair[1]));
            for (value, bytes) in pair.iter().zip(&bytes) {
                let mut rest = bytes.as_slice();
                let decoded = decode(kind, &mut rest);
                prop_assert_eq!(decoded.as_ref(), Some(value));
                prop_assert!(rest.is_empty());
            }
        }

        #[test]
        fn decoding_any_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            for kind in [Kind::Bool, Kind::Int, Kind::Uuid, Kind::Time, Kind::Text { max_bytes: 9 }, Kind::Json { max_bytes: 9 }] {
                let _ = decode(kind, &mut bytes.as_slice());
            }
        }
    }

    #[test]
    fn the_bytes_of_a_key_are_fixed() {
        let key = [
            Value::Null,
            Value::Bool(true),
            Value::Int(-1),
            Value::from("aé"),
            Value::Time(Timestamp::EPOCH),
        ];
        let golden = [
            0, 1, 1, 1, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, b'a', 0xc3, 0xa9, 0, 1, 0x80, 0,
            0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(encode_all(&key), golden);
    }

    #[test]
    fn a_successor_lies_behind_everything_with_the_prefix() {
        assert_eq!(successor(&[1, 0xff]), Some(vec![2]));
        assert_eq!(successor(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(successor(&[0xff, 0xff]), None);
    }
}
