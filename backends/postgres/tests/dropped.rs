//! Callers that go away: nothing is torn, nothing acknowledged is lost, no connection stays in a transaction.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apportion::store::{Cursor, Query, Scan, Store, StoreExt};
use apportion_postgres::{Isolation, PostgresOptions, PostgresStore};
use common::{Taken, Told, UNITS, check, database, ids, nothing_stays_open, open, rows, take, with_account};
use uuid::Uuid;

/// How many futures are dropped while they are under way.
const DROPS: usize = 1000;
/// How many others are answered, at least.
const ANSWERS: usize = 20;

/// Options under which the server does not end a transaction that was left open before a test has seen it.
fn patient() -> PostgresOptions {
    PostgresOptions::default().call_timeout(Duration::from_mins(2))
}

/// Does the work of many callers until a thousand futures were dropped which had begun and had no answer yet, and some
/// others were answered, however busy the machine is.
///
/// Every fourth caller waits for its answers; the others lose their patience, each time at another moment.
async fn hurried<T, W, F>(work: W) -> Vec<T>
where
    T: Send + 'static,
    W: Fn(bool, Duration) -> F + Clone + Send + 'static,
    F: Future<Output = (T, bool)> + Send,
{
    let dropped = Arc::new(AtomicUsize::new(0));
    let answered = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..40_u64)
        .map(|caller| {
            let (dropped, answered) = (Arc::clone(&dropped), Arc::clone(&answered));
            let work = work.clone();
            tokio::spawn(async move {
                let mut done = Vec::new();
                for round in 0_u64.. {
                    let enough = |count: &AtomicUsize, least| count.load(Ordering::Relaxed) >= least;
                    if enough(&dropped, DROPS) && enough(&answered, ANSWERS) {
                        break;
                    }
                    let patience = Duration::from_micros((caller * 131 + round * 977) % 9000);
                    let (told, was_dropped) = work(caller % 4 == 0, patience).await;
                    (if was_dropped { &dropped } else { &answered }).fetch_add(1, Ordering::Relaxed);
                    done.push(told);
                }
                done
            })
        })
        .collect();
    let mut all = Vec::new();
    for caller in callers {
        all.extend(caller.await.unwrap());
    }
    assert!(dropped.load(Ordering::Relaxed) >= DROPS);
    all
}

/// Commits, reads and looks, one behind the other and many at once, so that every connection is used again.
async fn probe(store: &Arc<PostgresStore>, owner: Uuid) -> Vec<Taken> {
    let probes: Vec<_> = (0..40)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let (batch, unit) = (ids().next_id(), ids().next_id());
                store.commit(take(batch, unit, owner)).await.unwrap();
                store.read(vec![Query::Scan(Scan::of(&UNITS))]).await.unwrap();
                store.resolve(batch).await.unwrap();
                Taken { batch, unit, told: Told::Yes }
            })
        })
        .collect();
    let mut taken = Vec::new();
    for probe in probes {
        taken.push(probe.await.unwrap());
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_dropped_commits_tear_nothing_and_leave_no_transaction_open() {
    for isolation in [Isolation::ReadCommitted, Isolation::Serializable] {
        let url = database();
        let store = open(&url, patient().isolation(isolation).max_connections(4).lanes(2)).await;
        let owner = with_account(&*store).await;
        let committing = Arc::clone(&store);
        let mut all = hurried(move |waits, patience| {
            let store = Arc::clone(&committing);
            async move {
                let (batch, unit) = (ids().next_id(), ids().next_id());
                let commit = store.commit(take(batch, unit, owner));
                let answer =
                    if waits { Ok(commit.await) } else { tokio::time::timeout(patience, commit).await };
                let told = match answer {
                    Ok(answer) => {
                        answer.unwrap();
                        Told::Yes
                    }
                    Err(_) => Told::Maybe,
                };
                (Taken { batch, unit, told }, told == Told::Maybe)
            }
        })
        .await;
        let told = |told| all.iter().filter(|one| one.told == told).count();
        assert!(
            told(Told::Maybe) >= DROPS && told(Told::Yes) >= ANSWERS,
            "{} were answered",
            told(Told::Yes)
        );
        all.extend(probe(&store, owner).await);
        nothing_stays_open(&url).await;
        check(&*store, &all).await;
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_dropped_reads_and_snapshots_leave_no_transaction_open() {
    let url = database();
    let store = open(&url, patient().max_connections(3)).await;
    let owner = with_account(&*store).await;
    let reading = Arc::clone(&store);
    hurried(move |_, patience| {
        let store = Arc::clone(&reading);
        async move {
            let work = async {
                match patience.as_micros() % 4 {
                    0 => drop(store.read(vec![Query::Scan(Scan::of(&UNITS))]).await),
                    1 => drop(store.changes(Cursor::START, 5).await),
                    2 => drop(store.resolve(ids().next_id()).await),
                    _ => {
                        if let Ok(snapshot) = store.snapshot().await {
                            drop(snapshot.read(vec![Query::Scan(Scan::of(&UNITS))]).await);
                        }
                    }
                }
            };
            ((), tokio::time::timeout(patience / 2, work).await.is_err())
        }
    })
    .await;
    // There is room for all the snapshots that there may be.
    let mut snapshots = Vec::new();
    while snapshots.len() < apportion::store::MAX_SNAPSHOTS {
        if let Ok(snapshot) = store.snapshot().await {
            snapshots.push(snapshot);
        }
    }
    drop(snapshots);
    let taken = probe(&store, owner).await;
    nothing_stays_open(&url).await;
    check(&*store, &taken).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_is_dropped_commits_what_it_accepted() {
    let url = database();
    let store = open(&url, PostgresOptions::default().max_group(4)).await;
    let owner = with_account(&*store).await;
    let ids = ids();
    let mut taken = Vec::new();
    for _ in 0..40 {
        let (batch, unit) = (ids.next_id(), ids.next_id());
        taken.push(Taken { batch, unit, told: Told::Maybe });
        let mut commit = Box::pin(store.commit(take(batch, unit, owner)));
        // Accepted, and then left alone.
        let poll =
            std::future::poll_fn(|context| std::task::Poll::Ready(commit.as_mut().poll(context).is_ready()));
        poll.await;
    }
    drop(store);
    let store = open(&url, PostgresOptions::default()).await;
    while rows(&*store, &UNITS).await.len() < 40 {
        tokio::task::yield_now().await;
    }
    check(&*store, &taken).await;
}
