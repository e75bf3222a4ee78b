//! What the process driver keeps, and what it sees of it: [`Keeper`].

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;

use apportion::amount::{CpuMilli, MemoryMib, StorageMib};
use uuid::Uuid;

use super::busy::{Busy, lock};
use super::images::Images;
use super::record::{self, Phase, Record};
use super::seen::{Seen, Watch};
use crate::driver::{Error, Found, FoundState, Result};

/// What an operation has just done. A test makes it end there, as if the agent had been killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is a folder for the instance, and nothing in it.
    FolderMade,
    /// It is written that it is to be started.
    StartIntended,
    /// It was started, and that is written nowhere.
    Started,
    /// It is written which process it is.
    StartRecorded,
    /// It is written that it is to be deleted.
    DeleteIntended,
    /// Its processes have ended.
    Ended,
    /// Its folder is where nobody looks for it.
    Discarded,
    /// A copy of it was made for an image, where nobody looks for one.
    Copied,
    /// The copy is where that of the image is to be, and there is no such image yet.
    Kept,
}

/// The instances of a folder.
pub(super) struct Keeper {
    pub(super) folder: PathBuf,
    pub(super) images: Images,
    pub(super) watch: Watch,
    pub(super) busy: Busy,
    /// Those that this agent started itself: they are its children, and stay in the machine's list until they are heard out.
    pub(super) children: Mutex<Vec<Child>>,
    pub(super) on_step: Box<dyn Fn(Step) -> Result<()> + Send + Sync>,
    /// The system lets go of it when the agent ends, however it ends.
    _lock: File,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// What there is of an instance.
pub(super) enum There {
    /// No folder.
    Nothing,
    /// A folder without a record: it was about to be made.
    Folder,
    /// All of it.
    Record(Box<Record>),
}

impl Keeper {
    /// Opens a folder that is there.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let folder = fs::canonicalize(folder).map_err(Error::file(folder))?;
        let path = folder.join("lock");
        let file = File::create(&path).map_err(Error::file(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::FolderInUse { folder }),
            Err(TryLockError::Error(error)) => return Err(Error::file(&path)(error)),
        }
        let keeper = Self {
            images: Images::new(folder.join("images.json")),
            watch: Watch::new(&folder)?,
            busy: Busy::default(),
            children: Mutex::default(),
            on_step: Box::new(|_| Ok(())),
            _lock: file,
            folder,
        };
        for kept in [keeper.instances(), keeper.discarded()] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&kept);
            made.map_err(Error::file(&kept))?;
        }
        keeper.sweep()?;
        keeper.images.sweep()?;
        Ok(keeper)
    }

    /// What could not be removed is tried again next time: nothing else needs the room by its name.
    fn sweep(&self) -> Result<()> {
        let discarded = self.discarded();
        for entry in fs::read_dir(&discarded).map_err(Error::file(&discarded))?.flatten() {
            let _ = fs::remove_dir_all(entry.path());
        }
        Ok(())
    }

    pub(super) fn instances(&self) -> PathBuf {
        self.folder.join("instances")
    }

    pub(super) fn discarded(&self) -> PathBuf {
        self.folder.join("discarded")
    }

    pub(super) fn instance(&self, id: Uuid) -> PathBuf {
        self.instances().join(id.to_string())
    }

    pub(super) fn record(&self, id: Uuid) -> PathBuf {
        self.instance(id).join("record.json")
    }

    /// The instance of a key. Only what this driver calls an instance is one, so that no key leads out of the folder.
    pub(super) fn id(&self, key: &str) -> Result<Uuid> {
        if let Some(id) = parse_key(key) {
            return Ok(id);
        }
        let mut names = self.names()?.into_iter();
        let key = key.to_owned();
        Err(if names.any(|name| name == key) { Error::NotOurs { key } } else { Error::NotFound { key } })
    }

    fn names(&self) -> Result<Vec<String>> {
        let instances = self.instances();
        let entries = fs::read_dir(&instances).map_err(Error::file(&instances))?;
        Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
    }

    /// What there is of an instance.
    pub(super) fn there(&self, id: Uuid) -> Result<There> {
        match record::read(&self.record(id))? {
            Some(record) => Ok(There::Record(Box::new(record))),
            None if self.instance(id).is_dir() => Ok(There::Folder),
            None => Ok(There::Nothing),
        }
    }

    /// Hears out those of its own that have ended.
    pub(super) fn reap(&self) {
        lock(&self.children).retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    /// Everything: what is written, what runs, and what is neither.
    pub(super) fn list(&self) -> Result<Vec<Found>> {
        self.reap();
        // Processes first: what is started behind this look has a record, and is looked for once more.
        let all = self.watch.all()?;
        let (mut found, mut written) = (Vec::new(), BTreeSet::new());
        for name in self.names()? {
            match parse_key(&name) {
                Some(id) => {
                    written.insert(id);
                    found.extend(self.describe(id, &all)?);
                }
                None => found.push(bare(name, None, "not made by the agent")),
            }
        }
        // Somebody removed the folder of what still runs.
        let still = |seen: &&Seen| self.watch.one(seen.pid()) == Some(**seen);
        let unwritten = all.iter().filter(still).filter_map(Seen::instance);
        let unwritten = unwritten.filter(|id| !written.contains(id)).collect::<BTreeSet<_>>();
        let running = |id: Uuid| Found { state: FoundState::Running, ..bare(id.to_string(), Some(id), "") };
        found.extend(unwritten.into_iter().map(running));
        Ok(found)
    }

    /// One instance, as it is now.
    pub(super) fn found(&self, id: Uuid) -> Result<Found> {
        self.reap();
        self.describe(id, &self.watch.all()?)?.ok_or_else(|| Error::NotFound { key: id.to_string() })
    }

    fn describe(&self, id: Uuid, all: &[Seen]) -> Result<Option<Found>> {
        let record = match self.there(id) {
            Ok(There::Nothing) => return Ok(None),
            Ok(There::Folder) => return Ok(Some(bare(id.to_string(), Some(id), "creating"))),
            Ok(There::Record(record)) => *record,
            Err(Error::BadRecord { .. }) => {
                return Ok(Some(bare(id.to_string(), Some(id), "its record cannot be understood")));
            }
            Err(error) => return Err(error),
        };
        let state = match record.phase {
            Phase::Deleting => FoundState::Other("deleting".to_owned()),
            _ if self.runs(id, &record, all) => FoundState::Running,
            Phase::Creating => FoundState::Other("creating".to_owned()),
            Phase::Made => FoundState::Stopped,
        };
        Ok(Some(Found {
            key: id.to_string(),
            instance: Some(id),
            name: record.spec.name,
            state,
            cpu_milli: record.spec.cpu_milli,
            memory_mib: record.spec.memory_mib,
            storage_mib: record.spec.storage_mib,
        }))
    }

    fn runs(&self, id: Uuid, record: &Record, all: &[Seen]) -> bool {
        !self.watch.of(id, record.process.as_ref(), &[], all).is_empty()
            || record.process.as_ref().is_some_and(|first| self.watch.find(first).is_some())
    }
}

/// The key of an instance is its id.
fn parse_key(key: &str) -> Option<Uuid> {
    Uuid::parse_str(key).ok().filter(|id| id.to_string() == key)
}

/// Something of which nothing is known but that it is there.
fn bare(key: String, instance: Option<Uuid>, state: &str) -> Found {
    Found {
        name: key.clone(),
        key,
        instance,
        state: FoundState::Other(state.to_owned()),
        cpu_milli: CpuMilli::ZERO,
        memory_mib: MemoryMib::ZERO,
        storage_mib: StorageMib::ZERO,
    }
}
