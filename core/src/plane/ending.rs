//! The end of an instance: everything that it was given comes back, exactly once.
//!
//! Only what its rows say comes back, never what anybody says; and only when it is known that there is nothing of it any more.

use super::ControlPlane;
use super::delete::DeleteRows;
use super::nodes::charges;
use crate::entity::{
    BindingEvent, COMMANDS, CommandKind, CommandState, Entity as _, GPU_BINDINGS, GPUS, GpuBinding,
    INSTANCES, Instance, InstanceEvent,
};
use crate::error::Result;
use crate::machine::{InstanceRef, InstanceSize, wanted};
use crate::plane::commands::NewCommand;
use crate::store::{Batch, Change, Row, StoreError, Value, Write};
use crate::time::Timestamp;

impl ControlPlane {
    /// Sends the command that an instance waits for, where it waits for one and none is under way.
    pub(super) fn ask(&self, batch: &mut Batch, instance: &mut Instance, now: Timestamp) -> Result<()> {
        let (Some(node), None) = (instance.node_id, instance.command_id) else { return Ok(()) };
        let Some(kind) = wanted(instance.state, instance.desired).filter(|_| instance.by_agent) else {
            return Ok(());
        };
        let starts = kind == CommandKind::StartInstance;
        let size = starts.then(|| InstanceSize::of(instance));
        let what = InstanceRef { size, ..InstanceRef::new(instance.id, instance.key.clone()) };
        let command = NewCommand::of(node, kind, instance.id.uuid()).payload(what.to_payload()?);
        let id = self.new_id().into();
        self.queue(batch, &command, id, now);
        instance.command_id = Some(id);
        Ok(())
    }
}

/// Ends an instance by an event that ends it, and adds what that gives back.
pub(super) fn end(
    batch: &mut Batch,
    instance: &mut Instance,
    event: InstanceEvent,
    rows: &DeleteRows,
    now: Timestamp,
) -> Result<()> {
    instance.state = instance.state.on(event)?;
    let Some(node) = instance.node_id.take() else {
        let no_node = StoreError::corrupt(
            INSTANCES.name,
            Some(instance.id.into()),
            "node_id",
            "a live instance has a node",
        );
        return Err(no_node.into());
    };
    (instance.live_name, instance.image_id, instance.command_id) = (None, None, None);
    instance.updated_at = now;
    for binding in &rows.bindings {
        release(batch, binding, now)?;
    }
    for row in rows.ports.iter().chain(&rows.grants) {
        batch.push(Write::delete(row.table(), row.key(), row.revision()));
    }
    batch.writes.extend(charges(instance, node, -1));
    Ok(())
}

/// Turns the bindings of an instance, which hold their GPUs before and after.
pub(super) fn turn_bindings(batch: &mut Batch, bindings: &[Row], event: BindingEvent) -> Result<()> {
    for row in bindings {
        let state = GpuBinding::from_row(row)?.state;
        let to = state.on(event)?;
        if to != state {
            let set = vec![("state", to.as_str().into())];
            batch.push(Write::update(&GPU_BINDINGS, row.key(), row.revision(), set));
        }
    }
    Ok(())
}

/// Takes back the command that an instance waits for and that no agent has ever had, which is then as it was sent.
pub(super) fn withdraw(batch: &mut Batch, instance: &mut Instance, now: Timestamp) {
    let Some(command) = instance.command_id.take() else { return };
    let set = vec![
        ("state", CommandState::Failed.as_str().into()),
        ("result", "withdrawn before it was begun".into()),
        ("updated_at", now.into()),
    ];
    batch.push(Write::update(&COMMANDS, command, 1, set));
}

/// Releases a binding, and gives its part of the GPU back.
fn release(batch: &mut Batch, binding: &Row, now: Timestamp) -> Result<()> {
    let gpu = binding.id::<()>("gpu_id")?;
    let freed = GpuBinding::from_row(binding)?.state.on(BindingEvent::Free)?;
    let set = vec![
        ("gpu_id", Value::Null),
        ("instance_id", Value::Null),
        ("state", freed.as_str().into()),
        ("released_at", now.into()),
    ];
    batch.push(Write::update(&GPU_BINDINGS, binding.key(), binding.revision(), set));
    let milli = -binding.int("milli")?;
    batch.push(Write::patch(&GPUS, gpu, Vec::new(), vec![("used_milli", Change::Add(milli))]));
    Ok(())
}
