//! What becomes of an instance or image by the command for it, in the batch in which something happens to the command.
//!
//! Each waits for one command at a time, and knows which: of any other one nothing becomes of it. So what an old command comes to
//! never undoes what a newer one has done.

use super::ControlPlane;
use crate::entity::{
    BindingEvent, Command, CommandEvent, CommandKind, DesiredState, Entity as _, FOREIGN_INSTANCES,
    INSTANCES, Instance, InstanceEvent, InstanceId, InstanceState,
};
use crate::error::{Error, Result};
use crate::machine::{ImageToSave, MadeInstance};
use crate::plane::delete::{DeleteRows, delete_queries};
use crate::plane::ending::{end, turn_bindings};
use crate::store::{Batch, Scan, StoreExt as _, Test, Write};
use crate::time::Timestamp;

impl ControlPlane {
    /// Adds what becomes of what a command is for, by what happens to it.
    ///
    /// # Errors
    /// `Invalid` for an answer that says nothing: then the agent still has the command.
    pub(super) async fn effect(
        &self,
        batch: &mut Batch,
        command: &Command,
        event: CommandEvent,
        now: Timestamp,
    ) -> Result<()> {
        match command.kind {
            CommandKind::LoadImage => self.image_effect(batch, command, event, now).await,
            CommandKind::SaveImage => {
                self.image_effect(batch, command, event, now).await?;
                self.instance_effect(batch, command, event, now).await
            }
            CommandKind::CreateInstance
            | CommandKind::StartInstance
            | CommandKind::StopInstance
            | CommandKind::DeleteInstance => self.instance_effect(batch, command, event, now).await,
            CommandKind::DeleteImage | CommandKind::Ping => Ok(()),
        }
    }

    async fn instance_effect(
        &self,
        batch: &mut Batch,
        command: &Command,
        event: CommandEvent,
        now: Timestamp,
    ) -> Result<()> {
        let Some(id) = instance_of(command) else { return Ok(()) };
        // To be begun is told of what is being made alone.
        let begun = event == CommandEvent::Lease && command.kind != CommandKind::CreateInstance;
        if begun || event == CommandEvent::GiveBack {
            return Ok(());
        }
        let reads = self.store.read(delete_queries(id)).await?;
        let rows = DeleteRows::from_answers(&mut reads.answers.into_iter());
        let Some(row) = &rows.instance else { return Ok(()) };
        let before = Instance::from_row(row)?;
        let mut instance = before.clone();
        if event == CommandEvent::Retry {
            if !self.removes_what_was_left(command).await? {
                reclaim(&mut instance, command)?;
            }
        } else if instance.command_id == Some(command.id) {
            self.answered(batch, &mut instance, &rows, (command, event), now)?;
        }
        if instance != before {
            instance.updated_at = now;
            batch.push(Write::update(&INSTANCES, id, row.revision(), instance.plain()));
        }
        Ok(())
    }

    /// What becomes of an instance by the command that it waits for.
    fn answered(
        &self,
        batch: &mut Batch,
        instance: &mut Instance,
        rows: &DeleteRows,
        (command, event): (&Command, CommandEvent),
        now: Timestamp,
    ) -> Result<()> {
        let told = command.result.as_deref().unwrap_or("");
        if event == CommandEvent::Lease {
            instance.state = instance.state.on(InstanceEvent::Begin)?;
            return Ok(());
        }
        instance.command_id = None;
        match (command.kind, event) {
            (CommandKind::CreateInstance, CommandEvent::Complete) => {
                let made = MadeInstance::parse(told)?;
                instance.key = Some(made.key);
                (instance.ipv4, instance.ipv6) = (made.ipv4, made.ipv6);
                (instance.local_ipv4, instance.local_ipv6) = (made.local_ipv4, made.local_ipv6);
                instance.state = instance.state.on(InstanceEvent::SeenRunning)?;
                if instance.state != InstanceState::Deleting {
                    turn_bindings(batch, &rows.bindings, BindingEvent::Bind)?;
                }
            }
            (CommandKind::StartInstance, CommandEvent::Complete) => {
                instance.state = instance.state.on(InstanceEvent::SeenRunning)?;
            }
            (CommandKind::StopInstance, CommandEvent::Complete) => {
                instance.state = instance.state.on(InstanceEvent::SeenStopped)?;
            }
            // The agent says that there is nothing of it.
            (CommandKind::CreateInstance, CommandEvent::Fail) => {
                instance.status_info = Some(clipped(told, 1024));
                return end(batch, instance, InstanceEvent::Fail, rows, now);
            }
            (CommandKind::DeleteInstance, CommandEvent::Complete) => {
                return end(batch, instance, InstanceEvent::SeenGone, rows, now);
            }
            // An image of it was saved, or could not be: it is as it was.
            (CommandKind::SaveImage, _) | (_, CommandEvent::Withdraw) => {}
            // It could not be done: nothing is known by that, but that somebody has to look at it.
            _ => {
                instance.status_info = Some(clipped(told, 1024));
                given_up(instance);
                // A removal is not tried for ever; what came before one does not stand in its way.
                if command.kind == CommandKind::DeleteInstance {
                    return Ok(());
                }
            }
        }
        self.ask(batch, instance, now)
    }

    /// Whether a command removes a container that an instance has left behind, and that is still reported.
    async fn removes_what_was_left(&self, command: &Command) -> Result<bool> {
        if command.kind != CommandKind::DeleteInstance {
            return Ok(false);
        }
        let left = Scan::of(&FOREIGN_INSTANCES)
            .by("foreign_instances_node_key")
            .with(command.node_id)
            .test(Test::eq("command_id", command.id));
        Ok(!self.store.scan_all(left).await?.is_empty())
    }

    /// Why a command need not be done: what it makes is to be deleted, or what it makes an image of is gone.
    pub(super) async fn in_vain(&self, command: &Command) -> Result<Option<&'static str>> {
        let needs = matches!(command.kind, CommandKind::CreateInstance | CommandKind::SaveImage);
        let Some(id) = instance_of(command).filter(|_| needs) else { return Ok(None) };
        let row = self.store.get(&INSTANCES, id).await?.value;
        let instance = row.map(|row| Instance::from_row(&row)).transpose()?;
        if command.kind == CommandKind::SaveImage {
            let gone = instance.is_none_or(|instance| instance.state.is_terminal());
            return Ok(gone.then_some("withdrawn: what it saves is gone"));
        }
        let deleted = instance.is_some_and(|instance| {
            instance.state == InstanceState::Deleting && instance.command_id == Some(command.id)
        });
        Ok(deleted.then_some("withdrawn: what it makes is to be deleted"))
    }
}

/// The instance that something is done to, or that an image is saved of.
fn instance_of(command: &Command) -> Option<InstanceId> {
    if command.kind == CommandKind::SaveImage {
        return ImageToSave::parse(command.payload.as_deref()?).ok().map(|what| what.instance);
    }
    command.subject_id.map(InstanceId::new)
}

/// What is wanted of an instance that could not be started, or stopped, is what it is, until somebody asks again.
fn given_up(instance: &mut Instance) {
    match instance.state {
        InstanceState::Running => instance.desired = DesiredState::Running,
        InstanceState::Stopped => instance.desired = DesiredState::Stopped,
        _ => {}
    }
}

/// Lets an instance wait again for a command that was given up, where that is still of use.
fn reclaim(instance: &mut Instance, command: &Command) -> Result<()> {
    if !instance.by_agent {
        return Ok(());
    }
    let wanted = match (command.kind, instance.state) {
        _ if instance.command_id.is_some() => None,
        (CommandKind::CreateInstance, state) if state.is_in_creation() => Some(instance.desired),
        (CommandKind::StartInstance, InstanceState::Stopped) => Some(DesiredState::Running),
        (CommandKind::StopInstance, InstanceState::Running) => Some(DesiredState::Stopped),
        (CommandKind::DeleteInstance, InstanceState::Deleting) => Some(DesiredState::Deleted),
        (CommandKind::SaveImage, InstanceState::Running | InstanceState::Stopped) => Some(instance.desired),
        _ => None,
    };
    let Some(desired) = wanted else { return Err(superseded()) };
    (instance.desired, instance.command_id) = (desired, Some(command.id));
    Ok(())
}

/// What is told of a command that is tried again in vain.
pub(in crate::plane) fn superseded() -> Error {
    Error::WrongState {
        kind: Command::KIND,
        state: "superseded by what has happened since",
        event: "trying it again",
        allowed: Vec::new(),
    }
}

/// The beginning of a text, at most so many bytes of it, without NUL.
pub(in crate::plane) fn clipped(text: &str, bytes: usize) -> String {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default().replace('\0', " ")
}
