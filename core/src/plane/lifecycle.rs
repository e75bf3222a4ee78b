//! Stopping and starting an instance.

use super::ControlPlane;
use super::decided::Decided;
use super::users::Happened;
use crate::entity::{
    DesiredState, Entity as _, Entry, INSTANCES, Instance, InstanceEvent, InstanceId, InstanceState,
};
use crate::error::{Error, Result};
use crate::machine::wanted;
use crate::store::{Batch, Row, StoreExt as _, Write};
use crate::time::Timestamp;

impl ControlPlane {
    /// Stops a running instance. It keeps its node, ports, GPUs and quota. Stopping a stopped one changes nothing.
    ///
    /// One that the agent of its node has made is running until the agent has stopped it; what is wanted of it is kept at once.
    #[tracing::instrument(skip_all)]
    pub async fn stop(&self, id: InstanceId) -> Result<Entry<Instance>> {
        self.turn(id, DesiredState::Stopped).await
    }

    /// Starts a stopped instance. Starting a running one changes nothing.
    ///
    /// One that the agent of its node has made is stopped until the agent has started it.
    #[tracing::instrument(skip_all)]
    pub async fn start(&self, id: InstanceId) -> Result<Entry<Instance>> {
        self.turn(id, DesiredState::Running).await
    }

    async fn turn(&self, id: InstanceId, goal: DesiredState) -> Result<Entry<Instance>> {
        let (operation, ..) = of_goal(goal);
        self.decided(operation, Instance::KIND, || async move {
            let read = self.store.get(&INSTANCES, id).await?;
            let row = read.value.ok_or_else(|| Error::not_found("instance", id))?;
            let (instance, batch) = self.decide_turn(&row, goal, read.now)?;
            Ok(match batch {
                None => Decided::Done(Entry::new(instance, row.revision())),
                Some(batch) => Decided::Commit(Entry::new(instance, row.revision() + 1), batch),
            })
        })
        .await
    }

    /// Decides over the instance's row that it is to run, or to stop; no batch where that is so, or under way.
    pub(super) fn decide_turn(
        &self,
        row: &Row,
        goal: DesiredState,
        now: Timestamp,
    ) -> Result<(Instance, Option<Batch>)> {
        let mut instance = Instance::from_row(row)?;
        let (operation, asked, seen) = of_goal(goal);
        let is_so = wanted(instance.state, goal).is_none() || instance.command_id.is_some();
        let turns = matches!(instance.state, InstanceState::Running | InstanceState::Stopped);
        if turns && instance.desired == goal && is_so {
            return Ok((instance, None));
        }
        if !turns {
            instance.state.on(asked)?;
        }
        (instance.desired, instance.updated_at) = (goal, now);
        let mut batch = self.batch_for(operation, instance.owner_id.uuid());
        if instance.by_agent {
            self.ask(&mut batch, &mut instance, now)?;
        } else {
            instance.state = instance.state.on(seen)?;
        }
        let set = vec![
            ("state", instance.state.as_str().into()),
            ("desired", instance.desired.as_str().into()),
            ("command_id", instance.command_id.map_or(crate::store::Value::Null, Into::into)),
            ("updated_at", now.into()),
        ];
        batch.push(Write::update(&INSTANCES, instance.id, row.revision(), set));
        let happened = Happened {
            operation,
            actor: Some(instance.owner_id.uuid()),
            kind: "instance",
            subject: instance.id.uuid(),
            description: instance.name.as_str(),
        };
        batch.push(self.log(happened, now));
        Ok((instance, Some(batch)))
    }
}

/// The name of the operation that wants this, what is asked by it, and how it is seen that it is so.
const fn of_goal(goal: DesiredState) -> (&'static str, InstanceEvent, InstanceEvent) {
    match goal {
        DesiredState::Running => ("instance.start", InstanceEvent::Start, InstanceEvent::SeenRunning),
        DesiredState::Stopped => ("instance.stop", InstanceEvent::Stop, InstanceEvent::SeenStopped),
        DesiredState::Deleted => ("instance.delete", InstanceEvent::Delete, InstanceEvent::SeenGone),
    }
}
