//! What the server and the driver say, in the store's own terms. Their words are not repeated: they can hold values.

use std::io;

use apportion::store::{OpenProblem, StoreError};
use apportion_sql::{Failure, Violation};
use sqlx_core::error::Error;
use sqlx_postgres::{PgDatabaseError, PgSeverity};

use crate::link::Refusal;

/// What the server said, where it was the server.
fn server(error: &Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// The code of what the server said; empty where it was not the server.
pub(crate) fn code(error: &Error) -> &str {
    server(error).map_or("", PgDatabaseError::code)
}

pub(crate) fn refusal(error: &Error) -> Refusal {
    let Some(said) = server(error) else { return Refusal::default() };
    Refusal {
        code: said.code().into(),
        in_catalogue: said.schema() == Some("pg_catalog"),
        constraint: said.constraint().unwrap_or_default().into(),
    }
}

/// Whether the connection can be used on: the server refused one statement and waits for the next.
pub(crate) fn leaves_connection(error: &Error) -> bool {
    // A plan that no longer fits, or is gone, is kept with the connection, and would not fit the next time either.
    let stale = matches!(code(error), "0A000" | "26000");
    server(error).is_some_and(|said| said.severity() == PgSeverity::Error) && !stale
}

/// A statement that failed, a commit excepted: nothing happened.
pub(crate) fn failure(error: Error) -> Failure {
    match code(&error) {
        "40001" | "40P01" => Failure::Serialization,
        "55P03" => Failure::LockTimeout,
        "23505" => Failure::Constraint(Violation::Unique),
        "23503" => {
            let name = server(&error).and_then(PgDatabaseError::constraint);
            Failure::Constraint(Violation::ForeignKey(name.map(Into::into)))
        }
        // Some of the rows is what it does not like: a rule, a value, the size of an index entry, a trigger of the
        // application's.
        code if ["22", "23", "54", "P0"].iter().any(|class| code.starts_with(class)) => {
            Failure::Constraint(Violation::Check)
        }
        _ => Failure::Store(store_error(error)),
    }
}

/// A commit that failed. It certainly did not happen where the server refused it and the connection lives on.
pub(crate) fn commit_failure(error: Error) -> Failure {
    // 40003 is the server's own way of saying that it does not know.
    if leaves_connection(&error) && code(&error) != "40003" {
        return failure(error);
    }
    tracing::error!(code = code(&error), "the outcome of a commit is unknown");
    Failure::Unknown
}

/// A failure that is no refusal.
pub(crate) fn store_error(error: Error) -> StoreError {
    let code = code(&error);
    if matches!(code, "XX001" | "XX002") {
        let table = server(&error).and_then(PgDatabaseError::table).unwrap_or_default();
        return StoreError::corrupt(table, None, "", "the server found its own files damaged");
    }
    if !code.is_empty() {
        return unavailable(format!("{} (SQLSTATE {code})", meaning(code)));
    }
    match error {
        Error::Io(error) => StoreError::unavailable("the connection failed", io::Error::from(error.kind())),
        Error::Tls(_) => unavailable("no encrypted connection could be made"),
        Error::PoolTimedOut => unavailable("no connection became free in time"),
        Error::PoolClosed => unavailable("the pool of connections is closed"),
        Error::Protocol(_) => unavailable("the server said something that the driver does not understand"),
        Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnIndexOutOfBounds { .. } => {
            StoreError::corrupt("an answer", None, "", "it is of another type than was asked for")
        }
        _ => unavailable("the driver failed"),
    }
}

pub(crate) fn unavailable(reason: impl Into<String>) -> StoreError {
    StoreError::Unavailable { reason: reason.into(), source: None }
}

/// What a read makes of a failure: nothing happened, whatever it was.
pub(crate) fn nothing_happened(failure: Failure) -> StoreError {
    match failure {
        Failure::Store(error) => error,
        Failure::Serialization => unavailable("other transactions were faster every time"),
        Failure::LockTimeout => unavailable("another transaction kept a row locked for too long"),
        Failure::Constraint(_) => unavailable("the database refused a row that the declarations allow"),
        Failure::Unknown => unavailable("the work ended without an answer"),
    }
}

fn meaning(code: &str) -> &'static str {
    match code {
        "25006" => "the server can only be read",
        "25P03" => "the transaction was idle for too long",
        "42501" => "the database user lacks a right",
        "42P01" | "42703" | "3F000" => "a table or column is no longer there",
        "53100" => "the server's disk is full",
        "53200" => "the server is out of memory",
        "53300" => "the server has too many connections",
        "57014" => "the server cancelled a statement that took too long",
        "57P01" | "57P02" | "57P04" | "57P05" => "the server ended the connection",
        "57P03" => "the server is starting or stopping",
        "28000" | "28P01" => "the server refused the user or the password",
        "3D000" => "the database is not there",
        _ => "the server refused a statement",
    }
}

/// Why a database cannot be opened whose server refuses with this code.
pub(crate) fn refused(code: &str) -> OpenProblem {
    let told = || format!("{} (SQLSTATE {code})", meaning(code));
    match code {
        "28000" | "28P01" | "42501" => OpenProblem::Forbidden,
        "3D000" => OpenProblem::Missing,
        "53300" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => OpenProblem::Unreachable(told()),
        _ => OpenProblem::Other(told()),
    }
}

/// Why a database cannot be opened.
pub(crate) fn open_problem(error: &Error) -> OpenProblem {
    match error {
        said if !code(said).is_empty() => refused(code(said)),
        // What the resolver says has no number of the operating system, nor a kind that could be named.
        Error::Io(error) if error.raw_os_error().is_none() && error.kind() > io::ErrorKind::Other => {
            OpenProblem::Unreachable("the host is not known".into())
        }
        Error::Io(error) => OpenProblem::Unreachable(error.kind().to_string()),
        Error::Tls(_) => OpenProblem::Unreachable("no encrypted connection could be made".into()),
        Error::PoolTimedOut => OpenProblem::Unreachable("no connection became free in time".into()),
        Error::PoolClosed => OpenProblem::Other("the pool of connections is closed".into()),
        Error::Configuration(_) | Error::InvalidArgument(_) => {
            OpenProblem::Other("the address is none of a Postgres database".into())
        }
        _ => foreign(),
    }
}

pub(crate) fn foreign() -> OpenProblem {
    OpenProblem::Foreign("what answers is no Postgres server".into())
}
