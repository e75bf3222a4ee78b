//! Several handles on one file, as several processes have them.

mod common;

use std::time::Duration;

use apportion::store::{Batch, Cursor, Resolution, Store as _, StoreError, StoreExt as _, Write};
use apportion_sqlite::SqliteOptions;
use common::{ACCOUNTS, UNITS, account, check, feed, file, ids, open, open_with, rows, take, with_account};
use sqlx_core::executor::Executor as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forty_tasks_on_four_handles_share_ten_units() {
    let (_folder, path) = file();
    let ids = ids();
    let owner = ids.next_id();
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(open(&path).await);
    }
    stores[0].commit(Batch::new(ids.next_id(), "open").with(account(owner, "a", Some(10)))).await.unwrap();
    let tasks: Vec<_> = (0..40)
        .map(|at| {
            let (store, batch) = (stores[at % 4].clone(), take(ids.next_id(), ids.next_id(), owner));
            tokio::spawn(async move { store.commit(batch).await })
        })
        .collect();
    let mut accepted = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => accepted += 1,
            Err(error) => assert!(error.refusal().unwrap().names("accounts_unit_limit"), "{error:?}"),
        }
    }
    assert_eq!(accepted, 10);
    for store in &stores {
        assert_eq!(check(&**store, &[]).await, 10);
        assert_eq!(feed(&**store).await.len(), 11);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_one_handle_was_told_every_other_sees() {
    let (_folder, path) = file();
    let (first, second, ids) = (open(&path).await, open(&path).await, ids());
    let owner = with_account(&*first).await;
    for round in 0..50 {
        let (one, other) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        let (batch, unit) = (ids.next_id(), ids.next_id());
        let receipt = one.commit(take(batch, unit, owner)).await.unwrap();
        assert!(!receipt.repeated);
        let account = other.get(&ACCOUNTS, owner).await.unwrap().value.unwrap();
        assert_eq!(account.int("units").unwrap(), round + 1);
        assert!(matches!(other.resolve(batch).await.unwrap(), Resolution::Committed(_)));
        assert!(other.commit(take(batch, unit, owner)).await.unwrap().repeated);
    }
    first.close().await.unwrap();
    assert_eq!(rows(&*second, &UNITS).await.len(), 50);
    assert_eq!(second.changes(Cursor::START, 1000).await.unwrap().lag, 0);
}

#[tokio::test]
async fn a_commit_that_waits_too_long_for_another_program_did_not_happen() {
    let (_folder, path) = file();
    let store = open_with(&path, SqliteOptions::default().lock_timeout(Duration::from_millis(50))).await;
    let ids = ids();
    let owner = with_account(&*store).await;
    let mut other = common::other_program(&path).await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let (batch, unit) = (ids.next_id(), ids.next_id());
    let late = store.commit(take(batch, unit, owner)).await;
    assert!(matches!(late, Err(StoreError::Unavailable { .. })), "{late:?}");
    assert!(matches!(store.resolve(batch).await, Err(StoreError::Unavailable { .. })));
    assert!(rows(&*store, &UNITS).await.is_empty(), "reads do not wait");
    other.execute("ROLLBACK").await.unwrap();
    let receipt = store.commit(take(batch, unit, owner)).await.unwrap();
    assert!(!receipt.repeated);
    assert_eq!(check(&*store, &[]).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_group_that_waits_too_long_for_another_program_waits_once_and_not_for_each() {
    let (_folder, path) = file();
    let store = open_with(&path, SqliteOptions::default().lock_timeout(Duration::from_millis(50))).await;
    let ids = ids();
    let owner = with_account(&*store).await;
    let mut other = common::other_program(&path).await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let began = tokio::time::Instant::now();
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let (store, batch) = (store.clone(), take(ids.next_id(), ids.next_id(), owner));
            tokio::spawn(async move { store.commit(batch).await })
        })
        .collect();
    for call in calls {
        let late = call.await.unwrap();
        assert!(matches!(late, Err(StoreError::Unavailable { .. })), "{late:?}");
    }
    // Waiting for each, and for each half of the group before, would take more than six seconds.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    other.execute("ROLLBACK").await.unwrap();
    store.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
    assert_eq!(check(&*store, &[]).await, 1);
}

#[tokio::test]
async fn a_store_whose_tables_are_gone_says_so_and_does_not_panic() {
    let (_folder, path) = file();
    let (store, ids) = (open(&path).await, ids());
    let owner = with_account(&*store).await;
    let mut other = common::other_program(&path).await;
    other.execute("DROP TABLE apportion_units").await.unwrap();
    let error = store.get(&UNITS, owner).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    let error = store.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    // What does not need it still works, on another connection.
    let more = Batch::new(ids.next_id(), "more").with(Write::record(&ACCOUNTS, owner, "units", 1));
    store.commit(more).await.unwrap();
}

#[tokio::test]
async fn a_value_that_was_changed_by_hand_is_corrupt_and_named() {
    let (_folder, path) = file();
    let store = open(&path).await;
    with_account(&*store).await;
    let mut other = common::other_program(&path).await;
    other
        .execute("PRAGMA ignore_check_constraints = ON; UPDATE apportion_accounts SET id = x'00'")
        .await
        .unwrap();
    let all = store.scan_all(apportion::store::Scan::of(&ACCOUNTS)).await;
    let Err(StoreError::Corrupt { reason, .. }) = all else { panic!("{all:?}") };
    assert!(reason.contains("uuid"), "{reason}");
}
