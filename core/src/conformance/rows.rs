//! Chapter "Rows".

use super::tables::{RACKS, THINGS};
use super::world::{START, World, thing, values};
use crate::store::{Cause, Json, Key, MAX_INT, NewRow, Scan, Value, Write};
use crate::time::Timestamp;

pub(super) async fn insert_then_get_gives_the_row(world: World) {
    let texts = [
        "",
        " ",
        "Ünïcödé 漢字 🦀",
        "e\u{301} is not \u{e9}",
        "'; drop table things; --",
        "%_\\",
        "\u{1}\t\r\n\u{7f}",
        "\u{10ffff}",
        &"é".repeat(128),
    ];
    let times = [
        Timestamp::MIN,
        Timestamp::MAX,
        Timestamp::EPOCH,
        Timestamp::from_micros(-1),
        Timestamp::from_micros(START.as_micros() + 123_456),
    ];
    let ints = [0, 1, -1, MAX_INT, -MAX_INT, 1 << 31, 1 << 32];
    let documents = [
        "null",
        "[]",
        "\"\"",
        "{\"b\": [1, 2.5, -0.25, 1e300], \"a\": {\"é\": null, \"\": true}}",
        "9007199254740992",
    ];
    for at in 0..9 {
        let document = Json::parse(documents[at % documents.len()]).unwrap();
        let given: [(&str, Value); 8] = [
            ("name", Value::from(&*texts[at].chars().take(16).collect::<String>())),
            ("flag", Value::from(at % 2 == 0)),
            ("number", Value::from(ints[at % ints.len()])),
            ("other", Value::from(world.id())),
            ("moment", Value::from(times[at % times.len()])),
            ("note", Value::from(texts[at])),
            ("document", Value::from(document)),
            ("secret", Value::from(texts[(at + 1) % texts.len()].get(..4).unwrap_or("key"))),
        ];
        let id = world.id();
        let mut row = NewRow::new(&THINGS).set("id", id);
        for (column, value) in &given {
            row = row.set(column, value.clone());
        }
        world.ok(vec![Write::Insert(row)]).await;
        let found = world.row(&THINGS, id).await;
        for (column, value) in &given {
            assert_eq!(found.get(column), Some(value), "{column}");
        }
        assert_eq!((found.revision(), found.version()), (1, 1));
        assert_eq!(found.key(), Key::from(id));
    }
    composite_keys_tell_rows_apart(&world).await;
}

async fn composite_keys_tell_rows_apart(world: &World) {
    let racks = [("a", 11_i64), ("a1", 1), ("a", -1), ("", 0)];
    for (hall, number) in racks {
        let label = format!("{hall}/{number}");
        let row = NewRow::new(&RACKS).set("hall", hall).set("number", number).set("label", label);
        world.ok(vec![Write::Insert(row)]).await;
    }
    for (hall, number) in racks {
        let row = world.row(&RACKS, (hall, number)).await;
        assert_eq!(row.text("label").unwrap(), format!("{hall}/{number}"));
    }
    assert_eq!(world.find(&RACKS, ("a", 1_i64)).await, None);
    assert_eq!(world.find(&THINGS, world.id()).await, None);
}

pub(super) async fn insert_never_overwrites(world: World) {
    let id = world.thing("first").await;
    let refusal = world.refused(vec![Write::Insert(thing(id, "second"))]).await;
    let duplicate = Cause::Duplicate { unique: "things", owner: Key::from(id) };
    assert_eq!((refusal.write, refusal.table, refusal.key), (0, "things", Key::from(id)));
    assert_eq!(refusal.cause, duplicate);
    let row = world.row(&THINGS, id).await;
    assert_eq!((row.text("name").unwrap(), row.version()), ("first", 1));
    // The same content is no excuse either.
    assert_eq!(world.cause(vec![Write::Insert(thing(id, "first"))]).await, duplicate);
    assert_eq!(world.all(&THINGS).await, [row]);
}

pub(super) async fn ensure_leaves_the_row_that_is_there(world: World) {
    let id = world.id();
    world.ok(vec![Write::Ensure(thing(id, "first"))]).await;
    let row = world.row(&THINGS, id).await;
    assert_eq!((row.text("name").unwrap(), row.revision(), row.version()), ("first", 1, 1));
    let records = world.feed().await.len();
    let other = world.id();
    world
        .ok(vec![
            Write::Ensure(thing(id, "second").set("number", 2_i64)),
            Write::Ensure(thing(other, "other")),
        ])
        .await;
    assert_eq!(world.row(&THINGS, id).await, row);
    assert_eq!(world.row(&THINGS, other).await.text("name").unwrap(), "other");
    let feed = world.feed().await;
    assert_eq!(feed.len(), records + 1);
    let keys: Vec<_> = feed[records].changes.iter().map(|change| change.key.clone()).collect();
    assert_eq!(keys, [Key::from(other)], "an ensure that changes nothing is not in the feed");
}

pub(super) async fn left_out_columns_take_their_defaults(world: World) {
    let id = world.thing("bare").await;
    let row = world.row(&THINGS, id).await;
    let defaults = [
        ("flag", Value::Null),
        ("number", Value::Null),
        ("document", Value::Null),
        ("secret", Value::Null),
        ("origin", Value::from("here")),
        ("grade", Value::from(7_i64)),
        ("open", Value::from(true)),
        ("hint", Value::Null),
        ("uses", Value::from(0_i64)),
        ("score", Value::Null),
        ("seen", Value::Null),
    ];
    for (column, value) in &defaults {
        assert_eq!(row.get(column), Some(value), "{column}");
    }
    let given = world.id();
    let row = thing(given, "given").set("grade", 8_i64).set("open", false).set("origin", "there");
    world.ok(vec![Write::Ensure(row)]).await;
    assert_eq!(
        values(&world.row(&THINGS, given).await, &["grade", "open", "origin", "uses"]),
        [Value::from(8_i64), Value::from(false), Value::from("there"), Value::from(0_i64)]
    );
    let nameless = NewRow::new(&THINGS).set("id", world.id());
    assert_eq!(world.invalid(vec![Write::Insert(nameless)]).await, "writes[0].things.name");
}

pub(super) async fn update_changes_only_the_named_columns(world: World) {
    let id = world.id();
    let row = thing(id, "before")
        .set("number", 5_i64)
        .set("note", "kept")
        .set("secret", "kept too")
        .set("flag", true);
    world.ok(vec![Write::Insert(row), Write::record(&THINGS, id, "uses", 3)]).await;
    let before = world.row(&THINGS, id).await;
    assert_eq!((before.revision(), before.version()), (1, 2));
    let set = vec![("name", Value::from("after")), ("number", Value::Null)];
    world.ok(vec![Write::update(&THINGS, id, 1, set)]).await;
    let after = world.row(&THINGS, id).await;
    assert_eq!((after.revision(), after.version()), (2, 3));
    for column in THINGS.columns {
        let expected = match column.name {
            "name" => Some(Value::from("after")),
            "number" => Some(Value::Null),
            same => before.get(same).cloned(),
        };
        assert_eq!(after.get(column.name), expected.as_ref(), "{}", column.name);
    }
    // An update to what is there already is an update, and a secret is changed by one.
    let set = vec![("name", Value::from("after")), ("secret", Value::from("new"))];
    world.ok(vec![Write::update(&THINGS, id, 2, set)]).await;
    let again = world.row(&THINGS, id).await;
    assert_eq!((again.revision(), again.version(), again.text("secret").unwrap()), (3, 4, "new"));
    let counter = vec![("uses", Value::from(0_i64))];
    assert_eq!(world.invalid(vec![Write::update(&THINGS, id, 3, counter)]).await, "writes[0].things.uses");
    let immutable = vec![("origin", Value::from("x"))];
    assert_eq!(
        world.invalid(vec![Write::update(&THINGS, id, 3, immutable)]).await,
        "writes[0].things.origin"
    );
}

pub(super) async fn delete_removes_the_row(world: World) {
    let (id, other) = (world.thing("first").await, world.thing("other").await);
    world.ok(vec![Write::update(&THINGS, id, 1, vec![("number", Value::from(9_i64))])]).await;
    world.ok(vec![Write::delete(&THINGS, id, 2)]).await;
    assert_eq!(world.find(&THINGS, id).await, None);
    let by_number = Scan::of(&THINGS).by("things_by_number").with(9_i64);
    assert_eq!(world.rows(by_number).await, []);
    assert_eq!(world.all(&THINGS).await.len(), 1);
    assert!(world.find(&THINGS, other).await.is_some());
    world.ok(vec![Write::Insert(thing(id, "second"))]).await;
    let row = world.row(&THINGS, id).await;
    assert_eq!((row.text("name").unwrap(), row.revision(), row.version()), ("second", 1, 1));
    assert_eq!(row.get("number"), Some(&Value::Null));
    // Deleted and inserted in two batches of one group.
    let group = vec![
        world.batch(vec![Write::delete(&THINGS, id, 1)]),
        world.batch(vec![Write::Insert(thing(id, "third"))]),
    ];
    for answer in world.store.commit_many(group).await {
        answer.unwrap();
    }
    let row = world.row(&THINGS, id).await;
    assert_eq!((row.text("name").unwrap(), row.revision(), row.version()), ("third", 1, 1));
}
