//! What somebody who may says of a machine that says nothing: that it is gone, or that something on it is. It is recorded, and it
//! frees what nothing else frees, since silence is no evidence.
//!
//! Whoever says so answers for it. The agent of the node has to join anew before it is heard again, so that nothing that it began
//! before counts; what it then reports that was given up here is removed from its machine.

use super::ControlPlane;
use super::decided::Decided;
use super::delete::{DeleteRows, delete_queries};
use super::ending::end;
use super::node_life::of_node;
use super::retry::{Retry, lost_race};
use super::users::Happened;
use crate::entity::{
    COMMANDS, Command, CommandEvent, CommandKind, ComputeNode, Entity as _, Entry, INSTANCES, Instance,
    InstanceEvent, InstanceId, NODE_HEARTBEATS, NODE_LIFECYCLES, NodeEvent, NodeId, NodeState,
};
use crate::error::{Error, Result};
use crate::store::{Batch, Change, Row, Scan, StoreExt as _, Test, Write};
use crate::time::Timestamp;

/// How many instances of a node are given up at once.
const AT_ONCE: u32 = 100;
/// The longest reason, in bytes.
const MAX_REASON: usize = 512;

/// What giving up a node has freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abandoned {
    /// How many instances were given up.
    pub instances: usize,
    /// How many leases of training runs were: what each held is free, or, where it held something of another node too, is to be
    /// freed by its worker.
    pub leases: usize,
}

impl ControlPlane {
    /// Says that a node is gone, for a reason that is recorded: its instances are lost, and what they held of quotas, GPUs and ports
    /// is free; and so are the leases of training runs on it, whose runs go on elsewhere or fail. It takes nothing until an agent joins as it again.
    ///
    /// Instances are given up some at a time: cut off in the middle, it goes on when it is asked again.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for no reason.
    #[tracing::instrument(skip(self, reason))]
    pub async fn mark_node_dead(&self, node: NodeId, reason: &str) -> Result<Abandoned> {
        check_reason(reason, MAX_REASON)?;
        self.turn_dead(node, reason).await?;
        let mut abandoned = Abandoned::default();
        let mut retry = Retry::new("node.mark_dead", &*self.ids, &*self.metrics);
        loop {
            let life = self.store.get(&NODE_LIFECYCLES, node).await?.value;
            let life = life.ok_or_else(|| Error::not_found(ComputeNode::KIND, node))?;
            // An agent has joined meanwhile, and speaks for what is left.
            if life.text("state")? != NodeState::Dead.as_str() {
                return Ok(abandoned);
            }
            let of_node = Scan::of(&INSTANCES).by("instances_node").with(node).limit(AT_ONCE);
            let rows = self.store.scan(of_node).await?.value.rows;
            let still_dead = Write::guard(&NODE_LIFECYCLES, node, life.revision());
            if rows.is_empty() {
                abandoned.leases += self.abandon_leases_on(node, &still_dead, reason).await?;
                return Ok(abandoned);
            }
            let given_up = self.abandon_all(&rows, &still_dead, reason).await?;
            abandoned.instances += given_up;
            if given_up == 0 {
                retry.again().await?;
            }
        }
    }

    /// Says that an instance is gone, for a reason that is recorded: it is lost, and what it held of quotas, GPUs and ports is free.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` for one that has ended; `Invalid` for no reason.
    #[tracing::instrument(skip(self, reason))]
    pub async fn abandon_instance(&self, id: InstanceId, reason: &str) -> Result<Entry<Instance>> {
        check_reason(reason, MAX_REASON)?;
        self.decided("instance.abandon", Instance::KIND, || async move {
            let reads = self.store.read(delete_queries(id)).await?;
            let rows = DeleteRows::from_answers(&mut reads.answers.into_iter());
            let mut batch = self.batch("instance.abandon");
            let entry = self.give_up(&mut batch, id, &rows, reason, reads.now).await?;
            // What the agent of the node has begun counts no more.
            if let Some(heard) = self.store.get(&NODE_HEARTBEATS, entry.value.last_node_id).await?.value {
                batch.push(next_session(&heard)?);
            }
            Ok(Decided::Commit(entry, batch))
        })
        .await
    }

    /// Turns a node dead, and lets its agent speak no longer. A dead one stays so.
    async fn turn_dead(&self, node: NodeId, reason: &str) -> Result<()> {
        self.decided("node.mark_dead", ComputeNode::KIND, || async move {
            let keys = vec![(&NODE_LIFECYCLES, node.into()), (&NODE_HEARTBEATS, node.into())];
            let read = self.store.get_many(keys).await?;
            let [Some(life), heard] = read.value.as_slice() else {
                return Err(Error::not_found(ComputeNode::KIND, node));
            };
            let state = crate::entity::NodeLifecycle::from_row(life)?.state;
            if state == NodeState::Dead {
                return Ok(Decided::Done(()));
            }
            let to = state.on(NodeEvent::MarkDead)?;
            let set = vec![("state", to.as_str().into())];
            let mut batch = self
                .batch("node.mark_dead")
                .with(Write::update(&NODE_LIFECYCLES, node, life.revision(), set))
                .with(self.log(of_node("node.mark_dead", node, reason), read.now));
            if let Some(heard) = heard {
                batch.push(next_session(heard)?);
            }
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    /// Gives up instances, each in a batch of its own, and answers how many were.
    async fn abandon_all(&self, rows: &[Row], while_so: &Write, reason: &str) -> Result<usize> {
        let ids: Vec<InstanceId> =
            rows.iter().map(|row| row.id("id")).collect::<std::result::Result<_, _>>()?;
        let reads = self.store.read(ids.iter().flat_map(|id| delete_queries(*id)).collect()).await?;
        let mut answers = reads.answers.into_iter();
        let mut batches = Vec::with_capacity(ids.len());
        for id in ids {
            let rows = DeleteRows::from_answers(&mut answers);
            let mut batch = self.batch("instance.abandon").with(while_so.clone());
            match self.give_up(&mut batch, id, &rows, reason, reads.now).await {
                Ok(_) => batches.push(batch),
                // It has ended meanwhile.
                Err(Error::WrongState { .. } | Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut given_up = 0;
        for answer in self.store.commit_many(batches).await {
            match answer {
                Ok(_) => given_up += 1,
                Err(error) if lost_race(&error) => {}
                Err(error) => return Err(Error::of_store(Instance::KIND, error)),
            }
        }
        Ok(given_up)
    }

    /// Adds what gives up an instance.
    async fn give_up(
        &self,
        batch: &mut Batch,
        id: InstanceId,
        rows: &DeleteRows,
        reason: &str,
        now: Timestamp,
    ) -> Result<Entry<Instance>> {
        let row = rows.instance.as_ref().ok_or_else(|| Error::not_found(Instance::KIND, id))?;
        let mut instance = Instance::from_row(row)?;
        if let Some(open) = instance.command_id
            && let Some(kept) = self.store.get(&COMMANDS, open).await?.value
        {
            let mut command = Command::from_row(&kept)?;
            command.state = command.state.on(CommandEvent::Withdraw)?;
            (command.leased_until, command.updated_at) = (None, now);
            command.result = Some("withdrawn: what it is for was given up".to_owned());
            if command.kind == CommandKind::SaveImage {
                self.image_effect(batch, &command, CommandEvent::Withdraw, now).await?;
            }
            batch.push(Write::update(&COMMANDS, open, kept.revision(), command.plain()));
        }
        end(batch, &mut instance, InstanceEvent::Abandon, rows, now)?;
        batch.push(Write::update(&INSTANCES, id, row.revision(), instance.plain()));
        let happened = Happened {
            operation: "instance.abandon",
            actor: None,
            kind: Instance::KIND,
            subject: id.uuid(),
            description: reason,
        };
        batch.push(self.log(happened, now));
        Ok(Entry::new(instance, row.revision() + 1))
    }
}

/// The write behind which the agent of a node has to join anew.
pub(super) fn next_session(heard: &Row) -> Result<Write> {
    let same = vec![Test::eq("session", heard.int("session")?)];
    Ok(Write::patch(&NODE_HEARTBEATS, heard.key(), same, vec![("session", Change::Add(1))]))
}

/// Refuses a reason that says nothing, or too much.
pub(super) fn check_reason(reason: &str, most: usize) -> Result<()> {
    if reason.trim().is_empty() || reason.len() > most || reason.contains('\0') {
        return Err(Error::invalid("reason", format!("1 to {most} bytes without NUL are expected")));
    }
    Ok(())
}
