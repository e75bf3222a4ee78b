//! What is done to instances, step by step.
//!
//! Each operation reads what there is and goes on from there, so that one that was cut off is finished by asking for it again.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;
use uuid::Uuid;

use super::busy::lock;
use super::keeper::{Keeper, Step, There};
use super::launch::launch;
use super::record::{self, Phase, Record, sync_folder};
use super::seen::{Identity, Seen};
use crate::driver::{Error, Found, Result, Spec};

/// How long a process that was killed may take to be gone: it may wait for a disk.
const KILL_GRACE: Duration = Duration::from_secs(10);

impl Keeper {
    pub(super) fn create(&self, spec: Spec) -> Result<Found> {
        spec.check()?;
        let id = spec.instance;
        let _turn = self.busy.wait(id);
        match self.there(id)? {
            There::Record(record) => match record.phase {
                Phase::Deleting => return Err(Error::BeingDeleted { key: id.to_string() }),
                Phase::Made => return self.found(id),
                Phase::Creating if self.adopt(*record)? => return self.found(id),
                Phase::Creating => {}
            },
            There::Folder | There::Nothing => {}
        }
        // What was not begun yet is begun with what is wanted now.
        if let Some(image) = &spec.image {
            self.images.find(image)?;
        }
        let folder = self.instance(id);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(Error::file(&folder)(error));
            }
            _ => sync_folder(&self.instances())?,
        }
        (self.on_step)(Step::FolderMade)?;
        let record = Record { phase: Phase::Creating, spec, process: None };
        // Where its folder is gone, it may run all the same.
        if !self.adopt(record.clone())? {
            let launched = self.launch(record);
            if let Err(Error::CannotStart { .. } | Error::InvalidSpec { .. }) = &launched {
                self.discard(id)?;
            }
            launched?;
        }
        self.found(id)
    }

    pub(super) fn start(&self, key: &str) -> Result<Found> {
        let id = self.id(key)?;
        let _turn = self.busy.wait(id);
        let record = self.made(id)?;
        if !self.adopt(record.clone())? {
            self.launch(record)?;
        }
        self.found(id)
    }

    pub(super) fn stop(&self, key: &str, grace: Duration) -> Result<Found> {
        let id = self.id(key)?;
        let _turn = self.busy.wait(id);
        let record = self.made(id)?;
        self.end(id, record.process.as_ref(), grace)?;
        if record.process.is_some() {
            record::write(&self.record(id), &Record { process: None, ..record })?;
        }
        self.found(id)
    }

    pub(super) fn delete(&self, key: &str, grace: Duration) -> Result<()> {
        let id = match self.id(key) {
            Err(Error::NotFound { .. }) => return Ok(()),
            id => id?,
        };
        let _turn = self.busy.wait(id);
        let first = match self.there(id) {
            Ok(There::Record(record)) => {
                let record = Record { phase: Phase::Deleting, ..*record };
                record::write(&self.record(id), &record)?;
                record.process
            }
            Ok(There::Folder | There::Nothing) | Err(Error::BadRecord { .. }) => None,
            Err(error) => return Err(error),
        };
        (self.on_step)(Step::DeleteIntended)?;
        self.end(id, first.as_ref(), grace)?;
        (self.on_step)(Step::Ended)?;
        self.discard(id)
    }

    /// The record of an instance that is not on its way out.
    pub(super) fn made(&self, id: Uuid) -> Result<Record> {
        match self.there(id)? {
            There::Record(record) if record.phase != Phase::Deleting => Ok(*record),
            There::Record(_) => Err(Error::BeingDeleted { key: id.to_string() }),
            There::Folder | There::Nothing => Err(Error::NotFound { key: id.to_string() }),
        }
    }

    /// Whether an instance runs already. If so, that and its first process are written down.
    fn adopt(&self, record: Record) -> Result<bool> {
        self.reap();
        let id = record.spec.instance;
        let living = self.watch.of(id, record.process.as_ref(), &[], &self.watch.all()?);
        if living.is_empty() {
            return Ok(false);
        }
        let first = living.iter().filter(|seen| seen.leads()).min_by_key(|seen| seen.started());
        let process = first.map(|first| self.watch.identity(first)).or_else(|| record.process.clone());
        let adopted = Record { phase: Phase::Made, process, ..record.clone() };
        if adopted != record {
            record::write(&self.record(id), &adopted)?;
        }
        Ok(true)
    }

    /// Starts the process of an instance that has none.
    fn launch(&self, record: Record) -> Result<()> {
        let id = record.spec.instance;
        let intended = Record { process: None, ..record };
        record::write(&self.record(id), &intended)?;
        (self.on_step)(Step::StartIntended)?;
        let image = intended.spec.image.clone().map(|image| match self.images.find(&image) {
            Ok(found) => found.url.unwrap_or(image),
            // It was deleted since: the instance does not need it to start again.
            Err(_) => image,
        });
        if let Some(image) = &intended.spec.image {
            self.unpack(id, image)?;
        }
        let child = launch(&intended.spec, image.as_deref(), &self.folder, &self.instance(id))?;
        let pid = child.id();
        // None where it has ended already.
        let process = self.watch.one(pid).map(|seen| self.watch.identity(&seen));
        lock(&self.children).push(child);
        (self.on_step)(Step::Started)?;
        record::write(&self.record(id), &Record { phase: Phase::Made, process, ..intended })?;
        (self.on_step)(Step::StartRecorded)
    }

    /// Asks everything of an instance to end, and kills what has not done so after `grace`.
    fn end(&self, id: Uuid, first: Option<&Identity>, grace: Duration) -> Result<()> {
        let mut known = Vec::new();
        if self.living(id, first, &mut known)?.is_empty() {
            return Ok(());
        }
        self.watch.signal(&known, Signal::TERM);
        if wait(grace, || Ok(self.living(id, first, &mut known)?.is_empty()))? {
            return Ok(());
        }
        let killed = wait(KILL_GRACE, || {
            let living = self.living(id, first, &mut known)?;
            self.watch.signal(&living, Signal::KILL);
            Ok(living.is_empty())
        })?;
        if killed { Ok(()) } else { Err(Error::DoesNotEnd { key: id.to_string() }) }
    }

    /// What lives of an instance. What was known to belong to it is remembered: when its first process has ended, nothing else
    /// may tell it.
    fn living(&self, id: Uuid, first: Option<&Identity>, known: &mut Vec<Seen>) -> Result<Vec<Seen>> {
        self.reap();
        let all = self.watch.all()?;
        let living = self.watch.of(id, first, known, &all);
        known.clone_from(&living);
        Ok(living)
    }

    /// Removes the folder of an instance: out of sight first, in one step, so that no half of it is taken for an instance.
    fn discard(&self, id: Uuid) -> Result<()> {
        let folder = self.instance(id);
        let discarded = self.discarded().join(id.to_string());
        remove(&discarded)?;
        match fs::rename(&folder, &discarded) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(Error::file(&folder))?,
        }
        sync_folder(&self.instances())?;
        (self.on_step)(Step::Discarded)?;
        remove(&discarded)
    }
}

pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::file(folder)),
    }
}

/// Looks until something is so, at growing distances, for about `limit`. Says whether it is.
fn wait(limit: Duration, mut so: impl FnMut() -> Result<bool>) -> Result<bool> {
    let (mut waited, mut next) = (Duration::ZERO, Duration::from_millis(5));
    loop {
        if so()? {
            return Ok(true);
        }
        if waited >= limit {
            return Ok(false);
        }
        let pause = next.min(limit - waited);
        sleep(pause);
        waited += pause;
        next = (next * 2).min(Duration::from_millis(200));
    }
}
