//! The agent's side of the queue: taking commands on a lease, holding on to them, and answering them.
//!
//! Every step is judged in the session of the agent and in the number of the attempt, in the batch of its effect. A lease that
//! has ended is anybody's to take over, which is another attempt; until somebody does, an answer still counts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ControlPlane, of_command};
use crate::entity::{COMMANDS, Command, CommandEvent, CommandId, CommandState, Entity as _, Entry, NodeId};
use crate::error::{Error, Result};
use crate::plane::NodeSession;
use crate::plane::decided::Decided;
use crate::plane::node_life::hears;
use crate::store::{Batch, Row, Scan, StoreExt as _, Write};
use crate::time::Timestamp;

/// How many commands are taken at once, at most.
const MAX_TAKEN: u32 = 100;

/// That an agent has a command: what it shows when it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CommandLease {
    /// The command, as it was taken.
    pub command: Entry<Command>,
    /// The session in which it was taken.
    pub session: NodeSession,
    /// The number of the attempt: the fencing token.
    pub attempt: u32,
}

impl CommandLease {
    /// A lease that an agent has kept: of this command, session and attempt.
    pub const fn new(command: Entry<Command>, session: NodeSession, attempt: u32) -> Self {
        Self { command, session, attempt }
    }

    fn id(&self) -> CommandId {
        self.command.value.id
    }

    fn node(&self) -> NodeId {
        self.command.value.node_id
    }
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CommandOutcome {
    /// It was done; at most 4,096 bytes.
    Done(String),
    /// It cannot be done, and trying again would not help; at most 4,096 bytes.
    Failed(String),
    /// It was not done, and may be tried again; at most 4,096 bytes.
    Again(String),
}

impl CommandOutcome {
    /// What happens by it, after so many attempts of as many as there may be.
    const fn event(&self, attempt: u32, most: u32) -> CommandEvent {
        match self {
            Self::Done(_) => CommandEvent::Complete,
            Self::Failed(_) => CommandEvent::Fail,
            Self::Again(_) if attempt < most => CommandEvent::GiveBack,
            Self::Again(_) => CommandEvent::Park,
        }
    }

    fn told(&self) -> &str {
        match self {
            Self::Done(told) | Self::Failed(told) | Self::Again(told) => told,
        }
    }
}

impl ControlPlane {
    /// Takes the next commands of a node, the oldest first, at most `limit` (1 to 100) of them, for as long as `lease`. Those
    /// whose lease has ended, or that an agent had which was replaced, are taken over. One that was tried too often, or whose
    /// deadline is over, is parked. It counts as a heartbeat.
    ///
    /// # Errors
    /// `WrongState` for an agent that was replaced; `Invalid`.
    #[tracing::instrument(skip(self))]
    pub async fn take_commands(
        &self,
        node: NodeId,
        session: NodeSession,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<CommandLease>> {
        if !(1..=MAX_TAKEN).contains(&limit) {
            return Err(Error::invalid("limit", format!("must be from 1 to {MAX_TAKEN}, got {limit}")));
        }
        self.decided("command.take", Command::KIND, || async move {
            let queue = |state: CommandState| {
                Scan::of(&COMMANDS).by("commands_queue").with(node).with(state.as_str()).limit(MAX_TAKEN)
            };
            let read =
                self.store.scan_many(vec![queue(CommandState::Leased), queue(CommandState::Queued)]).await?;
            let now = read.now;
            let mut batch = self.batch("command.take");
            batch.push(self.heard_in(node, session, now).await?);
            let mut taken = Vec::new();
            for row in read.value.iter().flat_map(|page| &page.rows) {
                let command = Command::from_row(row)?;
                if !is_free(&command, session, now) {
                    continue;
                }
                if taken.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
                    break;
                }
                let until = now.plus(lease);
                if let Some(lease) = self.lease(&mut batch, row, command, (session, until), now).await? {
                    taken.push(lease);
                }
            }
            Ok(Decided::Commit(taken, batch))
        })
        .await
    }

    /// Adds the write that leases a command, or parks it.
    async fn lease(
        &self,
        batch: &mut Batch,
        row: &Row,
        mut command: Command,
        (session, until): (NodeSession, Timestamp),
        now: Timestamp,
    ) -> Result<Option<CommandLease>> {
        let late = command.deadline.is_some_and(|deadline| deadline <= now);
        let parked = late || command.attempt >= command.max_attempts;
        command.updated_at = now;
        if parked {
            command.state = command.state.on(CommandEvent::Park)?;
            command.leased_until = None;
            let why = if late { "its deadline is over" } else { "it was tried too often" };
            command.result = Some(why.to_owned());
            batch.push(self.log(of_command("command.park", &command, why), now));
            self.effect(batch, &command, CommandEvent::Park, now).await?;
        } else if let Some(why) = self.in_vain(&command).await? {
            command.state = command.state.on(CommandEvent::Withdraw)?;
            command.leased_until = None;
            command.result = Some(why.to_owned());
            self.effect(batch, &command, CommandEvent::Withdraw, now).await?;
        } else {
            command.state = command.state.on(CommandEvent::Lease)?;
            command.attempt += 1;
            (command.session, command.leased_until) = (Some(session.0), Some(until));
            self.effect(batch, &command, CommandEvent::Lease, now).await?;
        }
        batch.push(Write::update(&COMMANDS, command.id, row.revision(), command.plain()));
        let attempt = command.attempt;
        let command = Entry::new(command, row.revision() + 1);
        let leased = command.state == CommandState::Leased;
        Ok(leased.then(|| CommandLease::new(command, session, attempt)))
    }

    /// Holds on to a command for as long as `lease` from now. It counts as a heartbeat.
    ///
    /// # Errors
    /// `WrongState` where somebody else has it, or it has an answer, or the agent was replaced.
    #[tracing::instrument(skip_all)]
    pub async fn extend_command(&self, held: &CommandLease, lease: Duration) -> Result<Entry<Command>> {
        self.decided("command.extend", Command::KIND, || async move {
            let (row, mut command, now) = self.held(held).await?;
            if command.state != CommandState::Leased {
                return Err(over(&command));
            }
            (command.leased_until, command.updated_at) = (Some(now.plus(lease)), now);
            let batch = self
                .batch("command.extend")
                .with(self.heard_in(held.node(), held.session, now).await?)
                .with(Write::update(&COMMANDS, held.id(), row.revision(), command.plain()));
            Ok(Decided::Commit(Entry::new(command, row.revision() + 1), batch))
        })
        .await
    }

    /// Answers a command. The same answer again is answered the same.
    ///
    /// # Errors
    /// `WrongState` where another attempt has begun, another answer was given, or the agent was replaced.
    #[tracing::instrument(skip_all)]
    pub async fn complete_command(
        &self,
        held: &CommandLease,
        outcome: &CommandOutcome,
    ) -> Result<Entry<Command>> {
        self.decided("command.complete", Command::KIND, || async move {
            let (row, mut command, now) = self.held(held).await?;
            let event = outcome.event(command.attempt, command.max_attempts);
            if command.state != CommandState::Leased {
                let same = CommandState::Leased.on(event)? == command.state
                    && command.result.as_deref() == Some(outcome.told());
                let kept = Entry::new(command.clone(), row.revision());
                return if same { Ok(Decided::Done(kept)) } else { Err(over(&command)) };
            }
            command.state = command.state.on(event)?;
            command.leased_until = None;
            command.result = Some(outcome.told().to_owned());
            command.updated_at = now;
            let told = format!("{}: {}", command.kind, command.state);
            let mut batch = self
                .batch("command.complete")
                .with(self.heard_in(held.node(), held.session, now).await?)
                .with(Write::update(&COMMANDS, held.id(), row.revision(), command.plain()))
                .with(self.log(of_command("command.complete", &command, &told), now));
            self.effect(&mut batch, &command, event, now).await?;
            Ok(Decided::Commit(Entry::new(command, row.revision() + 1), batch))
        })
        .await
    }

    /// The command of a lease, where the attempt is still the last one.
    async fn held(&self, held: &CommandLease) -> Result<(Row, Command, Timestamp)> {
        let read = self.store.get(&COMMANDS, held.id()).await?;
        let row = read.value.ok_or_else(|| Error::not_found(Command::KIND, held.id()))?;
        let command = Command::from_row(&row)?;
        // A lease is what its holder says of it, the node too.
        if command.node_id != held.node() {
            return Err(Error::not_found(Command::KIND, held.id()));
        }
        if command.attempt != held.attempt || command.session != Some(held.session.0) {
            return Err(over(&command));
        }
        Ok((row, command, read.now))
    }

    /// The write that hears an agent, on the condition that its session is the last one; the refusal where it is not.
    async fn heard_in(&self, node: NodeId, session: NodeSession, now: Timestamp) -> Result<Write> {
        self.still_speaks(node, session).await?;
        Ok(hears(node, session, now))
    }
}

/// Whether a command may be taken in a session now.
fn is_free(command: &Command, session: NodeSession, now: Timestamp) -> bool {
    match command.state {
        CommandState::Queued => true,
        CommandState::Leased => {
            command.session != Some(session.0) || command.leased_until.is_none_or(|until| until <= now)
        }
        _ => false,
    }
}

/// What a late answer is told.
fn over(command: &Command) -> Error {
    let state = match command.state {
        CommandState::Leased => "leased anew",
        state => state.as_str(),
    };
    Error::WrongState {
        kind: Command::KIND,
        state,
        event: "answering an earlier attempt",
        allowed: Vec::new(),
    }
}
