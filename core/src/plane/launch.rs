//! Launching an instance: one batch takes everything that it needs, or nothing.

use super::follow::Held;
use super::launch_rows::{Described, LaunchRows, Tentative, launch_queries};
use super::nodes::charges;
use super::place::Chosen;
use super::retry::{Retry, lost_race};
use super::users::Happened;
use super::{ControlPlane, LaunchRequest, NewCommand, PortKey};
use crate::entity::{
    CommandKind, Entity as _, Entry, GPU_BINDINGS, GPUS, IMAGES, Instance, InstanceId, InstanceState,
    MANAGED_INSTANCES, NODE_LIFECYCLES, NodeId, PORT_MAPS, USER_ACCESS,
};
use crate::error::{Error, Result};
use crate::machine::{InstanceSpec, SpecGpu};
use crate::store::{Batch, Change, NewRow, StoreError, StoreExt as _, Test, Write};
use crate::time::Timestamp;

/// What was decided on a launch.
#[derive(Debug)]
pub(super) enum Decision {
    /// The same request was carried out before.
    Done(Box<Entry<Instance>>),
    /// This batch carries it out.
    Commit(Box<Instance>, Batch),
}

impl ControlPlane {
    /// Launches an instance: chooses a node, GPUs and ports, and takes them together with the owner's quota, in one batch.
    ///
    /// The same request again, with its id, is answered with the instance that is there. A stopped instance keeps what it
    /// was given; only deleting it gives back.
    #[tracing::instrument(skip_all, fields(name = %request.name))]
    pub async fn launch(&self, request: LaunchRequest) -> Result<Entry<Instance>> {
        // One id for all attempts: an outcome that is unknown can be asked for again.
        let id = request.id.unwrap_or_else(|| self.new_id().into());
        let mut retry = Retry::new("instance.launch", &*self.ids, &*self.metrics);
        self.observe(&request);
        self.followed.refresh_if_idle().await?;
        let mut refreshed = false;
        loop {
            let reads = self.store.read(launch_queries(&request)).await?;
            let rows = LaunchRows::from_answers(&request, reads.answers);
            let mut held = Held::none(&self.followed);
            let attempt = retry.attempt();
            let decided =
                self.decide_launch(&request, id, &rows, Tentative::default(), reads.now, attempt, &mut held);
            let (instance, batch) = match decided {
                Ok(Decision::Done(entry)) => return Ok(*entry),
                Ok(Decision::Commit(instance, batch)) => (instance, batch),
                // What was freed may not have been seen yet, and what is about to be committed here may be refused: look
                // again before saying no.
                Err(error @ (Error::NoCapacity(_) | Error::NoFreePort { .. })) => {
                    let own = self.unsettled();
                    let undecided = self.followed.with(|view| Ok(view.awaits_commits(own)))?;
                    if refreshed && (!undecided || retry.again().await.is_err()) {
                        return Err(error);
                    }
                    self.followed.refresh().await?;
                    refreshed = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match self.store.commit(batch).await {
                Ok(_) => {
                    self.settled(&mut held, id, true);
                    return Ok(Entry::new(*instance, 1));
                }
                Err(error) if lost_race(&error) => drop(held),
                Err(error) => return Err(launch_error(error)),
            }
            retry.again().await?;
            self.followed.refresh().await?;
        }
    }

    /// Learns that something was asked for, whatever comes of it.
    pub(super) fn observe(&self, request: &LaunchRequest) {
        if let Ok(demand) = request.demand() {
            self.planner().observe(&demand);
        }
    }

    /// Decides a launch over the rows that it depends on, and takes it off the view, where `held` holds it.
    #[expect(clippy::too_many_arguments, reason = "everything that a decision depends on, and nothing else")]
    pub(super) fn decide_launch(
        &self,
        request: &LaunchRequest,
        id: InstanceId,
        rows: &LaunchRows,
        tentative: Tentative,
        now: Timestamp,
        attempt: u32,
        held: &mut Held,
    ) -> Result<Decision> {
        let (instance, demand) = match rows.describe(request, id, tentative, now)? {
            Described::Done(entry) => return Ok(Decision::Done(entry)),
            Described::New(instance, demand) => (instance, demand),
        };
        let pinned = rows.pinned(request)?;
        let hash = instance
            .id
            .uuid()
            .as_u64_pair()
            .1
            .wrapping_add(u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut planner = self.planner();
        // Choosing and taking is one step: two launches never choose the same capacity.
        let chosen = self.followed.with(|view| {
            let chosen = planner.choose(view, request, &demand, pinned, hash);
            if let Ok(chosen) = &chosen {
                held.hold(id.uuid());
                view.begin(id.uuid(), chosen.pending(&demand))?;
            }
            Ok(chosen)
        })??;
        drop(planner);
        let mut instance = instance;
        instance.node_id = Some(NodeId::new(chosen.node));
        instance.last_node_id = NodeId::new(chosen.node);
        let mut batch = self.batch_for("instance.launch", request.owner.uuid());
        if let Some(gpus) = &chosen.told {
            self.ask_to_create(&mut batch, &mut instance, (request, rows), (gpus, &chosen.ports), now)?;
        }
        let batch = self.launch_batch(batch, request, &instance, &chosen, rows, now);
        Ok(Decision::Commit(instance, batch))
    }

    /// Sends the agent of the node the command that makes the instance.
    fn ask_to_create(
        &self,
        batch: &mut Batch,
        instance: &mut Instance,
        (request, rows): (&LaunchRequest, &LaunchRows),
        (gpus, ports): (&[SpecGpu], &[PortKey]),
        now: Timestamp,
    ) -> Result<()> {
        let spec = InstanceSpec {
            instance: instance.id,
            name: instance.name.to_string(),
            image: rows.image_spec()?,
            base_image: instance.base_image.clone(),
            cpu_milli: instance.cpu_milli,
            memory_mib: instance.memory_mib,
            storage_mib: instance.storage_mib,
            gpus: gpus.to_vec(),
            ports: ports.to_vec(),
            network_mode: instance.network_mode,
            ssh_key: instance.ssh_key.clone(),
            payload: request.payload.clone(),
        };
        let create = NewCommand::of(instance.last_node_id, CommandKind::CreateInstance, instance.id.uuid());
        let id = self.new_id().into();
        self.queue(batch, &create.payload(spec.to_payload()?), id, now);
        (instance.state, instance.by_agent) = (InstanceState::Requested, true);
        instance.command_id = Some(id);
        Ok(())
    }

    /// The batch of a launch: it guards what was decided on, and takes what was chosen.
    fn launch_batch(
        &self,
        mut batch: Batch,
        request: &LaunchRequest,
        instance: &Instance,
        chosen: &Chosen,
        rows: &LaunchRows,
        now: Timestamp,
    ) -> Batch {
        batch.push(Write::Insert(instance.to_row()));
        if let Some(access) = &rows.access {
            batch.push(Write::guard(&USER_ACCESS, request.owner, access.revision()));
        }
        batch.push(Write::guard(&NODE_LIFECYCLES, chosen.node, chosen.lifecycle_revision));
        if let Some((image, row)) = request.image.zip(rows.image.as_ref()) {
            batch.push(Write::guard(&IMAGES, image, row.revision()));
        }
        batch.writes.extend(charges(instance, chosen.node, 1));
        for gpu in &chosen.gpus {
            let milli = instance.gpu_milli.get();
            // The decision read that the GPU is healthy: the batch tests it.
            let healthy = vec![Test::eq("health", "healthy")];
            batch.push(Write::patch(&GPUS, *gpu, healthy, vec![("used_milli", Change::Add(milli))]));
            let binding = NewRow::new(&GPU_BINDINGS)
                .set("id", self.new_id())
                .set("gpu_id", *gpu)
                .set("instance_id", instance.id)
                .set("held_by", instance.id)
                .set("milli", milli)
                .set("state", if instance.by_agent { "reserved" } else { "bound" })
                .set("created_at", now);
            batch.push(Write::Insert(binding));
        }
        for port in &chosen.ports {
            let row = NewRow::new(&PORT_MAPS)
                .set("id", self.new_id())
                .set("node_id", chosen.node)
                .set("instance_id", instance.id)
                .set("family", port.family.as_str())
                .set("protocol", port.protocol.as_str())
                .set("port", port.port)
                .set("created_at", now);
            batch.push(Write::Insert(row));
        }
        let grant = NewRow::new(&MANAGED_INSTANCES)
            .set("id", self.new_id())
            .set("user_id", request.owner)
            .set("node_id", chosen.node)
            .set("instance_id", instance.id)
            .set("created_at", now);
        batch.push(Write::Insert(grant));
        let happened = Happened {
            operation: "instance.launch",
            actor: Some(request.owner.uuid()),
            kind: "instance",
            subject: instance.id.uuid(),
            description: &format!("{} on node {}", instance.name, chosen.node),
        };
        batch.push(self.log(happened, now));
        batch
    }
}

pub(super) fn launch_error(error: StoreError) -> Error {
    match Error::of_store("instance", error) {
        Error::AlreadyExists { key: "owner_live_name", .. } => {
            Error::AlreadyExists { kind: "instance", key: "name" }
        }
        other => other,
    }
}
