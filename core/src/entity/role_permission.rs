//! What a role allows: [`RolePermission`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::permission::PermissionId;
use super::role::RoleId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::store::{Column, Reference, Scan, Table};
use crate::time::Timestamp;

/// That a role has a permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolePermission {
    /// The role.
    pub role_id: RoleId,
    /// The permission.
    pub permission_id: PermissionId,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The table of [`RolePermission`].
pub static ROLE_PERMISSIONS: Table = Table::new(
    "role_permissions",
    &[Column::uuid("role_id"), Column::uuid("permission_id"), Column::time("created_at").immutable()],
    &["role_id", "permission_id"],
)
.references(&[
    Reference::new("role_permissions_role", &["role_id"], "roles"),
    Reference::new("role_permissions_permission", &["permission_id"], "permissions"),
]);

entity!(RolePermission, "role_permission", ROLE_PERMISSIONS {
    fixed: role_id, permission_id, created_at;
});

/// Which links a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolePermissionFilter {
    /// Only those of this role.
    pub role_id: Option<RoleId>,
    /// Only those of this permission.
    pub permission_id: Option<PermissionId>,
}

/// Where [`RolePermission`]s are kept.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RolePermissionRepository: Send + Sync {
    /// The one of this role and permission.
    async fn get(
        &self,
        role_id: RoleId,
        permission_id: PermissionId,
    ) -> Result<Option<Entry<RolePermission>>>;

    /// The one of this role and permission, or `NotFound`.
    async fn require(&self, role_id: RoleId, permission_id: PermissionId) -> Result<Entry<RolePermission>> {
        self.get(role_id, permission_id)
            .await?
            .ok_or_else(|| Error::not_found(RolePermission::KIND, format!("{role_id} {permission_id}")))
    }

    /// Keeps a new one. The same one again is answered with the one that is there; another one under its key is
    /// `AlreadyExists`.
    async fn create(&self, value: RolePermission) -> Result<Entry<RolePermission>>;

    /// Deletes the one that still has this revision.
    async fn delete(&self, role_id: RoleId, permission_id: PermissionId, revision: i64) -> Result<()>;

    /// A page: a permission's in the order of roles, otherwise in the order of roles and permissions.
    async fn list(&self, filter: RolePermissionFilter, page: PageRequest)
    -> Result<ListPage<RolePermission>>;
}

#[async_trait]
impl RolePermissionRepository for Repositories {
    async fn get(
        &self,
        role_id: RoleId,
        permission_id: PermissionId,
    ) -> Result<Option<Entry<RolePermission>>> {
        self.get_entry((role_id, permission_id)).await
    }

    async fn create(&self, value: RolePermission) -> Result<Entry<RolePermission>> {
        self.create_entry((value.role_id, value.permission_id).into(), value).await
    }

    async fn delete(&self, role_id: RoleId, permission_id: PermissionId, revision: i64) -> Result<()> {
        self.delete_entry::<RolePermission>((role_id, permission_id).into(), revision).await
    }

    async fn list(
        &self,
        filter: RolePermissionFilter,
        page: PageRequest,
    ) -> Result<ListPage<RolePermission>> {
        let scan = Scan::of(&ROLE_PERMISSIONS);
        let scan = match (filter.role_id, filter.permission_id) {
            (Some(role), None) => scan.with(role),
            (Some(role), Some(permission)) => scan.with(role).with(permission),
            (None, Some(permission)) => scan.by("role_permissions_permission").with(permission),
            (None, None) => scan,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`RolePermission`]s.
    pub fn role_permissions(&self) -> &dyn RolePermissionRepository {
        self
    }
}
