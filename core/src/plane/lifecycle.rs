//! Stopping and starting an instance.

use super::ControlPlane;
use super::decided::Decided;
use super::users::Happened;
use crate::entity::{Entity as _, Entry, INSTANCES, Instance, InstanceEvent, InstanceId, InstanceState};
use crate::error::{Error, Result};
use crate::store::{Batch, Row, StoreExt as _, Write};
use crate::time::Timestamp;

impl ControlPlane {
    /// Stops a running instance. It keeps its node, ports, GPUs and quota. Stopping a stopped one changes nothing.
    #[tracing::instrument(skip_all)]
    pub async fn stop(&self, id: InstanceId) -> Result<Entry<Instance>> {
        self.turn(id, InstanceEvent::Stop, InstanceState::Stopped).await
    }

    /// Starts a stopped instance. Starting a running one changes nothing.
    #[tracing::instrument(skip_all)]
    pub async fn start(&self, id: InstanceId) -> Result<Entry<Instance>> {
        self.turn(id, InstanceEvent::Start, InstanceState::Running).await
    }

    async fn turn(
        &self,
        id: InstanceId,
        event: InstanceEvent,
        goal: InstanceState,
    ) -> Result<Entry<Instance>> {
        self.decided(operation(event), Instance::KIND, || async move {
            let read = self.store.get(&INSTANCES, id).await?;
            let row = read.value.ok_or_else(|| Error::not_found("instance", id))?;
            let (instance, batch) = self.decide_turn(&row, event, goal, read.now)?;
            Ok(match batch {
                None => Decided::Done(Entry::new(instance, row.revision())),
                Some(batch) => Decided::Commit(Entry::new(instance, row.revision() + 1), batch),
            })
        })
        .await
    }

    /// Decides a change of state over the instance's row; no batch where it is in that state already.
    pub(super) fn decide_turn(
        &self,
        row: &Row,
        event: InstanceEvent,
        goal: InstanceState,
        now: Timestamp,
    ) -> Result<(Instance, Option<Batch>)> {
        let mut instance = Instance::from_row(row)?;
        if instance.state == goal {
            return Ok((instance, None));
        }
        instance.state = instance.state.on(event)?;
        instance.updated_at = now;
        let set = vec![("state", instance.state.as_str().into()), ("updated_at", now.into())];
        let happened = Happened {
            operation: operation(event),
            actor: Some(instance.owner_id.uuid()),
            kind: "instance",
            subject: instance.id.uuid(),
            description: instance.name.as_str(),
        };
        let batch = self
            .batch_for(operation(event), instance.owner_id.uuid())
            .with(Write::update(&INSTANCES, instance.id, row.revision(), set))
            .with(self.log(happened, now));
        Ok((instance, Some(batch)))
    }
}

/// The name of the operation that brings an event about.
const fn operation(event: InstanceEvent) -> &'static str {
    match event {
        InstanceEvent::Stop => "instance.stop",
        InstanceEvent::Start => "instance.start",
        InstanceEvent::Delete => "instance.delete",
    }
}
