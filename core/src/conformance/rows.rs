//! Chapter "Rows".

use super::tables::{BEATS, RACKS, THINGS};
use super::world::{START, World, test, thing, values};
use crate::store::{Cause, Change, Is, Json, Key, MAX_INT, NewRow, Value, Write};
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
            (
                "name",
                Value::from(&*texts[at].chars().take(16).collect::<String>()),
            ),
            ("flag", Value::from(at % 2 == 0)),
            ("number", Value::from(ints[at % ints.len()])),
            ("other", Value::from(world.id())),
            ("moment", Value::from(times[at % times.len()])),
            ("note", Value::from(texts[at])),
            ("document", Value::from(document)),
            (
                "secret",
                Value::from(texts[(at + 1) % texts.len()].get(..4).unwrap_or("key")),
            ),
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
        let row = NewRow::new(&RACKS)
            .set("hall", hall)
            .set("number", number)
            .set("label", label);
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
    let duplicate = Cause::Duplicate {
        unique: "things",
        owner: Key::from(id),
    };
    assert_eq!(
        (refusal.write, refusal.table, refusal.key),
        (0, "things", Key::from(id))
    );
    assert_eq!(refusal.cause, duplicate);
    let row = world.row(&THINGS, id).await;
    assert_eq!((row.text("name").unwrap(), row.version()), ("first", 1));
    // The same content is no excuse either.
    assert_eq!(
        world.cause(vec![Write::Insert(thing(id, "first"))]).await,
        duplicate
    );
    assert_eq!(world.all(&THINGS).await, [row]);
}

pub(super) async fn ensure_leaves_the_row_that_is_there(world: World) {
    let id = world.id();
    world.ok(vec![Write::Ensure(thing(id, "first"))]).await;
    let row = world.row(&THINGS, id).await;
    assert_eq!(
        (row.text("name").unwrap(), row.revision(), row.version()),
        ("first", 1, 1)
    );
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
    let keys: Vec<_> = feed[records]
        .changes
        .iter()
        .map(|change| change.key.clone())
        .collect();
    assert_eq!(
        keys,
        [Key::from(other)],
        "an ensure that changes nothing is not in the feed"
    );
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
    let row = thing(given, "given")
        .set("grade", 8_i64)
        .set("open", false)
        .set("origin", "there");
    world.ok(vec![Write::Ensure(row)]).await;
    assert_eq!(
        values(
            &world.row(&THINGS, given).await,
            &["grade", "open", "origin", "uses"]
        ),
        [
            Value::from(8_i64),
            Value::from(false),
            Value::from("there"),
            Value::from(0_i64)
        ]
    );
    let nameless = NewRow::new(&THINGS).set("id", world.id());
    assert_eq!(
        world.invalid(vec![Write::Insert(nameless)]).await,
        "writes[0].things.name"
    );
}

pub(super) async fn update_changes_only_the_named_columns(world: World) {
    let id = world.id();
    let row = thing(id, "before")
        .set("number", 5_i64)
        .set("note", "kept")
        .set("secret", "kept too")
        .set("flag", true);
    world
        .ok(vec![Write::Insert(row), Write::record(&THINGS, id, "uses", 3)])
        .await;
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
    assert_eq!(
        (again.revision(), again.version(), again.text("secret").unwrap()),
        (3, 4, "new")
    );
    let counter = vec![("uses", Value::from(0_i64))];
    assert_eq!(
        world.invalid(vec![Write::update(&THINGS, id, 3, counter)]).await,
        "writes[0].things.uses"
    );
    let immutable = vec![("origin", Value::from("x"))];
    assert_eq!(
        world
            .invalid(vec![Write::update(&THINGS, id, 3, immutable)])
            .await,
        "writes[0].things.origin"
    );
}

pub(super) async fn update_leaves_counters_alone(world: World) {
    let id = world.thing("counted").await;
    let decided_on = world.row(&THINGS, id).await;
    let seen = Value::from(START);
    let set = vec![
        ("seen", Change::Set(seen.clone())),
        ("phase", Change::Set("warm".into())),
    ];
    world.ok(vec![Write::record(&THINGS, id, "uses", 5)]).await;
    world.ok(vec![Write::patch(&THINGS, id, Vec::new(), set)]).await;
    let rename = vec![("name", Value::from("renamed"))];
    world
        .ok(vec![Write::update(&THINGS, id, decided_on.revision(), rename)])
        .await;
    let row = world.row(&THINGS, id).await;
    assert_eq!(
        values(&row, &["name", "uses", "seen", "phase"]),
        [
            Value::from("renamed"),
            Value::from(5_i64),
            seen,
            Value::from("warm")
        ]
    );
    // Also in one batch, and in one group.
    let rename = vec![("name", Value::from("again"))];
    world
        .ok(vec![
            Write::update(&THINGS, id, 2, rename),
            Write::record(&THINGS, id, "uses", 2),
        ])
        .await;
    let group = vec![
        world.batch(vec![Write::record(&THINGS, id, "uses", 10)]),
        world.batch(vec![Write::update(
            &THINGS,
            id,
            3,
            vec![("name", Value::from("last"))],
        )]),
        world.batch(vec![Write::record(&THINGS, id, "uses", 100)]),
    ];
    for answer in world.store.commit_many(group).await {
        answer.unwrap();
    }
    let row = world.row(&THINGS, id).await;
    assert_eq!(
        values(&row, &["name", "uses"]),
        [Value::from("last"), Value::from(117_i64)]
    );
    assert_eq!((row.revision(), row.version()), (4, 9));
}

pub(super) async fn delete_removes_the_row(world: World) {
    let (id, other) = (world.thing("first").await, world.thing("other").await);
    world
        .ok(vec![Write::update(
            &THINGS,
            id,
            1,
            vec![("number", Value::from(9_i64))],
        )])
        .await;
    world.ok(vec![Write::delete(&THINGS, id, 2)]).await;
    assert_eq!(world.find(&THINGS, id).await, None);
    let by_number = crate::store::Scan::of(&THINGS).by("things_by_number").with(9_i64);
    assert_eq!(world.rows(by_number).await, []);
    assert_eq!(world.all(&THINGS).await.len(), 1);
    assert!(world.find(&THINGS, other).await.is_some());
    world.ok(vec![Write::Insert(thing(id, "second"))]).await;
    let row = world.row(&THINGS, id).await;
    assert_eq!(
        (row.text("name").unwrap(), row.revision(), row.version()),
        ("second", 1, 1)
    );
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
    assert_eq!(
        (row.text("name").unwrap(), row.revision(), row.version()),
        ("third", 1, 1)
    );
}

pub(super) async fn adjust_adds_without_a_revision(world: World) {
    let id = world.thing("counted").await;
    world.ok(vec![Write::admit(&THINGS, id, "uses", 4)]).await;
    let row = world.row(&THINGS, id).await;
    assert_eq!(
        (row.int("uses").unwrap(), row.revision(), row.version()),
        (4, 1, 2)
    );
    let several = vec![
        Write::record(&THINGS, id, "uses", 10),
        Write::admit(&THINGS, id, "uses", -3),
        Write::record(&THINGS, id, "uses", 10),
    ];
    world.ok(several).await;
    let row = world.row(&THINGS, id).await;
    assert_eq!(
        (row.int("uses").unwrap(), row.revision(), row.version()),
        (21, 1, 5)
    );
    // A row that is not counted is not touched, and one inserted in the batch can be.
    let fresh = world.id();
    world
        .ok(vec![
            Write::Insert(thing(fresh, "fresh")),
            Write::record(&THINGS, fresh, "uses", -7),
        ])
        .await;
    assert_eq!(world.row(&THINGS, fresh).await.int("uses").unwrap(), -7);
    assert_eq!(world.row(&THINGS, id).await, row);
    let group = (1..=20).map(|by| world.batch(vec![Write::record(&THINGS, id, "uses", by)]));
    for answer in world.store.commit_many(group.collect()).await {
        answer.unwrap();
    }
    let row = world.row(&THINGS, id).await;
    assert_eq!(
        (row.int("uses").unwrap(), row.revision(), row.version()),
        (231, 1, 25)
    );
    for wrong in ["name", "seen", "id"] {
        let field = world.invalid(vec![Write::record(&THINGS, id, wrong, 1)]).await;
        assert_eq!(field, format!("writes[0].things.{wrong}"));
    }
}

pub(super) async fn patch_changes_counters_where_all_tests_hold(world: World) {
    let id = world.thing("patched").await;
    let (early, late) = (
        Value::from(START),
        Value::from(Timestamp::from_micros(START.as_micros() + 1)),
    );
    let patch = |tests, set| vec![Write::patch(&THINGS, id, tests, set)];
    let first = vec![
        ("uses", Change::Add(5)),
        ("score", Change::Set(10_i64.into())),
        ("seen", Change::Max(late.clone())),
        ("phase", Change::Max("b".into())),
        ("holder", Change::Set(id.into())),
    ];
    world
        .ok(patch(
            vec![test("score", Is::Null), test("name", Is::Eq("patched".into()))],
            first,
        ))
        .await;
    // A maximum never comes down; null is below everything.
    let second = vec![
        ("uses", Change::Add(-2)),
        ("seen", Change::Max(early)),
        ("phase", Change::Max("a".into())),
        ("score", Change::Set(Value::Null)),
    ];
    let holder_is_mine = test("holder", Is::Eq(id.into()));
    world
        .ok(patch(
            vec![test("uses", Is::Ge(5_i64.into())), holder_is_mine],
            second,
        ))
        .await;
    let row = world.row(&THINGS, id).await;
    let columns = ["uses", "score", "seen", "phase", "holder"];
    let expected = [
        Value::from(3_i64),
        Value::Null,
        late,
        Value::from("b"),
        Value::from(id),
    ];
    assert_eq!(values(&row, &columns), expected);
    assert_eq!((row.revision(), row.version()), (1, 3));
    // One test that does not hold refuses all of it, and the first is named.
    let add = || vec![("uses", Change::Add(1))];
    for (tests, column) in [
        (
            vec![
                test("uses", Is::Eq(3_i64.into())),
                test("phase", Is::Ne("b".into())),
            ],
            "phase",
        ),
        (
            vec![
                test("phase", Is::Eq("a".into())),
                test("uses", Is::Eq(0_i64.into())),
            ],
            "phase",
        ),
        (vec![test("score", Is::Lt(5_i64.into()))], "score"),
        (vec![test("score", Is::Ne(5_i64.into()))], "score"),
        (vec![test("seen", Is::Null)], "seen"),
        (vec![test("name", Is::In(vec!["x".into(), "y".into()]))], "name"),
    ] {
        assert_eq!(
            world.cause(patch(tests, add())).await,
            Cause::TestFailed { column }
        );
    }
    assert_eq!(world.row(&THINGS, id).await, row);
    // A sum needs a number to begin with.
    let cause = world
        .cause(patch(Vec::new(), vec![("score", Change::Add(1))]))
        .await;
    assert_eq!(cause, Cause::Overflow { column: "score" });
    let plain = patch(Vec::new(), vec![("name", Change::Set("x".into()))]);
    assert_eq!(world.invalid(plain).await, "writes[0].things.name");
    let beat = world.id();
    world
        .ok(vec![Write::Insert(NewRow::new(&BEATS).set("id", beat))])
        .await;
    world
        .ok(vec![Write::patch(
            &BEATS,
            beat,
            Vec::new(),
            vec![("count", Change::Add(2))],
        )])
        .await;
    assert_eq!(world.row(&BEATS, beat).await.int("count").unwrap(), 2);
}
