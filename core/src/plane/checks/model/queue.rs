//! What the model expects of the queue of commands, and of what becomes of instances by it.

use super::rules::Expected;
use super::state::Model;
use crate::entity::{CommandId, CommandKind, CommandState, DesiredState, InstanceState};
use crate::plane::CommandOutcome;
use crate::time::Timestamp;

/// What happens to a command beside its being leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Done,
    Failed,
    Parked,
    Withdrawn,
}

impl Model {
    /// Which commands an agent gets, the oldest first; what was tried too often is parked.
    pub(super) fn take(
        &mut self,
        node: usize,
        session: u32,
        most: usize,
        until: Timestamp,
    ) -> Result<Vec<usize>, &'static str> {
        self.hear(node, session)?;
        let mut queue: Vec<(CommandState, CommandId, usize)> = Vec::new();
        for (at, command) in self.commands.iter().enumerate().filter(|(_, command)| command.node == node) {
            if let (CommandState::Queued | CommandState::Leased, Some(id)) = (command.state, command.id) {
                queue.push((command.state, id, at));
            }
        }
        queue.sort_by_key(|(state, id, _)| (*state == CommandState::Queued, *id));
        let mut taken = Vec::new();
        for (state, _, at) in queue {
            let command = &self.commands[at];
            let over = command.until.is_none_or(|until| until <= self.now);
            if state == CommandState::Leased && command.session == Some(session) && !over {
                continue;
            }
            if taken.len() >= most {
                break;
            }
            if self.lease(at, session, until) {
                taken.push(at);
            }
        }
        Ok(taken)
    }

    fn lease(&mut self, at: usize, session: u32, until: Timestamp) -> bool {
        let now = self.now;
        let command = &mut self.commands[at];
        let waits = self.instances[command.instance].command == Some(at);
        let instance = &mut self.instances[command.instance];
        let creates = command.kind == CommandKind::CreateInstance;
        if command.attempt >= command.most {
            (command.state, command.until, command.outcome) = (CommandState::Parked, None, None);
            self.came(at, Came::Parked, "it was tried too often");
            return false;
        }
        if creates && waits && instance.state == InstanceState::Deleting {
            (command.state, command.until, command.outcome) = (CommandState::Failed, None, None);
            self.came(at, Came::Withdrawn, "");
            return false;
        }
        command.state = CommandState::Leased;
        command.attempt += 1;
        (command.session, command.until) = (Some(session), Some(until));
        if creates && waits && instance.state == InstanceState::Requested {
            (instance.state, instance.changed) = (InstanceState::Creating, now);
        }
        true
    }

    /// An agent holds on to a command.
    pub(super) fn extend(&mut self, at: usize, (session, attempt): (u32, u32), until: Timestamp) -> Expected {
        let command = &self.commands[at];
        if (command.state, command.session, command.attempt) != (CommandState::Leased, Some(session), attempt)
        {
            return Err("wrong_state");
        }
        self.hear(command.node, session)?;
        self.commands[at].until = Some(until);
        Ok(())
    }

    /// An agent answers a command.
    pub(super) fn complete(
        &mut self,
        at: usize,
        (session, attempt): (u32, u32),
        outcome: &CommandOutcome,
    ) -> Expected {
        let command = &self.commands[at];
        if (command.session, command.attempt) != (Some(session), attempt) {
            return Err("wrong_state");
        }
        if command.state != CommandState::Leased {
            // The same answer again is answered the same.
            return if command.outcome.as_ref() == Some(outcome) { Ok(()) } else { Err("wrong_state") };
        }
        self.hear(command.node, session)?;
        let command = &mut self.commands[at];
        command.until = None;
        command.outcome = Some(outcome.clone());
        let (state, came) = match outcome {
            CommandOutcome::Done(_) => (CommandState::Done, Some(Came::Done)),
            CommandOutcome::Failed(_) => (CommandState::Failed, Some(Came::Failed)),
            CommandOutcome::Again(_) if command.attempt < command.most => (CommandState::Queued, None),
            CommandOutcome::Again(_) => (CommandState::Parked, Some(Came::Parked)),
        };
        command.state = state;
        let (CommandOutcome::Done(told) | CommandOutcome::Failed(told) | CommandOutcome::Again(told)) =
            outcome;
        if let Some(came) = came {
            self.came(at, came, told);
        }
        Ok(())
    }

    /// What becomes of an instance by the command that it waits for; nothing by another one.
    fn came(&mut self, at: usize, came: Came, told: &str) {
        let (kind, of, now) = (self.commands[at].kind, self.commands[at].instance, self.now);
        let instance = &mut self.instances[of];
        if instance.command != Some(at) {
            return;
        }
        (instance.command, instance.changed) = (None, now);
        let deleting = instance.state == InstanceState::Deleting;
        match (kind, came) {
            (CommandKind::CreateInstance, Came::Done) => {
                instance.key = crate::machine::MadeInstance::parse(told).ok().map(|made| made.key);
                if !deleting {
                    instance.state = InstanceState::Running;
                }
            }
            (CommandKind::StartInstance, Came::Done) if !deleting => instance.state = InstanceState::Running,
            (CommandKind::StopInstance, Came::Done) if !deleting => instance.state = InstanceState::Stopped,
            (CommandKind::DeleteInstance, Came::Done) => return self.end(of, InstanceState::Deleted),
            (CommandKind::CreateInstance, Came::Failed) => {
                instance.status = Some(told.to_owned());
                let state = if deleting { InstanceState::Deleted } else { InstanceState::Failed };
                return self.end(of, state);
            }
            (_, Came::Done | Came::Withdrawn) => {}
            (_, Came::Failed | Came::Parked) => {
                instance.status = Some(told.to_owned());
                // What cannot be done is wanted no longer.
                match instance.state {
                    InstanceState::Running => instance.desired = DesiredState::Running,
                    InstanceState::Stopped => instance.desired = DesiredState::Stopped,
                    _ => {}
                }
                // That it cannot be removed is told, and it is not tried for ever.
                if kind == CommandKind::DeleteInstance {
                    return;
                }
            }
        }
        self.ask(of);
    }

    /// Somebody wants a command tried again.
    pub(super) fn retry(&mut self, at: usize) -> Expected {
        use InstanceState::{Creating, Deleting, Requested, Running, Stopped};
        let now = self.now;
        let command = &mut self.commands[at];
        if command.state != CommandState::Parked {
            return Err("wrong_state");
        }
        let instance = &mut self.instances[command.instance];
        // It removes what an instance has left behind, and that is still there.
        let left_behind = self.nodes[command.node].foreign.values().any(|it| it.command == Some(at));
        if !left_behind {
            let desired = match (command.kind, instance.state) {
                _ if instance.command.is_some() => return Err("wrong_state"),
                (CommandKind::CreateInstance, Requested | Creating) => instance.desired,
                (CommandKind::StartInstance, Stopped) => DesiredState::Running,
                (CommandKind::StopInstance, Running) => DesiredState::Stopped,
                (CommandKind::DeleteInstance, Deleting) => DesiredState::Deleted,
                _ => return Err("wrong_state"),
            };
            (instance.desired, instance.command, instance.changed) = (desired, Some(at), now);
        }
        command.state = CommandState::Queued;
        command.most = command.attempt + 5;
        Ok(())
    }
}
