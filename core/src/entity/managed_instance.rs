//! Who may use an instance: [`ManagedInstance`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use super::instance::InstanceId;
use super::user::UserId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Reference, Scan, Table, Test, Unique};
use crate::time::Timestamp;

/// The id of a [`ManagedInstance`].
pub type ManagedInstanceId = Id<ManagedInstance>;

/// A grant: that a user may use an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedInstance {
    /// The id, chosen by the caller.
    pub id: ManagedInstanceId,
    /// Who may use it.
    pub user_id: UserId,
    /// The node that the instance is on.
    pub node_id: NodeId,
    /// The instance.
    pub instance_id: InstanceId,
    /// When it was granted.
    pub created_at: Timestamp,
    /// Who granted it; the launch itself where there is none. No reference: the grant outlives them.
    pub granted_by: Option<UserId>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// The table of [`ManagedInstance`].
pub static MANAGED_INSTANCES: Table = Table::new(
    "managed_instances",
    &[
        Column::uuid("id"),
        Column::uuid("user_id").immutable(),
        Column::uuid("node_id").immutable(),
        Column::uuid("instance_id").immutable(),
        Column::time("created_at").immutable(),
        Column::uuid("granted_by").nullable().immutable(),
        Column::time("expires_at").nullable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("managed_instances_user_instance", &["user_id", "instance_id"])])
.references(&[
    Reference::new("managed_instances_user", &["user_id"], "users"),
    Reference::new("managed_instances_node", &["node_id"], "compute_nodes"),
    Reference::new("managed_instances_instance", &["instance_id"], "instances"),
]);

entity!(ManagedInstance, "managed_instance", MANAGED_INSTANCES {
    fixed: id, user_id, node_id, instance_id, created_at, granted_by;
    plain: expires_at;
});

/// Which grants a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagedInstanceFilter {
    /// Only those to this user.
    pub user_id: Option<UserId>,
    /// Only those on this instance.
    pub instance_id: Option<InstanceId>,
}

/// Where [`ManagedInstance`]s are kept.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ManagedInstanceRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: ManagedInstanceId) -> Result<Option<Entry<ManagedInstance>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: ManagedInstanceId) -> Result<Entry<ManagedInstance>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(ManagedInstance::KIND, id))
    }

    /// The grant that lets a user use an instance.
    async fn find(&self, user: UserId, instance: InstanceId) -> Result<Option<Entry<ManagedInstance>>>;

    /// Keeps a new one. The same one again is answered with the one that is there; a second grant of one instance
    /// to one user is `AlreadyExists`. Whether the instance is live, and on that node, is for the caller to know.
    async fn create(&self, value: ManagedInstance) -> Result<Entry<ManagedInstance>>;

    /// Deletes the one that still has this revision.
    async fn delete(&self, id: ManagedInstanceId, revision: i64) -> Result<()>;

    /// A page: a user's in the order of instances, otherwise in the order of ids.
    async fn list(
        &self,
        filter: ManagedInstanceFilter,
        page: PageRequest,
    ) -> Result<ListPage<ManagedInstance>>;
}

#[async_trait]
impl ManagedInstanceRepository for Repositories {
    async fn get(&self, id: ManagedInstanceId) -> Result<Option<Entry<ManagedInstance>>> {
        self.get_entry(id).await
    }

    async fn find(&self, user: UserId, instance: InstanceId) -> Result<Option<Entry<ManagedInstance>>> {
        let scan = Scan::of(&MANAGED_INSTANCES).by("managed_instances_user_instance");
        self.find_entry(scan.with(user).with(instance)).await
    }

    async fn create(&self, value: ManagedInstance) -> Result<Entry<ManagedInstance>> {
        self.create_entry(value.id.into(), value).await
    }

    async fn delete(&self, id: ManagedInstanceId, revision: i64) -> Result<()> {
        self.delete_entry::<ManagedInstance>(id.into(), revision).await
    }

    async fn list(
        &self,
        filter: ManagedInstanceFilter,
        page: PageRequest,
    ) -> Result<ListPage<ManagedInstance>> {
        let scan = Scan::of(&MANAGED_INSTANCES);
        let scan = match (filter.user_id, filter.instance_id) {
            (Some(user), None) => scan.by("managed_instances_user_instance").with(user),
            (None, Some(instance)) => scan.by("managed_instances_instance").with(instance),
            (Some(user), Some(instance)) => {
                scan.by("managed_instances_instance").with(instance).test(Test::eq("user_id", user))
            }
            (None, None) => scan,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`ManagedInstance`]s.
    pub fn managed_instances(&self) -> &dyn ManagedInstanceRepository {
        self
    }
}
