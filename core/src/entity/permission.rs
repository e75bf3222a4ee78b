//! One thing that may be done: [`Permission`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::text::text_enum;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Invariant, Scan, Table, Unique};
use crate::time::Timestamp;

/// The id of a [`Permission`].
pub type PermissionId = Id<Permission>;

/// That something may be done to one kind of thing, to one's own or to any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// The id, chosen by the caller.
    pub id: PermissionId,
    /// What may be done.
    pub action: Action,
    /// To what.
    pub entity: EntityKind,
    /// To whose.
    pub access: Access,
    /// What it is for, at most 1,024 bytes.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

text_enum!(
    /// What can be done to a thing.
    Action, "action" {
        /// Making one.
        Create = "create",
        /// Seeing it, alone and in lists.
        Read = "read",
        /// Changing it.
        Update = "update",
        /// Removing it.
        Delete = "delete",
        /// Starting and stopping it, or changing what state it should be in.
        Operate = "operate",
        /// Making something from it.
        Use = "use",
        /// Letting those who may use its node use it.
        Publish = "publish",
        /// Granting it to somebody.
        Share = "share",
    }
);

text_enum!(
    /// A kind of thing that something can be done to.
    EntityKind, "entity" {
        /// A user.
        User = "user",
        /// An SSH key.
        SshKey = "ssh_key",
        /// An API key.
        ApiKey = "api_key",
        /// A session.
        Session = "session",
        /// A second factor, or another verification.
        Verification = "verification",
        /// A connection to a provider.
        Connection = "connection",
        /// A role.
        Role = "role",
        /// A permission.
        Permission = "permission",
        /// A node.
        ComputeNode = "compute_node",
        /// A GPU.
        Gpu = "gpu",
        /// An image.
        Image = "image",
        /// An instance.
        Instance = "instance",
        /// A port.
        PortMap = "port_map",
        /// The limits and use of an account.
        Quota = "quota",
        /// A line of the audit trail.
        Log = "log",
        /// A training, with its images.
        Training = "training",
        /// A run of a training.
        TrainingRun = "training_run",
        /// A queue of runs.
        RunQueue = "run_queue",
    }
);

text_enum!(
    /// To whose things a permission extends.
    Access, "access" {
        /// To one's own.
        Own = "own",
        /// To anybody's, one's own included.
        Any = "any",
    }
);

/// The table of [`Permission`].
pub static PERMISSIONS: Table = Table::new(
    "permissions",
    &[
        Column::uuid("id"),
        Column::text("action", 32).immutable(),
        Column::text("entity", 32).immutable(),
        Column::text("access", 16).immutable(),
        Column::text("description", 1024).nullable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.uniques(&[Unique::new("permissions_what", &["action", "entity", "access"])])
.invariants(&[Invariant::one_of("permissions_access", "access", Access::TEXTS)]);

entity!(Permission, "permission", PERMISSIONS {
    fixed: id, action, entity, access, created_at;
    plain: description, updated_at;
});

/// Where [`Permission`]s are kept.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait PermissionRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: PermissionId) -> Result<Option<Entry<Permission>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: PermissionId) -> Result<Entry<Permission>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(Permission::KIND, id))
    }

    /// The one that says this.
    async fn find(
        &self,
        action: Action,
        entity: EntityKind,
        access: Access,
    ) -> Result<Option<Entry<Permission>>>;

    /// Keeps a new one. The same one again is answered with the one that is there; another one under its id is
    /// `AlreadyExists`, and so is another one that says the same.
    async fn create(&self, value: Permission) -> Result<Entry<Permission>>;

    /// Deletes the one that still has this revision. `StillUsed` while a role has it.
    async fn delete(&self, id: PermissionId, revision: i64) -> Result<()>;

    /// A page, in the order of ids.
    async fn list(&self, page: PageRequest) -> Result<ListPage<Permission>>;
}

#[async_trait]
impl PermissionRepository for Repositories {
    async fn get(&self, id: PermissionId) -> Result<Option<Entry<Permission>>> {
        self.get_entry(id).await
    }

    async fn find(
        &self,
        action: Action,
        entity: EntityKind,
        access: Access,
    ) -> Result<Option<Entry<Permission>>> {
        let scan = Scan::of(&PERMISSIONS).by("permissions_what");
        self.find_entry(scan.with(action.as_str()).with(entity.as_str()).with(access.as_str())).await
    }

    async fn create(&self, value: Permission) -> Result<Entry<Permission>> {
        self.create_entry(value.id.into(), value).await
    }

    async fn delete(&self, id: PermissionId, revision: i64) -> Result<()> {
        self.delete_entry::<Permission>(id.into(), revision).await
    }

    async fn list(&self, page: PageRequest) -> Result<ListPage<Permission>> {
        self.list_entries(Scan::of(&PERMISSIONS), page).await
    }
}

impl Repositories {
    /// The repository of [`Permission`]s.
    pub fn permissions(&self) -> &dyn PermissionRepository {
        self
    }
}
