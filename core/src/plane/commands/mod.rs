//! The queue of a node: commands are sent, taken on a lease, and answered.
//!
//! Who sends one does so in the batch of the state that wants it. `lease.rs` is the agent's side.

mod effect;
mod lease;

pub(super) use effect::{clipped, superseded};
pub use lease::{CommandLease, CommandOutcome};

use super::ControlPlane;
use super::decided::Decided;
use super::users::Happened;
use crate::entity::{
    COMMANDS, Command, CommandEvent, CommandId, CommandKind, CommandState, ComputeNode, Entity as _, Entry,
    NODE_LIFECYCLES, NodeId, NodeLifecycle,
};
use crate::error::{Error, Result};
use crate::store::{Batch, Row, StoreExt as _, Write};
use crate::time::Timestamp;
use uuid::Uuid;

/// How often a command is tried unless its sender says otherwise.
const MAX_ATTEMPTS: u32 = 5;

/// A command to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewCommand {
    /// Its id; without one it is made anew. With one, sending it again sends nothing.
    pub id: Option<CommandId>,
    /// The node.
    pub node: NodeId,
    /// What is to be done.
    pub kind: CommandKind,
    /// The instance or image; needed but for a ping.
    pub subject: Option<Uuid>,
    /// What the agent needs to know; at most 16,384 bytes.
    pub payload: Option<String>,
    /// How often it may be tried, 1 to 1,000.
    pub max_attempts: u32,
    /// After this it is not begun any more.
    pub deadline: Option<Timestamp>,
}

impl NewCommand {
    /// Asks whether the agent is there.
    pub const fn ping(node: NodeId) -> Self {
        Self {
            id: None,
            node,
            kind: CommandKind::Ping,
            subject: None,
            payload: None,
            max_attempts: MAX_ATTEMPTS,
            deadline: None,
        }
    }

    /// Something that is done to an instance or image.
    pub fn of(node: NodeId, kind: CommandKind, subject: Uuid) -> Self {
        Self { kind, subject: Some(subject), ..Self::ping(node) }
    }

    /// Chooses the id.
    pub const fn id(mut self, id: CommandId) -> Self {
        self.id = Some(id);
        self
    }

    /// Says what the agent needs to know.
    pub fn payload(mut self, payload: impl Into<String>) -> Self {
        self.payload = Some(payload.into());
        self
    }

    /// Says how often it may be tried.
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Says until when it may be begun.
    pub const fn deadline(mut self, at: Timestamp) -> Self {
        self.deadline = Some(at);
        self
    }

    fn check(&self) -> Result<()> {
        if (self.kind == CommandKind::Ping) == self.subject.is_some() {
            let reason = "every command but a ping is done to an instance or image, and a ping to none";
            return Err(Error::invalid("subject", reason));
        }
        if !(1..=1000).contains(&self.max_attempts) {
            let reason = format!("from 1 to 1000 are allowed, got {}", self.max_attempts);
            return Err(Error::invalid("max_attempts", reason));
        }
        Ok(())
    }
}

impl ControlPlane {
    /// Puts a command into the queue of a node. The same one again, with its id, is answered with the one that is there.
    ///
    /// # Errors
    /// `Invalid`; `NotFound`; `WrongState` for a node that is dead; `AlreadyExists` for another command of this id.
    #[tracing::instrument(skip_all)]
    pub async fn send_command(&self, request: NewCommand) -> Result<Entry<Command>> {
        request.check()?;
        let id = request.id.unwrap_or_else(|| self.new_id().into());
        let request = &request;
        self.decided("command.send", Command::KIND, || async move {
            let node = request.node;
            let read =
                self.store.get_many(vec![(&NODE_LIFECYCLES, node.into()), (&COMMANDS, id.into())]).await?;
            let [lifecycle, kept] = read.value.as_slice() else {
                return Err(Error::not_found(ComputeNode::KIND, node));
            };
            if let Some(row) = kept {
                return sent_before(row, request).map(Decided::Done);
            }
            let lifecycle = lifecycle.as_ref().ok_or_else(|| Error::not_found(ComputeNode::KIND, node))?;
            NodeLifecycle::from_row(lifecycle)?.state.must_live("sending it a command")?;
            let mut batch = self.batch("command.send");
            let command = self.queue(&mut batch, request, id, read.now);
            batch.push(Write::guard(&NODE_LIFECYCLES, node, lifecycle.revision()));
            Ok(Decided::Commit(Entry::new(command, 1), batch))
        })
        .await
    }

    /// Adds a command to a batch, with its line. The batch has to guard that the node is there.
    pub(super) fn queue(
        &self,
        batch: &mut Batch,
        request: &NewCommand,
        id: CommandId,
        now: Timestamp,
    ) -> Command {
        let command = Command {
            id,
            node_id: request.node,
            kind: request.kind,
            subject_id: request.subject,
            payload: request.payload.clone(),
            state: CommandState::Queued,
            attempt: 0,
            max_attempts: request.max_attempts,
            session: None,
            leased_until: None,
            deadline: request.deadline,
            result: None,
            created_at: now,
            updated_at: now,
        };
        batch.push(Write::Insert(command.to_row()));
        batch.push(self.log(of_command("command.send", &command, request.kind.as_str()), now));
        command
    }

    /// Tries a parked command again, as often as a new one.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` for one that is not parked, or that what has happened since makes vain; `Invalid` for one whose
    /// deadline is over.
    #[tracing::instrument(skip(self))]
    pub async fn retry_command(&self, id: CommandId) -> Result<Entry<Command>> {
        self.decided("command.retry", Command::KIND, || async move {
            let read = self.store.get(&COMMANDS, id).await?;
            let row = read.value.ok_or_else(|| Error::not_found(Command::KIND, id))?;
            let mut command = Command::from_row(&row)?;
            command.state = command.state.on(CommandEvent::Retry)?;
            if command.deadline.is_some_and(|deadline| deadline <= read.now) {
                return Err(Error::invalid("deadline", "it is over"));
            }
            // The number of an attempt never comes again: it is the fencing token.
            command.max_attempts = command.attempt.saturating_add(MAX_ATTEMPTS);
            command.updated_at = read.now;
            let mut batch = self
                .batch("command.retry")
                .with(Write::update(&COMMANDS, id, row.revision(), command.plain()))
                .with(self.log(of_command("command.retry", &command, command.kind.as_str()), read.now));
            self.effect(&mut batch, &command, CommandEvent::Retry, read.now).await?;
            Ok(Decided::Commit(Entry::new(command, row.revision() + 1), batch))
        })
        .await
    }
}

/// The command that an earlier call has sent, where it is the same.
fn sent_before(row: &Row, request: &NewCommand) -> Result<Entry<Command>> {
    let kept = Command::from_row(row)?;
    let of_kept = (kept.node_id, kept.kind, kept.subject_id, &kept.payload, kept.deadline);
    if of_kept != (request.node, request.kind, request.subject, &request.payload, request.deadline) {
        return Err(Error::AlreadyExists { kind: Command::KIND, key: "id" });
    }
    Ok(Entry::new(kept, row.revision()))
}

pub(super) fn of_command<'h>(
    operation: &'static str,
    command: &Command,
    description: &'h str,
) -> Happened<'h> {
    Happened { operation, actor: None, kind: Command::KIND, subject: command.id.uuid(), description }
}
