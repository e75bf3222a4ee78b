//! Chapter "End": closing, and opening again.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::tables::{ALL, BEATS, SEATS, THINGS};
use super::world::{START, World, thing};
use crate::store::kernel::register_consumer;
use crate::store::{
    Cursor, IdProblem, NewRow, Prune, Query, Receipt, Record, Resolution, Scan, StoreError, StoreExt, Value,
    Write,
};
use crate::time::{Clock, Timestamp};

pub(super) async fn close_drains_and_then_refuses(world: World) {
    let before = world.thing("before").await;
    let snapshot = world.store.snapshot().await.unwrap();
    let commits: Vec<_> = (0..30)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move {
                let id = world.id();
                (id, world.commit(vec![Write::Insert(thing(id, "late"))]).await)
            })
        })
        .collect();
    tokio::task::yield_now().await;
    world.store.close().await.unwrap();
    let mut accepted = vec![before];
    for commit in commits {
        match commit.await.unwrap() {
            (id, Ok(_)) => accepted.push(id),
            (_, Err(StoreError::Closed)) => {}
            (_, Err(error)) => panic!("neither done nor refused: {error:?}"),
        }
    }
    assert_refused(&world).await;
    world.store.close().await.unwrap();
    let error = snapshot.read(vec![Query::Scan(Scan::of(&THINGS))]).await.unwrap_err();
    assert!(matches!(error, StoreError::SnapshotExpired), "{error:?}");
    drop(snapshot);
    let World { harness, store, clock, .. } = world;
    drop(store);
    if let Some(store) = harness.reopen(&ALL, clock).await {
        let mut found = Vec::new();
        for row in store.scan_all(Scan::of(&THINGS)).await.unwrap() {
            found.extend(row.key().as_uuid());
        }
        accepted.sort_unstable();
        assert_eq!(found, accepted, "not what was acknowledged");
    }
}

async fn assert_refused(world: &World) {
    let store = &world.store;
    let commits = vec![world.batch(vec![Write::Insert(thing(world.id(), "after"))]); 2];
    let answers = store.commit_many(commits).await;
    assert_eq!(answers.len(), 2);
    let mut errors: Vec<_> = answers.into_iter().map(Result::unwrap_err).collect();
    errors.push(store.read(Vec::new()).await.unwrap_err());
    errors.push(store.get(&THINGS, world.id()).await.unwrap_err());
    errors.push(store.snapshot().await.unwrap_err());
    errors.push(store.resolve(world.id()).await.unwrap_err());
    errors.push(store.changes(Cursor::START, 10).await.unwrap_err());
    errors.push(store.prune(Prune::up_to(1)).await.unwrap_err());
    for error in errors {
        assert!(matches!(error, StoreError::Closed), "{error:?}");
    }
}

pub(super) async fn what_was_acknowledged_is_there_after_reopening(world: World) {
    let id = world.id();
    let full =
        thing(id, "r\u{f6}w").set("note", "e\u{301}\u{1f980}").set("secret", "hush").set("flag", false);
    let first = world.batch(vec![Write::Insert(full.set("moment", Timestamp::MIN))]);
    let receipt = world.store.commit(first.clone()).await.unwrap();
    let voided = world.batch(vec![Write::guard(&THINGS, id, 2)]);
    world.store.resolve(voided.id).await.unwrap();
    let (last, feed) = fill(&world, id).await;
    let mut tables = Vec::new();
    for table in ALL {
        tables.push(world.all(table).await);
    }
    // Only a store that ends with its handle has nothing to show here.
    let Some(world) = reopened(world).await else {
        return;
    };
    for (table, rows) in ALL.into_iter().zip(tables) {
        assert_eq!(world.all(table).await, rows, "{}", table.name);
    }
    let by_place = Scan::of(&SEATS).by("seats_place").with("hall").descending();
    assert_eq!(world.rows(by_place).await[0].int("place").unwrap(), 19);
    assert_eq!(world.feed_after(feed[0].cursor()).await, feed[1..]);
    let error = world.store.changes(Cursor::START, 10).await.unwrap_err();
    assert!(matches!(error, StoreError::CursorExpired { low_water: 4 }), "{error:?}");
    // Receipts, those of what never happened, too.
    assert!(world.store.commit(first).await.unwrap().repeated);
    let resolution = world.store.resolve(receipt.batch).await.unwrap();
    assert_eq!(resolution, Resolution::Committed(receipt));
    let answer = world.store.commit(voided).await;
    assert!(
        matches!(answer, Err(StoreError::UnusableId { why, .. }) if why == IdProblem::Voided),
        "{answer:?}"
    );
    it_goes_on_where_it_was(&world, id, last, feed.last().unwrap().cursor()).await;
}

/// Fills the store and prunes it; gives the receipt of the last commit and the feed as it is then.
async fn fill(world: &World, id: Uuid) -> (Receipt, Vec<Arc<Record>>) {
    for at in 0..20_i64 {
        let seat = NewRow::new(&SEATS).set("id", world.id()).set("room", "hall").set("place", at);
        world.ok(vec![Write::Insert(seat), Write::record(&THINGS, id, "uses", 1)]).await;
    }
    let set = vec![("number", Value::from(-7_i64))];
    world.ok(vec![Write::update(&THINGS, id, 1, set)]).await;
    world.ok(vec![Write::Insert(NewRow::new(&BEATS).set("id", id))]).await;
    let feed = world.feed().await;
    world.ok(vec![register_consumer("me", feed[9].cursor())]).await;
    world.store.prune(Prune::up_to(4)).await.unwrap();
    world.advance(Duration::from_secs(50));
    let last = world.ok(vec![Write::record(&THINGS, id, "uses", 1)]).await;
    (last, world.feed_after(feed[3].cursor()).await)
}

/// Closes, drops and opens again, under a clock that has stepped back meanwhile.
async fn reopened(world: World) -> Option<World> {
    let World { harness, clock, ids, store } = world;
    clock.set(START);
    store.close().await.unwrap();
    drop(store);
    let store = harness.reopen(&ALL, Arc::clone(&clock) as Arc<dyn Clock>).await?;
    Some(World { harness, clock, ids, store })
}

/// Time, positions, keys and consumers.
async fn it_goes_on_where_it_was(world: &World, id: Uuid, last: Receipt, head: Cursor) {
    assert_eq!(world.store.read(Vec::new()).await.unwrap().now, last.at);
    let taken = NewRow::new(&SEATS).set("id", world.id()).set("room", "hall").set("place", 3_i64);
    let refusal = world.refused(vec![Write::Insert(taken)]).await;
    assert!(refusal.names("seats_place"), "{refusal:?}");
    let next = world.ok(vec![Write::record(&THINGS, id, "uses", 1)]).await;
    assert_eq!(next.at, last.at);
    let after: Vec<_> = world.feed_after(head).await.iter().map(|record| record.batch).collect();
    assert_eq!(after, [next.batch]);
    assert_eq!(world.store.prune(Prune::up_to(100)).await.unwrap().low_water, 10);
}
