//! Callers that go away: nothing is torn, nothing acknowledged is lost, no connection stays in a transaction.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use apportion::store::{Cursor, Query, Scan, Store, StoreExt};
use apportion_postgres::{Isolation, PostgresOptions, PostgresStore};
use common::{Taken, Told, UNITS, check, database, ids, open, open_transactions, rows, take, with_account};
use uuid::Uuid;

/// Commits, each given up after its own patience; what each was told.
async fn hurried(store: &Arc<PostgresStore>, owner: Uuid, callers: u64, rounds: u64) -> Vec<Taken> {
    let ids = ids();
    let callers: Vec<_> = (0..callers)
        .map(|caller| {
            let (store, ids) = (Arc::clone(store), Arc::clone(&ids));
            tokio::spawn(async move {
                let mut taken = Vec::new();
                for round in 0..rounds {
                    let (batch, unit) = (ids.next_id(), ids.next_id());
                    // Every fourth waits for its answer.
                    let hasty = Duration::from_micros((caller * 131 + round * 977) % 9000);
                    let patience = if caller % 4 == 0 { Duration::from_mins(1) } else { hasty };
                    let told =
                        match tokio::time::timeout(patience, store.commit(take(batch, unit, owner))).await {
                            Ok(answer) => {
                                answer.unwrap();
                                Told::Yes
                            }
                            Err(_) => Told::Maybe,
                        };
                    taken.push(Taken { batch, unit, told });
                }
                taken
            })
        })
        .collect();
    let mut all = Vec::new();
    for caller in callers {
        all.extend(caller.await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_dropped_commits_tear_nothing_and_leave_no_transaction_open() {
    for isolation in [Isolation::ReadCommitted, Isolation::Serializable] {
        let url = database();
        let store =
            open(&url, PostgresOptions::default().isolation(isolation).max_connections(4).lanes(2)).await;
        let owner = with_account(&*store).await;
        let all = hurried(&store, owner, 40, 25).await;
        let told = |told| all.iter().filter(|one| one.told == told).count();
        assert_eq!(all.len(), 1000);
        assert!(told(Told::Yes) >= 250 && told(Told::Maybe) > 100, "{} were answered", told(Told::Yes));
        // Closing waits for what was accepted.
        store.close().await.unwrap();
        assert_eq!(open_transactions(&url), 0);
        check(&*open(&url, PostgresOptions::default()).await, &all).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dropped_reads_and_snapshots_leave_no_transaction_open() {
    let url = database();
    let store = open(&url, PostgresOptions::default().max_connections(3)).await;
    let owner = with_account(&*store).await;
    let callers: Vec<_> = (0..300_u64)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let patience = Duration::from_micros(caller * 37 % 5000);
                let work = async {
                    match caller % 4 {
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
                drop(tokio::time::timeout(patience, work).await);
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    // There is room for all the snapshots that there may be.
    let mut snapshots = Vec::new();
    while snapshots.len() < apportion::store::MAX_SNAPSHOTS {
        if let Ok(snapshot) = store.snapshot().await {
            snapshots.push(snapshot);
        }
    }
    drop(snapshots);
    let (batch, unit) = (ids().next_id(), ids().next_id());
    store.commit(take(batch, unit, owner)).await.unwrap();
    check(&*store, &[Taken { batch, unit, told: Told::Yes }]).await;
    store.close().await.unwrap();
    assert_eq!(open_transactions(&url), 0);
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
