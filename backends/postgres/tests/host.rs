//! What an application brings along: a pool of its own, and a server with other defaults.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use apportion::store::{Cursor, OpenProblem, Resolution, Store, StoreError, StoreExt as _};
use apportion_postgres::{Isolation, PgPool, PostgresOptions, PostgresStore};
use common::{
    MS, TABLES, Taken, Told, check, clock, database, ids, name_of, open, server, take, with_account,
};
use sqlx_core::executor::Executor as _;
use sqlx_core::row::Row as _;
use sqlx_postgres::{PgConnectOptions, PgPoolOptions};

/// Far more than anything here may take.
const LIMIT: Duration = Duration::from_secs(20);

fn quick() -> PostgresOptions {
    PostgresOptions::default().call_timeout(500 * MS)
}

async fn on(pool: &PgPool, options: PostgresOptions) -> Result<Arc<PostgresStore>, OpenProblem> {
    let opening = PostgresStore::with_pool(pool.clone(), &TABLES, clock(), options);
    match tokio::time::timeout(LIMIT, opening).await.unwrap() {
        Ok(store) => Ok(Arc::new(store)),
        Err(StoreError::CannotOpen { reason, .. }) => Err(reason),
        Err(other) => panic!("{other:?}"),
    }
}

async fn works(pool: &PgPool) {
    pool.execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_pool_of_the_application_is_taken_and_stays_open() {
    let pool = PgPool::connect(&database()).await.unwrap();
    let store = on(&pool, PostgresOptions::default()).await.unwrap();
    with_account(&*store).await;
    store.close().await.unwrap();
    assert!(matches!(store.resolve(ids().next_id()).await, Err(StoreError::Closed)));
    works(&pool).await;
    drop(store);
    works(&pool).await;
    let store = on(&pool, PostgresOptions::default()).await.unwrap();
    check(&*store, &[]).await;
    drop(store);
    works(&pool).await;
    pool.close().await;
    let closed = on(&pool, PostgresOptions::default()).await.unwrap_err();
    assert_eq!(closed, OpenProblem::Other("the pool of connections is closed".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pool_whose_sessions_are_serializable_is_taken_and_stays_so() {
    let options = PgConnectOptions::from_str(&database()).unwrap();
    let options = options.options([("default_transaction_isolation", "serializable")]);
    let pool = PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    let store = on(&pool, PostgresOptions::default().lanes(2)).await.unwrap();
    let owner = with_account(&*store).await;
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let (batch, unit) = (ids().next_id(), ids().next_id());
                store.commit(take(batch, unit, owner)).await.unwrap();
                Taken { batch, unit, told: Told::Yes }
            })
        })
        .collect();
    let mut taken = Vec::new();
    for caller in callers {
        taken.push(caller.await.unwrap());
    }
    assert_eq!(check(&*store, &taken).await, 20);
    store.close().await.unwrap();
    // Nothing of what the store sets for its own transactions stays with the application's sessions.
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut session = pool.acquire().await.unwrap();
        let row = session
            .fetch_one(
                "SELECT current_setting('transaction_isolation') || ' ' || current_setting('lock_timeout')
                 || ' ' || current_setting('statement_timeout') || ' ' || current_setting('enable_seqscan')",
            )
            .await
            .unwrap();
        assert_eq!(row.get::<String, _>(0), "serializable 0 0 on");
        held.push(session);
    }
}

#[tokio::test]
async fn a_pool_that_has_nothing_free_is_told_in_time_and_works_when_it_has() {
    let pool = PgPoolOptions::new().max_connections(2).connect(&database()).await.unwrap();
    let both = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let reason = on(&pool, quick()).await.unwrap_err();
    assert_eq!(reason, OpenProblem::Unreachable("no connection became free in time".into()));
    drop(both);
    let store = on(&pool, quick()).await.unwrap();
    let owner = with_account(&*store).await;
    let both = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let (batch, unit) = (ids().next_id(), ids().next_id());
    let refused = tokio::time::timeout(LIMIT, store.commit(take(batch, unit, owner))).await.unwrap();
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    let mut taken = vec![Taken { batch, unit, told: Told::No }];
    drop(both);
    let (batch, unit) = (ids().next_id(), ids().next_id());
    store.commit(take(batch, unit, owner)).await.unwrap();
    taken.push(Taken { batch, unit, told: Told::Yes });
    check(&*store, &taken).await;
    store.close().await.unwrap();
    works(&pool).await;
}

#[tokio::test]
async fn a_pool_that_leads_nowhere_says_why() {
    // A port on which nobody listens: it was given to this listener, which is gone again.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://u:hush@127.0.0.1:{port}/x");
    // The pool loses its patience after the store, and before it.
    for patience in [LIMIT, 50 * MS] {
        let pool = PgPoolOptions::new().acquire_timeout(patience).connect_lazy(&url).unwrap();
        let reason = on(&pool, quick()).await.unwrap_err();
        assert_eq!(reason, OpenProblem::Unreachable("connection refused".into()));
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u:hush@127.0.0.1:{}/x", silent.local_addr().unwrap().port());
    let pool = PgPoolOptions::new().connect_lazy(&url).unwrap();
    let reason = on(&pool, quick()).await.unwrap_err();
    assert_eq!(reason, OpenProblem::Unreachable("there was no answer for 500ms".into()));
}

/// Writes down at which isolation a row of the store is written.
const WATCH: &str = "CREATE TABLE seen (what text, isolation text);
    CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
        INSERT INTO public.seen VALUES (TG_TABLE_NAME, current_setting(''transaction_isolation''));
        RETURN NEW;
    END';
    CREATE TRIGGER see BEFORE INSERT ON apportion.units FOR EACH ROW EXECUTE FUNCTION see();
    CREATE TRIGGER see BEFORE INSERT ON apportion.kernel_receipts FOR EACH ROW EXECUTE FUNCTION see();
    CREATE TRIGGER see BEFORE UPDATE ON apportion.kernel_head FOR EACH ROW EXECUTE FUNCTION see()";

#[tokio::test]
async fn a_transaction_of_the_store_runs_at_the_isolation_that_was_chosen_whatever_the_default() {
    for (chosen, default) in [
        (Isolation::ReadCommitted, "serializable"),
        (Isolation::RepeatableRead, "serializable"),
        (Isolation::Serializable, "read committed"),
    ] {
        let url = database();
        let psql = |sql: &str| server().psql_in(name_of(&url), sql).unwrap();
        psql(&format!("ALTER DATABASE {} SET default_transaction_isolation = '{default}'", name_of(&url)));
        let store = open(&url, PostgresOptions::default().isolation(chosen)).await;
        let owner = with_account(&*store).await;
        assert_eq!(psql("SHOW transaction_isolation"), default);
        psql(WATCH);
        store.commit(take(ids().next_id(), ids().next_id(), owner)).await.unwrap();
        // Gives positions to the records, where the commit does not.
        assert_eq!(store.changes(Cursor::START, 10).await.unwrap().records.len(), 2);
        let told = match chosen {
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
            _ => "serializable",
        };
        let seen = "SELECT string_agg(DISTINCT what || ': ' || isolation, ', ') FROM seen";
        // Giving positions judges nothing, and waits in turn, which is a conflict above READ COMMITTED.
        let head = "kernel_head: read committed";
        assert_eq!(psql(seen), format!("{head}, kernel_receipts: {told}, units: {told}"));
        // An id that was never used is made void.
        psql("DELETE FROM seen");
        assert_eq!(store.resolve(ids().next_id()).await.unwrap(), Resolution::NotCommitted);
        assert_eq!(psql(seen), format!("kernel_receipts: {told}"));
    }
}
