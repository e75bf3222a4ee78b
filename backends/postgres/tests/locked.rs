//! One member of a group that cannot have what it needs: the others neither wait for it long nor fall with it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use apportion::store::{Batch, Store, StoreError, StoreExt, Write};
use apportion_postgres::{PostgresOptions, PostgresStore};
use common::{ACCOUNTS, MS, UNITS, account, check, database, ids, name_of, open, rows, server, take, unit};
use sqlx_core::connection::Connection as _;
use sqlx_core::executor::Executor as _;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_postgres::PgConnection;
use uuid::Uuid;

/// A call ends long before the same group would, if it waited for the lock again and again.
fn options() -> PostgresOptions {
    PostgresOptions::default().lock_timeout(1000 * MS).call_timeout(3000 * MS)
}

async fn accounts(store: &PostgresStore, count: usize) -> Vec<Uuid> {
    let mut batch = Batch::new(ids().next_id(), "open");
    let accounts: Vec<Uuid> = (0..count).map(|_| ids().next_id()).collect();
    for (at, id) in accounts.iter().enumerate() {
        batch.push(account(*id, &format!("account {at}"), None));
    }
    store.commit(batch).await.unwrap();
    accounts
}

/// A transaction of somebody else's that has done this and does not end.
async fn lasting(url: &str, sql: String) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute("BEGIN").await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection
}

/// One group: a unit of each account.
async fn one_of_each(store: &Arc<PostgresStore>, accounts: &[Uuid]) -> Vec<Option<StoreError>> {
    let batches = accounts.iter().map(|account| take(ids().next_id(), ids().next_id(), *account));
    store.commit_many(batches.collect()).await.into_iter().map(Result::err).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_needs_a_row_that_is_kept_locked_falls_alone() {
    let url = database();
    let store = open(&url, options()).await;
    let accounts = accounts(&store, 64).await;
    let kept = accounts[20];
    let sql = format!("UPDATE apportion.accounts SET name = 'kept' WHERE id = '{kept}'");
    let lasting = lasting(&url, sql).await;
    let answers =
        tokio::time::timeout(Duration::from_secs(20), one_of_each(&store, &accounts)).await.unwrap();
    for (account, answer) in accounts.iter().zip(&answers) {
        let refused = matches!(answer, Some(StoreError::Unavailable { .. }));
        assert_eq!(refused, *account == kept, "{answer:?}");
        assert_eq!(answer.is_some(), *account == kept, "{answer:?}");
    }
    lasting.close().await.unwrap();
    assert_eq!(check(&*store, &[]).await, 63);
    assert_eq!(one_of_each(&store, &accounts).await.iter().flatten().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_needs_a_key_that_is_about_to_be_taken_falls_alone() {
    let url = database();
    let store = open(&url, options()).await;
    let owner = accounts(&store, 1).await[0];
    let sql = format!(
        "INSERT INTO apportion.units (id, account_id, state, label, seen, revision, version) \
         VALUES ('{}', '{owner}', 'new', 'label 20', 0, 1, 1)",
        ids().next_id()
    );
    let lasting = lasting(&url, sql).await;
    let labelled = |at: usize| {
        let label = format!("label {at}");
        Batch::new(ids().next_id(), "label").with(unit(ids().next_id(), owner, Some(&label)))
    };
    let answers = store.commit_many((0..40).map(labelled).collect());
    let answers = tokio::time::timeout(Duration::from_secs(20), answers).await.unwrap();
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), at == 20, "{at}: {answer:?}");
    }
    lasting.close().await.unwrap();
    assert_eq!(rows(&*store, &UNITS).await.len(), 39);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_the_database_does_not_like_is_refused_alone() {
    let url = database();
    let store = open(&url, options()).await;
    let owner = accounts(&store, 1).await[0];
    let sql = "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN IF NEW.label = 'label 3' THEN RAISE 'not this one'; END IF; RETURN NEW; END $$; \
               CREATE TRIGGER no BEFORE INSERT ON apportion.units FOR EACH ROW EXECUTE FUNCTION no()";
    server().psql_in(name_of(&url), sql).unwrap();
    let labelled = |at: usize| {
        let label = format!("label {at}");
        let more = Write::admit(&ACCOUNTS, owner, "units", 1);
        Batch::new(ids().next_id(), "label").with(unit(ids().next_id(), owner, Some(&label))).with(more)
    };
    let answers = store.commit_many((0..8).map(labelled).collect()).await;
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), at == 3, "{at}: {answer:?}");
    }
    assert_eq!(check(&*store, &[]).await, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_and_goes_within_a_group_meets_others_all_the_same() {
    let url = database();
    let store = open(&url, PostgresOptions::default()).await;
    let owner = accounts(&store, 1).await[0];
    let id = ids().next_id();
    let sql = format!(
        "INSERT INTO apportion.units (id, account_id, state, seen, revision, version) \
         VALUES ('{id}', '{owner}', 'new', 0, 1, 1)"
    );
    let mut lasting = lasting(&url, sql).await;
    // Together they would change nothing, and nobody would notice that the row is about to be there.
    let comes = Batch::new(ids().next_id(), "come").with(unit(id, owner, None));
    let goes = Batch::new(ids().next_id(), "go").with(Write::delete(&UNITS, id, 1));
    let both = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.commit_many(vec![comes, goes]).await }
    });
    let waits = async {
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while server().psql_in(name_of(&url), sql).unwrap() != "1" {
            assert!(!both.is_finished(), "it waits for nobody");
            tokio::time::sleep(5 * MS).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waits).await.unwrap();
    lasting.execute("COMMIT").await.unwrap();
    let answers = both.await.unwrap();
    assert!(answers[0].as_ref().is_err_and(|error| error.refusal().is_some()), "{answers:?}");
    assert!(answers[1].is_ok(), "{answers:?}");
    assert_eq!(rows(&*store, &UNITS).await.len(), 0);
}
