//! Who has a role: [`UserRole`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::role::RoleId;
use super::user::UserId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::store::{Column, Reference, Scan, Table};
use crate::time::Timestamp;

/// That a user has a role, beside the one that follows from [`User::permission`](super::User::permission).
///
/// It is given and taken by the operations of [`ControlPlane`](crate::ControlPlane), which raise the revision of
/// the user's access row, so that what was authorized before is decided again; here it can only be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRole {
    /// The user.
    pub user_id: UserId,
    /// The role.
    pub role_id: RoleId,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The table of [`UserRole`].
pub static USER_ROLES: Table = Table::new(
    "user_roles",
    &[Column::uuid("user_id"), Column::uuid("role_id"), Column::time("created_at").immutable()],
    &["user_id", "role_id"],
)
.references(&[
    Reference::new("user_roles_user", &["user_id"], "users"),
    Reference::new("user_roles_role", &["role_id"], "roles"),
]);

entity!(UserRole, "user_role", USER_ROLES {
    fixed: user_id, role_id, created_at;
});

/// Which links a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRoleFilter {
    /// Only those of this user.
    pub user_id: Option<UserId>,
    /// Only those of this role.
    pub role_id: Option<RoleId>,
}

/// Where [`UserRole`]s are kept.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait UserRoleRepository: Send + Sync {
    /// The one of this user and role.
    async fn get(&self, user_id: UserId, role_id: RoleId) -> Result<Option<Entry<UserRole>>>;

    /// The one of this user and role, or `NotFound`.
    async fn require(&self, user_id: UserId, role_id: RoleId) -> Result<Entry<UserRole>> {
        self.get(user_id, role_id)
            .await?
            .ok_or_else(|| Error::not_found(UserRole::KIND, format!("{user_id} {role_id}")))
    }

    /// A page: a role's in the order of users, otherwise in the order of users and roles.
    async fn list(&self, filter: UserRoleFilter, page: PageRequest) -> Result<ListPage<UserRole>>;
}

#[async_trait]
impl UserRoleRepository for Repositories {
    async fn get(&self, user_id: UserId, role_id: RoleId) -> Result<Option<Entry<UserRole>>> {
        self.get_entry((user_id, role_id)).await
    }

    async fn list(&self, filter: UserRoleFilter, page: PageRequest) -> Result<ListPage<UserRole>> {
        let scan = Scan::of(&USER_ROLES);
        let scan = match (filter.user_id, filter.role_id) {
            (Some(user), None) => scan.with(user),
            (Some(user), Some(role)) => scan.with(user).with(role),
            (None, Some(role)) => scan.by("user_roles_role").with(role),
            (None, None) => scan,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`UserRole`]s.
    pub fn user_roles(&self) -> &dyn UserRoleRepository {
        self
    }
}
