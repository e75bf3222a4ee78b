//! Commands on behalf of a caller, and what a node's agent does with them.

use std::time::Duration;

use super::{Acting, Thing};
use crate::access::Operation;
use crate::entity::{Command, CommandFilter, CommandId, CommandState, Entry, ListPage, NodeId, PageRequest};
use crate::error::{Error, Result};
use crate::plane::{CommandLease, CommandOutcome, NodeSession};

impl Acting {
    /// The commands of a node, those that are parked among them.
    pub async fn list_commands(
        &self,
        node: NodeId,
        state: Option<CommandState>,
        page: PageRequest,
    ) -> Result<ListPage<Command>> {
        let page = &page;
        self.run(Operation::OperateNode, Thing::Node(node), |plane| async move {
            let filter = CommandFilter { node_id: Some(node), state };
            plane.repositories().commands().list(filter, page.clone()).await
        })
        .await
    }

    /// Tries a parked command of a node again; see [`ControlPlane::retry_command`](crate::ControlPlane::retry_command).
    pub async fn retry_command(&self, node: NodeId, id: CommandId) -> Result<Entry<Command>> {
        self.run(Operation::OperateNode, Thing::Node(node), |plane| async move {
            let kept = plane.repositories().commands().require(id).await?;
            if kept.node_id != node {
                return Err(Error::not_found("command", id));
            }
            plane.retry_command(id).await
        })
        .await
    }

    /// The agent takes commands of its node; see [`ControlPlane::take_commands`](crate::ControlPlane::take_commands).
    pub async fn take_commands(
        &self,
        session: NodeSession,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<CommandLease>> {
        self.run_as_agent("command.take", |plane, node| async move {
            plane.take_commands(node, session, limit, lease).await
        })
        .await
    }

    /// The agent holds on to a command; see [`ControlPlane::extend_command`](crate::ControlPlane::extend_command).
    pub async fn extend_command(&self, held: &CommandLease, lease: Duration) -> Result<Entry<Command>> {
        self.run_as_agent("command.extend", |plane, node| async move {
            of_node(held, node)?;
            plane.extend_command(held, lease).await
        })
        .await
    }

    /// The agent answers a command; see [`ControlPlane::complete_command`](crate::ControlPlane::complete_command).
    pub async fn complete_command(
        &self,
        held: &CommandLease,
        outcome: &CommandOutcome,
    ) -> Result<Entry<Command>> {
        self.run_as_agent("command.complete", |plane, node| async move {
            of_node(held, node)?;
            plane.complete_command(held, outcome).await
        })
        .await
    }
}

/// What is another node's is not there for an agent.
fn of_node(held: &CommandLease, node: NodeId) -> Result<()> {
    if held.command.node_id == node { Ok(()) } else { Err(Error::not_found("command", held.command.id)) }
}
