//! Chapter "Batches": what does not fit the declarations.

use uuid::Uuid;

use super::tables::{BEATS, CRATES, RACKS, SEATS, THINGS};
use super::world::{World, test, thing};
use crate::store::{
    Batch, Change, Is, Json, Key, MAX_INT, MAX_WRITES, NewRow, StoreError, StoreExt, Table, Value, Write,
};
use crate::store::{Column, Cursor};
use crate::time::Timestamp;

static STRANGERS: Table = Table::new("strangers", &[Column::uuid("id")], &["id"]);

pub(super) async fn a_malformed_batch_is_invalid_and_names_the_field(world: World) {
    for (write, field) in malformed_rows(world.id()).into_iter().chain(malformed_changes(world.id())) {
        let writes = vec![Write::Ensure(thing(world.id(), "fine")), write];
        assert_eq!(world.invalid(writes).await, format!("writes[1].{field}"));
    }
    a_batch_has_a_size_an_id_and_an_operation(&world).await;
    // Nothing of any of them happened, and one between others disturbs nobody.
    assert_eq!(world.all(&THINGS).await, []);
    assert_eq!(world.store.changes(Cursor::START, 10).await.unwrap().records, []);
    let (first, last) = (world.id(), world.id());
    let group = vec![
        world.batch(vec![Write::Insert(thing(first, "first"))]),
        world.batch(Vec::new()),
        world.batch(vec![Write::Insert(thing(last, "last"))]),
    ];
    let answers = world.store.commit_many(group).await;
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(matches!(answers[1], Err(StoreError::Invalid { .. })), "{:?}", answers[1]);
    assert_eq!(world.all(&THINGS).await.len(), 2);
    a_key_occurs_once(&world).await;
}

fn malformed_rows(id: Uuid) -> Vec<(Write, &'static str)> {
    let row = || thing(id, "row");
    let long = "é".repeat(129);
    let document = Json::parse(&format!("\"{}\"", "x".repeat(4095))).unwrap();
    let rows = vec![
        (NewRow::new(&STRANGERS).set("id", id), "strangers"),
        (row().set("colour", "red"), "things.colour"),
        (row().set("name", "twice"), "things.name"),
        (NewRow::new(&THINGS).set("id", id), "things.name"),
        (NewRow::new(&THINGS).set("name", "keyless"), "things.id"),
        (NewRow::new(&THINGS).set("id", id).set("name", Value::Null), "things.name"),
        (NewRow::new(&THINGS).set("id", "text").set("name", "n"), "things.id"),
        (row().set("grade", Value::Null), "things.grade"),
        (row().set("uses", Value::Null), "things.uses"),
        (row().set("flag", 1_i64), "things.flag"),
        (row().set("number", "1"), "things.number"),
        (row().set("number", Timestamp::EPOCH), "things.number"),
        (row().set("moment", 0_i64), "things.moment"),
        (row().set("other", "text"), "things.other"),
        (row().set("note", id), "things.note"),
        (row().set("document", "{}"), "things.document"),
        (row().set("number", MAX_INT + 1), "things.number"),
        (row().set("number", -MAX_INT - 1), "things.number"),
        (row().set("number", i64::MIN), "things.number"),
        (row().set("note", long), "things.note"),
        (row().set("note", "a\0b"), "things.note"),
        (row().set("secret", "\0"), "things.secret"),
        (row().set("document", document), "things.document"),
        (NewRow::new(&RACKS).set("hall", "h"), "racks.number"),
    ];
    rows.into_iter().map(|(row, field)| (Write::Insert(row), field)).collect()
}

fn malformed_changes(id: Uuid) -> Vec<(Write, &'static str)> {
    let update = |column, value: Value| Write::update(&THINGS, id, 1, vec![(column, value)]);
    let patch = |column, change| Write::patch(&THINGS, id, Vec::new(), vec![(column, change)]);
    let tested = |tests| Write::patch(&THINGS, id, tests, vec![("uses", Change::Add(1))]);
    vec![
        (update("colour", "red".into()), "things.colour"),
        (update("name", Value::Null), "things.name"),
        (update("name", 1_i64.into()), "things.name"),
        (update("number", (MAX_INT + 1).into()), "things.number"),
        (update("id", id.into()), "things.id"),
        (update("uses", 1_i64.into()), "things.uses"),
        (update("origin", "x".into()), "things.origin"),
        (Write::update(&THINGS, id, 1, vec![("note", "a".into()), ("note", "b".into())]), "things.note"),
        (Write::admit(&THINGS, id, "colour", 1), "things.colour"),
        (Write::admit(&THINGS, id, "number", 1), "things.number"),
        (Write::record(&THINGS, id, "phase", 1), "things.phase"),
        (Write::record(&THINGS, id, "uses", MAX_INT + 1), "things.uses"),
        (Write::record(&THINGS, id, "uses", i64::MIN), "things.uses"),
        (patch("number", Change::Add(1)), "things.number"),
        (patch("seen", Change::Add(1)), "things.seen"),
        (patch("seen", Change::Set("late".into())), "things.seen"),
        (patch("seen", Change::Max(Value::Null)), "things.seen"),
        (patch("uses", Change::Set(Value::Null)), "things.uses"),
        (patch("uses", Change::Add(i64::MAX)), "things.uses"),
        (tested(vec![test("colour", Is::Null)]), "things.colour"),
        (tested(vec![test("name", Is::Eq(1_i64.into()))]), "things.name"),
        (tested(vec![test("name", Is::In(vec!["x".into(); 101]))]), "things.name"),
        (Write::guard(&THINGS, "text", 1), "things.id"),
        (Write::guard(&THINGS, (id, id), 1), "things"),
        (Write::guard(&RACKS, "hall", 1), "racks"),
        (Write::delete(&THINGS, Key::new([Value::Null]), 1), "things.id"),
        (Write::guard(&STRANGERS, id, 1), "strangers"),
    ]
}

async fn a_key_occurs_once(world: &World) {
    let id = world.id();
    let update = || Write::update(&THINGS, id, 1, Vec::new());
    let add = || Write::record(&THINGS, id, "uses", 1);
    for writes in [
        vec![Write::Insert(thing(id, "a")), Write::Insert(thing(id, "b"))],
        vec![Write::delete(&THINGS, id, 1), Write::Insert(thing(id, "b"))],
        vec![Write::guard(&THINGS, id, 1), update()],
        vec![add(), update()],
        vec![add(), Write::guard(&THINGS, id, 1)],
    ] {
        let field = world.invalid(writes).await;
        assert!(field.starts_with("writes[1]"), "{field}");
    }
    // Keys of two tables are two keys.
    let rows = vec![
        Write::Insert(NewRow::new(&SEATS).set("id", id)),
        Write::Insert(NewRow::new(&CRATES).set("id", id)),
    ];
    world.ok(rows).await;
    world.ok(vec![Write::delete(&SEATS, id, 1), Write::delete(&CRATES, id, 1)]).await;
}

async fn a_batch_has_a_size_an_id_and_an_operation(world: &World) {
    let beat = world.id();
    world.ok(vec![Write::Insert(NewRow::new(&BEATS).set("id", beat))]).await;
    let adds = |count: usize| -> Vec<Write> {
        (0..count).map(|_| Write::record(&BEATS, beat, "count", 1)).collect()
    };
    assert_eq!(world.invalid(Vec::new()).await, "writes");
    assert_eq!(world.invalid(adds(MAX_WRITES + 1)).await, "writes");
    world.ok(adds(MAX_WRITES)).await;
    let count = world.row(&BEATS, beat).await.int("count").unwrap();
    assert_eq!(usize::try_from(count), Ok(MAX_WRITES));
    let fourth = uuid::Builder::from_random_bytes([7; 16]).into_uuid();
    for id in [Uuid::nil(), Uuid::max(), fourth] {
        let batch = Batch::new(id, "test").with(Write::record(&BEATS, beat, "count", 1));
        let error = world.store.commit(batch).await.unwrap_err();
        assert!(matches!(&error, StoreError::Invalid { field, .. } if field == "id"), "{error:?}");
    }
    for operation in ["", "a\0", &"x".repeat(65)] {
        let batch = Batch::new(world.id(), operation.to_owned());
        let error = world.store.commit(batch.with(Write::record(&BEATS, beat, "count", 1))).await;
        let error = error.unwrap_err();
        assert!(matches!(&error, StoreError::Invalid { field, .. } if field == "operation"), "{error:?}");
    }
    assert_eq!(world.row(&BEATS, beat).await.int("count").unwrap(), count);
}
