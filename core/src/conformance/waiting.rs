//! Chapters "Commits" and "Time": deadlines, dropped futures, the clock.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use uuid::Uuid;

use super::tables::{ALL, SEATS, THINGS};
use super::world::{START, World, thing};
use crate::store::{NewRow, Resolution, StoreError, StoreExt, Write};
use crate::time::{Clock, Timestamp};

/// A clock by which every look takes a second.
#[derive(Debug, Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        START
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

pub(super) async fn a_passed_deadline_means_nothing_happened(world: World) {
    let store = world.harness.open(&ALL, Arc::new(Ticking::default())).await;
    let world = World { store, ..world };
    let id = world.id();
    let batch = world.batch(vec![Write::Insert(thing(id, "late"))]).deadline(Duration::from_millis(1));
    let error = world.store.commit(batch.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::DeadlineExceeded { .. }), "{error:?}");
    assert_eq!(world.find(&THINGS, id).await, None);
    assert_eq!(world.feed().await, []);
    // Only the one whose deadline passed is withdrawn.
    let patient = Duration::from_hours(1);
    let (first, last) = (world.id(), world.id());
    let group = vec![
        world.batch(vec![Write::Insert(thing(first, "first"))]),
        batch.clone(),
        world.batch(vec![Write::Insert(thing(last, "last"))]).deadline(patient),
    ];
    let answers = world.store.commit_many(group).await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(StoreError::DeadlineExceeded { .. })), "{answers:?}");
    assert_eq!(world.all(&THINGS).await.len(), 2);
    // It may be tried again under its id.
    let receipt = world.store.commit(batch.deadline(patient)).await.unwrap();
    assert!(!receipt.repeated);
    assert!(world.find(&THINGS, id).await.is_some());
}

/// A batch whose halves can be told: two rows, and one more use of a third.
struct Dropped {
    batch: Uuid,
    thing: Uuid,
    seat: Uuid,
}

pub(super) async fn a_dropped_commit_happens_whole_or_not_at_all(world: World) {
    let counted = world.thing("counted").await;
    let mut random = Pcg64Mcg::seed_from_u64(7);
    let mut dropped = Vec::new();
    for round in 0..120 {
        let (thing_id, seat) = (world.id(), world.id());
        let batch = world.batch(vec![
            Write::Insert(thing(thing_id, "dropped")),
            Write::record(&THINGS, counted, "uses", 1),
            Write::Insert(NewRow::new(&SEATS).set("id", seat).set("turn", i64::from(round))),
        ]);
        dropped.push(Dropped { batch: batch.id, thing: thing_id, seat });
        let store = Arc::clone(&world.store);
        let times = random.random_range(0..6);
        if round % 2 == 0 {
            let mut commit = Box::pin(async move { store.commit(batch).await });
            poll_some(commit.as_mut(), times).await;
        } else {
            let commit = tokio::spawn(async move { store.commit(batch).await });
            for _ in 0..times {
                tokio::task::yield_now().await;
            }
            commit.abort();
        }
    }
    let mut happened = 0;
    for one in &dropped {
        // What was not asked for before it was dropped can come no more.
        let resolution = world.store.resolve(one.batch).await.unwrap();
        let committed = matches!(resolution, Resolution::Committed(_));
        happened += i64::from(committed);
        let there =
            (world.find(&THINGS, one.thing).await.is_some(), world.find(&SEATS, one.seat).await.is_some());
        assert_eq!(there, (committed, committed), "a dropped commit happened by half");
    }
    let row = world.row(&THINGS, counted).await;
    assert_eq!(row.int("uses").unwrap(), happened);
    assert_eq!(i64::try_from(world.feed().await.len()), Ok(happened + 1));
    // The store goes on working, for one and for many.
    let group = (0..20).map(|_| world.batch(vec![Write::record(&THINGS, counted, "uses", 1)]));
    for answer in world.store.commit_many(group.collect()).await {
        answer.unwrap();
    }
    assert_eq!(world.row(&THINGS, counted).await.int("uses").unwrap(), happened + 20);
    reads_may_be_dropped_too(&world).await;
}

async fn poll_some<T>(mut commit: Pin<&mut (dyn Future<Output = T> + Send)>, times: u32) {
    for _ in 0..times {
        let done = commit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if done {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn reads_may_be_dropped_too(world: &World) {
    for times in 0..4 {
        let store = &world.store;
        poll_some(Box::pin(async { store.snapshot().await.map(drop) }).as_mut(), times).await;
        poll_some(
            Box::pin(async { store.changes(crate::store::Cursor::START, 5).await.map(drop) }).as_mut(),
            times,
        )
        .await;
        poll_some(Box::pin(async { store.resolve(world.id()).await.map(drop) }).as_mut(), times).await;
    }
    assert!(!world.all(&THINGS).await.is_empty());
}

pub(super) async fn store_time_never_runs_backwards(world: World) {
    let id = world.thing("row").await;
    let now = async || world.store.get(&THINGS, id).await.unwrap().now;
    assert_eq!(now().await, START);
    world.advance(Duration::from_secs(100));
    let later = START.plus(Duration::from_secs(100));
    assert_eq!(now().await, later);
    let receipt = world.ok(vec![Write::record(&THINGS, id, "uses", 1)]).await;
    assert_eq!(receipt.at, later);
    // The clock steps back: the store stands until the clock has caught up.
    world.clock.set(START.minus(Duration::from_secs(5)));
    assert_eq!(now().await, later);
    let receipt = world.ok(vec![Write::record(&THINGS, id, "uses", 1)]).await;
    assert_eq!(receipt.at, later);
    let group = (0..3).map(|_| world.batch(vec![Write::record(&THINGS, id, "uses", 1)]));
    for answer in world.store.commit_many(group.collect()).await {
        assert_eq!(answer.unwrap().at, later);
    }
    let snapshot = world.store.snapshot().await.unwrap();
    assert_eq!(snapshot.read(Vec::new()).await.unwrap().now, later);
    drop(snapshot);
    world.clock.set(later.plus(Duration::from_micros(1)));
    assert_eq!(now().await, later.plus(Duration::from_micros(1)));
    let receipt = world.ok(vec![Write::record(&THINGS, id, "uses", 1)]).await;
    assert_eq!(receipt.at, later.plus(Duration::from_micros(1)));
    let times: Vec<_> = world.feed().await.iter().map(|record| record.at).collect();
    assert!(times.is_sorted(), "{times:?}");
}
