//! What is written about an instance: [`Record`].

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::seen::Identity;
use crate::driver::{Error, Result, Spec};

/// What is written about an instance, beside what it writes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) phase: Phase,
    pub(super) spec: Spec,
    /// Its first process, since it was started; none while that is intended only, and when it was stopped.
    pub(super) process: Option<Identity>,
}

/// How far an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// It is to be made, and was never seen to run.
    Creating,
    /// It was made.
    Made,
    /// It is to be removed.
    Deleting,
}

/// Reads a file of JSON; `None` where there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file(path)(error)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|source| Error::BadRecord { path: path.to_owned(), source })
}

/// Writes a file of JSON, so that whoever reads it finds the old text or the new one, whenever the power goes.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_vec_pretty(value).map_err(Error::failed)?;
    let new = path.with_extension("new");
    // Whatever an environment holds is for the agent alone.
    let options = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new);
    let mut file = options.map_err(Error::file(&new))?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(Error::file(&new))?;
    fs::rename(&new, path).map_err(Error::file(path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes what was made, renamed or removed in a folder last.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::file(folder))
}
