//! What redb says, in the store's own terms.

use std::any::Any;
use std::io;

use apportion::store::{OpenProblem, StoreError};

/// A failure of the storage outside opening and committing: nothing happened.
pub(crate) fn storage(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(reason) => StoreError::corrupt("the file", None, "", reason),
        redb::Error::DatabaseClosed => StoreError::Closed,
        error => StoreError::unavailable("the storage failed", error),
    }
}

/// A store whose writer has given up.
pub(crate) fn writer_failed() -> StoreError {
    StoreError::Unavailable {
        reason: "writing failed earlier; close the store and open it again".into(),
        source: None,
    }
}

/// redb panicked, which it does on some damaged pages.
pub(crate) fn panicked(what: &(dyn Any + Send)) -> StoreError {
    let said = what
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| what.downcast_ref::<String>().cloned());
    StoreError::corrupt("the file", None, "", said.unwrap_or_else(|| "unreadable".into()))
}

/// Why a database cannot be opened.
pub(crate) fn open_problem(error: redb::Error) -> OpenProblem {
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => OpenProblem::InUse,
        redb::Error::UpgradeRequired(version) => {
            OpenProblem::Incompatible(format!("its file format {version} must be upgraded first"))
        }
        redb::Error::Corrupted(reason) => OpenProblem::Damaged(reason),
        redb::Error::Io(error) => io_problem(&error),
        error => OpenProblem::Other(error.to_string()),
    }
}

/// Why a file cannot be opened.
pub(crate) fn io_problem(error: &io::Error) -> OpenProblem {
    match error.kind() {
        io::ErrorKind::NotFound => OpenProblem::Missing,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => OpenProblem::Forbidden,
        io::ErrorKind::InvalidData => OpenProblem::Foreign("not a redb file".into()),
        io::ErrorKind::IsADirectory => OpenProblem::Foreign("a folder".into()),
        // A file that ends before what its own header promises.
        io::ErrorKind::UnexpectedEof => OpenProblem::Damaged("it ends too early".into()),
        _ => OpenProblem::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operating_system_says_is_told_apart() {
        for (kind, problem) in [
            (io::ErrorKind::NotFound, OpenProblem::Missing),
            (io::ErrorKind::PermissionDenied, OpenProblem::Forbidden),
            (io::ErrorKind::ReadOnlyFilesystem, OpenProblem::Forbidden),
        ] {
            assert_eq!(io_problem(&kind.into()), problem);
            assert_eq!(open_problem(redb::Error::Io(kind.into())), problem);
        }
        assert_eq!(open_problem(redb::Error::DatabaseAlreadyOpen), OpenProblem::InUse);
        let full = io_problem(&io::ErrorKind::StorageFull.into());
        assert!(matches!(full, OpenProblem::Other(_)));
    }
}
