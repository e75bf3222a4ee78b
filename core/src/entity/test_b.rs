//! A fixture of the conformance suite: a child with an optional parent.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::{Entity, Entry, ListPage, PageRequest, Repositories, TestA};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Reference, Scan, Table};
use crate::time::Timestamp;

/// A fixture without product meaning that may belong to a [`TestA`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestB {
    /// The id, chosen by the caller.
    pub id: Id<Self>,
    /// At most 256 bytes.
    pub title: Option<String>,
    /// At most 4,096 bytes.
    pub description: Option<String>,
    /// When it was made.
    pub timestamp: Timestamp,
    /// The parent.
    pub test_a_id: Option<Id<TestA>>,
}

/// The table of [`TestB`].
pub static TEST_B: Table = Table::new(
    "test_bs",
    &[
        Column::uuid("id"),
        Column::text("title", 256).nullable(),
        Column::text("description", 4096).nullable(),
        Column::time("timestamp").immutable(),
        Column::uuid("test_a_id").nullable(),
    ],
    &["id"],
)
.references(&[Reference::new("test_bs_test_a", &["test_a_id"], "test_as")]);

entity!(TestB, "test_b", TEST_B {
    fixed: id, timestamp;
    plain: title, description, test_a_id;
});

/// Which fixtures a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestBFilter {
    /// Only those of this parent.
    pub test_a_id: Option<Id<TestA>>,
}

/// Where [`TestB`]s are kept.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TestBRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: Id<TestB>) -> Result<Option<Entry<TestB>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: Id<TestB>) -> Result<Entry<TestB>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(TestB::KIND, id))
    }

    /// Keeps a new one. The same one again is answered with the one that is there; another one under its id is
    /// `AlreadyExists`, and one whose parent is not there `NotFound`.
    async fn create(&self, value: TestB) -> Result<Entry<TestB>>;

    /// Changes all but id and time of the one that still has this revision.
    async fn update(&self, value: Entry<TestB>) -> Result<Entry<TestB>>;

    /// Deletes the one that still has this revision.
    async fn delete(&self, id: Id<TestB>, revision: i64) -> Result<()>;

    /// A page, in the order of ids.
    async fn list(&self, filter: TestBFilter, page: PageRequest) -> Result<ListPage<TestB>>;
}

#[async_trait]
impl TestBRepository for Repositories {
    async fn get(&self, id: Id<TestB>) -> Result<Option<Entry<TestB>>> {
        self.get_entry(id).await
    }

    async fn create(&self, value: TestB) -> Result<Entry<TestB>> {
        self.create_entry(value.id.into(), value).await
    }

    async fn update(&self, value: Entry<TestB>) -> Result<Entry<TestB>> {
        self.update_entry(value.id.into(), value.value, value.revision).await
    }

    async fn delete(&self, id: Id<TestB>, revision: i64) -> Result<()> {
        self.delete_entry::<TestB>(id.into(), revision).await
    }

    async fn list(&self, filter: TestBFilter, page: PageRequest) -> Result<ListPage<TestB>> {
        let scan = match filter.test_a_id {
            Some(parent) => Scan::of(&TEST_B).by("test_bs_test_a").with(parent),
            None => Scan::of(&TEST_B),
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`TestB`]s.
    pub fn test_bs(&self) -> &dyn TestBRepository {
        self
    }
}
