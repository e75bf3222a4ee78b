//! Futures that are dropped at any moment tear nothing.

mod common;

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use apportion::store::{Prune, Resolution, Scan, Store, StoreExt as _};
use common::{Taken, Told, UNITS, check, file, ids, open, rows, take, with_account};

/// A moment within what a commit takes, another one each round.
fn moment(round: u64) -> Duration {
    Duration::from_micros(round * 37 % 4_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dropped_commit_happens_whole_or_not_at_all() {
    let (_folder, path) = file();
    let (store, ids) = (open(&path).await, ids());
    let owner = with_account(&*store).await;
    let mut taken = Vec::new();
    for round in 0..300 {
        let (batch, unit) = (ids.next_id(), ids.next_id());
        let told = match tokio::time::timeout(moment(round), store.commit(take(batch, unit, owner))).await {
            Ok(answer) => answer.map(|_| Told::Yes).unwrap(),
            Err(_) => Told::Maybe,
        };
        taken.push(Taken { batch, unit, told });
    }
    // What was dropped is under way for a while yet.
    store.close().await.unwrap();
    let store = open(&path).await;
    let units = check(&*store, &taken).await;
    let dropped = taken.iter().filter(|one| one.told == Told::Maybe).count();
    assert!(dropped > 20 && units > 0, "{dropped} were dropped, {units} happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dropped_reads_resolutions_and_snapshots_leave_a_store_that_works() {
    let (_folder, path) = file();
    let (store, ids) = (open(&path).await, ids());
    let owner = with_account(&*store).await;
    let takes = (0..500).map(|_| take(ids.next_id(), ids.next_id(), owner)).collect();
    assert!(store.commit_many(takes).await.iter().all(Result::is_ok));
    for round in 0..200 {
        let most = moment(round);
        let scan = Scan::of(&UNITS).limit(1000);
        drop(tokio::time::timeout(most, store.scan(scan.clone())).await);
        drop(tokio::time::timeout(most, store.resolve(ids.next_id())).await);
        drop(tokio::time::timeout(most, store.snapshot()).await);
        drop(tokio::time::timeout(most, store.prune(Prune::up_to(0))).await);
        let snapshot = store.snapshot().await.unwrap();
        drop(
            tokio::time::timeout(most, snapshot.read(vec![apportion::store::Query::Scan(scan.clone())]))
                .await,
        );
        let again = snapshot.read(vec![apportion::store::Query::Scan(scan)]).await.unwrap();
        assert_eq!(again.answers.len(), 1);
    }
    let (batch, unit) = (ids.next_id(), ids.next_id());
    store.commit(take(batch, unit, owner)).await.unwrap();
    assert!(matches!(store.resolve(batch).await.unwrap(), Resolution::Committed(_)));
    assert_eq!(rows(&*store, &UNITS).await.len(), 501);
}

/// What a future gives when it is polled so many times, and then dropped.
async fn polled<T>(times: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..times {
        if let Poll::Ready(done) = futures_util::poll!(&mut future) {
            return Some(done);
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dropped_batch_of_a_transaction_is_undone_or_was_answered() {
    let (_folder, path) = file();
    let (store, ids) = (open(&path).await, ids());
    let owner = with_account(&*store).await;
    let (mut expected, mut dropped, mut torn) = (0, 0, 0);
    for round in 0..200 {
        let bound = store.begin().await.unwrap();
        let inside: &dyn Store = &bound;
        inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
        let second = inside.commit(take(ids.next_id(), ids.next_id(), owner));
        if let Some(answer) = polled(round % 40, second).await {
            answer.unwrap();
            expected += 2;
        } else {
            dropped += 1;
            expected += 1;
            // It may have been dropped before it began.
            if bound.commit().await.is_ok() {
                continue;
            }
            torn += 1;
            assert!(inside.get(&UNITS, ids.next_id()).await.unwrap().value.is_none());
        }
        bound.commit().await.unwrap();
    }
    let found = check(&*store, &[]).await;
    assert_eq!(found, expected);
    assert!(torn > 10, "{dropped} were dropped, {torn} of them had begun");
}
