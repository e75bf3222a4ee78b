//! Why a worker does not work: [`Error`].

use std::path::{Path, PathBuf};

use crate::control::Refused;

/// Why a worker does not work, or a run was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The control plane does not hear it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A file or folder could not be read or written.
    #[error("{path} cannot be read or written")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Another worker works in the same folder.
    #[error("another worker works in {folder}")]
    FolderInUse {
        /// The folder.
        folder: PathBuf,
    },
    /// A key of the storage is not one that can be a file.
    #[error("the key {key:?} is no path in a folder")]
    BadKey {
        /// The key.
        key: String,
    },
    /// What is written about an attempt cannot be understood.
    #[error("the record {path} cannot be understood")]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// The program cannot be started.
    #[error("the program {program:?} cannot be started")]
    CannotStart {
        /// The program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A process runs on, although it was killed: something in the machine holds it.
    #[error("the process {pid} runs on although it was killed")]
    DoesNotEnd {
        /// The process.
        pid: u32,
    },
    /// The worker itself is broken.
    #[error("an attempt broke off")]
    Task {
        /// How.
        source: tokio::task::JoinError,
    },
}

impl Error {
    /// For `map_err`: a file could not be read or written.
    pub(super) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }
}
