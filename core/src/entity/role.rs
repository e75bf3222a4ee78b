//! What users may do, by a name: [`Role`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Scan, Table, Unique};
use crate::time::Timestamp;

/// The id of a [`Role`].
pub type RoleId = Id<Role>;

/// A set of permissions with a name, which users can be given.
///
/// `admin` and `user` are seeded; they follow from [`User::permission`](super::User::permission), which is the one
/// truth for them, and are never given by a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The id, chosen by the caller.
    pub id: RoleId,
    /// The name, 1 to 64 lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// What it is for, at most 1,024 bytes.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The table of [`Role`].
pub static ROLES: Table = Table::new(
    "roles",
    &[
        Column::uuid("id"),
        Column::text("name", 64),
        Column::text("description", 1024).nullable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.uniques(&[Unique::new("roles_name", &["name"])]);

entity!(Role, "role", ROLES {
    fixed: id, created_at;
    plain: name, description, updated_at;
});

/// Where [`Role`]s are kept.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RoleRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: RoleId) -> Result<Option<Entry<Role>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: RoleId) -> Result<Entry<Role>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(Role::KIND, id))
    }

    /// The one of this name.
    async fn find_by_name(&self, name: &str) -> Result<Option<Entry<Role>>>;

    /// Keeps a new one. The same one again is answered with the one that is there; another one under its id is
    /// `AlreadyExists`, and so is another one of its name.
    async fn create(&self, value: Role) -> Result<Entry<Role>>;

    /// Changes name and description of the one that still has this revision.
    async fn update(&self, value: Entry<Role>) -> Result<Entry<Role>>;

    /// Deletes the one that still has this revision. `StillUsed` while it has permissions or users.
    async fn delete(&self, id: RoleId, revision: i64) -> Result<()>;

    /// A page, in the order of ids.
    async fn list(&self, page: PageRequest) -> Result<ListPage<Role>>;
}

#[async_trait]
impl RoleRepository for Repositories {
    async fn get(&self, id: RoleId) -> Result<Option<Entry<Role>>> {
        self.get_entry(id).await
    }

    async fn find_by_name(&self, name: &str) -> Result<Option<Entry<Role>>> {
        self.find_entry(Scan::of(&ROLES).by("roles_name").with(name)).await
    }

    async fn create(&self, value: Role) -> Result<Entry<Role>> {
        self.create_entry(value.id.into(), value).await
    }

    async fn update(&self, value: Entry<Role>) -> Result<Entry<Role>> {
        self.update_entry(value.id.into(), value.value, value.revision).await
    }

    async fn delete(&self, id: RoleId, revision: i64) -> Result<()> {
        self.delete_entry::<Role>(id.into(), revision).await
    }

    async fn list(&self, page: PageRequest) -> Result<ListPage<Role>> {
        self.list_entries(Scan::of(&ROLES), page).await
    }
}

impl Repositories {
    /// The repository of [`Role`]s.
    pub fn roles(&self) -> &dyn RoleRepository {
        self
    }
}
