//! Who may use a node: [`ManagedComputeNode`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use super::user::UserId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Reference, Scan, Table, Test, Unique};
use crate::time::Timestamp;

/// The id of a [`ManagedComputeNode`].
pub type ManagedComputeNodeId = Id<ManagedComputeNode>;

/// A grant: that a user may see a node and create on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedComputeNode {
    /// The id, chosen by the caller.
    pub id: ManagedComputeNodeId,
    /// Who may use it.
    pub user_id: UserId,
    /// The node.
    pub node_id: NodeId,
    /// Who granted it. No reference: the grant outlives them.
    pub granted_by: Option<UserId>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The table of [`ManagedComputeNode`].
pub static MANAGED_COMPUTE_NODES: Table = Table::new(
    "managed_compute_nodes",
    &[
        Column::uuid("id"),
        Column::uuid("user_id").immutable(),
        Column::uuid("node_id").immutable(),
        Column::uuid("granted_by").nullable().immutable(),
        Column::time("expires_at").nullable(),
        Column::time("created_at").immutable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("managed_compute_nodes_user_node", &["user_id", "node_id"])])
.references(&[
    Reference::new("managed_compute_nodes_user", &["user_id"], "users"),
    Reference::new("managed_compute_nodes_node", &["node_id"], "compute_nodes"),
]);

entity!(ManagedComputeNode, "managed_compute_node", MANAGED_COMPUTE_NODES {
    fixed: id, user_id, node_id, granted_by, created_at;
    plain: expires_at;
});

/// Which grants a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagedComputeNodeFilter {
    /// Only those to this user.
    pub user_id: Option<UserId>,
    /// Only those on this node.
    pub node_id: Option<NodeId>,
}

/// Where [`ManagedComputeNode`]s are kept.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ManagedComputeNodeRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: ManagedComputeNodeId) -> Result<Option<Entry<ManagedComputeNode>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: ManagedComputeNodeId) -> Result<Entry<ManagedComputeNode>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(ManagedComputeNode::KIND, id))
    }

    /// The grant that lets a user use a node.
    async fn find(&self, user: UserId, node: NodeId) -> Result<Option<Entry<ManagedComputeNode>>>;

    /// Keeps a new one. The same one again is answered with the one that is there; a second grant of one node to
    /// one user is `AlreadyExists`.
    async fn create(&self, value: ManagedComputeNode) -> Result<Entry<ManagedComputeNode>>;

    /// Deletes the one that still has this revision.
    async fn delete(&self, id: ManagedComputeNodeId, revision: i64) -> Result<()>;

    /// A page: a user's in the order of nodes, otherwise in the order of ids.
    async fn list(
        &self,
        filter: ManagedComputeNodeFilter,
        page: PageRequest,
    ) -> Result<ListPage<ManagedComputeNode>>;
}

#[async_trait]
impl ManagedComputeNodeRepository for Repositories {
    async fn get(&self, id: ManagedComputeNodeId) -> Result<Option<Entry<ManagedComputeNode>>> {
        self.get_entry(id).await
    }

    async fn find(&self, user: UserId, node: NodeId) -> Result<Option<Entry<ManagedComputeNode>>> {
        let scan = Scan::of(&MANAGED_COMPUTE_NODES).by("managed_compute_nodes_user_node");
        self.find_entry(scan.with(user).with(node)).await
    }

    async fn create(&self, value: ManagedComputeNode) -> Result<Entry<ManagedComputeNode>> {
        self.create_entry(value.id.into(), value).await
    }

    async fn delete(&self, id: ManagedComputeNodeId, revision: i64) -> Result<()> {
        self.delete_entry::<ManagedComputeNode>(id.into(), revision).await
    }

    async fn list(
        &self,
        filter: ManagedComputeNodeFilter,
        page: PageRequest,
    ) -> Result<ListPage<ManagedComputeNode>> {
        let scan = Scan::of(&MANAGED_COMPUTE_NODES);
        let scan = match (filter.user_id, filter.node_id) {
            (Some(user), None) => scan.by("managed_compute_nodes_user_node").with(user),
            (None, Some(node)) => scan.by("managed_compute_nodes_node").with(node),
            (Some(user), Some(node)) => {
                scan.by("managed_compute_nodes_node").with(node).test(Test::eq("user_id", user))
            }
            (None, None) => scan,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`ManagedComputeNode`]s.
    pub fn managed_compute_nodes(&self) -> &dyn ManagedComputeNodeRepository {
        self
    }
}
