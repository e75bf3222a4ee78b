//! Chapter "Batches".

use uuid::Uuid;

use super::tables::{BEATS, BUDGETS, CRATES, SEATS, THINGS};
use super::world::{World, thing};
use crate::store::{Cause, Change, Key, NewRow, Scan, Value, Write};

fn seat(id: Uuid, badge: &str) -> Write {
    Write::Insert(NewRow::new(&SEATS).set("id", id).set("badge", badge))
}

fn inside(id: Uuid, parent: Uuid) -> Write {
    Write::Insert(NewRow::new(&CRATES).set("id", id).set("inside", parent))
}

fn name(to: &str) -> Vec<(&'static str, Value)> {
    vec![("name", Value::from(to))]
}

pub(super) async fn a_batch_happens_whole_or_not_at_all(world: World) {
    let (changed, deleted, counted) =
        (world.thing("changed").await, world.thing("deleted").await, world.thing("counted").await);
    let before = world.all(&THINGS).await;
    let records = world.feed().await;
    let fresh = world.id();
    let writes = || {
        vec![
            Write::Insert(thing(fresh, "fresh").set("number", 5_i64)),
            Write::update(&THINGS, changed, 1, name("other")),
            Write::record(&THINGS, counted, "uses", 5),
            Write::delete(&THINGS, deleted, 1),
            seat(fresh, "badge"),
        ]
    };
    let mut torn = writes();
    torn.push(Write::guard(&BEATS, world.id(), 1));
    assert_eq!(world.refused(torn).await.write, 5);
    assert_eq!(world.all(&THINGS).await, before);
    assert_eq!(world.all(&SEATS).await, []);
    let by_number = || Scan::of(&THINGS).by("things_by_number").with(5_i64);
    assert_eq!(world.rows(by_number()).await, []);
    assert_eq!(world.feed().await, records);
    // A refused one between two accepted ones of a group.
    let mut torn = writes();
    torn.push(seat(world.id(), "badge"));
    let (first, last) = (world.id(), world.id());
    let group = vec![
        world.batch(vec![seat(first, "first")]),
        world.batch(torn),
        world.batch(vec![seat(last, "last")]),
    ];
    let answers = world.store.commit_many(group).await;
    assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok(), "{answers:?}");
    assert_eq!(world.all(&THINGS).await, before);
    assert_eq!(world.all(&SEATS).await.len(), 2);
    // What is accepted happens whole.
    world.ok(writes()).await;
    assert_eq!(world.all(&THINGS).await.len(), 3);
    assert_eq!(world.rows(by_number()).await.len(), 1);
    assert_eq!(world.find(&THINGS, deleted).await, None);
    assert_eq!(world.row(&THINGS, changed).await.text("name").unwrap(), "other");
    assert_eq!(world.row(&THINGS, counted).await.int("uses").unwrap(), 5);
    assert_eq!(world.row(&SEATS, fresh).await.text("badge").unwrap(), "badge");
    assert_eq!(world.last_record().await.changes.len(), 5);
    large_batches_too(&world).await;
}

async fn large_batches_too(world: &World) {
    let seats = world.all(&SEATS).await.len();
    let many = |world: &World| -> Vec<Write> {
        (0..400).map(|at| seat(world.id(), &format!("many {at}"))).collect()
    };
    let mut torn = many(world);
    torn.push(seat(world.id(), "many 0"));
    assert_eq!(world.refused(torn).await.write, 400);
    assert_eq!(world.all(&SEATS).await.len(), seats);
    world.ok(many(world)).await;
    assert_eq!(world.all(&SEATS).await.len(), seats + 400);
}

pub(super) async fn writes_are_judged_in_order(world: World) {
    let (parent, child) = (world.id(), world.id());
    let crate_row = |id| Write::Insert(NewRow::new(&CRATES).set("id", id));
    let refusal = world.refused(vec![inside(child, parent), crate_row(parent)]).await;
    assert_eq!((refusal.write, refusal.names("crates_inside")), (0, true));
    world.ok(vec![crate_row(parent), inside(child, parent)]).await;
    let refusal =
        world.refused(vec![Write::delete(&CRATES, parent, 1), Write::delete(&CRATES, child, 1)]).await;
    assert_eq!((refusal.write, refusal.names("crates_inside")), (0, true));
    world.ok(vec![Write::delete(&CRATES, child, 1), Write::delete(&CRATES, parent, 1)]).await;

    let (old, new) = (world.id(), world.id());
    world.ok(vec![seat(old, "one")]).await;
    let refusal = world.refused(vec![seat(new, "one"), Write::delete(&SEATS, old, 1)]).await;
    assert_eq!((refusal.write, refusal.names("seats_badge")), (0, true));
    world.ok(vec![Write::delete(&SEATS, old, 1), seat(new, "one")]).await;

    let budget = world.id();
    let row = NewRow::new(&BUDGETS).set("id", budget).set("gpu_limit", 10_i64);
    let refusal = world
        .refused(vec![
            Write::Insert(row.clone()),
            Write::admit(&BUDGETS, budget, "gpus", 8),
            Write::admit(&BUDGETS, budget, "gpus", 3),
        ])
        .await;
    let expected = Cause::Ceiling { rule: "budgets_gpu_limit", limit: 10, used: 8, asked: 3 };
    assert_eq!((refusal.write, refusal.cause), (2, expected));
    world.ok(vec![Write::Insert(row), Write::admit(&BUDGETS, budget, "gpus", 8)]).await;
    world
        .ok(vec![Write::admit(&BUDGETS, budget, "gpus", -2), Write::admit(&BUDGETS, budget, "gpus", 4)])
        .await;
    // A limit that the batch itself raises is in force for what follows.
    let raise = Write::update(&BUDGETS, budget, 1, vec![("gpu_limit", Value::from(20_i64))]);
    world.ok(vec![raise, Write::admit(&BUDGETS, budget, "gpus", 10)]).await;
    assert_eq!(world.row(&BUDGETS, budget).await.int("gpus").unwrap(), 20);
}

pub(super) async fn a_wrong_revision_is_a_conflict(world: World) {
    let id = world.thing("row").await;
    let other = world.id();
    world.ok(vec![Write::update(&THINGS, id, 1, name("second"))]).await;
    let row = world.row(&THINGS, id).await;
    for expected in [1, 3, 0, -1] {
        for write in [
            Write::update(&THINGS, id, expected, name("third")),
            Write::delete(&THINGS, id, expected),
            Write::guard(&THINGS, id, expected),
        ] {
            let refusal = world.refused(vec![Write::Insert(thing(other, "other")), write]).await;
            assert_eq!(refusal.cause, Cause::Conflict { expected, found: 2 });
            assert_eq!((refusal.write, refusal.table, refusal.key), (1, "things", Key::from(id)));
        }
    }
    assert_eq!(world.all(&THINGS).await, [row]);
    // A counter's change is no conflict.
    world.ok(vec![Write::record(&THINGS, id, "uses", 1)]).await;
    world.ok(vec![Write::guard(&THINGS, id, 2), Write::Insert(thing(other, "other"))]).await;
    // Of two who decided on the same revision, one comes too late, also in one group.
    let group = vec![
        world.batch(vec![Write::update(&THINGS, id, 2, name("a"))]),
        world.batch(vec![Write::update(&THINGS, id, 2, name("b"))]),
        world.batch(vec![Write::guard(&THINGS, id, 2), Write::record(&THINGS, other, "uses", 1)]),
    ];
    let mut answers = world.store.commit_many(group).await.into_iter();
    answers.next().unwrap().unwrap();
    for late in answers {
        let error = late.unwrap_err();
        let cause = error.refusal().map(|refusal| refusal.cause.clone());
        assert_eq!(cause, Some(Cause::Conflict { expected: 2, found: 3 }));
    }
    assert_eq!(world.row(&THINGS, id).await.text("name").unwrap(), "a");
    assert_eq!(world.row(&THINGS, other).await.int("uses").unwrap(), 0);
}

pub(super) async fn a_missing_row_is_refused_as_missing(world: World) {
    let gone = world.thing("gone").await;
    world.ok(vec![Write::delete(&THINGS, gone, 1)]).await;
    for id in [world.id(), gone] {
        for write in [
            Write::update(&THINGS, id, 1, name("x")),
            Write::delete(&THINGS, id, 1),
            Write::guard(&THINGS, id, 1),
            Write::admit(&THINGS, id, "uses", 1),
            Write::record(&THINGS, id, "uses", 1),
            Write::patch(&THINGS, id, Vec::new(), vec![("uses", Change::Add(1))]),
        ] {
            let refusal = world.refused(vec![Write::Ensure(thing(world.id(), "x")), write]).await;
            assert_eq!((refusal.write, refusal.table, refusal.key), (1, "things", Key::from(id)));
            assert_eq!(refusal.cause, Cause::Missing);
        }
    }
    assert_eq!(world.all(&THINGS).await, []);
    // Deleted by the batch itself, and by another of its group.
    let id = world.thing("here").await;
    let writes = vec![Write::delete(&THINGS, id, 1), Write::record(&THINGS, id, "uses", 1)];
    let refusal = world.refused(writes).await;
    assert_eq!((refusal.write, refusal.cause), (1, Cause::Missing));
    let group = vec![
        world.batch(vec![Write::delete(&THINGS, id, 1)]),
        world.batch(vec![Write::guard(&THINGS, id, 1)]),
    ];
    let answers = world.store.commit_many(group).await;
    assert!(answers[0].is_ok());
    let cause = answers[1].as_ref().unwrap_err().refusal().map(|refusal| refusal.cause.clone());
    assert_eq!(cause, Some(Cause::Missing));
}

pub(super) async fn a_guard_changes_nothing(world: World) {
    let (guarded, quiet) = (world.thing("guarded").await, world.id());
    world.ok(vec![Write::Insert(NewRow::new(&BEATS).set("id", quiet))]).await;
    let (row, beat) = (world.row(&THINGS, guarded).await, world.row(&BEATS, quiet).await);
    let records = world.feed().await.len();
    let receipt = world.ok(vec![Write::guard(&THINGS, guarded, 1), Write::guard(&BEATS, quiet, 1)]).await;
    assert_eq!(receipt.position, None);
    assert_eq!(world.feed().await.len(), records, "a batch of guards is not in the feed");
    let other = world.id();
    world.ok(vec![Write::guard(&THINGS, guarded, 1), Write::Insert(thing(other, "other"))]).await;
    assert_eq!(world.row(&THINGS, guarded).await, row);
    assert_eq!(world.row(&BEATS, quiet).await, beat);
    let record = world.last_record().await;
    let keys: Vec<_> = record.changes.iter().map(|change| change.key.clone()).collect();
    assert_eq!(keys, [Key::from(other)]);
    // A guard and an adjust of one row go together.
    world.ok(vec![Write::guard(&THINGS, guarded, 1), Write::record(&THINGS, guarded, "uses", 1)]).await;
    assert_eq!(world.row(&THINGS, guarded).await.version(), 2);
}
