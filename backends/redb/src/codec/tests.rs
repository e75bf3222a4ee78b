use apportion::store::{
    Column, Fingerprint, Fixed, Json, Key, Kind, MAX_INT, Receipt, Record, Reference, Row, RowChange, Schema,
    StoreError, Stored, Table, Unique, Value, Verb,
};
use apportion::time::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

static THINGS: Table = Table::new(
    "things",
    &[
        Column::uuid("id"),
        Column::bool("live"),
        Column::int("size").counter(),
        Column::time("made_at").nullable(),
        Column::text("name", 64).nullable(),
        Column::json("more", 256).nullable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("things_name", &["name"])]);

static GROWN: Table = Table::new(
    "things",
    &[
        Column::uuid("id"),
        Column::bool("live"),
        Column::int("size").counter(),
        Column::time("made_at").nullable(),
        Column::text("name", 64).nullable(),
        Column::json("more", 256).nullable(),
        Column::text("state", 16).default(Fixed::Text("now")),
    ],
    &["id"],
);

static PARTS: Table = Table::new("parts", &[Column::uuid("id"), Column::uuid("thing_id")], &["id"])
    .references(&[Reference::new("parts_thing", &["thing_id"], "things")]);

fn schema(tables: &[&'static Table]) -> Schema {
    Schema::new(tables).unwrap()
}

fn thing() -> Row {
    let values = vec![
        Value::Uuid(Uuid::from_u128(0x0102)),
        Value::Bool(true),
        Value::Int(-2),
        Value::Time(Timestamp::from_micros(64)),
        Value::from("aé"),
        Value::from(Json::parse("{\"a\":1}").unwrap()),
    ];
    Row::from_parts(&THINGS, values, 3, 300).unwrap()
}

const ID: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2];

/// The bytes of [`thing`], field by field.
fn golden_thing() -> Vec<u8> {
    let mut bytes = vec![1, 6, 0xd8, 4, 6, 4];
    bytes.extend(ID);
    bytes.extend([2, 3, 3, 5, 0x80, 1, 6, 3, b'a', 0xc3, 0xa9, 7, 7]);
    bytes.extend(b"{\"a\":1}");
    bytes
}

#[test]
fn the_bytes_of_a_row_are_fixed() {
    assert_eq!(encode_row(&thing()), golden_thing());
    let schema = schema(&[&THINGS]);
    let info = schema.find("things").unwrap();
    assert_eq!(decode_row(info, &[], &ID, &golden_thing()).unwrap(), thing());
}

#[test]
fn a_row_written_before_a_column_existed_holds_what_was_declared_when_it_came() {
    let schema = schema(&[&GROWN]);
    let info = schema.find("things").unwrap();
    let mut pads = vec![None; 7];
    pads[6] = Some(Value::from("then"));
    let row = decode_row(info, &pads, &ID, &golden_thing()).unwrap();
    assert_eq!(row.text("state").unwrap(), "then");
    let row = decode_row(info, &[], &ID, &golden_thing()).unwrap();
    assert_eq!(row.text("state").unwrap(), "now");
}

#[test]
fn a_row_that_is_not_as_declared_is_corrupt_and_names_the_column() {
    let schema = schema(&[&THINGS]);
    let info = schema.find("things").unwrap();
    let column = |bytes: &[u8]| match decode_row(info, &[], &keycode_id(), bytes) {
        Err(StoreError::Corrupt { table, key, column, .. }) => {
            assert_eq!((table.as_str(), key), ("things", Some(Key::from(Uuid::from_u128(0x0102)))));
            column
        }
        other => unreachable!("{other:?}"),
    };
    let golden = golden_thing();
    let changed = |at: usize, to: u8| {
        let mut bytes = golden.clone();
        bytes[at] = to;
        bytes
    };
    assert_eq!(column(&changed(0, 2)), "", "an unknown version");
    assert_eq!(column(&changed(4, 7)), "", "more columns than declared");
    assert_eq!(column(&changed(22, 0)), "live", "null where none may be");
    assert_eq!(column(&changed(23, 2)), "size", "a value of another type");
    assert_eq!(column(&changed(31, 0xff)), "name", "no UTF-8");
    assert_eq!(column(&golden[..golden.len() - 1]), "more", "cut off");
    assert_eq!(column(&[golden.as_slice(), &[0]].concat()), "", "bytes behind the end");
    assert_eq!(column(&[]), "");
}

fn keycode_id() -> Vec<u8> {
    [[1].as_slice(), &ID].concat()
}

fn record() -> Record {
    Record {
        position: 9,
        batch: Uuid::from_u128(0x0102),
        at: Timestamp::from_micros(1),
        actor: Some(Uuid::from_u128(0x0102)),
        operation: "op".into(),
        fingerprint: Fingerprint([7; 16]),
        changes: vec![
            RowChange {
                table: "things",
                key: Key::from(Uuid::from_u128(0x0102)),
                verb: Verb::Update,
                revision: 1,
                version: 2,
                columns: vec![("size", Value::Int(5)), ("name", Value::Null)],
            },
            RowChange {
                table: "parts",
                key: Key::from(Uuid::from_u128(0x0102)),
                verb: Verb::Delete,
                revision: 1,
                version: 2,
                columns: Vec::new(),
            },
        ],
    }
}

#[test]
fn the_bytes_of_a_record_are_fixed() {
    let schema = schema(&[&THINGS, &PARTS]);
    let mut golden = vec![1];
    golden.extend(ID);
    golden.extend([2, 1]);
    golden.extend(ID);
    golden.extend([2, b'o', b'p']);
    golden.extend([7; 16]);
    golden.extend([2, 6]);
    golden.extend(b"things");
    golden.extend([2, 2, 4, 1, 4]);
    golden.extend(ID);
    golden.extend([2, 2, 3, 10, 4, 0, 5]);
    golden.extend(b"parts");
    golden.extend([3, 2, 4, 1, 4]);
    golden.extend(ID);
    golden.push(0);
    assert_eq!(encode_record(&schema, &record()), golden);
    assert_eq!(decode_record(&schema, 9, &golden).unwrap(), record());
}

#[test]
fn the_bytes_of_a_receipt_are_fixed() {
    let id = Uuid::from_u128(1);
    let receipt = |position| {
        Stored::Committed(Receipt::new(id, Fingerprint([7; 16]), Timestamp::from_micros(-1), position))
    };
    let head = [[1, 1].as_slice(), &[7; 16], &[1]].concat();
    for (stored, golden) in [
        (receipt(Some(300)), [head.as_slice(), &[0xac, 2]].concat()),
        (receipt(None), [head.as_slice(), &[0]].concat()),
        (Stored::Void(Timestamp::from_micros(64)), vec![1, 2, 0x80, 1]),
    ] {
        assert_eq!(encode_stored(&stored), golden);
        assert_eq!(decode_stored(id, &golden), Ok(stored));
    }
}

#[test]
fn a_declaration_is_read_back_as_it_was_stored() {
    let schema = schema(&[&THINGS, &PARTS]);
    let parent = |at: usize| schema.tables()[at].table.name.to_owned();
    for name in ["things", "parts"] {
        let mut declared = DeclaredTable::of(schema.find(name).unwrap(), parent);
        declared.columns[1].pad = Some(Value::from("x"));
        let bytes = declared.encode();
        assert_eq!(DeclaredTable::decode(&bytes), Ok(declared));
        for end in 0..bytes.len() {
            assert!(DeclaredTable::decode(&bytes[..end]).is_err());
        }
    }
}

fn value(kind: Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::Int => (-MAX_INT..=MAX_INT).prop_map(Value::Int).boxed(),
        Kind::Uuid => any::<u128>().prop_map(|id| Value::Uuid(Uuid::from_u128(id))).boxed(),
        Kind::Time => any::<i64>().prop_map(|at| Value::Time(Timestamp::from_micros(at))).boxed(),
        Kind::Json { .. } => {
            "[a-z\"\\\\]{0,9}".prop_map(|text| Value::from(Json::new(&text.into()).unwrap())).boxed()
        }
        _ => "[^\0]{0,9}".prop_map(Value::from).boxed(),
    }
}

fn any_thing() -> impl Strategy<Value = Row> {
    let columns: Vec<_> = THINGS
        .columns
        .iter()
        .map(|column| {
            if column.nullable {
                prop_oneof![Just(Value::Null), value(column.kind)].boxed()
            } else {
                value(column.kind)
            }
        })
        .collect();
    (columns, any::<i64>(), any::<i64>())
        .prop_map(|(values, revision, version)| Row::from_parts(&THINGS, values, revision, version).unwrap())
}

proptest! {
    #[test]
    fn any_row_is_read_back_as_it_was_written(row in any_thing()) {
        let schema = schema(&[&THINGS]);
        let info = schema.find("things").unwrap();
        prop_assert_eq!(decode_row(info, &[], &[], &encode_row(&row)).unwrap(), row);
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        read_all(&bytes);
    }

    #[test]
    fn any_changed_byte_is_read_or_refused_and_never_panics(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let schema = schema(&[&THINGS, &PARTS]);
        for mut bytes in [golden_thing(), encode_record(&schema, &record())] {
            let at = at.index(bytes.len());
            bytes[at] = to;
            read_all(&bytes);
        }
    }
}

fn read_all(bytes: &[u8]) {
    let schema = schema(&[&THINGS, &PARTS]);
    let info = schema.find("things").unwrap();
    let _ = decode_row(info, &[], bytes, bytes);
    let _ = decode_record(&schema, 1, bytes);
    let _ = decode_stored(Uuid::nil(), bytes);
    let _ = DeclaredTable::decode(bytes);
    let _ = decode_key(info, bytes);
}
