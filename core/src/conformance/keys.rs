//! Chapter "Keys, references, rules": unique keys and references.

use uuid::Uuid;

use super::tables::{CRATES, RACKS, SEATS, THINGS};
use super::world::World;
use crate::store::{Cause, Change, Key, NewRow, Value, Write};

fn seat(id: Uuid) -> NewRow {
    NewRow::new(&SEATS).set("id", id)
}

fn placed(id: Uuid, room: &str, place: i64) -> Write {
    Write::Insert(seat(id).set("room", room).set("place", place))
}

fn badged(id: Uuid, badge: &str) -> Write {
    Write::Insert(seat(id).set("badge", badge))
}

fn duplicate(unique: &'static str, owner: Uuid) -> Cause {
    Cause::Duplicate { unique, owner: Key::from(owner) }
}

fn set(column: &'static str, value: impl Into<Value>) -> Vec<(&'static str, Value)> {
    vec![(column, value.into())]
}

pub(super) async fn a_unique_key_has_one_owner(world: World) {
    let (a, b) = (world.id(), world.id());
    world.ok(vec![badged(a, "blue"), placed(b, "hall", 1)]).await;
    let refusal = world.refused(vec![badged(world.id(), "blue")]).await;
    assert_eq!(refusal.cause, duplicate("seats_badge", a));
    assert_eq!(world.cause(vec![Write::Ensure(seat(world.id()).set("badge", "blue"))]).await, refusal.cause);
    let cause = world.cause(vec![Write::update(&SEATS, b, 1, set("badge", "blue"))]).await;
    assert_eq!(cause, duplicate("seats_badge", a));
    // Of several columns it is the whole that counts.
    assert_eq!(world.cause(vec![placed(world.id(), "hall", 1)]).await, duplicate("seats_place", b));
    world.ok(vec![placed(world.id(), "hall", 11), placed(world.id(), "hall1", 1)]).await;
    let into = vec![("room", Value::from("hall")), ("place", Value::from(1_i64))];
    let cause = world.cause(vec![Write::update(&SEATS, a, 1, into)]).await;
    assert_eq!(cause, duplicate("seats_place", b));
    // What one row has already it may keep.
    world.ok(vec![Write::update(&SEATS, a, 1, set("badge", "blue"))]).await;
    // Texts are equal where their bytes are.
    for other in ["Blue", "blue ", "bl\u{fc}e", "blu\u{308}e", ""] {
        world.ok(vec![badged(world.id(), other)]).await;
    }
    // Counters can be keys, too.
    let turn = |by| vec![("turn", Change::Set(Value::from(by)))];
    world.ok(vec![Write::patch(&SEATS, a, Vec::new(), turn(5_i64))]).await;
    world.ok(vec![Write::patch(&SEATS, b, Vec::new(), turn(4_i64))]).await;
    for raise in [
        Write::record(&SEATS, b, "turn", 1),
        Write::patch(&SEATS, b, Vec::new(), turn(5_i64)),
        Write::patch(&SEATS, b, Vec::new(), vec![("turn", Change::Add(1))]),
    ] {
        assert_eq!(world.cause(vec![raise]).await, duplicate("seats_turn", a));
    }
    // In one batch and in one group the first is the owner.
    let (c, d) = (world.id(), world.id());
    let refusal = world.refused(vec![badged(c, "green"), badged(d, "green")]).await;
    assert_eq!((refusal.write, refusal.cause), (1, duplicate("seats_badge", c)));
    let group = vec![world.batch(vec![badged(d, "green")]), world.batch(vec![badged(c, "green")])];
    let answers = world.store.commit_many(group).await;
    assert!(answers[0].is_ok());
    let cause = answers[1].as_ref().unwrap_err().refusal().map(|refusal| refusal.cause.clone());
    assert_eq!(cause, Some(duplicate("seats_badge", d)));
    assert_eq!(world.find(&SEATS, c).await, None);
}

pub(super) async fn null_in_a_unique_key_collides_with_nothing(world: World) {
    for _ in 0..3 {
        world.ok(vec![Write::Insert(seat(world.id()))]).await;
        world.ok(vec![Write::Insert(seat(world.id()).set("room", "hall"))]).await;
        world.ok(vec![Write::Insert(seat(world.id()).set("place", 1_i64))]).await;
    }
    let (a, b) = (world.id(), world.id());
    world.ok(vec![placed(a, "hall", 1), placed(b, "hall", 2)]).await;
    for id in [a, b] {
        world.ok(vec![Write::update(&SEATS, id, 1, set("place", Value::Null))]).await;
    }
    // And where the null goes the key counts again.
    world.ok(vec![Write::update(&SEATS, a, 2, set("place", 3_i64))]).await;
    let cause = world.cause(vec![Write::update(&SEATS, b, 2, set("place", 3_i64))]).await;
    assert_eq!(cause, duplicate("seats_place", a));
    assert_eq!(world.all(&SEATS).await.len(), 11);
}

pub(super) async fn a_unique_key_is_free_again(world: World) {
    let (a, b, c) = (world.id(), world.id(), world.id());
    world.ok(vec![badged(a, "one")]).await;
    world.ok(vec![Write::delete(&SEATS, a, 1)]).await;
    world.ok(vec![badged(b, "one")]).await;
    world.ok(vec![Write::update(&SEATS, b, 1, set("badge", "two"))]).await;
    world.ok(vec![badged(a, "one")]).await;
    world.ok(vec![Write::update(&SEATS, b, 2, set("badge", Value::Null))]).await;
    world.ok(vec![badged(c, "two")]).await;
    // Within one batch: by a delete, by a change, and handed on in a row.
    world
        .ok(vec![
            Write::delete(&SEATS, c, 1),
            Write::update(&SEATS, a, 1, set("badge", "two")),
            Write::update(&SEATS, b, 3, set("badge", "one")),
        ])
        .await;
    let badge = async |id| world.row(&SEATS, id).await.text("badge").map(str::to_owned).unwrap();
    assert_eq!((badge(a).await, badge(b).await), ("two".into(), "one".into()));
    // Within one group; and a refused batch frees nothing.
    let refused = vec![Write::delete(&SEATS, a, 2), Write::guard(&SEATS, world.id(), 1)];
    let (early, late) = (world.id(), world.id());
    let group = vec![
        world.batch(refused),
        world.batch(vec![badged(early, "two")]),
        world.batch(vec![Write::delete(&SEATS, a, 2)]),
        world.batch(vec![badged(late, "two")]),
    ];
    let answers = world.store.commit_many(group).await;
    let accepted: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [false, false, true, true], "{answers:?}");
    let cause = world.cause(vec![badged(world.id(), "two")]).await;
    assert_eq!(cause, duplicate("seats_badge", late));
    // A counter that moves on leaves its value to others.
    let turn = |to| vec![("turn", Change::Set(Value::from(to)))];
    world.ok(vec![Write::patch(&SEATS, b, Vec::new(), turn(1_i64))]).await;
    world
        .ok(vec![Write::record(&SEATS, b, "turn", 1), Write::patch(&SEATS, late, Vec::new(), turn(1_i64))])
        .await;
}

fn rack(hall: &str, number: i64) -> Write {
    Write::Insert(NewRow::new(&RACKS).set("hall", hall).set("number", number))
}

fn empty(id: Uuid) -> NewRow {
    NewRow::new(&CRATES).set("id", id)
}

pub(super) async fn a_reference_needs_its_parent(world: World) {
    let no_parent = |reference| Cause::NoParent { reference };
    let thing = world.thing("parent").await;
    world.ok(vec![rack("hall", 1)]).await;
    let standing = |id, hall: &str, number: i64| empty(id).set("hall", hall).set("number", number);
    for (hall, number) in [("hall", 2), ("hal", 1), ("1", 1)] {
        let cause = world.cause(vec![Write::Insert(standing(world.id(), hall, number))]).await;
        assert_eq!(cause, no_parent("crates_rack"));
    }
    let row = empty(world.id()).set("thing", world.id());
    assert_eq!(world.cause(vec![Write::Insert(row)]).await, no_parent("crates_thing"));
    let id = world.id();
    world.ok(vec![Write::Insert(standing(id, "hall", 1).set("thing", thing))]).await;
    let cause = world.cause(vec![Write::update(&CRATES, id, 1, set("thing", world.id()))]).await;
    assert_eq!(cause, no_parent("crates_thing"));
    let cause = world.cause(vec![Write::update(&CRATES, id, 1, set("number", 2_i64))]).await;
    assert_eq!(cause, no_parent("crates_rack"));
    // Null refers to nothing, also in one of two columns.
    world.ok(vec![Write::Insert(empty(world.id()))]).await;
    world.ok(vec![Write::Insert(empty(world.id()).set("hall", "nowhere"))]).await;
    world
        .ok(vec![Write::update(&CRATES, id, 1, vec![("number", Value::Null), ("thing", Value::Null)])])
        .await;
    // A row may refer to itself, and to one that the batch, or its group, inserts before it.
    let (own, parent, child) = (world.id(), world.id(), world.id());
    world.ok(vec![Write::Insert(empty(own).set("inside", own))]).await;
    world
        .ok(vec![
            rack("new", 1),
            Write::Insert(empty(parent)),
            Write::Insert(standing(child, "new", 1).set("inside", parent)),
        ])
        .await;
    let group = vec![
        world.batch(vec![rack("group", 1)]),
        world.batch(vec![Write::Insert(standing(world.id(), "group", 1))]),
        world.batch(vec![rack("gone", 1)]),
        world.batch(vec![Write::delete(&RACKS, ("gone", 1_i64), 1)]),
        world.batch(vec![Write::Insert(standing(world.id(), "gone", 1))]),
    ];
    let answers = world.store.commit_many(group).await;
    let accepted: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [true, true, true, true, false], "{answers:?}");
    let cause = answers[4].as_ref().unwrap_err().refusal().map(|refusal| refusal.cause.clone());
    assert_eq!(cause, Some(no_parent("crates_rack")));
}

pub(super) async fn a_referenced_row_cannot_be_deleted(world: World) {
    let still = |reference| Cause::StillReferenced { reference, by: "crates" };
    let thing = world.thing("parent").await;
    let (a, b) = (world.id(), world.id());
    world.ok(vec![rack("hall", 1), rack("hall", 11)]).await;
    let standing = |id| empty(id).set("hall", "hall").set("number", 1_i64);
    world
        .ok(vec![
            Write::Insert(standing(a).set("thing", thing).set("inside", a)),
            Write::Insert(standing(b).set("inside", a)),
        ])
        .await;
    let drop_rack = || Write::delete(&RACKS, ("hall", 1_i64), 1);
    assert_eq!(world.cause(vec![drop_rack()]).await, still("crates_rack"));
    assert_eq!(world.cause(vec![Write::delete(&THINGS, thing, 1)]).await, still("crates_thing"));
    assert_eq!(world.cause(vec![Write::delete(&CRATES, a, 1)]).await, still("crates_inside"));
    world.ok(vec![Write::delete(&RACKS, ("hall", 11_i64), 1)]).await;
    // One of two children gone is not enough.
    world.ok(vec![Write::update(&CRATES, a, 1, set("number", Value::Null))]).await;
    assert_eq!(world.cause(vec![drop_rack()]).await, still("crates_rack"));
    // The last one deleted before it in the batch is; a row's reference to itself does not hold it.
    world
        .ok(vec![
            Write::delete(&CRATES, b, 1),
            drop_rack(),
            Write::update(&CRATES, a, 2, set("thing", Value::Null)),
            Write::delete(&THINGS, thing, 1),
        ])
        .await;
    world.ok(vec![Write::delete(&CRATES, a, 3)]).await;
    assert_eq!(world.all(&CRATES).await, []);
    // A child that the same batch or group brings holds its parent.
    world.ok(vec![rack("hall", 1)]).await;
    let refusal = world.refused(vec![Write::Insert(standing(a)), drop_rack()]).await;
    assert_eq!((refusal.write, refusal.cause), (1, still("crates_rack")));
    let group = vec![
        world.batch(vec![Write::Insert(standing(a))]),
        world.batch(vec![drop_rack()]),
        world.batch(vec![Write::delete(&CRATES, a, 1)]),
        world.batch(vec![drop_rack()]),
    ];
    let answers = world.store.commit_many(group).await;
    let accepted: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [true, false, true, true], "{answers:?}");
    assert_eq!(world.all(&RACKS).await, []);
}
