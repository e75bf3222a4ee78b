//! What SQLite says, in the store's own terms.

use std::io;
use std::path::Path;

use apportion::store::{OpenProblem, StoreError};
use apportion_sql::{Failure, Violation};
use sqlx_core::error::Error;

/// The result codes of SQLite that are told apart here, from its documentation; the low byte of an extended code
/// is the primary one.
mod code {
    pub(super) const ERROR: i32 = 1;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const NOTADB: i32 = 26;
    pub(super) const READONLY_ROLLBACK: i32 = 776;
    pub(super) const IOERR_WRITE: i32 = 778;
    pub(super) const CONSTRAINT_FOREIGNKEY: i32 = 787;
    pub(super) const CONSTRAINT_PRIMARYKEY: i32 = 1555;
    pub(super) const CONSTRAINT_TRIGGER: i32 = 1811;
    pub(super) const CONSTRAINT_UNIQUE: i32 = 2067;
    pub(super) const CONSTRAINT_ROWID: i32 = 2579;
    pub(super) const IOERR_SHMSIZE: i32 = 4874;
}

const FULL: &str = "the disk is full";

/// The extended result code, where SQLite gave one.
fn extended(error: &Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

fn primary(error: &Error) -> Option<i32> {
    extended(error).map(|code| code & 0xff)
}

/// Whether somebody else has the file, so that trying again can help.
pub(crate) fn is_busy(error: &Error) -> bool {
    matches!(primary(error), Some(code::BUSY | code::LOCKED | code::PROTOCOL))
}

/// Whether there is no room: for the file, or for the index of its log, which SQLite tells in another way.
fn is_full(error: &Error) -> bool {
    primary(error) == Some(code::FULL) || extended(error) == Some(code::IOERR_SHMSIZE)
}

/// Whether a statement was refused as one that makes no sense here, without anything having failed.
pub(crate) fn is_refused(error: &Error) -> bool {
    extended(error) == Some(code::ERROR)
}

/// Whether a change that a writer left unfinished has to be undone before the file can be read.
pub(crate) fn is_unfinished(error: &Error) -> bool {
    extended(error) == Some(code::READONLY_ROLLBACK)
}

/// A statement that failed, a commit excepted: nothing happened.
pub(crate) fn failure(error: Error) -> Failure {
    if is_busy(&error) {
        return Failure::LockTimeout;
    }
    if primary(&error) == Some(code::CONSTRAINT) {
        return Failure::Constraint(match extended(&error) {
            Some(code::CONSTRAINT_PRIMARYKEY | code::CONSTRAINT_UNIQUE | code::CONSTRAINT_ROWID) => {
                Violation::Unique
            }
            // SQLite does not say which, and refuses a deletion by a trigger of its own.
            Some(code::CONSTRAINT_FOREIGNKEY | code::CONSTRAINT_TRIGGER) => Violation::ForeignKey(None),
            _ => Violation::Check,
        });
    }
    Failure::Store(store_error(error))
}

/// A commit that failed.
///
/// A full disk is met while the log is written, before the mark that makes the commit one, and so is any write
/// that fails. Behind that mark come a sync and the shared index of the log: where one of these fails SQLite takes
/// the commit back, but a crash before the next commit would bring it to light again.
pub(crate) fn commit_failure(error: Error) -> Failure {
    if primary(&error) == Some(code::FULL) || extended(&error) == Some(code::IOERR_WRITE) {
        return Failure::Store(store_error(error));
    }
    match failure(error) {
        Failure::Store(error) => {
            tracing::error!(%error, "the outcome of a commit is unknown");
            Failure::Unknown
        }
        other => other,
    }
}

/// A failure that is no refusal.
pub(crate) fn store_error(error: Error) -> StoreError {
    let reason = match &error {
        Error::PoolClosed => return StoreError::Closed,
        Error::PoolTimedOut => "no connection became free in time",
        Error::WorkerCrashed => "the connection has ended",
        _ => match primary(&error) {
            Some(code::CORRUPT | code::NOTADB) => {
                return StoreError::corrupt("the file", None, "", said(&error));
            }
            Some(code::BUSY | code::LOCKED | code::PROTOCOL) => "somebody else has the file",
            _ if is_full(&error) => FULL,
            Some(code::READONLY) => "the file can only be read",
            Some(code::IOERR) => "the file could not be read or written",
            Some(code::CANTOPEN) => "a file could not be opened",
            _ => "the database failed",
        },
    };
    StoreError::unavailable(reason, error)
}

/// What SQLite said, without the driver's own words.
fn said(error: &Error) -> String {
    match error.as_database_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    }
}

/// Why a file cannot be opened. `makes` says whether it was to be made where there is none.
pub(crate) fn open_problem(error: &Error, path: &Path, makes: bool) -> OpenProblem {
    match primary(error) {
        Some(code::CANTOPEN) if !makes && !path.exists() => OpenProblem::Missing,
        Some(code::CANTOPEN) => cannot_open(path),
        _ => problem(error),
    }
}

fn problem(error: &Error) -> OpenProblem {
    match primary(error) {
        // Statements that are right for what the catalogue tells are wrong for what is there.
        Some(code::ERROR) => OpenProblem::Incompatible(said(error)),
        Some(code::BUSY | code::LOCKED | code::PROTOCOL) => OpenProblem::InUse,
        Some(code::NOTADB) => OpenProblem::Foreign("no SQLite database".into()),
        Some(code::CORRUPT) => OpenProblem::Damaged(said(error)),
        // The file is open; one beside it cannot be.
        Some(code::READONLY | code::CANTOPEN) => OpenProblem::Forbidden,
        _ if is_full(error) => OpenProblem::Other(FULL.into()),
        _ => OpenProblem::Other(said(error)),
    }
}

/// SQLite says only that it could not. Nothing is opened to find out: closing a file would release the locks that
/// another store of this process has on it.
fn cannot_open(path: &Path) -> OpenProblem {
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => OpenProblem::Missing,
        io::ErrorKind::PermissionDenied => OpenProblem::Forbidden,
        _ => OpenProblem::Other(error.to_string()),
    };
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => OpenProblem::Foreign("a folder".into()),
        Ok(_) => OpenProblem::Forbidden,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match path.parent().map_or(Ok(()), |folder| std::fs::metadata(folder).map(|_| ())) {
                // The folder is there, and no file could be made in it.
                Ok(()) => OpenProblem::Forbidden,
                Err(error) => missing(error),
            }
        }
        Err(error) => missing(error),
    }
}

/// What a failure over the contents of a file means while it is being opened.
pub(crate) fn while_opening(failure: Failure) -> OpenProblem {
    match failure {
        Failure::LockTimeout | Failure::Serialization => OpenProblem::InUse,
        Failure::Constraint(_) => {
            OpenProblem::Incompatible("a row breaks a rule that is declared now".into())
        }
        Failure::Unknown => OpenProblem::Other("it is not certain that the tables were made".into()),
        Failure::Store(StoreError::Corrupt { table, reason, .. }) => {
            OpenProblem::Damaged(format!("{table}: {reason}"))
        }
        Failure::Store(StoreError::Unavailable { reason, source }) => {
            let error = source.as_deref().and_then(|source| source.downcast_ref::<Error>());
            error.map_or(OpenProblem::Other(reason), problem)
        }
        Failure::Store(error) => OpenProblem::Other(error.to_string()),
    }
}

/// A failure of a unit of work that is not judged: resolving, pruning, reading.
pub(crate) fn plain(failure: Failure) -> StoreError {
    let unavailable = |reason: &str| StoreError::Unavailable { reason: reason.into(), source: None };
    match failure {
        Failure::Store(error) => error,
        Failure::LockTimeout | Failure::Serialization => unavailable("somebody else has the file"),
        Failure::Constraint(_) => unavailable("the database refused a row of the store's own"),
        Failure::Unknown => unavailable("it is not certain whether it happened; do it again"),
    }
}

#[cfg(test)]
mod tests;
