//! The life of a node: joined by an agent, heard, silent, heard again; and what its owner wants of it.
//!
//! An agent joins and gets a session, a number that rises with every join. What it says afterwards counts only in that session,
//! so an agent that was replaced, or that wakes up after a long pause, changes nothing. `sweep.rs` is what silence comes to.

mod sweep;

pub use sweep::Swept;

use serde::{Deserialize, Serialize};

use super::ControlPlane;
use super::decided::Decided;
use super::users::Happened;
use crate::entity::{
    ComputeNode, Entity as _, NODE_HEARTBEATS, NODE_LEDGERS, NODE_LIFECYCLES, NodeEvent, NodeHeartbeat,
    NodeId, NodeLedger, NodeLifecycle, NodeState,
};
use crate::error::{Error, NODE_SESSION, Result};
use crate::store::{Batch, Change, Row, StoreError, StoreExt as _, Test, Write};
use crate::time::Timestamp;

/// The number of one life of an agent: it rises whenever an agent joins as the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeSession(pub u32);

/// One heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heartbeat {
    /// The node.
    pub node: NodeId,
    /// The session that its agent got when it joined.
    pub session: NodeSession,
}

impl Heartbeat {
    /// A heartbeat of a node in a session.
    pub const fn new(node: NodeId, session: NodeSession) -> Self {
        Self { node, session }
    }
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Whether it takes work.
    pub state: NodeState,
    /// The session of its agent, and when it was last heard; none where no agent has joined.
    pub heard: Option<(NodeSession, Timestamp)>,
    /// How many instances are charged to it.
    pub instances: u32,
}

impl NodeStatus {
    /// Whether a drain has come to its end: nothing is charged to it any more.
    pub const fn is_drained(&self) -> bool {
        matches!(self.state, NodeState::Draining) && self.instances == 0
    }
}

/// The rows that the life of a node is decided on.
struct LifeRows {
    state: NodeState,
    has_agent: bool,
    lifecycle: Row,
    heartbeat: Option<(Row, NodeHeartbeat)>,
    now: Timestamp,
}

impl ControlPlane {
    /// Begins a new life of a node's agent: whatever an agent says that joined before counts no longer. A node that was silent, or
    /// that somebody said was dead, is heard again. From the first time on, the agent makes what is launched there.
    ///
    /// # Errors
    /// `NotFound`.
    #[tracing::instrument(skip(self))]
    pub async fn join_node(&self, node: NodeId) -> Result<NodeSession> {
        self.decided("node.join", ComputeNode::KIND, || async move {
            let rows = self.life_of(node).await?;
            let mut batch = self.batch("node.join");
            let before = rows.heartbeat.as_ref().map_or(0, |(_, kept)| kept.session);
            let session =
                before.checked_add(1).ok_or_else(|| Error::invalid("session", "there are no more"))?;
            batch.push(match &rows.heartbeat {
                // Of two that join at once one is the newer one.
                Some((row, _)) => Write::patch(
                    &NODE_HEARTBEATS,
                    row.key(),
                    vec![Test::eq("session", i64::from(before))],
                    vec![("session", Change::Add(1)), ("seen_at", Change::Max(rows.now.into()))],
                ),
                None => Write::Insert(NodeHeartbeat { node_id: node, session, seen_at: rows.now }.to_row()),
            });
            let to = match rows.state {
                NodeState::Unknown | NodeState::Dead => rows.state.on(NodeEvent::Revive)?,
                NodeState::Initializing => rows.state.on(NodeEvent::Activate)?,
                state => state,
            };
            if to != rows.state || !rows.has_agent {
                let set = vec![("state", to.as_str().into()), ("has_agent", true.into())];
                let lifecycle = &rows.lifecycle;
                batch.push(Write::update(&NODE_LIFECYCLES, node, lifecycle.revision(), set));
            } else {
                batch.push(Write::guard(&NODE_LIFECYCLES, node, rows.lifecycle.revision()));
            }
            let told = format!("session {session}");
            batch.push(self.log(of_node("node.join", node, &told), rows.now));
            Ok(Decided::Commit(NodeSession(session), batch))
        })
        .await
    }

    /// Takes the heartbeats of many nodes, in one call, and answers each. One costs a patch of one quiet row: it reads nothing,
    /// conflicts with nothing, and is in no feed.
    ///
    /// # Errors
    /// `WrongState` for an agent that was replaced, or that never joined: it has to join.
    #[tracing::instrument(skip_all)]
    pub async fn heartbeats(&self, beats: &[Heartbeat]) -> Vec<Result<()>> {
        if beats.is_empty() {
            return Vec::new();
        }
        let now = match self.store.read(Vec::new()).await {
            Ok(reads) => reads.now,
            Err(error) => return beats.iter().map(|_| Err(error.clone().into())).collect(),
        };
        let batches: Vec<Batch> = beats
            .iter()
            .map(|beat| self.batch("node.heartbeat").with(hears(beat.node, beat.session, now)))
            .collect();
        let answers = self.store.commit_many(batches).await;
        answers.into_iter().map(|answer| answer.map(drop).map_err(unheard)).collect()
    }

    /// Lets a node take no new work, and keep what it has.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` where that cannot happen to it.
    pub async fn cordon_node(&self, node: NodeId) -> Result<NodeState> {
        self.turn_node("node.cordon", node, NodeEvent::Cordon).await
    }

    /// Lets a node take work again.
    ///
    /// # Errors
    /// As [`ControlPlane::cordon_node`].
    pub async fn uncordon_node(&self, node: NodeId) -> Result<NodeState> {
        self.turn_node("node.uncordon", node, NodeEvent::Uncordon).await
    }

    /// Lets a node take no new work and become empty: it moves nothing by itself. [`NodeStatus::is_drained`] says when it is.
    ///
    /// # Errors
    /// As [`ControlPlane::cordon_node`].
    pub async fn drain_node(&self, node: NodeId) -> Result<NodeState> {
        self.turn_node("node.drain", node, NodeEvent::Drain).await
    }

    /// How a node is.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn node_status(&self, node: NodeId) -> Result<NodeStatus> {
        let rows = self.life_of(node).await?;
        let ledger = self.store.get(&NODE_LEDGERS, node).await?.value;
        let ledger = ledger.as_ref().map(NodeLedger::from_row).transpose()?;
        Ok(NodeStatus {
            state: rows.state,
            heard: rows.heartbeat.map(|(_, kept)| (NodeSession(kept.session), kept.seen_at)),
            instances: ledger.map_or(0, |ledger| ledger.instances),
        })
    }

    /// Refuses an agent that was replaced; otherwise the time.
    pub(super) async fn still_speaks(&self, node: NodeId, session: NodeSession) -> Result<Timestamp> {
        let read = self.store.get(&NODE_HEARTBEATS, node).await?;
        speaks(read.value.as_ref(), session)?;
        Ok(read.now)
    }

    async fn turn_node(&self, operation: &'static str, node: NodeId, event: NodeEvent) -> Result<NodeState> {
        self.decided(operation, ComputeNode::KIND, || async move {
            let rows = self.life_of(node).await?;
            let to = rows.state.on(event)?;
            let batch = self
                .batch(operation)
                .with(turned(&rows, to))
                .with(self.log(of_node(operation, node, rows.state.as_str()), rows.now));
            Ok(Decided::Commit(to, batch))
        })
        .await
    }

    async fn life_of(&self, node: NodeId) -> Result<LifeRows> {
        let keys = vec![(&NODE_LIFECYCLES, node.into()), (&NODE_HEARTBEATS, node.into())];
        let read = self.store.get_many(keys).await?;
        let [Some(lifecycle), heartbeat] = read.value.as_slice() else {
            return Err(Error::not_found(ComputeNode::KIND, node));
        };
        let heartbeat = match heartbeat {
            Some(row) => Some((row.clone(), NodeHeartbeat::from_row(row)?)),
            None => None,
        };
        let NodeLifecycle { state, has_agent, .. } = NodeLifecycle::from_row(lifecycle)?;
        Ok(LifeRows { state, has_agent, lifecycle: lifecycle.clone(), heartbeat, now: read.now })
    }
}

/// The write that turns a node to a state.
fn turned(rows: &LifeRows, to: NodeState) -> Write {
    let set = vec![("state", to.as_str().into())];
    Write::update(&NODE_LIFECYCLES, rows.lifecycle.key(), rows.lifecycle.revision(), set)
}

pub(super) fn of_node<'h>(operation: &'static str, node: NodeId, description: &'h str) -> Happened<'h> {
    Happened { operation, actor: None, kind: ComputeNode::KIND, subject: node.uuid(), description }
}

/// What a refused heartbeat means.
fn unheard(error: StoreError) -> Error {
    if error.refusal().is_some() { replaced() } else { Error::of_store("node", error) }
}

/// The write that hears an agent, on the condition that its session is the last one.
pub(super) fn hears(node: NodeId, session: NodeSession, now: Timestamp) -> Write {
    let same = vec![Test::eq("session", i64::from(session.0))];
    Write::patch(&NODE_HEARTBEATS, node, same, vec![("seen_at", Change::Max(now.into()))])
}

/// Refuses an agent that was replaced, by the row of its node's heartbeat.
pub(super) fn speaks(heartbeat: Option<&Row>, session: NodeSession) -> Result<()> {
    let last = heartbeat.map(|row| row.int("session")).transpose()?;
    if last == Some(i64::from(session.0)) { Ok(()) } else { Err(replaced()) }
}

/// What an agent is told that was replaced.
fn replaced() -> Error {
    Error::WrongState {
        kind: NODE_SESSION,
        state: "replaced or never begun",
        event: "speaking as its agent",
        allowed: vec!["joining"],
    }
}
