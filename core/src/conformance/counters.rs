//! Chapter "Rows": counters.

use uuid::Uuid;

use super::tables::{BEATS, THINGS};
use super::world::{START, World, test, thing, values};
use crate::store::{Cause, Change, Is, NewRow, Value, Write};
use crate::time::Timestamp;

pub(super) async fn update_leaves_counters_alone(world: World) {
    let id = world.thing("counted").await;
    let decided_on = world.row(&THINGS, id).await;
    let seen = Value::from(START);
    let set = vec![("seen", Change::Set(seen.clone())), ("phase", Change::Set("warm".into()))];
    world.ok(vec![Write::record(&THINGS, id, "uses", 5)]).await;
    world.ok(vec![Write::patch(&THINGS, id, Vec::new(), set)]).await;
    let rename = vec![("name", Value::from("renamed"))];
    world.ok(vec![Write::update(&THINGS, id, decided_on.revision(), rename)]).await;
    let row = world.row(&THINGS, id).await;
    assert_eq!(
        values(&row, &["name", "uses", "seen", "phase"]),
        [Value::from("renamed"), Value::from(5_i64), seen, Value::from("warm")]
    );
    // Also in one batch, and in one group.
    let rename = vec![("name", Value::from("again"))];
    world.ok(vec![Write::update(&THINGS, id, 2, rename), Write::record(&THINGS, id, "uses", 2)]).await;
    let group = vec![
        world.batch(vec![Write::record(&THINGS, id, "uses", 10)]),
        world.batch(vec![Write::update(&THINGS, id, 3, vec![("name", Value::from("last"))])]),
        world.batch(vec![Write::record(&THINGS, id, "uses", 100)]),
    ];
    for answer in world.store.commit_many(group).await {
        answer.unwrap();
    }
    let row = world.row(&THINGS, id).await;
    assert_eq!(values(&row, &["name", "uses"]), [Value::from("last"), Value::from(117_i64)]);
    assert_eq!((row.revision(), row.version()), (4, 9));
}

pub(super) async fn adjust_adds_without_a_revision(world: World) {
    let id = world.thing("counted").await;
    world.ok(vec![Write::admit(&THINGS, id, "uses", 4)]).await;
    let row = world.row(&THINGS, id).await;
    assert_eq!((row.int("uses").unwrap(), row.revision(), row.version()), (4, 1, 2));
    let several = vec![
        Write::record(&THINGS, id, "uses", 10),
        Write::admit(&THINGS, id, "uses", -3),
        Write::record(&THINGS, id, "uses", 10),
    ];
    world.ok(several).await;
    let row = world.row(&THINGS, id).await;
    assert_eq!((row.int("uses").unwrap(), row.revision(), row.version()), (21, 1, 5));
    // A row that is not counted is not touched, and one inserted in the batch can be.
    let fresh = world.id();
    world.ok(vec![Write::Insert(thing(fresh, "fresh")), Write::record(&THINGS, fresh, "uses", -7)]).await;
    assert_eq!(world.row(&THINGS, fresh).await.int("uses").unwrap(), -7);
    assert_eq!(world.row(&THINGS, id).await, row);
    let group = (1..=20).map(|by| world.batch(vec![Write::record(&THINGS, id, "uses", by)]));
    for answer in world.store.commit_many(group.collect()).await {
        answer.unwrap();
    }
    let row = world.row(&THINGS, id).await;
    assert_eq!((row.int("uses").unwrap(), row.revision(), row.version()), (231, 1, 25));
    for wrong in ["name", "seen", "id"] {
        let field = world.invalid(vec![Write::record(&THINGS, id, wrong, 1)]).await;
        assert_eq!(field, format!("writes[0].things.{wrong}"));
    }
}

pub(super) async fn patch_changes_counters_where_all_tests_hold(world: World) {
    let id = world.thing("patched").await;
    let (early, late) = (Value::from(START), Value::from(Timestamp::from_micros(START.as_micros() + 1)));
    let patch = |tests, set| vec![Write::patch(&THINGS, id, tests, set)];
    let first = vec![
        ("uses", Change::Add(5)),
        ("score", Change::Set(10_i64.into())),
        ("seen", Change::Max(late.clone())),
        ("phase", Change::Max("b".into())),
        ("holder", Change::Set(id.into())),
    ];
    world.ok(patch(vec![test("score", Is::Null), test("name", Is::Eq("patched".into()))], first)).await;
    // A maximum never comes down; null is below everything.
    let second = vec![
        ("uses", Change::Add(-2)),
        ("seen", Change::Max(early)),
        ("phase", Change::Max("a".into())),
        ("score", Change::Set(Value::Null)),
    ];
    let holder_is_mine = test("holder", Is::Eq(id.into()));
    world.ok(patch(vec![test("uses", Is::Ge(5_i64.into())), holder_is_mine], second)).await;
    let row = world.row(&THINGS, id).await;
    let columns = ["uses", "score", "seen", "phase", "holder"];
    let expected = [Value::from(3_i64), Value::Null, late, Value::from("b"), Value::from(id)];
    assert_eq!(values(&row, &columns), expected);
    assert_eq!((row.revision(), row.version()), (1, 3));
    a_failed_test_refuses(&world, id).await;
    assert_eq!(world.row(&THINGS, id).await, row);
    let beat = world.id();
    world.ok(vec![Write::Insert(NewRow::new(&BEATS).set("id", beat))]).await;
    let add = vec![("count", Change::Add(2))];
    world.ok(vec![Write::patch(&BEATS, beat, Vec::new(), add)]).await;
    assert_eq!(world.row(&BEATS, beat).await.int("count").unwrap(), 2);
}

async fn a_failed_test_refuses(world: &World, id: Uuid) {
    let patch = |tests, set| vec![Write::patch(&THINGS, id, tests, set)];
    // One test that does not hold refuses all of it, and the first is named.
    let add = || vec![("uses", Change::Add(1))];
    for (tests, column) in [
        (vec![test("uses", Is::Eq(3_i64.into())), test("phase", Is::Ne("b".into()))], "phase"),
        (vec![test("phase", Is::Eq("a".into())), test("uses", Is::Eq(0_i64.into()))], "phase"),
        (vec![test("score", Is::Lt(5_i64.into()))], "score"),
        (vec![test("score", Is::Ne(5_i64.into()))], "score"),
        (vec![test("seen", Is::Null)], "seen"),
        (vec![test("name", Is::In(vec!["x".into(), "y".into()]))], "name"),
    ] {
        assert_eq!(world.cause(patch(tests, add())).await, Cause::TestFailed { column });
    }
    // A sum needs a number to begin with.
    let cause = world.cause(patch(Vec::new(), vec![("score", Change::Add(1))])).await;
    assert_eq!(cause, Cause::Overflow { column: "score" });
    let plain = patch(Vec::new(), vec![("name", Change::Set("x".into()))]);
    assert_eq!(world.invalid(plain).await, "writes[0].things.name");
}
