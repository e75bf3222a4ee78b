//! What the store does beside the contract: shared syncs, groups, durability.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apportion::store::{Batch, Metrics, Query, Resolution, Scan, Store, StoreError, StoreExt};
use apportion_redb::{Durability, RedbOptions, RedbStore};
use common::{
    ACCOUNTS, MS, TABLES, UNITS, account, check, clock, feed, ids, open, rows, slow, take, with_account,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let ids = ids();
    let owner = ids.next_id();
    let store = open(&path);
    let first = Batch::new(ids.next_id(), "open").with(account(owner, "a", Some(2)));
    store.commit(first).await.unwrap();
    let batches: Vec<_> = (0..3).map(|_| take(ids.next_id(), ids.next_id(), owner)).collect();
    let names: Vec<_> = batches.iter().map(|batch| batch.id).collect();
    let answers = store.commit_many(batches).await;
    assert!(answers[0].is_ok() && answers[1].is_ok());
    assert_eq!(answers[2].as_ref().unwrap_err().code(), "ceiling");
    let before = (rows(&store, &ACCOUNTS).await, rows(&store, &UNITS).await, feed(&store).await);
    drop(store);

    let store = open(&path);
    let after = (rows(&store, &ACCOUNTS).await, rows(&store, &UNITS).await, feed(&store).await);
    assert_eq!(before, after);
    assert_eq!(after.1.len(), 2);
    assert_eq!(after.0[&owner].int("units").unwrap(), 2);
    let Resolution::Committed(receipt) = store.resolve(names[1]).await.unwrap() else {
        panic!("the receipt is gone");
    };
    assert_eq!(receipt.position, Some(3));
    assert_eq!(store.resolve(names[2]).await.unwrap(), Resolution::NotCommitted);
    store.close().await.unwrap();
    store.close().await.unwrap();
    let closed = store.read(vec![Query::Scan(Scan::of(&UNITS))]).await;
    assert!(matches!(closed, Err(StoreError::Closed)));
}

#[derive(Debug, Default)]
struct Figures {
    batches: AtomicUsize,
    groups: AtomicUsize,
    syncs: AtomicUsize,
    deepest: AtomicUsize,
}

impl Metrics for Figures {
    fn queue_depth(&self, batches: usize) {
        self.deepest.fetch_max(batches, Ordering::SeqCst);
    }

    fn group(&self, batches: usize, accepted: usize, _: Duration) {
        assert!(accepted <= batches);
        self.batches.fetch_add(batches, Ordering::SeqCst);
        self.groups.fetch_add(1, Ordering::SeqCst);
    }

    fn sync(&self, _: Duration) {
        self.syncs.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_callers_share_syncs_at_least_thirty_two_to_one() {
    let figures = Arc::new(Figures::default());
    let store = slow(3 * MS, RedbOptions::default().with_metrics(figures.clone()));
    let owner = with_account(&store).await;
    let before = store.syncs().unwrap();
    let ids = ids();
    let mut callers = Vec::new();
    for _ in 0..64 {
        let (store, ids) = (store.clone(), ids.clone());
        callers.push(tokio::spawn(async move {
            for _ in 0..32 {
                store.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let syncs = store.syncs().unwrap() - before;
    assert!(syncs <= 64, "{syncs} syncs for 2,048 batches");
    assert_eq!(rows(&*store, &ACCOUNTS).await[&owner].int("units").unwrap(), 2048);
    assert_eq!(feed(&*store).await.len(), 2049);
    assert_eq!(figures.batches.load(Ordering::SeqCst), 2049);
    assert!(figures.deepest.load(Ordering::SeqCst) > 1);
    assert!(figures.syncs.load(Ordering::SeqCst) >= figures.groups.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_many_batches_is_cut_into_groups_and_keeps_its_order() {
    let figures = Arc::new(Figures::default());
    let options = RedbOptions::default().max_group(7).with_metrics(figures.clone());
    let store = slow(Duration::ZERO, options);
    let owner = with_account(&store).await;
    let batches: Vec<_> = (0..50).map(|_| take(ids().next_id(), ids().next_id(), owner)).collect();
    let asked: Vec<_> = batches.iter().map(|batch| batch.id).collect();
    for answer in store.commit_many(batches).await {
        answer.unwrap();
    }
    let recorded: Vec<_> = feed(&*store).await.iter().skip(1).map(|record| record.batch).collect();
    assert_eq!(recorded, asked);
    assert_eq!(figures.groups.load(Ordering::SeqCst), 1 + 50_usize.div_ceil(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_full_durability_nothing_is_synced_until_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let options = RedbOptions::default().durability(Durability::ProcessCrash);
    let store = RedbStore::open_with(&path, &TABLES, clock(), options).unwrap();
    let owner = with_account(&store).await;
    for _ in 0..20 {
        store.commit(take(ids().next_id(), ids().next_id(), owner)).await.unwrap();
    }
    assert_eq!(store.syncs(), Some(0));
    // What the operating system holds is what a crashed process leaves.
    let left = folder.path().join("left.redb");
    std::fs::copy(&path, &left).unwrap();
    assert_eq!(check(&open(&left), &[]).await, 20);
    drop(store);
    assert_eq!(check(&open(&path), &[]).await, 20);
}

#[test]
fn a_store_works_outside_a_runtime() {
    let store = slow(Duration::ZERO, RedbOptions::default());
    let mut work = Box::pin(async {
        let owner = with_account(&store).await;
        let batch = take(ids().next_id(), ids().next_id(), owner).deadline(60_000 * MS);
        store.commit(batch).await.unwrap();
        assert_eq!(rows(&*store, &UNITS).await.len(), 1);
    });
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while work.as_mut().poll(&mut context).is_pending() {
        std::thread::sleep(MS);
    }
}
