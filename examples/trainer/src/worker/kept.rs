//! What a worker must know after it was killed: [`Kept`].

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apportion::entity::LeaseId;
use apportion::plane::RunLease;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Error;
use super::program::Process;

/// What is written of an attempt while its program runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// The lease that it has.
    pub lease: RunLease,
    /// Its process, known by its number and when it was started.
    pub process: Process,
}

/// The records of the attempts whose programs may run, in a folder that is the worker's alone.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    /// Held for as long as the worker lives, however it ends.
    _lock: Arc<File>,
}

impl Kept {
    pub(super) fn open(state: &Path) -> Result<Self, Error> {
        let folder = state.join("running");
        std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let lock = state.join("lock");
        let file = File::create(&lock).map_err(Error::file(&lock))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { folder, _lock: Arc::new(file) }),
            Err(Errno::WOULDBLOCK) => Err(Error::FolderInUse { folder: state.to_owned() }),
            Err(error) => Err(Error::file(&lock)(error.into())),
        }
    }

    /// Writes a record, before anything else is done.
    pub(super) fn keep(&self, record: &Record) -> Result<(), Error> {
        let path = self.path(record.lease.lease);
        let file = tempfile::NamedTempFile::new_in(&self.folder).map_err(Error::file(&self.folder))?;
        serde_json::to_writer(&file, record)
            .map_err(|source| Error::BadRecord { path: path.clone(), source })?;
        file.persist(&path).map(drop).map_err(|error| Error::file(&path)(error.error))
    }

    /// Forgets an attempt of which nothing runs.
    pub(super) fn forget(&self, lease: LeaseId) {
        // One that stays is found at the next start, and is of a process that is not there.
        let _ = std::fs::remove_file(self.path(lease));
    }

    /// Ends whatever still runs of earlier lives.
    pub(super) async fn end_all(&self, grace: Duration) -> Result<(), Error> {
        for file in std::fs::read_dir(&self.folder).map_err(Error::file(&self.folder))? {
            let path = file.map_err(Error::file(&self.folder))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = std::fs::read(&path).map_err(Error::file(&path))?;
                let record: Record = serde_json::from_slice(&text)
                    .map_err(|source| Error::BadRecord { path: path.clone(), source })?;
                record.process.end(grace).await?;
            }
            std::fs::remove_file(&path).map_err(Error::file(&path))?;
        }
        Ok(())
    }

    fn path(&self, lease: LeaseId) -> PathBuf {
        self.folder.join(format!("{}.json", lease.uuid()))
    }
}
