//! Chapter "Batches": which write is named, and by what it was refused.

use uuid::Uuid;

use super::tables::{BERTHS, CRATES, THINGS};
use super::world::World;
use crate::store::{Cause, Key, NewRow, Table, Value, Write};

fn berth(id: Uuid) -> NewRow {
    NewRow::new(&BERTHS).set("id", id)
}

pub(super) async fn the_first_refused_write_is_named(world: World) {
    let (taken, mine) = (world.id(), world.id());
    world
        .ok(vec![Write::Insert(berth(taken).set("badge", "b").set("tag", 1_i64)), Write::Insert(berth(mine))])
        .await;
    let duplicate = |unique| Cause::Duplicate { unique, owner: Key::from(taken) };
    let nowhere = world.id();
    // Everything is wrong at first; what was named is put right, one after the other.
    let mut set: Vec<(&'static str, Value)> = vec![
        ("depth", 11_i64.into()),
        ("level", 11_i64.into()),
        ("beside", nowhere.into()),
        ("thing", nowhere.into()),
        ("tag", 1_i64.into()),
        ("badge", "b".into()),
    ];
    let update = |revision, set: &Vec<_>| vec![Write::update(&BERTHS, mine, revision, set.clone())];
    let conflict = Cause::Conflict { expected: 2, found: 1 };
    assert_eq!(world.cause(update(2, &set)).await, conflict);
    for cause in [
        duplicate("berths_badge"),
        duplicate("berths_tag"),
        Cause::NoParent { reference: "berths_thing" },
        Cause::NoParent { reference: "berths_beside" },
        Cause::Invariant { rule: "berths_level_most" },
        Cause::Invariant { rule: "berths_depth_most" },
    ] {
        assert_eq!(world.cause(update(1, &set)).await, cause);
        let mut row = berth(world.id()).set("load", 11_i64).set("heat", 11_i64);
        for (column, value) in &set {
            row = row.set(column, value.clone());
        }
        assert_eq!(world.cause(vec![Write::Insert(row)]).await, cause);
        set.pop();
    }
    let same_key = Write::Insert(berth(taken).set("badge", "b").set("thing", nowhere).set("level", 11_i64));
    assert_eq!(world.cause(vec![same_key]).await, duplicate("berths"));
    ceilings_come_last(&world).await;
    the_first_of_several_writes_is_named(&world, mine).await;
}

async fn ceilings_come_last(world: &World) {
    let ceiling = |rule| Cause::Ceiling { rule, limit: 10, used: 0, asked: 11 };
    let hot = || berth(world.id()).set("heat", 11_i64);
    let both = vec![Write::Insert(hot().set("load", 11_i64))];
    assert_eq!(world.cause(both).await, ceiling("berths_load_most"));
    assert_eq!(world.cause(vec![Write::Insert(hot())]).await, ceiling("berths_heat_most"));
}

async fn the_first_of_several_writes_is_named(world: &World, mine: Uuid) {
    let parent = world.thing("parent").await;
    let naming = |table: &'static Table, id: Uuid| {
        Write::Insert(NewRow::new(table).set("id", id).set("thing", parent))
    };
    world.ok(vec![naming(&BERTHS, world.id()), naming(&CRATES, world.id())]).await;
    let refusal = world
        .refused(vec![
            Write::guard(&BERTHS, mine, 1),
            Write::delete(&THINGS, parent, 1),
            Write::guard(&THINGS, world.id(), 1),
        ])
        .await;
    assert_eq!((refusal.write, refusal.table, refusal.key), (1, "things", Key::from(parent)));
    let first = Cause::StillReferenced { reference: "crates_thing", by: "crates" };
    assert_eq!(refusal.cause, first);
}
