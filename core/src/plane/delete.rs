//! Deleting an instance.

use uuid::Uuid;

use super::ControlPlane;
use super::decided::Decided;
use super::ending::{end, turn_bindings, withdraw};
use super::users::Happened;
use super::view::Pending;
use crate::entity::{
    BindingEvent, DesiredState, Entity as _, Entry, GPU_BINDINGS, INSTANCES, Instance, InstanceEvent,
    InstanceId, InstanceState, MANAGED_INSTANCES, PORT_MAPS, PortMap,
};
use crate::error::{Error, Result};
use crate::store::{Answer, Batch, MAX_PAGE, Query, Row, Scan, StoreError, Write};
use crate::time::Timestamp;

use super::request::PortKey;

/// The rows that a deletion is decided on.
#[derive(Debug, Default)]
pub(super) struct DeleteRows {
    pub(super) instance: Option<Row>,
    pub(super) bindings: Vec<Row>,
    pub(super) ports: Vec<Row>,
    pub(super) grants: Vec<Row>,
}

/// What was decided on a deletion.
#[derive(Debug)]
pub(super) enum Deletion {
    /// It was deleted before.
    Done(Box<Entry<Instance>>),
    /// This batch deletes it; `frees` says whether what it holds comes back by that, or only when its agent has removed it.
    Commit { instance: Box<Instance>, revision: i64, batch: Batch, frees: bool },
}

impl ControlPlane {
    /// Deletes an instance: its GPUs, ports, capacity and quota come back in one batch, what its rows say and not what
    /// anybody says. Deleting a deleted one changes nothing.
    ///
    /// One that the agent of its node has begun to make is `deleting`, and keeps what it holds, until the agent says that there
    /// is nothing of it any more.
    #[tracing::instrument(skip(self))]
    pub async fn delete(&self, id: InstanceId) -> Result<Entry<Instance>> {
        self.decided("instance.delete", Instance::KIND, || async move {
            let reads = self.store.read(delete_queries(id)).await?;
            let rows = DeleteRows::from_answers(&mut reads.answers.into_iter());
            Ok(match self.decide_delete(id, &rows, reads.now)? {
                Deletion::Done(entry) => Decided::Done(*entry),
                Deletion::Commit { instance, revision, batch, .. } => {
                    Decided::Commit(Entry::new(*instance, revision), batch)
                }
            })
        })
        .await
    }

    /// Decides a deletion over the instance's rows.
    pub(super) fn decide_delete(
        &self,
        id: InstanceId,
        rows: &DeleteRows,
        now: Timestamp,
    ) -> Result<Deletion> {
        let row = rows.instance.as_ref().ok_or_else(|| Error::not_found("instance", id))?;
        let mut instance = Instance::from_row(row)?;
        let under_way = instance.state == InstanceState::Deleting && instance.command_id.is_some();
        if instance.state == InstanceState::Deleted || under_way {
            return Ok(Deletion::Done(Box::new(Entry::new(instance, row.revision()))));
        }
        let never_begun = instance.state == InstanceState::Requested;
        instance.state = instance.state.on(InstanceEvent::Delete)?;
        (instance.desired, instance.updated_at) = (DesiredState::Deleted, now);
        let mut batch = self.batch_for("instance.delete", instance.owner_id.uuid());
        // Without an agent, who asks for it has done it. Of what no agent has begun there is nothing.
        let frees = !instance.by_agent || never_begun;
        if frees {
            withdraw(&mut batch, &mut instance, now);
            end(&mut batch, &mut instance, InstanceEvent::SeenGone, rows, now)?;
        } else {
            turn_bindings(&mut batch, &rows.bindings, BindingEvent::Release)?;
            self.ask(&mut batch, &mut instance, now)?;
        }
        batch.push(Write::update(&INSTANCES, id, row.revision(), instance.plain()));
        let happened = Happened {
            operation: "instance.delete",
            actor: Some(instance.owner_id.uuid()),
            kind: "instance",
            subject: id.uuid(),
            description: instance.name.as_str(),
        };
        batch.push(self.log(happened, now));
        Ok(Deletion::Commit { instance: Box::new(instance), revision: row.revision() + 1, batch, frees })
    }
}

/// What a deletion reads in one round trip. An instance has at most 16 GPUs and [`MAX_PORTS`](super::MAX_PORTS) ports;
/// grants beyond a page make it refuse.
pub(super) fn delete_queries(id: InstanceId) -> Vec<Query> {
    let of = |table, reference| Query::Scan(Scan::of(table).by(reference).with(id).limit(MAX_PAGE));
    vec![
        Query::Get { table: &INSTANCES, key: id.into() },
        of(&GPU_BINDINGS, "gpu_bindings_instance"),
        of(&PORT_MAPS, "port_maps_instance"),
        of(&MANAGED_INSTANCES, "managed_instances_instance"),
    ]
}

impl DeleteRows {
    /// The rows, from the answers to [`delete_queries`].
    pub(super) fn from_answers(answers: &mut impl Iterator<Item = Answer>) -> Self {
        let instance = answers.next().and_then(Answer::into_row);
        let mut page = || answers.next().map(Answer::into_rows).unwrap_or_default();
        Self { instance, bindings: page(), ports: page(), grants: page() }
    }

    /// The rows that a launch's batch inserts, as a deletion behind it will find them.
    pub(super) fn inserted_by(launch: &Batch) -> std::result::Result<Self, StoreError> {
        let mut rows = Self::default();
        for write in &launch.writes {
            let Write::Insert(new) = write else { continue };
            match new.table.name {
                name if name == INSTANCES.name => rows.instance = Some(new.as_inserted()?),
                name if name == GPU_BINDINGS.name => rows.bindings.push(new.as_inserted()?),
                name if name == PORT_MAPS.name => rows.ports.push(new.as_inserted()?),
                name if name == MANAGED_INSTANCES.name => rows.grants.push(new.as_inserted()?),
                _ => {}
            }
        }
        Ok(rows)
    }

    /// What a deletion gives back to its node.
    pub(super) fn pending(&self, node: Uuid) -> Result<Pending> {
        let row = self.instance.as_ref().ok_or_else(|| Error::not_found("instance", ""))?;
        let gpus: std::result::Result<Vec<Uuid>, StoreError> =
            self.bindings.iter().map(|binding| binding.id::<()>("gpu_id").map(crate::id::Id::uuid)).collect();
        let mut ports = Vec::with_capacity(self.ports.len());
        for row in &self.ports {
            let map = PortMap::from_row(row)?;
            ports.push(PortKey { family: map.family, protocol: map.protocol, port: map.port });
        }
        Ok(Pending {
            node,
            release: true,
            gpus: gpus?,
            milli_per_gpu: row.int("gpu_milli")?,
            cpu_milli: row.int("cpu_milli")?,
            memory_mib: row.int("memory_mib")?,
            storage_mib: row.int("storage_mib")?,
            ports,
        })
    }
}
