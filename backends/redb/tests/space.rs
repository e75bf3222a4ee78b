//! Space in the file: compaction, and what snapshots hold.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use apportion::store::{
    Batch, NewRow, Prune, Query, SNAPSHOT_LIFETIME, Scan, Store, StoreError, StoreExt, Write,
};
use apportion::time::ManualClock;
use apportion_redb::{RedbOptions, RedbStore};
use common::{ACCOUNTS, TABLES, UNITS, clock, ids, rows, slow, take, with_account};
use redb::backends::InMemoryBackend;
use uuid::Uuid;

/// Many large rows, deleted again.
async fn churn(store: &RedbStore, owner: Uuid) {
    let ids = ids();
    let label = "x".repeat(50);
    for _ in 0..10 {
        let units: Vec<_> = (0..400).map(|_| ids.next_id()).collect();
        let mut fill = Batch::new(ids.next_id(), "fill");
        let mut empty = Batch::new(ids.next_id(), "empty");
        for unit in &units {
            let row = NewRow::new(&UNITS).set("id", *unit).set("account_id", owner).set("state", "new");
            fill.push(Write::Insert(row.set("label", format!("{label}{}", &unit.to_string()[24..]))));
            empty.push(Write::delete(&UNITS, *unit, 1));
        }
        store.commit(fill).await.unwrap();
        store.commit(empty).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_gives_space_back_unless_a_snapshot_needs_it() {
    let clock = Arc::new(ManualClock::new(clock().now()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = RedbStore::open(&path, &TABLES, clock.clone()).unwrap();
    let owner = with_account(&store).await;
    let snapshot = store.snapshot().await.unwrap();
    churn(&store, owner).await;
    assert_eq!(store.prune(Prune::up_to(u64::MAX)).await.unwrap().records, 21);
    assert!(matches!(store.compact().await, Err(StoreError::Busy { .. })));
    let scan = || vec![Query::Scan(Scan::of(&ACCOUNTS))];
    snapshot.read(scan()).await.unwrap();

    clock.advance(SNAPSHOT_LIFETIME);
    let large = store.file_bytes();
    assert_eq!(large, std::fs::metadata(&path).unwrap().len());
    assert!(store.compact().await.unwrap());
    assert!(matches!(snapshot.read(scan()).await, Err(StoreError::SnapshotExpired)));
    assert!(store.file_bytes() < large / 2, "{} of {large}", store.file_bytes());
    assert_eq!(rows(&store, &ACCOUNTS).await.len(), 1);
    store.commit(take(ids().next_id(), ids().next_id(), owner)).await.unwrap();
    assert_eq!(rows(&store, &UNITS).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_snapshot_stops_holding_space_when_it_expires() {
    let grown = |expire: bool| async move {
        let clock = Arc::new(ManualClock::new(clock().now()));
        let store =
            RedbStore::open_backend(InMemoryBackend::new(), &TABLES, clock.clone(), RedbOptions::default());
        let store = store.unwrap();
        let owner = with_account(&store).await;
        // Held to the end, and read no more.
        let _snapshot = store.snapshot().await.unwrap();
        if expire {
            clock.advance(SNAPSHOT_LIFETIME);
        }
        for _ in 0..5 {
            churn(&store, owner).await;
            store.prune(Prune::up_to(u64::MAX)).await.unwrap();
        }
        store.file_bytes()
    };
    let (held, expired) = (grown(false).await, grown(true).await);
    assert!(expired < held, "{expired} of {held}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_snapshots() {
    let store = slow(Duration::ZERO, RedbOptions::default());
    with_account(&store).await;
    let snapshot = store.snapshot().await.unwrap();
    store.close().await.unwrap();
    let answer = snapshot.read(vec![Query::Scan(Scan::of(&ACCOUNTS))]).await;
    assert!(matches!(answer, Err(StoreError::SnapshotExpired)));
}
