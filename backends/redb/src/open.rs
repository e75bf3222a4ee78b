//! Opening a store: finding out what the file is, and bringing it together with the declarations.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use apportion::store::{OpenProblem, Schema, StoreError, Table};
use apportion::time::Clock;
use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableError, TableHandle};
use tokio::sync::{mpsc, watch};

use crate::backend::{Meter, Metered};
use crate::codec::DeclaredTable;
use crate::error::{io_problem, open_problem, panicked};
use crate::growth;
use crate::layout::{DECLARED, FORMAT, FORMAT_KEY, META, STATE_KEY, State, UNFINISHED_KEY};
use crate::options::{Durability, RedbOptions};
use crate::shared::{Readable, Shared};
use crate::store::RedbStore;
use crate::view::View;
use crate::writer::Writer;

/// What a file holds beside rows.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) state: State,
    pub(crate) declared: BTreeMap<String, DeclaredTable>,
}

impl RedbStore {
    /// Opens the store in this file, or makes a new one where there is none.
    ///
    /// The whole file is read and checked, so this blocks: call it before serving, or on a thread for blocking
    /// work. What the tables have grown since the file was last opened is added: see the crate's documentation.
    ///
    /// # Errors
    /// [`StoreError::CannotOpen`], with the reason. The file is left as it was.
    pub fn open(
        path: impl AsRef<Path>,
        tables: &[&'static Table],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        Self::open_with(path, tables, clock, RedbOptions::default())
    }

    /// Opens a store as [`RedbStore::open`] does, with options.
    pub fn open_with(
        path: impl AsRef<Path>,
        tables: &[&'static Table],
        clock: Arc<dyn Clock>,
        options: RedbOptions,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let what = path.display().to_string();
        let cannot = |reason| StoreError::CannotOpen { what: what.clone(), reason };
        let schema = schema(tables).map_err(cannot)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| cannot(io_problem(&error)))?;
        if file.metadata().is_ok_and(|data| data.len() == 0) {
            sync_folder(path).map_err(|error| cannot(io_problem(&error)))?;
        }
        let backend = FileBackend::new(file).map_err(|error| cannot(open_problem(error.into())))?;
        start(backend, schema, clock, options).map_err(cannot)
    }

    /// Opens the store on a storage of your own, such as one in memory.
    pub fn open_backend(
        backend: impl StorageBackend,
        tables: &[&'static Table],
        clock: Arc<dyn Clock>,
        options: RedbOptions,
    ) -> Result<Self, StoreError> {
        let opened = schema(tables).and_then(|schema| start(backend, schema, clock, options));
        opened.map_err(|reason| StoreError::CannotOpen { what: "the storage".into(), reason })
    }
}

/// Makes the name of a new file survive a power cut, as what is written to it will.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    // Elsewhere a folder cannot be opened, and its entries are written through.
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn schema(tables: &[&'static Table]) -> Result<Arc<Schema>, OpenProblem> {
    let schema = Schema::new(tables);
    schema.map(Arc::new).map_err(|bad| OpenProblem::Incompatible(bad.to_string()))
}

fn start(
    backend: impl StorageBackend,
    schema: Arc<Schema>,
    clock: Arc<dyn Clock>,
    options: RedbOptions,
) -> Result<RedbStore, OpenProblem> {
    let meter = Meter::new(Arc::clone(&clock), Arc::clone(&options.metrics));
    let skip_syncs = options.durability == Durability::ProcessCrash;
    let backend = Metered::new(backend, Arc::clone(&meter), skip_syncs);
    let (database, state, layout, view) = careful(|| {
        let database = Builder::new()
            .set_cache_size(options.cache_bytes)
            .set_check_integrity_on_open(options.check_integrity_on_open)
            .create_with_backend(backend)
            .map_err(|error| open_problem(error.into()))?;
        let contents = contents(&database)?;
        let state = contents.as_ref().map_or(State::NEW, |contents| contents.state);
        let layout = Arc::new(growth::grow(&database, &schema, contents)?);
        let view = View::open(&database, &schema, &layout, state).map_err(damaged)?;
        Ok((database, state, layout, view))
    })?;
    meter.restart();
    let shared = Arc::new(Shared {
        schema,
        layout,
        clock,
        metrics: options.metrics,
        meter,
        views: watch::Sender::new(Readable::Yes(Arc::new(view))),
        snapshots: crate::snapshot::Snapshots::default(),
        waiting: Arc::default(),
        closing: false.into(),
        ended: crate::shared::Ended::default(),
    });
    let (sender, jobs) = mpsc::channel(options.queue.max(1));
    let writer = Writer {
        database,
        shared: Arc::clone(&shared),
        jobs,
        max_group: options.max_group.max(1),
        state,
        pace: crate::writer::Pace::default(),
    };
    let writer = std::thread::Builder::new()
        .name("apportion-redb".into())
        .spawn(move || writer.run())
        .map_err(|error| OpenProblem::Other(format!("no thread for writing: {error}")))?;
    Ok(RedbStore::start(shared, sender, writer))
}

/// redb panics on some damaged files.
fn careful<T>(work: impl FnOnce() -> Result<T, OpenProblem>) -> Result<T, OpenProblem> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(damaged(panicked(&*panic))))
}

/// What a failure over the contents of a file means while it is being opened.
pub(crate) fn damaged(error: StoreError) -> OpenProblem {
    match error {
        StoreError::Corrupt { table, reason, .. } => OpenProblem::Damaged(format!("{table}: {reason}")),
        StoreError::Unavailable { reason, source } => OpenProblem::Other(match source {
            Some(source) => format!("{reason}: {source}"),
            None => reason,
        }),
        error => OpenProblem::Other(error.to_string()),
    }
}

/// What the file holds; none where it is new.
fn contents(database: &Database) -> Result<Option<Contents>, OpenProblem> {
    let redb = |error: redb::Error| open_problem(error);
    let transaction = database.begin_read().map_err(|error| redb(error.into()))?;
    let mut names = transaction.list_tables().map_err(|error| redb(error.into()))?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            return match names.next() {
                None => Ok(None),
                Some(table) => Err(OpenProblem::Foreign(format!(
                    "a redb database of something else, with a table {}",
                    table.name()
                ))),
            };
        }
        Err(TableError::Storage(error)) => return Err(redb(error.into())),
        Err(error) => return Err(OpenProblem::Foreign(error.to_string())),
    };
    let read = |key: &str| -> Result<Option<Vec<u8>>, OpenProblem> {
        let found = meta.get(key).map_err(|error| redb(error.into()))?;
        Ok(found.map(|bytes| bytes.value().to_vec()))
    };
    let broken = |what: &str| OpenProblem::Damaged(what.into());
    let format = read(FORMAT_KEY)?.ok_or_else(|| broken("no version of the format"))?;
    let format = <[u8; 8]>::try_from(format.as_slice()).map_err(|_| broken("no version of the format"))?;
    let format = u64::from_be_bytes(format);
    if format > FORMAT {
        return Err(OpenProblem::TooNew(format!("format {format}, and this build knows {FORMAT}")));
    }
    if read(UNFINISHED_KEY)?.is_some() {
        return Err(broken("a backup that was not finished"));
    }
    let state = read(STATE_KEY)?.and_then(|bytes| State::decode(&bytes));
    let state = state.ok_or_else(|| broken("no readable state"))?;
    let mut declared = BTreeMap::new();
    let tables = transaction.open_table(DECLARED).map_err(|error| redb(error.into()))?;
    for found in tables.iter().map_err(|error| redb(error.into()))? {
        let (name, bytes) = found.map_err(|error| redb(error.into()))?;
        let table = DeclaredTable::decode(bytes.value()).map_err(|reason| {
            OpenProblem::Damaged(format!("the declaration of {}: {reason}", name.value()))
        })?;
        declared.insert(name.value().to_owned(), table);
    }
    Ok(Some(Contents { state, declared }))
}
