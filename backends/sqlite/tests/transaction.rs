//! The application's own transaction: its statements and the store's batches happen together or not at all.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::entity;
use apportion::plane::NewUser;
use apportion::store::{
    Batch, Cursor, Prune, Query, Resolution, Scan, Store, StoreError, StoreExt as _, Write,
};
use apportion::time::SystemClock;
use apportion_sqlite::{SqliteOptions, SqliteStore};
use common::{
    ACCOUNTS, MS, UNITS, account, check, feed, file, ids, open, open_with, other_program, rows, take,
    with_account,
};
use sqlx_core::executor::Executor as _;
use sqlx_core::row::Row as _;
use uuid::Uuid;

async fn invoices(path: &Path) -> i64 {
    let mut connection = other_program(path).await;
    connection.fetch_one("SELECT count(*) FROM invoices").await.unwrap().get(0)
}

/// A store beside a table of the application's.
async fn hosted(path: &Path) -> Arc<SqliteStore> {
    other_program(path).await.execute("CREATE TABLE invoices (amount INTEGER)").await.unwrap();
    open_with(path, SqliteOptions::default().lock_timeout(Duration::from_millis(300))).await
}

#[tokio::test]
async fn statements_and_batches_happen_together() {
    let (_folder, path) = file();
    let (store, ids) = (hosted(&path).await, ids());
    let owner = with_account(&*store).await;
    let bound = store.begin().await.unwrap();
    let inside: &dyn Store = &bound;
    bound.sql().await.unwrap().execute("INSERT INTO invoices VALUES (7)").await.unwrap();
    let (batch, unit) = (ids.next_id(), ids.next_id());
    let receipt = inside.commit(take(batch, unit, owner)).await.unwrap();
    assert!(!receipt.repeated);
    assert!(inside.get(&UNITS, unit).await.unwrap().value.is_some(), "it sees what it did");
    assert!(store.get(&UNITS, unit).await.unwrap().value.is_none(), "nobody else does");
    assert_eq!(store.syncs(), Some(1));
    bound.commit().await.unwrap();
    assert_eq!(store.syncs(), Some(2));
    assert_eq!((invoices(&path).await, check(&*store, &[]).await), (1, 1));
    assert_eq!(feed(&*store).await.len(), 2);
    // It has ended.
    let again = inside.commit(take(ids.next_id(), ids.next_id(), owner)).await;
    assert!(matches!(again, Err(StoreError::Unavailable { .. })), "{again:?}");
    assert!(bound.sql().await.is_err());
    // Whoever asks again is told how.
    bound.commit().await.unwrap();
    let undone = bound.rollback().await;
    assert!(matches!(undone, Err(StoreError::Invalid { .. })), "{undone:?}");
    inside.close().await.unwrap();
    assert_eq!((invoices(&path).await, check(&*store, &[]).await), (1, 1));
}

#[tokio::test]
async fn what_is_rolled_back_or_dropped_leaves_nothing() {
    let (_folder, path) = file();
    let (store, ids) = (hosted(&path).await, ids());
    let owner = with_account(&*store).await;
    for dropped in [false, true] {
        let bound = store.begin().await.unwrap();
        let inside: &dyn Store = &bound;
        bound.sql().await.unwrap().execute("INSERT INTO invoices VALUES (7)").await.unwrap();
        let batch = ids.next_id();
        inside.commit(take(batch, ids.next_id(), owner)).await.unwrap();
        if dropped {
            drop(bound);
        } else {
            bound.rollback().await.unwrap();
        }
        // The same request happens later, as if it had never been made.
        let receipt = store.commit(take(batch, ids.next_id(), owner)).await.unwrap();
        assert!(!receipt.repeated);
    }
    assert_eq!((invoices(&path).await, check(&*store, &[]).await), (0, 2));
    assert_eq!(feed(&*store).await.len(), 3);
}

#[tokio::test]
async fn a_refusal_is_data_and_the_transaction_goes_on() {
    let (_folder, path) = file();
    let (store, ids) = (hosted(&path).await, ids());
    let owner = with_account(&*store).await;
    let bound = store.begin().await.unwrap();
    let inside: &dyn Store = &bound;
    bound.sql().await.unwrap().execute("INSERT INTO invoices VALUES (7)").await.unwrap();
    let batch = Batch::new(ids.next_id(), "twice")
        .with(Write::record(&ACCOUNTS, owner, "units", 5))
        .with(account(ids.next_id(), "a", None));
    let refused = inside.commit(batch).await.unwrap_err();
    assert!(refused.refusal().unwrap().names("accounts_name"), "{refused:?}");
    let repeated = ids.next_id();
    let unit = ids.next_id();
    let answers = inside
        .commit_many(vec![
            take(repeated, unit, owner),
            take(ids.next_id(), unit, owner),
            take(ids.next_id(), ids.next_id(), ids.next_id()),
            take(ids.next_id(), ids.next_id(), owner),
        ])
        .await;
    let accepted: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [true, false, false, true]);
    assert!(inside.commit(take(repeated, unit, owner)).await.unwrap().repeated);
    bound.commit().await.unwrap();
    assert_eq!((invoices(&path).await, check(&*store, &[]).await), (1, 2));
}

#[tokio::test]
async fn what_cannot_be_had_inside_is_invalid() {
    let (_folder, path) = file();
    let store = hosted(&path).await;
    let bound = store.begin().await.unwrap();
    let inside: &dyn Store = &bound;
    for error in [
        inside.snapshot().await.err(),
        inside.changes(Cursor::START, 10).await.err(),
        inside.resolve(ids().next_id()).await.err(),
        inside.prune(Prune::up_to(0)).await.err(),
        inside.read(vec![Query::Scan(Scan::of(&UNITS).limit(0))]).await.err(),
    ] {
        assert!(matches!(error, Some(StoreError::Invalid { .. })), "{error:?}");
    }
    bound.commit().await.unwrap();
}

#[tokio::test]
async fn everybody_else_waits_for_a_transaction_and_is_told_when_it_takes_too_long() {
    let (_folder, path) = file();
    let (store, ids) = (hosted(&path).await, ids());
    let owner = with_account(&*store).await;
    let bound = store.begin().await.unwrap();
    let late = store.commit(take(ids.next_id(), ids.next_id(), owner)).await;
    assert!(matches!(late, Err(StoreError::Unavailable { .. })), "{late:?}");
    let late = store.begin().await;
    assert!(matches!(late, Err(StoreError::Unavailable { .. })), "{late:?}");
    let waiting = {
        let (store, ids) = (store.clone(), ids.clone());
        tokio::spawn(async move { store.commit(take(ids.next_id(), ids.next_id(), owner)).await })
    };
    bound.rollback().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(check(&*store, &[]).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_is_always_busy_does_not_keep_the_application_from_beginning() {
    let (_folder, path) = file();
    let options = SqliteOptions::default().lock_timeout(Duration::from_secs(1));
    let (store, ids) = (open_with(&path, options).await, ids());
    let owner = with_account(&*store).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..64)
        .map(|_| {
            let (store, ids, stop) = (store.clone(), ids.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut committed = 0;
                while !stop.load(Ordering::Relaxed) {
                    let takes = (0..10).map(|_| take(ids.next_id(), ids.next_id(), owner)).collect();
                    let answers = store.commit_many(takes).await;
                    committed += answers.into_iter().map(Result::unwrap).count();
                }
                committed
            })
        })
        .collect();
    let mut most = 0;
    for _ in 0..20 {
        let before = store.syncs().unwrap();
        let bound = store.begin().await.unwrap();
        most = most.max(store.syncs().unwrap() - before);
        let inside: &dyn Store = &bound;
        inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
        bound.commit().await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let mut committed = 20;
    for writer in writers {
        committed += writer.await.unwrap();
    }
    println!("{committed} commits; no transaction of 20 waited for more than {most} groups");
    // The one that is under way, and one that was about to begin.
    assert!(most <= 3, "{most}");
    assert_eq!(check(&*store, &[]).await, committed);
}

/// How many connections to a file this process has.
#[cfg(target_os = "linux")]
fn connections(path: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|found| std::fs::read_link(found.path()).is_ok_and(|to| to == path)).count()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_to_begin_has_no_connection_yet() {
    let (_folder, path) = file();
    let store = hosted(&path).await;
    let bound = store.begin().await.unwrap();
    let before = connections(&path);
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.begin().await.map(drop) })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(150)).await;
    let more = connections(&path) - before;
    assert!(more <= 1, "{more}");
    bound.rollback().await.unwrap();
    for waits in waiting {
        waits.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn who_keeps_the_connection_lent_is_told_and_not_kept_waiting_for_ever() {
    let (_folder, path) = file();
    let (store, ids) = (hosted(&path).await, ids());
    let owner = with_account(&*store).await;
    let bound = store.begin().await.unwrap();
    let inside: &dyn Store = &bound;
    let lent = bound.sql().await.unwrap();
    let calls = async {
        [
            inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.map(drop),
            inside.get(&UNITS, owner).await.map(drop),
            bound.sql().await.map(drop),
            bound.commit().await,
            bound.rollback().await,
        ]
    };
    let told = tokio::time::timeout(Duration::from_secs(10), calls).await.unwrap();
    for error in told {
        assert!(error.unwrap_err().to_string().contains("let go of what sql() gave"));
    }
    drop(lent);
    // Nothing of it happened, and the transaction goes on.
    inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
    bound.commit().await.unwrap();
    assert_eq!(check(&*store, &[]).await, 1);
}

/// Polls a future so many times, and drops it.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) {
    let mut future = pin!(future);
    for _ in 0..polls {
        if std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await.is_ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_transaction_that_has_ended_is_not_taken_for_another_whoever_goes_away_meanwhile() {
    let (_folder, path) = file();
    let (store, ids) = (hosted(&path).await, ids());
    let owner = with_account(&*store).await;
    for polls in 0..6 {
        for ends in [true, false] {
            let bound = store.begin().await.unwrap();
            let inside: &dyn Store = &bound;
            let sql = if ends { "ROLLBACK" } else { "SELECT 1" };
            bound.sql().await.unwrap().execute(sql).await.unwrap();
            dropped_after(polls, inside.get(&UNITS, owner)).await;
            let batch = take(ids.next_id(), ids.next_id(), owner);
            let answer = inside.commit(batch).await;
            assert_eq!(answer.is_err(), ends, "after {polls} polls: {answer:?}");
            assert_eq!(bound.commit().await.is_err(), ends);
        }
    }
    assert_eq!(check(&*store, &[]).await, 6);
}

#[tokio::test]
async fn a_transaction_that_the_application_ended_itself_takes_no_batches() {
    let (_folder, path) = file();
    let (store, ids) = (hosted(&path).await, ids());
    let owner = with_account(&*store).await;
    let bound = store.begin().await.unwrap();
    let inside: &dyn Store = &bound;
    bound.sql().await.unwrap().execute("ROLLBACK").await.unwrap();
    // Outside of a transaction it would be committed at once.
    let error = inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(bound.commit().await.is_err());
    assert_eq!(check(&*store, &[]).await, 0);
}

#[tokio::test]
async fn savepoints_of_the_application_and_of_the_store_get_along() {
    let (_folder, path) = file();
    let (store, ids) = (hosted(&path).await, ids());
    let owner = with_account(&*store).await;
    let bound = store.begin().await.unwrap();
    let inside: &dyn Store = &bound;
    inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
    bound.sql().await.unwrap().execute("SAVEPOINT mine").await.unwrap();
    inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
    bound.sql().await.unwrap().execute("ROLLBACK TO mine").await.unwrap();
    inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
    bound.sql().await.unwrap().execute("RELEASE mine").await.unwrap();
    inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
    bound.commit().await.unwrap();
    assert_eq!(check(&*store, &[]).await, 3);
    assert_eq!(feed(&*store).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_works_in_a_transaction() {
    let (_folder, path) = file();
    let clock = Arc::new(SystemClock::new());
    let store = Arc::new(SqliteStore::open(&path, entity::TABLES, clock).await.unwrap());
    let ada = || NewUser::new("ada@example.org", "Ada");
    for commits in [false, true] {
        let bound = Arc::new(store.begin().await.unwrap());
        let plane = ControlPlane::new(bound.clone());
        plane.create_user(ada()).await.unwrap();
        assert!(plane.create_user(ada()).await.is_err(), "the address is taken");
        if commits { bound.commit().await.unwrap() } else { bound.rollback().await.unwrap() }
    }
    assert!(ControlPlane::new(store.clone()).create_user(ada()).await.is_err(), "the address is taken");
    assert_eq!(rows(&*store, &entity::USERS).await.len(), 1);
    drop(open(&path));
}

/// The receipts that are no batch's.
async fn receipts_of_transactions(path: &Path) -> Vec<Uuid> {
    let sql = "SELECT batch FROM apportion_kernel_receipts WHERE fingerprint = zeroblob(16) ORDER BY batch";
    let rows = other_program(path).await.fetch_all(sql).await.unwrap();
    rows.iter().map(|row| Uuid::from_slice(row.get(0)).unwrap()).collect()
}

#[tokio::test]
async fn a_transaction_in_which_a_batch_was_tried_has_a_receipt_of_its_own() {
    let (_folder, path) = file();
    let (store, ids) = (hosted(&path).await, ids());
    let owner = with_account(&*store).await;
    for (tries, commits) in [(false, true), (true, false), (true, true)] {
        let bound = store.begin().await.unwrap();
        let inside: &dyn Store = &bound;
        bound.sql().await.unwrap().execute("INSERT INTO invoices VALUES (7)").await.unwrap();
        if tries {
            bound.sql().await.unwrap().execute("SAVEPOINT mine").await.unwrap();
            inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
            bound.sql().await.unwrap().execute("ROLLBACK TO mine").await.unwrap();
        }
        if commits {
            bound.commit().await.unwrap();
        } else {
            bound.rollback().await.unwrap();
        }
        assert_eq!(receipts_of_transactions(&path).await.len(), usize::from(tries && commits));
    }
    let id = receipts_of_transactions(&path).await.pop().unwrap();
    let Resolution::Committed(receipt) = store.resolve(id).await.unwrap() else { panic!("it was committed") };
    assert_eq!(receipt.batch, id);
    let reused = store.commit(take(id, ids.next_id(), owner)).await;
    assert!(matches!(reused, Err(StoreError::UnusableId { .. })), "{reused:?}");
    assert_eq!((invoices(&path).await, check(&*store, &[]).await), (2, 0));
    assert_eq!(feed(&*store).await.len(), 1, "a transaction's receipt is no record");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_again_after_a_dropped_commit_is_told_what_it_came_to() {
    let (_folder, path) = file();
    other_program(&path).await.execute("CREATE TABLE invoices (amount INTEGER)").await.unwrap();
    let (store, ids) = (open_with(&path, SqliteOptions::default().slow_commits(100 * MS)).await, ids());
    let owner = with_account(&*store).await;
    for round in 0..3 {
        let bound = store.begin().await.unwrap();
        let inside: &dyn Store = &bound;
        bound.sql().await.unwrap().execute("INSERT INTO invoices VALUES (7)").await.unwrap();
        inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
        let dropped = tokio::time::timeout(20 * MS, bound.commit()).await;
        assert!(dropped.is_err(), "it was to be dropped: {dropped:?}");
        match round {
            0 => bound.commit().await.unwrap(),
            1 => {
                let undone = bound.rollback().await;
                assert!(matches!(undone, Err(StoreError::Invalid { .. })), "{undone:?}");
            }
            _ => inside.close().await.unwrap(),
        }
        assert_eq!(invoices(&path).await, round + 1);
    }
    assert_eq!(check(&*store, &[]).await, 3);
}

#[tokio::test]
async fn what_was_rolled_back_is_not_committed_afterwards() {
    let (_folder, path) = file();
    let store = hosted(&path).await;
    let bound = store.begin().await.unwrap();
    bound.sql().await.unwrap().execute("INSERT INTO invoices VALUES (7)").await.unwrap();
    bound.rollback().await.unwrap();
    bound.rollback().await.unwrap();
    let committed = bound.commit().await;
    assert!(matches!(committed, Err(StoreError::Unavailable { .. })), "{committed:?}");
    assert_eq!(invoices(&path).await, 0);
}
