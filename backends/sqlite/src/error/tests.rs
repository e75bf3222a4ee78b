use sqlx_core::connection::ConnectOptions as _;
use sqlx_core::executor::Executor as _;
use sqlx_sqlite::{SqliteConnectOptions, SqliteConnection};

use super::*;

async fn database() -> SqliteConnection {
    SqliteConnectOptions::new().foreign_keys(true).connect().await.unwrap()
}

#[tokio::test]
async fn what_refuses_a_row_is_told_apart() {
    let mut database = database().await;
    for sql in [
        "CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT UNIQUE) STRICT",
        "CREATE TABLE children (id TEXT PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parents ON DELETE RESTRICT, \
         CHECK (id <> 'x')) STRICT, WITHOUT ROWID",
        "INSERT INTO parents VALUES (1, 'a')",
        "INSERT INTO children VALUES ('a', 1)",
    ] {
        database.execute(sql).await.unwrap();
    }
    for (sql, expected) in [
        ("INSERT INTO parents VALUES (1, 'b')", Violation::Unique),
        ("INSERT INTO parents VALUES (2, 'a')", Violation::Unique),
        ("INSERT INTO children VALUES ('a', 1)", Violation::Unique),
        ("INSERT INTO children VALUES ('b', 2)", Violation::ForeignKey(None)),
        ("DELETE FROM parents", Violation::ForeignKey(None)),
        ("INSERT INTO children VALUES ('x', 1)", Violation::Check),
        ("INSERT INTO children VALUES ('b', NULL)", Violation::Check),
        ("INSERT INTO children VALUES ('b', 'one')", Violation::Check),
    ] {
        match failure(database.execute(sql).await.unwrap_err()) {
            Failure::Constraint(violation) => assert_eq!(violation, expected, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_lock_that_is_not_given_and_a_file_that_is_full_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("x.sqlite"))
        .create_if_missing(true)
        .busy_timeout(std::time::Duration::ZERO);
    let mut first = options.connect().await.unwrap();
    let mut second = options.connect().await.unwrap();
    first.execute("BEGIN IMMEDIATE").await.unwrap();
    let refused = failure(second.execute("BEGIN IMMEDIATE").await.unwrap_err());
    assert!(matches!(refused, Failure::LockTimeout), "{refused:?}");
    first.execute("ROLLBACK").await.unwrap();

    first.execute("PRAGMA max_page_count = 2").await.unwrap();
    first.execute("CREATE TABLE a (b)").await.unwrap();
    let full = failure(first.execute("CREATE TABLE c (d)").await.unwrap_err());
    let Failure::Store(error @ StoreError::Unavailable { .. }) = full else { panic!("{full:?}") };
    assert_eq!(error.to_string(), "the store is unavailable: the disk is full");
}

#[tokio::test]
async fn a_commit_that_failed_behind_its_mark_is_unknown() {
    for (number, unknown) in
        [(1034, true), (10, true), (11, true), (13, false), (778, false), (5, false), (787, false)]
    {
        let failed = commit_failure(Error::Database(Box::new(Said(number))));
        assert_eq!(matches!(failed, Failure::Unknown), unknown, "{number}: {failed:?}");
    }
    assert!(matches!(commit_failure(Error::WorkerCrashed), Failure::Unknown));
}

/// An error of SQLite with this code.
#[derive(Debug)]
struct Said(i32);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "code {}", self.0)
    }
}

impl std::error::Error for Said {}

impl sqlx_core::error::DatabaseError for Said {
    fn message(&self) -> &'static str {
        "said"
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.0.to_string().into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> sqlx_core::error::ErrorKind {
        sqlx_core::error::ErrorKind::Other
    }
}
