//! Chapter "Feed": what is pruned, and what is not.

use std::time::Duration;

use super::tables::THINGS;
use super::world::{World, thing};
use crate::store::kernel::{CONSUMERS, advance_consumer, consumer_cursor, register_consumer};
use crate::store::{
    Cause, Cursor, IdProblem, Prune, Pruned, RECEIPT_RETENTION, Record, Resolution, StoreError, StoreExt,
    Write,
};

const RECORDS: Prune = Prune { records_up_to: u64::MAX, receipts: false };

fn up_to(position: u64) -> Prune {
    Prune { records_up_to: position, receipts: false }
}

impl World {
    async fn pruned(&self, prune: Prune) -> Pruned {
        self.store.prune(prune).await.unwrap()
    }

    async fn expired_at(&self, cursor: Cursor) -> u64 {
        match self.store.changes(cursor, 100).await {
            Err(StoreError::CursorExpired { low_water }) => low_water,
            other => panic!("expected {cursor:?} to be expired, got {other:?}"),
        }
    }
}

pub(super) async fn pruned_positions_are_expired_not_skipped(world: World) {
    for _ in 0..9 {
        world.thing("row").await;
    }
    let feed = world.feed().await;
    assert_eq!(world.pruned(up_to(0)).await, Pruned::new(0, 0, 0));
    assert_eq!(world.pruned(up_to(5)).await, Pruned::new(5, 0, 5));
    for cursor in [Cursor::START, feed[0].cursor(), feed[3].cursor()] {
        assert_eq!(world.expired_at(cursor).await, 5);
    }
    // The last that is gone is still a place to go on from, and only under its own batch.
    let page = world.store.changes(feed[4].cursor(), 100).await.unwrap();
    assert_eq!(page.records, feed[5..]);
    let foreign = Cursor { position: 5, batch: feed[3].batch };
    let error = world.store.changes(foreign, 100).await.unwrap_err();
    assert!(matches!(error, StoreError::CursorForeign { position: 5 }), "{error:?}");
    // Nothing is pruned twice, nor brought back.
    assert_eq!(world.pruned(up_to(5)).await, Pruned::new(0, 0, 5));
    assert_eq!(world.pruned(up_to(3)).await, Pruned::new(0, 0, 5));
    assert_eq!(world.all(&THINGS).await.len(), 9, "rows are not pruned");
    // Everything, and beyond: positions go on where they were.
    assert_eq!(world.pruned(RECORDS).await, Pruned::new(4, 0, 9));
    let head = feed[8].cursor();
    let page = world.store.changes(head, 100).await.unwrap();
    assert_eq!((page.records.len(), page.next, page.lag), (0, head, 0));
    assert_eq!(world.expired_at(feed[7].cursor()).await, 9);
    let snapshot = world.store.snapshot().await.unwrap();
    assert_eq!(snapshot.cursor(), head);
    drop(snapshot);
    let id = world.thing("row").await;
    let page = world.store.changes(head, 100).await.unwrap();
    let positions: Vec<_> = page.records.iter().map(|record| record.position).collect();
    assert_eq!(positions, [10]);
    assert_eq!(page.records[0].changes[0].key, id.into());
    receipts_are_pruned_when_they_are_old(&world, &feed[0]).await;
}

async fn receipts_are_pruned_when_they_are_old(world: &World, first: &Record) {
    let never = world.id();
    assert_eq!(world.store.resolve(never).await.unwrap(), Resolution::NotCommitted);
    world.advance(RECEIPT_RETENTION.saturating_sub(Duration::from_mins(1)));
    let id = world.id();
    let young = world.ok(vec![Write::Insert(thing(id, "young"))]).await;
    assert_eq!(world.pruned(Prune::up_to(0)).await.receipts, 0, "none is old enough");
    assert!(matches!(world.store.resolve(first.batch).await, Ok(Resolution::Committed(_))));
    world.advance(Duration::from_mins(2));
    assert_eq!(world.pruned(up_to(0)).await.receipts, 0, "it was not asked for");
    // Ten commits, and one that never was.
    assert_eq!(world.pruned(Prune::up_to(0)).await.receipts, 11);
    let error = world.store.resolve(first.batch).await.unwrap_err();
    assert!(matches!(error, StoreError::UnusableId { why: IdProblem::TooOld, .. }), "{error:?}");
    assert_eq!(world.store.resolve(young.batch).await.unwrap(), Resolution::Committed(young));
    assert_eq!(world.pruned(Prune::up_to(0)).await.receipts, 0);
}

pub(super) async fn pruning_stops_at_the_slowest_consumer(world: World) {
    for _ in 0..8 {
        world.thing("row").await;
    }
    let feed = world.feed().await;
    world
        .ok(vec![register_consumer("slow", feed[1].cursor()), register_consumer("fast", feed[5].cursor())])
        .await;
    assert_eq!(world.pruned(RECORDS).await, Pruned::new(2, 0, 2));
    assert_eq!(world.store.changes(feed[1].cursor(), 100).await.unwrap().records, feed[2..]);
    // Registering again moves nobody.
    world.ok(vec![register_consumer("slow", feed[7].cursor())]).await;
    assert_eq!(world.pruned(RECORDS).await, Pruned::new(0, 0, 2));
    world.ok(vec![advance_consumer("slow", feed[3].cursor())]).await;
    assert_eq!(consumer_cursor(&world.row(&CONSUMERS, "slow").await).unwrap(), feed[3].cursor());
    assert_eq!(world.pruned(up_to(3)).await, Pruned::new(1, 0, 3));
    assert_eq!(world.pruned(RECORDS).await, Pruned::new(1, 0, 4));
    let back = world.cause(vec![advance_consumer("slow", feed[2].cursor())]).await;
    assert_eq!(back, Cause::TestFailed { column: "position" });
    // The slowest is another now.
    world.ok(vec![advance_consumer("slow", feed[7].cursor())]).await;
    assert_eq!(world.pruned(RECORDS).await, Pruned::new(2, 0, 6));
    // One that is gone holds nothing.
    world.ok(vec![Write::delete(&CONSUMERS, "fast", 1)]).await;
    assert_eq!(world.pruned(RECORDS).await, Pruned::new(2, 0, 8));
    assert_eq!(world.store.get(&CONSUMERS, "fast").await.unwrap().value, None);
}
