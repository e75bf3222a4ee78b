//! The application's own transaction: its statements and the store's batches happen together or not at all.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

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
use apportion_throwaway_postgres::proxy::{Fault, FaultProxy, What, When};
use common::{
    ACCOUNTS, MS, Taken, Told, UNITS, account, check, clock, database, feed, ids, name_of, open,
    open_transactions, rows, server, take, with_account,
};
use sqlx_core::executor::Executor as _;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_postgres::PgPoolOptions;
use uuid::Uuid;

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
        let pool = PgPool::connect(&url).await.unwrap();
        Self::with(url, pool, PostgresOptions::default()).await
    }

    async fn with(url: String, pool: PgPool, options: PostgresOptions) -> Self {
        server().psql_in(name_of(&url), "CREATE TABLE invoices (amount bigint CHECK (amount > 0))").unwrap();
        let store = open(&url, options.lock_timeout(300 * MS)).await;
        Self { url, store, pool }
    }

    /// The application has one connection, and the network between it and the server fails when it is told to.
    async fn proxied(call_timeout: Duration) -> (Self, FaultProxy) {
        let url = database();
        let proxy = FaultProxy::start(server().address()).await.unwrap();
        let pool = PgPoolOptions::new().max_connections(1).connect(&proxy.url_for(&url)).await.unwrap();
        (Self::with(url, pool, PostgresOptions::default().call_timeout(call_timeout)).await, proxy)
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
    assert!(bound.sql().await.is_err());
    // Whoever asks again is told how.
    bound.commit().await.unwrap();
    let undone = bound.rollback().await;
    assert!(matches!(undone, Err(StoreError::Invalid { .. })), "{undone:?}");
    inside.close().await.unwrap();
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

/// Long for a call that ends, and short for one that does not.
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn undoing_a_transaction_whose_server_stalls_ends_and_leaves_a_clean_connection() {
    let (hosted, proxy) = Hosted::proxied(400 * MS).await;
    let (store, ids) = (&hosted.store, ids());
    let owner = with_account(&**store).await;
    let mut taken = Vec::new();
    for closes in [false, true] {
        let bound = hosted.begin().await;
        sql(&bound, "INSERT INTO invoices VALUES (7)").await;
        proxy.arm(Fault::once(When::OnStatement("kernel_receipts".into()), What::Stall));
        let (batch, unit) = (ids.next_id(), ids.next_id());
        let error = bound.commit_many(vec![take(batch, unit, owner)]).await.pop().unwrap().unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        let undone = async { if closes { bound.close().await } else { bound.rollback().await } };
        tokio::time::timeout(LIMIT, undone).await.expect("it ends").unwrap();
        // It has ended, although the server has not heard of it.
        assert!(matches!(bound.commit().await, Err(StoreError::Unavailable { .. })));
        proxy.heal();
        // The same connection: there is only one.
        let next = hosted.begin().await;
        sql(&next, "INSERT INTO invoices VALUES (7)").await;
        next.commit().await.unwrap();
        taken.push(Taken { batch, unit, told: Told::No });
    }
    assert_eq!(hosted.invoices(), 2);
    assert_eq!(open_transactions(&hosted.url), 0);
    assert_eq!(check(&**store, &taken).await, 0);
}

#[tokio::test]
async fn a_row_that_somebody_else_keeps_is_a_refusal_and_the_transaction_goes_on() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    let other = ids.next_id();
    store.commit(Batch::new(ids.next_id(), "open").with(account(other, "b", None))).await.unwrap();
    let keeper = hosted.begin().await;
    keeper.commit_many(vec![take(ids.next_id(), ids.next_id(), owner)]).await.pop().unwrap().unwrap();
    let bound = hosted.begin().await;
    let inside: &dyn Store = &bound;
    sql(&bound, "INSERT INTO invoices VALUES (7)").await;
    let (batch, unit) = (ids.next_id(), ids.next_id());
    let answers = inside.commit_many(vec![
        take(ids.next_id(), ids.next_id(), other),
        take(batch, unit, owner),
        take(ids.next_id(), ids.next_id(), other),
    ]);
    let answers = tokio::time::timeout(LIMIT, answers).await.unwrap();
    let accepted: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [true, false, true]);
    let refused = answers.into_iter().find_map(Result::err).unwrap();
    assert!(matches!(refused, StoreError::Unavailable { .. }) && refused.is_retryable(), "{refused:?}");
    keeper.rollback().await.unwrap();
    inside.commit(take(batch, unit, owner)).await.unwrap();
    bound.commit().await.unwrap();
    assert_eq!((hosted.invoices(), check(&**store, &[]).await), (1, 3));
}

async fn lock_timeout(bound: &PostgresTransaction) -> String {
    bound.sql().await.unwrap().fetch_one("SHOW lock_timeout").await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_applications_own_limit_on_waiting_holds_for_its_own_statements() {
    let (hosted, ids) = (Hosted::new().await, ids());
    let owner = with_account(&*hosted.store).await;
    let bound = hosted.begin().await;
    let inside: &dyn Store = &bound;
    for limit in ["0", "1234ms", "7s"] {
        bound
            .sql()
            .await
            .unwrap()
            .execute(AssertSqlSafe(format!("SET LOCAL lock_timeout = '{limit}'")))
            .await
            .unwrap();
        inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
        inside.read(vec![Query::Scan(Scan::of(&UNITS))]).await.unwrap();
        assert_eq!(lock_timeout(&bound).await, limit, "after what was accepted");
        inside.commit(take(ids.next_id(), ids.next_id(), ids.next_id())).await.unwrap_err();
        assert_eq!(lock_timeout(&bound).await, limit, "after what was refused");
        let hurried = inside.commit(take(ids.next_id(), ids.next_id(), owner));
        drop(tokio::time::timeout(Duration::from_micros(1500), hurried).await);
        assert_eq!(lock_timeout(&bound).await, limit, "after what was dropped");
    }
    inside.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
    let mut host = bound.into_inner().await.unwrap();
    let limit: String = host.fetch_one("SHOW lock_timeout").await.unwrap().get(0);
    assert_eq!(limit, "7s");
    host.commit().await.unwrap();
}

/// What is done in a transaction before it is committed.
#[derive(Clone, Copy, Debug)]
enum Before {
    /// A batch, and a repetition of one that was committed long before.
    Repeated,
    /// A batch that the application has undone with a savepoint of its own.
    Undone,
    /// A batch that was refused.
    Refused,
    /// No batch.
    Nothing,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_unknown_commit_names_what_tells_whether_the_transaction_happened() {
    let (hosted, proxy) = Hosted::proxied(400 * MS).await;
    let store = &hosted.store;
    let owner = with_account(&**store).await;
    let (mut happened, mut did_not) = (0, 0);
    for before in [Before::Repeated, Before::Undone, Before::Refused] {
        for when in [When::BeforeCommit, When::AtCommit, When::AfterCommit] {
            for what in [What::Cut, What::Stall] {
                let invoices = hosted.invoices();
                let (id, batches) =
                    lost(&hosted, &proxy, owner, before, Fault::once(when.clone(), what)).await;
                assert!(!id.is_nil() && !batches.contains(&id), "{before:?}: {id} is none of {batches:?}");
                proxy.heal();
                let told = resolved(&**store, id).await;
                assert!(feed(&**store).await.iter().all(|record| record.batch != id));
                assert_eq!(hosted.invoices() - invoices, i64::from(told), "{before:?} {when:?} {what:?}");
                happened += i32::from(told);
                did_not += i32::from(!told);
            }
        }
    }
    assert!(happened >= 6 && did_not >= 3, "{happened} happened, {did_not} did not");
    // There is no receipt, and so no id of one.
    let (id, _) =
        lost(&hosted, &proxy, owner, Before::Nothing, Fault::once(When::AfterCommit, What::Cut)).await;
    assert_eq!(id, Uuid::nil());
    assert!(matches!(store.resolve(id).await, Err(StoreError::UnusableId { .. })));
    check(&**store, &[]).await;
}

/// A transaction with an invoice whose commit is lost: the id that it is to be asked for under, and its batches.
async fn lost(
    hosted: &Hosted,
    proxy: &FaultProxy,
    owner: Uuid,
    before: Before,
    fault: Fault,
) -> (Uuid, Vec<Uuid>) {
    let (store, ids) = (&hosted.store, ids());
    let (old, unit, new) = (ids.next_id(), ids.next_id(), ids.next_id());
    store.commit(take(old, unit, owner)).await.unwrap();
    let bound = hosted.begin().await;
    let inside: &dyn Store = &bound;
    sql(&bound, "INSERT INTO invoices VALUES (7)").await;
    match before {
        Before::Repeated => {
            inside.commit(take(new, ids.next_id(), owner)).await.unwrap();
            assert!(inside.commit(take(old, unit, owner)).await.unwrap().repeated);
        }
        Before::Undone => {
            sql(&bound, "SAVEPOINT mine").await;
            inside.commit(take(new, ids.next_id(), owner)).await.unwrap();
            sql(&bound, "ROLLBACK TO mine").await;
        }
        Before::Refused => drop(inside.commit(take(new, unit, owner)).await.unwrap_err()),
        Before::Nothing => {}
    }
    proxy.arm(fault);
    match bound.commit().await {
        Err(StoreError::Unknown { id }) => (id, vec![old, new]),
        other => panic!("{before:?}: {other:?}"),
    }
}

/// Whether it happened, asked for until it is known: what was cut may still hold its locks.
async fn resolved(store: &dyn Store, id: Uuid) -> bool {
    for _ in 0..100 {
        match store.resolve(id).await {
            Ok(Resolution::Committed(_)) => return true,
            Ok(Resolution::NotCommitted) => return false,
            Err(StoreError::Unknown { .. } | StoreError::Unavailable { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("the outcome of {id} stays unknown");
}

/// A transaction with an invoice and a batch whose commit is dropped by its caller when the fault has met it.
async fn dropped_commit(
    hosted: &Hosted,
    proxy: &FaultProxy,
    owner: Uuid,
    fault: Fault,
) -> PostgresTransaction {
    let bound = hosted.begin().await;
    sql(&bound, "INSERT INTO invoices VALUES (7)").await;
    let batch = take(ids().next_id(), ids().next_id(), owner);
    bound.commit_many(vec![batch]).await.pop().unwrap().unwrap();
    let fired = proxy.fired();
    proxy.arm(fault);
    tokio::select! {
        // What is cut may be answered before it is dropped, and nothing else.
        done = bound.commit() => assert!(matches!(done, Err(StoreError::Unknown { .. })), "{done:?}"),
        () = proxy.wait_until_fired(fired + 1) => {}
    }
    bound
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_asks_again_after_a_dropped_commit_is_told_what_it_came_to() {
    let (hosted, proxy) = Hosted::proxied(Duration::from_secs(5)).await;
    let owner = with_account(&*hosted.store).await;
    for when in [When::BeforeCommit, When::AtCommit, When::AfterCommit] {
        let invoices = hosted.invoices();
        let delay = || Fault::once(when.clone(), What::Delay(300 * MS));
        dropped_commit(&hosted, &proxy, owner, delay()).await.commit().await.unwrap();
        let bound = dropped_commit(&hosted, &proxy, owner, delay()).await;
        let undone = bound.rollback().await;
        assert!(matches!(undone, Err(StoreError::Invalid { .. })), "{when:?}: {undone:?}");
        dropped_commit(&hosted, &proxy, owner, delay()).await.close().await.unwrap();
        assert_eq!(hosted.invoices() - invoices, 3, "{when:?}");
    }
    check(&*hosted.store, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_asks_again_after_a_lost_commit_is_told_what_to_resolve() {
    let (hosted, proxy) = Hosted::proxied(400 * MS).await;
    let owner = with_account(&*hosted.store).await;
    for what in [What::Cut, What::Stall] {
        let invoices = hosted.invoices();
        let bound = dropped_commit(&hosted, &proxy, owner, Fault::once(When::AfterCommit, what)).await;
        let mut told = Vec::new();
        for answer in [bound.rollback().await, bound.commit().await, bound.close().await] {
            match answer {
                Err(StoreError::Unknown { id }) => told.push(id),
                other => panic!("{what:?}: {other:?}"),
            }
        }
        proxy.heal();
        told.dedup();
        assert_eq!(told.len(), 1);
        assert!(resolved(&*hosted.store, told[0]).await);
        assert_eq!(hosted.invoices() - invoices, 1);
    }
    check(&*hosted.store, &[]).await;
}

#[tokio::test]
async fn what_was_rolled_back_is_not_committed_afterwards() {
    let hosted = Hosted::new().await;
    let bound = hosted.begin().await;
    sql(&bound, "INSERT INTO invoices VALUES (7)").await;
    bound.rollback().await.unwrap();
    bound.rollback().await.unwrap();
    let committed = bound.commit().await;
    assert!(matches!(committed, Err(StoreError::Unavailable { .. })), "{committed:?}");
    assert_eq!(hosted.invoices(), 0);
}
