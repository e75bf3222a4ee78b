use std::time::Duration;

use apportion::store::{NoMetrics, StoreError};
use apportion::time::SystemClock;
use apportion_sql::Violation;
use apportion_throwaway_postgres::ThrowawayPostgres;
use sqlx_core::connection::Connection as _;

use super::*;

type Own = Link<Box<PgConnection>>;

const LONG: Duration = Duration::from_secs(30);

fn database() -> String {
    ThrowawayPostgres::shared().unwrap().fresh_database().unwrap()
}

async fn link(url: &str, begin: &str) -> Own {
    let meter = Arc::new(Meter::new(Arc::new(SystemClock::new()), Arc::new(NoMetrics)));
    let connection = PgConnection::connect(url).await.unwrap();
    Link::new(Box::new(connection), begin.into(), Instant::now() + LONG, meter)
}

fn plain(sql: &str) -> Statement {
    Statement { sql: sql.into(), params: Vec::new(), branches: Vec::new() }
}

async fn with_table() -> (String, Own) {
    let url = database();
    let mut link = link(&url, "BEGIN; SET LOCAL lock_timeout = 50").await;
    let table = "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL CHECK (n > 0), \
        p int CONSTRAINT t_p REFERENCES p); INSERT INTO t VALUES (1, 1), (2, 1)";
    link.run(table).await.unwrap();
    (url, link)
}

fn is_unavailable(failure: &Failure, says: &str) -> bool {
    matches!(failure, Failure::Store(StoreError::Unavailable { reason, .. }) if reason.contains(says))
}

#[tokio::test]
async fn what_begins_a_transaction_is_one_message_of_several_statements() {
    let mut link =
        link(&database(), "BEGIN ISOLATION LEVEL SERIALIZABLE; SET LOCAL lock_timeout = 1234").await;
    link.begin().await.unwrap();
    link.run("CREATE TABLE seen AS SELECT current_setting('transaction_isolation') || current_setting('lock_timeout') x")
        .await
        .unwrap();
    link.commit().await.unwrap();
    let right =
        plain("DELETE FROM seen WHERE x = 'serializable1234ms' AND current_setting('lock_timeout') = '0'");
    assert_eq!(link.execute(&right).await.unwrap(), 1);
}

#[tokio::test]
async fn a_begin_that_fails_by_half_breaks_the_link() {
    let mut link = link(&database(), "BEGIN; SET LOCAL no_such_setting = 1").await;
    link.begin().await.unwrap_err();
    assert!(!link.is_clean() && !link.is_usable());
    assert!(is_unavailable(&link.run("SELECT 1").await.unwrap_err(), "failed before"));
}

type Expected = fn(&Failure) -> bool;

#[tokio::test]
async fn every_refusal_is_told_apart_and_names_no_value() {
    let (url, mut link) = with_table().await;
    let mut other = self::link(&url, "BEGIN").await;
    other.begin().await.unwrap();
    other.execute(&plain("SELECT id FROM t WHERE id = 2 FOR UPDATE")).await.unwrap();
    let cases: [(&str, Expected); 8] = [
        ("INSERT INTO t VALUES (1, 1)", |it| matches!(it, Failure::Constraint(Violation::Unique))),
        (
            "INSERT INTO t VALUES (3, 1, 77777)",
            |it| matches!(it, Failure::Constraint(Violation::ForeignKey(Some(name))) if name == "t_p"),
        ),
        ("INSERT INTO t VALUES (3, -77777)", |it| matches!(it, Failure::Constraint(Violation::Check))),
        ("INSERT INTO t VALUES (3, NULL)", |it| matches!(it, Failure::Constraint(Violation::Check))),
        ("UPDATE t SET n = 2 WHERE id = 2", |it| matches!(it, Failure::LockTimeout)),
        ("SELECT '77777x'::int", |it| matches!(it, Failure::Constraint(Violation::Check))),
        ("SELECT 1 FROM no_such_table_77777", |it| is_unavailable(it, "no longer there (SQLSTATE 42P01)")),
        ("SET LOCAL statement_timeout = 20; SELECT pg_sleep(9)", |it| is_unavailable(it, "SQLSTATE 57014")),
    ];
    for (sql, expected) in cases {
        link.begin().await.unwrap();
        let failure = link.run(sql).await.unwrap_err();
        assert!(expected(&failure), "{sql}: {failure:?}");
        assert!(!format!("{failure:?}").contains("77777"), "{failure:?}");
        // The server would take a commit for a rollback now.
        let refused = link.commit().await.unwrap_err();
        assert!(is_unavailable(&refused, "no transaction to commit"), "{refused:?}");
        link = self::link(&url, "BEGIN; SET LOCAL lock_timeout = 50").await;
    }
}

#[tokio::test]
async fn a_refused_statement_leaves_a_link_that_can_be_rolled_back_and_used_on() {
    let (_, mut link) = with_table().await;
    link.begin().await.unwrap();
    link.execute(&plain("UPDATE t SET n = 5")).await.unwrap();
    link.execute(&plain("INSERT INTO t VALUES (1, 1)")).await.unwrap_err();
    assert!(!link.is_clean() && !link.is_usable());
    link.rollback().await.unwrap();
    assert!(link.is_clean());
    assert_eq!(link.execute(&plain("DELETE FROM t WHERE n = 5")).await.unwrap(), 0);
    link.begin().await.unwrap();
    assert_eq!(link.execute(&plain("DELETE FROM t")).await.unwrap(), 2);
    link.commit().await.unwrap();
    assert_eq!((link.meter.syncs(), link.is_clean()), (1, true));
    link.begin().await.unwrap();
    assert_eq!(link.execute(&plain("DELETE FROM t")).await.unwrap(), 0);
    link.commit().await.unwrap();
    assert_eq!(link.meter.syncs(), 1, "a commit that wrote nothing is counted");
}

#[tokio::test]
async fn a_commit_that_the_server_refuses_is_no_unknown_one() {
    let (url, mut one) = with_table().await;
    let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE";
    (one.begin, one.wrote) = (begin.into(), false);
    let mut two = link(&url, begin).await;
    for link in [&mut one, &mut two] {
        link.begin().await.unwrap();
        link.execute(&plain("SELECT sum(n) FROM t")).await.unwrap();
    }
    one.execute(&plain("UPDATE t SET n = n + 1 WHERE id = 1")).await.unwrap();
    two.execute(&plain("UPDATE t SET n = n + 1 WHERE id = 2")).await.unwrap();
    one.commit().await.unwrap();
    assert!(matches!(two.commit().await, Err(Failure::Serialization)));
    assert!(two.is_clean());
    // A constraint that is looked at only then.
    one.run("ALTER TABLE t ALTER CONSTRAINT t_p DEFERRABLE INITIALLY DEFERRED").await.unwrap();
    one.begin().await.unwrap();
    one.execute(&plain("UPDATE t SET p = 9")).await.unwrap();
    assert!(matches!(one.commit().await, Err(Failure::Constraint(Violation::ForeignKey(_)))));
    assert_eq!(one.execute(&plain("DELETE FROM t WHERE p = 9")).await.unwrap(), 0);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unknown() {
    let (url, mut link) = with_table().await;
    let mut other = self::link(&url, "BEGIN").await;
    link.begin().await.unwrap();
    link.execute(&plain("UPDATE t SET n = 2")).await.unwrap();
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'
        AND datname = current_database()";
    other.run(kill).await.unwrap();
    assert!(matches!(link.commit().await, Err(Failure::Unknown)));
    assert!(!link.is_clean());
}

#[tokio::test]
async fn an_answer_that_is_late_or_not_waited_for_breaks_the_link() {
    let mut late = link(&database(), "BEGIN").await;
    late.extend(Instant::now() + Duration::from_millis(50));
    let failure = late.run("SELECT pg_sleep(20)").await.unwrap_err();
    assert!(is_unavailable(&failure, "in time"), "{failure:?}");
    assert!(late.was_late() && !late.is_clean());
    let mut dropped = link(&database(), "BEGIN").await;
    let gone = tokio::time::timeout(Duration::from_millis(50), dropped.run("SELECT pg_sleep(20)")).await;
    assert!(gone.is_err());
    assert!(!dropped.was_late() && !dropped.is_clean());
    dropped.extend(Instant::now() + LONG);
    assert!(is_unavailable(&dropped.rollback().await.unwrap_err(), "failed before"));
}
