//! What every repository is made of: [`Entry`], pages, and the adapter over a store.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use uuid::Uuid;

use super::Entity;
use super::user::UserId;
use crate::error::{Error, Result};
use crate::id::IdSource;
use crate::store::{Batch, Key, PageCursor, Row, Scan, Store, StoreError, StoreExt, Table, Value, Write};

/// An entity as it was read, with the revision that an update or a delete of it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
/// [`Repositories::users`].
#[derive(Clone, Debug)]
pub struct Repositories {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ids: Arc<dyn IdSource>,
    actor: Option<Uuid>,
}

impl Repositories {
    /// The repositories over `store`, with batch ids from `ids`.
    pub fn new(store: Arc<dyn Store>, ids: Arc<dyn IdSource>) -> Self {
        Self { store, ids, actor: None }
    }

    /// The same repositories, with every change on behalf of `actor` in the feed. It permits nothing.
    pub fn acting_as(&self, actor: UserId) -> Self {
        Self { actor: Some(actor.uuid()), ..self.clone() }
    }

    /// A batch under a new id.
    pub(super) fn batch(&self, table: &'static Table, verb: &str) -> Batch {
        Batch::new(self.ids.next_id(), format!("{}.{verb}", table.name)).by(self.actor)
    }

    pub(super) async fn commit<E: Entity>(&self, batch: Batch) -> Result<()> {
        self.store.commit(batch).await.map(drop).map_err(|error| Error::of_store(E::KIND, error))
    }

    pub(crate) async fn get_entry<E: Entity>(&self, key: impl Into<Key> + Send) -> Result<Option<Entry<E>>> {
        let row = self.store.get(E::TABLE, key).await?.value;
        Ok(row.as_ref().map(entry).transpose()?)
    }

    /// The first one of a scan.
    pub(super) async fn find_entry<E: Entity>(&self, scan: Scan) -> Result<Option<Entry<E>>> {
        let page =
            self.store.scan(scan.limit(1)).await.map_err(|error| Error::of_store(E::KIND, error))?.value;
        Ok(page.rows.first().map(entry).transpose()?)
    }

    /// Inserts one. Where the same one is there already, under the same key with the same content, that is the
    /// answer; another content is `AlreadyExists`.
    pub(crate) async fn create_entry<E: Entity>(&self, key: Key, value: E) -> Result<Entry<E>> {
        let batch = self.batch(E::TABLE, "create").with(Write::Insert(value.to_row()));
        let Err(error) = self.store.commit(batch).await else {
            return Ok(Entry::new(value, 1));
        };
        if is_taken::<E>(&error)
            && let Some(found) = self.get_entry::<E>(key).await?.filter(|found| found.value == value)
        {
            return Ok(found);
        }
        Err(Error::of_store(E::KIND, error))
    }

    pub(crate) async fn update_entry<E: Entity>(
        &self,
        key: Key,
        value: E,
        revision: i64,
    ) -> Result<Entry<E>> {
        self.update_columns::<E>(key, revision, value.plain()).await?;
        Ok(Entry::new(value, revision + 1))
    }

    pub(super) async fn update_columns<E: Entity>(
        &self,
        key: Key,
        revision: i64,
        set: Vec<(&'static str, Value)>,
    ) -> Result<()> {
        self.commit::<E>(self.batch(E::TABLE, "update").with(Write::update(E::TABLE, key, revision, set)))
            .await
    }

    pub(crate) async fn delete_entry<E: Entity>(&self, key: Key, revision: i64) -> Result<()> {
        self.commit::<E>(self.batch(E::TABLE, "delete").with(Write::delete(E::TABLE, key, revision))).await
    }

    pub(crate) async fn list_entries<E: Entity>(&self, scan: Scan, page: PageRequest) -> Result<ListPage<E>> {
        let scan = scan.after(page.after).limit(page.limit);
        let page = self.store.scan(scan).await.map_err(|error| Error::of_store(E::KIND, error))?.value;
        let entries: std::result::Result<_, StoreError> = page.rows.iter().map(entry).collect();
        Ok(ListPage { entries: entries?, next: page.next })
    }
}

pub(crate) fn entry<E: Entity>(row: &Row) -> std::result::Result<Entry<E>, StoreError> {
    E::from_row(row).map(|value| Entry::new(value, row.revision()))
}

/// Whether an insert was refused because the primary key is taken.
pub(crate) fn is_taken<E: Entity>(error: &StoreError) -> bool {
    // The primary key goes by the table's name.
    error.refusal().is_some_and(|refusal| refusal.names(E::TABLE.name))
}
