//! Why something could not be done: [`Error`].

use std::path::{Path, PathBuf};

/// What an operation of a driver comes to.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a driver did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such instance.
    #[error("there is no instance with the key {key:?}")]
    NotFound {
        /// The key.
        key: String,
    },
    /// Somebody else made it, and the agent does not touch it.
    #[error("the instance {key:?} was not made by this agent")]
    NotOurs {
        /// The key.
        key: String,
    },
    /// It is being deleted: delete it again to finish that.
    #[error("the instance {key:?} is being deleted")]
    BeingDeleted {
        /// The key.
        key: String,
    },
    /// It cannot be made as it is wanted, now or later.
    #[error("the spec is invalid: {reason}")]
    InvalidSpec {
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such image: load it first.
    #[error("there is no image {image:?}")]
    NoSuchImage {
        /// Its key, or from where it was to come.
        image: String,
    },
    /// What is there stands in the way, such as a name that is taken or an image that is used.
    #[error("{what} is in the way: {reason}")]
    InTheWay {
        /// What was to be changed.
        what: String,
        /// What the driver says.
        reason: String,
    },
    /// Its program cannot be started.
    #[error("the program {program:?} cannot be started")]
    CannotStart {
        /// The program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It runs on, although it was killed: something in the machine holds it.
    #[error("the instance {key:?} runs on although it was killed")]
    DoesNotEnd {
        /// The key.
        key: String,
    },
    /// Another agent works in the same folder.
    #[error("another agent works in {folder}")]
    FolderInUse {
        /// The folder.
        folder: PathBuf,
    },
    /// What is written about an instance cannot be understood. It can only be deleted.
    #[error("the record {path} cannot be understood")]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// A file could not be read or written.
    #[error("{path} cannot be read or written")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What the driver works with, such as Docker, does not do what it should.
    #[error("the driver failed")]
    Failed {
        /// What it says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// For `map_err`: a file could not be read or written.
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }

    /// Something else that went wrong in the driver.
    pub(crate) fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed { source: source.into() }
    }
}
