//! The application's own transaction: its statements and the store's batches happen together or not at all.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::entity;
use apportion::plane::NewUser;
use apportion::store::{
    Batch, Cursor, Prune, Query, Resolution, Scan, Store, StoreError, StoreExt as _, Write,
};
use apportion_postgres::{PgPool, PostgresOptions, PostgresStore, PostgresTransaction};
use common::{
    ACCOUNTS, MS, Taken, Told, UNITS, account, check, clock, database, feed, ids, name_of, open,
    open_transactions, rows, server, take, with_account,
};
use sqlx_core::executor::Executor as _;
use sqlx_core::sql_str::AssertSqlSafe;

/// A store and an application beside it.
struct Hosted {
    url: String,
    store: Arc<PostgresStore>,
    /// The application's own.
    pool: PgPool,
}

impl Hosted {
    async fn new() -> Self {
        let url = database();
        server().psql_in(name_of(&url), "CREATE TABLE invoices (amount bigint CHECK (amount > 0))").unwrap();
        let store = open(&url, PostgresOptions::default().lock_timeout(300 * MS)).await;
        let pool = PgPool::connect(&url).await.unwrap();
        Self { url, store, pool }
    }

    async fn begin(&self) -> PostgresTransaction {
        self.store.bind(self.pool.begin().await.unwrap())
    }

    fn invoices(&self) -> i64 {
        server().psql_in(name_of(&self.url), "SELECT count(*) FROM invoices").unwrap().parse().unwrap()
    }
}

async fn sql(bound: &PostgresTransaction, text: &'static str) {
    bound.sql().await.unwrap().execute(text).await.unwrap();
}

#[tokio::test]
async fn statements_and_batches_happen_together() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    let bound = hosted.begin().await;
    let inside: &dyn Store = &bound;
    sql(&bound, "INSERT INTO invoices VALUES (7)").await;
    let (batch, unit) = (ids.next_id(), ids.next_id());
    let receipt = inside.commit(take(batch, unit, owner)).await.unwrap();
    assert_eq!(receipt.position, None);
    assert!(inside.get(&UNITS, unit).await.unwrap().value.is_some(), "it sees what it did");
    assert!(store.get(&UNITS, unit).await.unwrap().value.is_none(), "nobody else does");
    bound.commit().await.unwrap();
    assert_eq!((hosted.invoices(), check(&**store, &[]).await), (1, 1));
    assert_eq!(feed(&**store).await.len(), 2);
    // It has ended.
    let again = inside.commit(take(ids.next_id(), ids.next_id(), owner)).await;
    assert!(matches!(again, Err(StoreError::Unavailable { .. })), "{again:?}");
    assert!(bound.commit().await.is_err());
    assert!(bound.sql().await.is_err());
    bound.rollback().await.unwrap();
    assert_eq!((hosted.invoices(), check(&**store, &[]).await), (1, 1));
}

#[tokio::test]
async fn what_is_rolled_back_or_dropped_leaves_nothing() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    for dropped in [false, true] {
        let bound = hosted.begin().await;
        let inside: &dyn Store = &bound;
        sql(&bound, "INSERT INTO invoices VALUES (7)").await;
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
    assert_eq!((hosted.invoices(), check(&**store, &[]).await), (0, 2));
    assert_eq!(feed(&**store).await.len(), 3);
}

#[tokio::test]
async fn a_refusal_is_data_and_the_transaction_goes_on() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    let bound = hosted.begin().await;
    let inside: &dyn Store = &bound;
    sql(&bound, "INSERT INTO invoices VALUES (7)").await;
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
    assert_eq!((hosted.invoices(), check(&**store, &[]).await), (1, 2));
}

#[tokio::test]
async fn what_cannot_be_had_inside_is_invalid() {
    let hosted = Hosted::new().await;
    let bound = hosted.begin().await;
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
async fn who_needs_the_same_row_waits_and_is_told_when_it_takes_too_long() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    let bound = hosted.begin().await;
    bound.commit_many(vec![take(ids.next_id(), ids.next_id(), owner)]).await.pop().unwrap().unwrap();
    let late = store.commit(take(ids.next_id(), ids.next_id(), owner)).await;
    assert!(matches!(late, Err(StoreError::Unavailable { .. })), "{late:?}");
    // Another row is another matter.
    let other = Batch::new(ids.next_id(), "open").with(account(ids.next_id(), "b", None));
    store.commit(other).await.unwrap();
    let waiting = tokio::spawn({
        let (store, ids) = (Arc::clone(store), ids.clone());
        async move { store.commit(take(ids.next_id(), ids.next_id(), owner)).await }
    });
    bound.rollback().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(check(&**store, &[]).await, 1);
}

#[tokio::test]
async fn what_is_inside_a_transaction_stays_unknown_until_it_ends() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    for commits in [true, false] {
        let bound = hosted.begin().await;
        let batch = ids.next_id();
        bound.commit_many(vec![take(batch, ids.next_id(), owner)]).await.pop().unwrap().unwrap();
        for _ in 0..2 {
            let open = store.resolve(batch).await;
            assert!(matches!(open, Err(StoreError::Unknown { id }) if id == batch), "{open:?}");
        }
        if commits {
            bound.commit().await.unwrap();
        } else {
            bound.rollback().await.unwrap();
        }
        let ended = store.resolve(batch).await.unwrap();
        assert_eq!(matches!(ended, Resolution::Committed(_)), commits, "{ended:?}");
        assert_eq!(ended == Resolution::NotCommitted, !commits);
    }
    assert_eq!(check(&**store, &[]).await, 1);
}

#[tokio::test]
async fn a_transaction_that_the_server_has_given_up_is_not_committed() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    let bound = hosted.begin().await;
    bound.commit_many(vec![take(ids.next_id(), ids.next_id(), owner)]).await.pop().unwrap().unwrap();
    // The application overlooks that a statement of its own was refused. The server would say that it committed.
    assert!(bound.sql().await.unwrap().execute("INSERT INTO invoices VALUES (-1)").await.is_err());
    let error = bound.commit().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!((hosted.invoices(), check(&**store, &[]).await), (0, 0));
}

#[tokio::test]
async fn a_read_that_fails_takes_nothing_with_it() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    let bound = hosted.begin().await;
    bound.commit_many(vec![take(ids.next_id(), ids.next_id(), owner)]).await.pop().unwrap().unwrap();
    sql(&bound, "ALTER TABLE apportion.units RENAME TO gone").await;
    let read = bound.read(vec![Query::Scan(Scan::of(&UNITS))]).await;
    assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
    sql(&bound, "ALTER TABLE apportion.gone RENAME TO units").await;
    bound.read(vec![Query::Scan(Scan::of(&UNITS))]).await.unwrap();
    bound.commit().await.unwrap();
    assert_eq!(check(&**store, &[]).await, 1);
}

#[tokio::test]
async fn what_is_bound_can_be_taken_back() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    let bound = hosted.begin().await;
    bound.commit_many(vec![take(ids.next_id(), ids.next_id(), owner)]).await.pop().unwrap().unwrap();
    let mut host = bound.into_inner().await.unwrap();
    host.execute("INSERT INTO invoices VALUES (7)").await.unwrap();
    host.commit().await.unwrap();
    assert_eq!((hosted.invoices(), check(&**store, &[]).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dropped_batch_is_undone_before_anything_else_and_keeps_the_transaction_from_committing() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    let (mut torn, mut taken) = (0, Vec::new());
    for round in 0..60_u64 {
        let bound = hosted.begin().await;
        sql(&bound, "INSERT INTO invoices VALUES (7)").await;
        let (batch, unit) = (ids.next_id(), ids.next_id());
        let patience = Duration::from_micros(round * 97 % 6000);
        let answered =
            tokio::time::timeout(patience, bound.commit_many(vec![take(batch, unit, owner)])).await;
        let told = match (answered.is_ok(), bound.commit().await) {
            (true, committed) => committed.map(|()| Told::Yes).unwrap(),
            // It was dropped before it began.
            (false, Ok(())) => Told::No,
            (false, Err(error)) => {
                assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
                torn += 1;
                // Whatever comes next undoes it, and the transaction goes on.
                sql(&bound, "SELECT 1").await;
                bound.commit().await.unwrap();
                Told::No
            }
        };
        taken.push(Taken { batch, unit, told });
    }
    assert!(torn > 0, "no batch was dropped on its way");
    assert_eq!(hosted.invoices(), 60);
    check(&**store, &taken).await;
    assert_eq!(open_transactions(&hosted.url), 0);
}

#[tokio::test]
async fn above_read_committed_a_conflict_goes_to_the_application() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    let begin = AssertSqlSafe("BEGIN ISOLATION LEVEL REPEATABLE READ");
    let bound = store.bind(hosted.pool.begin_with(begin).await.unwrap());
    bound.read(vec![Query::Scan(Scan::of(&UNITS))]).await.unwrap();
    store.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
    let (batch, unit) = (ids.next_id(), ids.next_id());
    let error = bound.commit_many(vec![take(batch, unit, owner)]).await.pop().unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }) && error.is_retryable(), "{error:?}");
    bound.rollback().await.unwrap();
    store.commit(take(batch, unit, owner)).await.unwrap();
    assert_eq!(check(&**store, &[Taken { batch, unit, told: Told::Yes }]).await, 2);
}

#[tokio::test]
async fn a_transaction_that_the_application_ended_itself_takes_no_batches() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    let bound = hosted.begin().await;
    let inside: &dyn Store = &bound;
    sql(&bound, "ROLLBACK").await;
    // Outside of a transaction it would be committed at once.
    let error = inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(bound.commit().await.is_err());
    assert_eq!(check(&**store, &[]).await, 0);
}

#[tokio::test]
async fn savepoints_of_the_application_and_of_the_store_get_along() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    let bound = hosted.begin().await;
    let inside: &dyn Store = &bound;
    inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
    sql(&bound, "SAVEPOINT mine").await;
    inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
    sql(&bound, "ROLLBACK TO mine").await;
    inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
    sql(&bound, "RELEASE mine").await;
    inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
    bound.commit().await.unwrap();
    assert_eq!(check(&**store, &[]).await, 3);
    assert_eq!(feed(&**store).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_control_plane_works_in_a_transaction() {
    let url = database();
    let store = Arc::new(PostgresStore::connect(&url, entity::TABLES, clock()).await.unwrap());
    let pool = PgPool::connect(&url).await.unwrap();
    let ada = || NewUser::new("ada@example.org", "Ada");
    for commits in [false, true] {
        let bound = Arc::new(store.bind(pool.begin().await.unwrap()));
        let plane = ControlPlane::new(bound.clone());
        plane.create_user(ada()).await.unwrap();
        assert!(plane.create_user(ada()).await.is_err(), "the address is taken");
        if commits {
            bound.commit().await.unwrap();
        } else {
            bound.rollback().await.unwrap();
        }
    }
    assert!(ControlPlane::new(store.clone()).create_user(ada()).await.is_err(), "the address is taken");
    assert_eq!(rows(&*store, &entity::USERS).await.len(), 1);
}
