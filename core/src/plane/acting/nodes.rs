//! What is done to nodes on behalf of a caller, and what a node's agent does.

use super::{Acting, Thing};
use crate::access::Operation;
use crate::entity::{Entity as _, Entry, Instance, InstanceId, NodeId, NodeState};
use crate::error::{Error, Result};
use crate::identity::Via;
use crate::machine::Inventory;
use crate::plane::refusals::Refusal;
use crate::plane::{Abandoned, ControlPlane, Heartbeat, NodeDeletion, NodeSession, NodeStatus, Reconciled};
use crate::time::Timestamp;

impl Acting {
    /// See [`ControlPlane::cordon_node`].
    pub async fn cordon_node(&self, node: NodeId) -> Result<NodeState> {
        self.run(
            Operation::OperateNode,
            Thing::Node(node),
            |plane| async move { plane.cordon_node(node).await },
        )
        .await
    }

    /// See [`ControlPlane::uncordon_node`].
    pub async fn uncordon_node(&self, node: NodeId) -> Result<NodeState> {
        self.run(
            Operation::OperateNode,
            Thing::Node(node),
            |plane| async move { plane.uncordon_node(node).await },
        )
        .await
    }

    /// See [`ControlPlane::drain_node`].
    pub async fn drain_node(&self, node: NodeId) -> Result<NodeState> {
        self.run(
            Operation::OperateNode,
            Thing::Node(node),
            |plane| async move { plane.drain_node(node).await },
        )
        .await
    }

    /// See [`ControlPlane::node_status`].
    pub async fn node_status(&self, node: NodeId) -> Result<NodeStatus> {
        self.run(Operation::ReadNode, Thing::Node(node), |plane| async move { plane.node_status(node).await })
            .await
    }

    /// See [`ControlPlane::plan_node_deletion`].
    pub async fn plan_node_deletion(&self, node: NodeId) -> Result<NodeDeletion> {
        self.run(Operation::DeleteNode, Thing::Node(node), |plane| async move {
            plane.plan_node_deletion(node).await
        })
        .await
    }

    /// See [`ControlPlane::delete_node`].
    pub async fn delete_node(&self, node: NodeId) -> Result<()> {
        let (operation, thing) = (Operation::DeleteNode, Thing::Node(node));
        // The first step raises the epoch of the owner, who may be the one who asks: what follows is authorized anew.
        self.run(operation, thing, |plane| async move { plane.begin_node_deletion(node).await }).await?;
        self.run(operation, thing, |plane| async move { plane.finish_node_deletion(node).await }).await
    }

    /// See [`ControlPlane::mark_node_dead`]: for who owns the node, and for administrators.
    ///
    /// # Errors
    /// As there.
    pub async fn mark_node_dead(&self, node: NodeId, reason: &str) -> Result<Abandoned> {
        self.run(Operation::OperateNode, Thing::Node(node), |plane| async move {
            plane.mark_node_dead(node, reason).await
        })
        .await
    }

    /// See [`ControlPlane::abandon_instance`]: for who owns the node that it is on, and for administrators. Its own owner cannot
    /// answer for the machine.
    ///
    /// # Errors
    /// As there; `NotFound` for one that is not on the node.
    pub async fn abandon_instance(
        &self,
        node: NodeId,
        instance: InstanceId,
        reason: &str,
    ) -> Result<Entry<Instance>> {
        self.run(Operation::OperateNode, Thing::Node(node), |plane| async move {
            let kept = plane.repositories().instances().require(instance).await?;
            if kept.last_node_id != node {
                return Err(Error::not_found(Instance::KIND, instance));
            }
            plane.abandon_instance(instance, reason).await
        })
        .await
    }

    /// The agent of a node begins a report; see [`ControlPlane::begin_report`].
    ///
    /// # Errors
    /// As [`Acting::join_node`]; `WrongState` where the agent was replaced.
    pub async fn begin_report(&self, session: NodeSession) -> Result<Timestamp> {
        self.run_as_agent("node.report", |plane, node| async move { plane.begin_report(node, session).await })
            .await
    }

    /// The agent of a node reports what it has found; see [`ControlPlane::report`].
    ///
    /// # Errors
    /// As [`Acting::begin_report`]; `Invalid` for what cannot be a report.
    pub async fn report(&self, session: NodeSession, inventory: &Inventory) -> Result<Reconciled> {
        self.run_as_agent(
            "node.report",
            |plane, node| async move { plane.report(node, session, inventory).await },
        )
        .await
    }

    /// The agent of a node begins a new life; see [`ControlPlane::join_node`]. The node is the one that its key is for.
    ///
    /// # Errors
    /// `Denied` for who is no agent, or where the owner of the node may not act; `Unauthenticated` for a key that was revoked.
    pub async fn join_node(&self) -> Result<NodeSession> {
        self.run_as_agent("node.join", |plane, node| async move { plane.join_node(node).await }).await
    }

    /// The agent of a node is heard; see [`ControlPlane::heartbeats`].
    ///
    /// # Errors
    /// As [`Acting::join_node`]; `WrongState` where the agent was replaced.
    pub async fn heartbeat(&self, session: NodeSession) -> Result<()> {
        self.run_as_agent("node.heartbeat", |plane, node| async move {
            plane.heartbeats(&[Heartbeat::new(node, session)]).await.pop().unwrap_or(Ok(()))
        })
        .await
    }

    /// Does something as the agent of a node, with the key and the owner's right to act as guards.
    pub(super) async fn run_as_agent<T, F>(
        &self,
        operation: &'static str,
        act: impl Fn(ControlPlane, NodeId) -> F + Send + Sync,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let authorize = || async {
            let known = self.known().await?;
            let allowed = match self.caller().via() {
                Via::NodeAgent { node, .. } if known.rights.may_act => Some(*node),
                _ => None,
            };
            let Some(node) = allowed else {
                let refused = Refusal { operation, subject: None, user: self.caller().user() };
                self.plane.note_refusal(refused).await;
                return Err(Error::Denied { action: operation });
            };
            Ok((known.guards, node))
        };
        self.run_with(authorize, act).await
    }
}
