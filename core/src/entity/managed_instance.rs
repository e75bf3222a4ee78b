//! Who may use an instance: [`ManagedInstance`].

use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use super::instance::InstanceId;
use super::user::UserId;
use crate::id::Id;
use crate::store::{Column, Reference, Table, Unique};
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
    fixed: id, user_id, node_id, instance_id, created_at;
});
