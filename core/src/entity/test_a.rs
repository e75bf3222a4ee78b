//! A fixture of the conformance suite: a parent with a 64-bit integer.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Index, Scan, Table};
use crate::time::Timestamp;

/// A fixture without product meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestA {
    /// The id, chosen by the caller.
    pub id: Id<Self>,
    /// At most 256 bytes.
    pub title: Option<String>,
    /// At most 4,096 bytes.
    pub description: Option<String>,
    /// Within ±2^53.
    pub big_int: Option<i64>,
    /// When it was made.
    pub timestamp: Timestamp,
}

/// The table of [`TestA`].
pub static TEST_A: Table = Table::new(
    "test_as",
    &[
        Column::uuid("id"),
        Column::text("title", 256).nullable(),
        Column::text("description", 4096).nullable(),
        Column::int("big_int").nullable(),
        Column::time("timestamp").immutable(),
    ],
    &["id"],
)
.indexes(&[Index::new("test_as_title", &["title"])]);

entity!(TestA, "test_a", TEST_A {
    fixed: id, timestamp;
    plain: title, description, big_int;
});

/// Which fixtures a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestAFilter {
    /// Only those with this title.
    pub title: Option<String>,
}

/// Where [`TestA`]s are kept.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TestARepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: Id<TestA>) -> Result<Option<Entry<TestA>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: Id<TestA>) -> Result<Entry<TestA>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(TestA::KIND, id))
    }

    /// Keeps a new one. The same one again is answered with the one that is there; another one under its id is
    /// `AlreadyExists`.
    async fn create(&self, value: TestA) -> Result<Entry<TestA>>;

    /// Changes all but id and time of the one that still has this revision.
    async fn update(&self, value: Entry<TestA>) -> Result<Entry<TestA>>;

    /// Deletes the one that still has this revision; `StillUsed` while a `TestB` refers to it.
    async fn delete(&self, id: Id<TestA>, revision: i64) -> Result<()>;

    /// A page, in the order of ids.
    async fn list(&self, filter: TestAFilter, page: PageRequest) -> Result<ListPage<TestA>>;
}

#[async_trait]
impl TestARepository for Repositories {
    async fn get(&self, id: Id<TestA>) -> Result<Option<Entry<TestA>>> {
        self.get_entry(id).await
    }

    async fn create(&self, value: TestA) -> Result<Entry<TestA>> {
        self.create_entry(value.id.into(), value).await
    }

    async fn update(&self, value: Entry<TestA>) -> Result<Entry<TestA>> {
        self.update_entry(value.id.into(), value.value, value.revision).await
    }

    async fn delete(&self, id: Id<TestA>, revision: i64) -> Result<()> {
        self.delete_entry::<TestA>(id.into(), revision).await
    }

    async fn list(&self, filter: TestAFilter, page: PageRequest) -> Result<ListPage<TestA>> {
        let scan = match filter.title {
            Some(title) => Scan::of(&TEST_A).by("test_as_title").with(title),
            None => Scan::of(&TEST_A),
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`TestA`]s.
    pub fn test_as(&self) -> &dyn TestARepository {
        self
    }
}
