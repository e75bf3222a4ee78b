//! Opening the store that a replay works on.

use std::path::Path;
use std::sync::Arc;

use apportion::entity::TABLES;
use apportion::store::memory::MemoryStore;
use apportion::store::{Store, Table};
use apportion::time::Clock;
use apportion_redb::{RedbOptions, RedbStore};
use tempfile::TempDir;

use super::begun::INPUTS;
use super::progress::PROGRESS;
use crate::cli::{DurabilityArg, StoreAt};
use crate::error::AppError;

/// A store, and what goes when it goes.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    redb: Option<Arc<RedbStore>>,
    /// Removed after the store is closed: fields are dropped in their order.
    _folder: Option<TempDir>,
}

impl Opened {
    /// Opens the store with the control plane's tables and the replay's own.
    pub(super) fn new(
        at: &StoreAt,
        durability: DurabilityArg,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, AppError> {
        let tables: Vec<&'static Table> = TABLES.iter().copied().chain([&INPUTS, &PROGRESS]).collect();
        let redb = |path: &Path, folder| {
            let options = RedbOptions::default().durability(durability.into());
            let store = Arc::new(RedbStore::open_with(path, &tables, Arc::clone(clock), options)?);
            Ok::<_, AppError>(Self { store: store.clone(), redb: Some(store), _folder: folder })
        };
        match at {
            StoreAt::Memory => Ok(Self {
                store: Arc::new(MemoryStore::new(&tables, Arc::clone(clock))?),
                redb: None,
                _folder: None,
            }),
            StoreAt::File(path) => redb(path, None),
            StoreAt::Temporary => {
                let folder = TempDir::with_prefix("replay-").map_err(AppError::Temporary)?;
                let path = folder.path().join("replay.redb");
                redb(&path, Some(folder))
            }
        }
    }

    /// The size of the store's file; 0 in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.redb.as_ref().map_or(0, |redb| redb.file_bytes())
    }
}
