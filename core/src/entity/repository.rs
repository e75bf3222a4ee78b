//! What every repository is made of: [`Entry`], pages, and the adapter over a store.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Entity;
use crate::error::{Error, Result};
use crate::id::IdSource;
use crate::store::{Batch, Key, PageCursor, Scan, Store, StoreExt, Write};

/// An entity as it was read, with the revision that an update or a delete of it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<T> {
    /// The entity.
    pub value: T,
    /// Raised by every update.
    pub revision: i64,
}

impl<T> Entry<T> {
    /// An entity at a revision.
    pub const fn new(value: T, revision: i64) -> Self {
        Self { value, revision }
    }
}

impl<T> Deref for Entry<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// Which page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PageRequest {
    /// Where the page before ended.
    pub after: Option<PageCursor>,
    /// The largest number of entries, from 1 to 1,000.
    pub limit: u32,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { after: None, limit: 100 }
    }
}

impl PageRequest {
    /// The page behind `cursor`.
    pub fn after(cursor: PageCursor) -> Self {
        Self { after: Some(cursor), ..Self::default() }
    }

    /// A page of at most `limit` entries.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListPage<T> {
    /// The entries. There may be fewer than asked for although more follow.
    pub entries: Vec<Entry<T>>,
    /// Where to go on; `None` where nothing follows.
    pub next: Option<PageCursor>,
}

/// Every repository, over one store.
///
/// The same method names occur in many repository traits, so each is reached by its own accessor, such as
/// [`Repositories::test_as`].
#[derive(Clone, Debug)]
pub struct Repositories {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ids: Arc<dyn IdSource>,
}

impl Repositories {
    /// The repositories over `store`, with batch ids from `ids`.
    pub fn new(store: Arc<dyn Store>, ids: Arc<dyn IdSource>) -> Self {
        Self { store, ids }
    }

    pub(crate) async fn get_entry<E: Entity>(&self, key: impl Into<Key> + Send) -> Result<Option<Entry<E>>> {
        let row = self.store.get(E::TABLE, key).await?.value;
        Ok(row.map(|row| E::from_row(&row).map(|value| Entry::new(value, row.revision()))).transpose()?)
    }

    /// Inserts one. Where the same one is there already, under the same key with the same content, that is the
    /// answer; another content is `AlreadyExists`.
    pub(crate) async fn create_entry<E: Entity>(&self, key: Key, value: E) -> Result<Entry<E>> {
        let batch = Batch::new(self.ids.next_id(), E::TABLE.name).with(Write::Insert(value.to_row()));
        let Err(error) = self.store.commit(batch).await else {
            return Ok(Entry::new(value, 1));
        };
        if error.refusal().is_some_and(|refusal| refusal.names(E::TABLE.name)) {
            if let Some(found) = self.get_entry::<E>(key).await?.filter(|found| found.value == value) {
                return Ok(found);
            }
        }
        Err(Error::of_store(E::KIND, error))
    }

    pub(crate) async fn update_entry<E: Entity>(&self, key: Key, value: E, revision: i64) -> Result<Entry<E>> {
        let write = Write::update(E::TABLE, key, revision, value.plain());
        self.commit_write::<E>("update", write).await?;
        Ok(Entry::new(value, revision + 1))
    }

    pub(crate) async fn delete_entry<E: Entity>(&self, key: Key, revision: i64) -> Result<()> {
        self.commit_write::<E>("delete", Write::delete(E::TABLE, key, revision)).await
    }

    async fn commit_write<E: Entity>(&self, verb: &str, write: Write) -> Result<()> {
        let batch = Batch::new(self.ids.next_id(), format!("{}.{verb}", E::TABLE.name)).with(write);
        self.store.commit(batch).await.map(drop).map_err(|error| Error::of_store(E::KIND, error))
    }

    pub(crate) async fn list_entries<E: Entity>(&self, scan: Scan, page: PageRequest) -> Result<ListPage<E>> {
        let page = self.store.scan(scan.after(page.after).limit(page.limit)).await.map_err(|error| Error::of_store(E::KIND, error))?.value;
        let mut entries = Vec::with_capacity(page.rows.len());
        for row in &page.rows {
            entries.push(Entry::new(E::from_row(row)?, row.revision()));
        }
        Ok(ListPage { entries, next: page.next })
    }
}
