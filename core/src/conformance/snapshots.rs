//! Chapter "Reading": snapshots.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::tables::{BUDGETS, THINGS};
use super::world::{World, snapshot_rows, thing};
use crate::store::{
    Answer, Key, MAX_SNAPSHOTS, NewRow, Query, Row, SNAPSHOT_LIFETIME, Scan, Snapshot, StoreError, Value,
    Write,
};

pub(super) async fn a_snapshot_is_consistent_and_stands_still(world: World) {
    stands_still(&world).await;
    is_consistent(&world).await;
}

async fn stands_still(world: &World) {
    let (kept, gone) = (world.thing("kept").await, world.thing("gone").await);
    let before = world.all(&THINGS).await;
    let snapshot = world.store.snapshot().await.unwrap();
    let fresh = world.thing("fresh").await;
    world
        .ok(vec![
            Write::update(&THINGS, kept, 1, vec![("name", "other".into()), ("number", Value::from(1_i64))]),
            Write::delete(&THINGS, gone, 1),
        ])
        .await;
    world.ok(vec![Write::record(&THINGS, kept, "uses", 9)]).await;
    let by_number = Scan::of(&THINGS).by("things_by_number");
    for _ in 0..2 {
        assert_eq!(snapshot_rows(&*snapshot, Scan::of(&THINGS)).await, before);
        assert_eq!(snapshot_rows(&*snapshot, by_number.clone().limit(1)).await, before);
        let get = |key| Query::Get { table: &THINGS, key };
        let queries = vec![
            get(Key::from(gone)),
            get(Key::from(fresh)),
            Query::Count(by_number.clone().with(Value::Null)),
        ];
        let reads = snapshot.read(queries).await.unwrap();
        let [Answer::Row(Some(row)), Answer::Row(None), Answer::Count(count)] = reads.answers.as_slice()
        else {
            panic!("a snapshot moved: {reads:?}");
        };
        assert_eq!((row, count.rows), (&before[1], 2));
    }
    // A later one sees everything.
    let snapshot = world.store.snapshot().await.unwrap();
    assert_eq!(snapshot_rows(&*snapshot, Scan::of(&THINGS)).await, world.all(&THINGS).await);
}

/// Units move between rows, so their sum never changes; no snapshot may see one that is under way.
async fn is_consistent(world: &World) {
    let mut budgets = Vec::new();
    for _ in 0..8 {
        let id = world.id();
        world.ok(vec![Write::Insert(NewRow::new(&BUDGETS).set("id", id).set("gpus", 100_i64))]).await;
        budgets.push(id);
    }
    let done = Arc::new(AtomicBool::new(false));
    let movers = (0..6_usize).map(|mover| {
        let (world, budgets, done) = (world.clone(), budgets.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            for round in 0.. {
                if done.load(Ordering::Relaxed) || round == 500 {
                    break;
                }
                let (from, to) = (budgets[(mover + round) % 8], budgets[(mover * 3 + round * 5 + 1) % 8]);
                let row = Write::Insert(thing(world.id(), "moved"));
                let writes = vec![
                    Write::record(&BUDGETS, from, "gpus", -1),
                    Write::record(&BUDGETS, to, "gpus", 1),
                    row,
                ];
                drop(world.commit(writes).await);
            }
        })
    });
    let movers: Vec<_> = movers.collect();
    for _ in 0..12 {
        let snapshot = world.store.snapshot().await.unwrap();
        let first = sum_and_things(&*snapshot).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(sum_and_things(&*snapshot).await, first, "a snapshot moved");
        assert_eq!(first.0, 800, "a snapshot saw half a batch");
    }
    done.store(true, Ordering::Relaxed);
    for mover in movers {
        mover.await.unwrap();
    }
}

async fn sum_and_things(snapshot: &dyn Snapshot) -> (i64, Vec<Row>) {
    let budgets = snapshot_rows(snapshot, Scan::of(&BUDGETS).limit(3)).await;
    let sum = budgets.iter().map(|row| row.int("gpus").unwrap()).sum();
    (sum, snapshot_rows(snapshot, Scan::of(&THINGS).limit(50)).await)
}

pub(super) async fn snapshots_are_capped_and_expire(world: World) {
    let id = world.thing("row").await;
    let mut open = Vec::new();
    for _ in 0..MAX_SNAPSHOTS {
        open.push(world.store.snapshot().await.unwrap());
    }
    let error = world.store.snapshot().await.unwrap_err();
    assert!(matches!(error, StoreError::Busy { limit, .. } if limit == MAX_SNAPSHOTS), "{error:?}");
    // The store is not disturbed, and one that is dropped makes room.
    world.ok(vec![Write::record(&THINGS, id, "uses", 1)]).await;
    open.pop();
    open.push(room(&world).await);
    world.advance(SNAPSHOT_LIFETIME.saturating_sub(Duration::from_secs(1)));
    for snapshot in &open {
        assert_eq!(snapshot_rows(&**snapshot, Scan::of(&THINGS)).await.len(), 1);
    }
    world.advance(Duration::from_secs(2));
    for snapshot in &open {
        let error = snapshot.read(vec![Query::Scan(Scan::of(&THINGS))]).await.unwrap_err();
        assert!(matches!(error, StoreError::SnapshotExpired), "{error:?}");
    }
    open.clear();
    let fresh = room(&world).await;
    let rows = snapshot_rows(&*fresh, Scan::of(&THINGS)).await;
    assert_eq!(rows, world.all(&THINGS).await);
}

/// A snapshot, as soon as a dropped one has made room: a backend may need a moment for it.
async fn room(world: &World) -> Arc<dyn Snapshot> {
    for _ in 0..200 {
        match world.store.snapshot().await {
            Err(StoreError::Busy { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
            other => return other.unwrap(),
        }
    }
    panic!("a dropped snapshot made no room");
}
