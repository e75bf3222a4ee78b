//! What the store does, beside the conformance suite.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use apportion::store::{Query, Resolution, Scan, Store, StoreError, StoreExt};
use apportion_redb::{RedbOptions, RedbStore};
use common::{ACCOUNTS, TABLES, UNITS, account, clock, feed, ids, rows, take};

fn open(path: &std::path::Path) -> RedbStore {
    RedbStore::open(path, &TABLES, clock()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let ids = ids();
    let owner = ids.next_id();
    let store = open(&path);
    let first = apportion::store::Batch::new(ids.next_id(), "open").with(account(owner, "a", Some(2)));
    store.commit(first).await.unwrap();
    let mut answers = Vec::new();
    let batches: Vec<_> = (0..3)
        .map(|_| take(ids.next_id(), ids.next_id(), owner))
        .collect();
    let receipts: Vec<_> = batches.iter().map(|batch| batch.id).collect();
    answers.extend(store.commit_many(batches).await);
    assert!(answers[0].is_ok() && answers[1].is_ok());
    assert_eq!(answers[2].as_ref().unwrap_err().code(), "ceiling");
    let before = (
        rows(&store, &ACCOUNTS).await,
        rows(&store, &UNITS).await,
        feed(&store).await,
    );
    drop(store);

    let store = open(&path);
    let after = (
        rows(&store, &ACCOUNTS).await,
        rows(&store, &UNITS).await,
        feed(&store).await,
    );
    assert_eq!(before, after);
    assert_eq!(after.1.len(), 2);
    assert_eq!(after.0[&owner].int("units").unwrap(), 2);
    let by_state = Scan::of(&UNITS).by("units_by_state").with("new").descending();
    assert_eq!(store.scan(by_state).await.unwrap().value.rows.len(), 2);
    let Resolution::Committed(receipt) = store.resolve(receipts[1]).await.unwrap() else {
        panic!("the receipt is gone");
    };
    assert_eq!(receipt.position, Some(3));
    assert_eq!(
        store.resolve(receipts[2]).await.unwrap(),
        Resolution::NotCommitted
    );
    store.close().await.unwrap();
    store.close().await.unwrap();
    let closed = store.read(vec![Query::Scan(Scan::of(&UNITS))]).await;
    assert!(matches!(closed, Err(StoreError::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_at_once_share_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(
        RedbStore::open_with(
            folder.path().join("store.redb"),
            &TABLES,
            clock(),
            RedbOptions::default(),
        )
        .unwrap(),
    );
    let ids = ids();
    let owner = ids.next_id();
    let first = apportion::store::Batch::new(ids.next_id(), "open").with(account(owner, "a", None));
    store.commit(first).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..64 {
        let (store, ids) = (store.clone(), ids.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..50 {
                store
                    .commit(take(ids.next_id(), ids.next_id(), owner))
                    .await
                    .unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(rows(&*store, &ACCOUNTS).await[&owner].int("units").unwrap(), 3200);
    assert_eq!(feed(&*store).await.len(), 3201);
    let syncs = store.syncs().unwrap();
    assert!(syncs < 1000, "{syncs} syncs");
    eprintln!("{syncs} syncs, {} bytes", store.file_bytes());
}
