//! Copying a store while it works.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use apportion::store::{OpenProblem, StoreError};
use redb::backends::FileBackend;
use redb::{
    Builder, Database, ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, WriteTransaction,
};
use redb::{Key, Value};

use crate::error::{io_problem, open_problem, storage};
use crate::layout::{DECLARED, LOG, Layout, META, RECEIPTS, UNFINISHED_KEY, bytes_table};
use crate::open::sync_folder;
use crate::read;
use crate::store::RedbStore;
use crate::view::View;

/// How much memory pages of the copy may take while it is written.
const CACHE_BYTES: usize = 16 << 20;

impl RedbStore {
    /// Copies the store to a new file while it goes on working. The copy is the state after the last commit that
    /// was acknowledged before the call, and is opened like any store.
    ///
    /// Disk space of the store that is freed meanwhile is used again only after the copy is done.
    ///
    /// # Errors
    /// [`StoreError::CannotOpen`] where there is a file of that name already, which is left alone, or where none
    /// can be made. A copy that fails is removed; one that a crash cuts off does not open, and says why.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<(), StoreError> {
        let view = self.view().await?;
        let layout = Arc::clone(&self.shared().layout);
        let to = to.as_ref().to_owned();
        read::blocking(move || copy(&view, &layout, &to)).await
    }
}

fn copy(view: &View, layout: &Layout, to: &Path) -> Result<(), StoreError> {
    let cannot = |reason| StoreError::CannotOpen { what: to.display().to_string(), reason };
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(to);
    let file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => cannot(OpenProblem::Other("there is a file already".into())),
        _ => cannot(io_problem(&error)),
    })?;
    let copied = FileBackend::new(file)
        .map_err(|error| cannot(open_problem(error.into())))
        .and_then(|backend| {
            let mut builder = Builder::new();
            let database = builder.set_cache_size(CACHE_BYTES).create_with_backend(backend);
            database.map_err(|error| cannot(open_problem(error.into())))
        })
        .and_then(|database| fill(&database, view, layout).and_then(|()| database.close().map_err(storage)))
        .and_then(|()| sync_folder(to).map_err(|error| cannot(io_problem(&error))));
    if copied.is_err() {
        // It was made by this call, and is of no use. Where it stays it says that it is unfinished.
        drop(fs::remove_file(to));
    }
    copied
}

fn fill(database: &Database, view: &View, layout: &Layout) -> Result<(), StoreError> {
    // A copy that is cut off must not look like a new and empty store.
    let marking = database.begin_write().map_err(storage)?;
    {
        let mut meta = marking.open_table(META).map_err(storage)?;
        let format = crate::layout::FORMAT.to_be_bytes();
        meta.insert(crate::layout::FORMAT_KEY, format.as_slice()).map_err(storage)?;
        meta.insert(UNFINISHED_KEY, [].as_slice()).map_err(storage)?;
    }
    marking.commit().map_err(storage)?;
    let (from, filling) = (view.transaction(), database.begin_write().map_err(storage)?);
    copy_table(from, &filling, META)?;
    copy_table(from, &filling, DECLARED)?;
    copy_table(from, &filling, LOG)?;
    copy_table(from, &filling, RECEIPTS)?;
    for table in layout.tables() {
        copy_table(from, &filling, bytes_table(&table.rows))?;
        for order in &table.orders {
            copy_table(from, &filling, bytes_table(order))?;
        }
    }
    {
        let mut meta = filling.open_table(META).map_err(storage)?;
        meta.remove(UNFINISHED_KEY).map_err(storage)?;
    }
    filling.commit().map_err(storage)
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    definition: TableDefinition<'_, K, V>,
) -> Result<(), StoreError> {
    let source: ReadOnlyTable<K, V> = from.open_table(definition).map_err(storage)?;
    let mut target = to.open_table(definition).map_err(storage)?;
    for entry in source.iter().map_err(storage)? {
        let (key, value) = entry.map_err(storage)?;
        target.insert(key.value(), value.value()).map_err(storage)?;
    }
    Ok(())
}
