//! Giving GPUs to runs: one batch a run takes everything that it asks for, or nothing.

use super::queues::{MAX_QUEUES, Queues};
use super::{SLICE, adjusted, of_account};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    AccessState, BindingState, Entity as _, Entry, GPUS, GpuId, GpuLease, LeaseGpu, LeaseNode, LeaseRenewal,
    NODE_LEDGERS, NODE_LIFECYCLES, NodeId, QueueId, RunEvent, RunId, TRAINING_RUNS, TrainingRun, USER_ACCESS,
    UserAccess,
};
use crate::error::{Error, Result};
use crate::plane::ControlPlane;
use crate::plane::retry::lost_race;
use crate::plane::runs::due;
use crate::rent::Offer;
use crate::store::{Answer, Batch, Change, Mode, Query, Row, StoreExt as _, Test, Write};
use crate::time::Timestamp;

/// What a run is to get.
#[derive(Clone, Debug)]
pub(in crate::plane) struct Grant {
    pub(in crate::plane) run: RunId,
    /// Where; nothing where it gets a rented machine.
    pub(in crate::plane) nodes: Vec<GrantNode>,
    /// The machine that is to be rented for it.
    pub(in crate::plane) rental: Option<GrantRental>,
}

/// A machine that is to be rented.
#[derive(Clone, Debug)]
pub(in crate::plane) struct GrantRental {
    pub(in crate::plane) provider: String,
    pub(in crate::plane) offer: Offer,
}

/// What a run is to get of one node.
#[derive(Clone, Debug)]
pub(in crate::plane) struct GrantNode {
    pub(in crate::plane) node: NodeId,
    /// The revision of the node's lifecycle at which it takes work.
    pub(in crate::plane) lifecycle_revision: i64,
    pub(in crate::plane) members: u32,
    /// The GPUs, with how much of each.
    pub(in crate::plane) gpus: Vec<(GpuId, GpuMilli)>,
}

/// What grants are decided on.
struct GrantRows {
    runs: Vec<Option<Row>>,
    access: Vec<Option<Row>>,
    queues: Queues,
    now: Timestamp,
}

impl ControlPlane {
    /// Gives runs what was planned for them, each in a batch of its own. What was planned may not be so any more: that is a
    /// `Conflict`, and nothing has happened.
    pub(in crate::plane) async fn grant_runs(&self, grants: &[Grant]) -> Vec<Result<Entry<GpuLease>>> {
        let mut rows = match self.grant_rows(grants).await {
            Ok(rows) => rows,
            Err(error) => return grants.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut decided: Vec<Result<GpuLease>> = Vec::with_capacity(grants.len());
        let mut batches = Vec::with_capacity(grants.len());
        let now = rows.now;
        for (at, grant) in grants.iter().enumerate() {
            let run = rows.runs.get(at).and_then(Option::as_ref);
            let access = rows.access.get(at).and_then(Option::as_ref);
            match self.decide_grant(grant, (run, access), &mut rows.queues, now) {
                Ok((lease, batch)) => {
                    batches.push(batch);
                    decided.push(Ok(lease));
                }
                Err(error) => decided.push(Err(error)),
            }
        }
        let mut receipts = self.store.commit_many(batches).await.into_iter();
        let mut settle = |decided: Result<GpuLease>| {
            let lease = decided?;
            match receipts.next() {
                Some(Ok(_)) => Ok(Entry::new(lease, 1)),
                Some(Err(error)) if lost_race(&error) => {
                    Err(Error::Conflict { what: "run.grant".to_owned() })
                }
                Some(Err(error)) => Err(Error::of_store(TrainingRun::KIND, error)),
                None => Err(Error::Conflict { what: "run.grant".to_owned() }),
            }
        };
        decided.into_iter().map(&mut settle).collect()
    }

    async fn grant_rows(&self, grants: &[Grant]) -> Result<GrantRows> {
        let mut queries: Vec<Query> = Queues::queries().into();
        queries
            .extend(grants.iter().map(|grant| Query::Get { table: &TRAINING_RUNS, key: grant.run.into() }));
        let reads = self.store.read(queries).await?;
        let now = reads.now;
        let mut answers = reads.answers.into_iter();
        let mut page = || match answers.next() {
            // More than are read at once would be decided on by halves.
            Some(Answer::Page(page)) if page.next.is_none() => Ok(page.rows),
            _ => Err(Error::invalid("queues", format!("at most {MAX_QUEUES} are allowed"))),
        };
        let (queues, uses) = (page()?, page()?);
        let queues = Queues::from_rows(&queues, &uses)?;
        let runs: Vec<Option<Row>> =
            answers.map(|answer| if let Answer::Row(row) = answer { row } else { None }).collect();
        let owners = runs.iter().map(|run| match run {
            Some(row) => Ok(row.id::<()>("owner_id")?.uuid()),
            None => Ok(uuid::Uuid::nil()),
        });
        let owners = owners.collect::<Result<Vec<_>>>()?;
        let keys = owners.into_iter().map(|owner| (&USER_ACCESS, owner.into())).collect();
        let access = self.store.get_many(keys).await?.value;
        Ok(GrantRows { runs, access, queues, now })
    }

    fn decide_grant(
        &self,
        grant: &Grant,
        (run_row, access): (Option<&Row>, Option<&Row>),
        queues: &mut Queues,
        now: Timestamp,
    ) -> Result<(GpuLease, Batch)> {
        let run_row = run_row.ok_or_else(|| Error::not_found(TrainingRun::KIND, grant.run))?;
        let access = access.ok_or_else(|| Error::not_found("user", "owner"))?;
        if UserAccess::from_row(access)?.state != AccessState::Active {
            return Err(Error::Denied { action: "run a training while suspended" });
        }
        let mut run = TrainingRun::from_row(run_row)?;
        self.granted(&mut run, now)?;
        let queue = run.queue_id.ok_or_else(|| Error::not_found(TrainingRun::KIND, grant.run))?;
        let lease = self.lease_of(&run, queue, now)?;
        let mut batch = self.batch("run.grant");
        batch.push(Write::update(&TRAINING_RUNS, run.id, run_row.revision(), run.plain()));
        batch.push(Write::guard(&USER_ACCESS, run.owner_id, access.revision()));
        batch.push(Write::Insert(lease.to_row()));
        let renewal = LeaseRenewal { lease_id: lease.id, token: 0, expires_at: now };
        batch.push(Write::Insert(renewal.to_row()));
        for node in &grant.nodes {
            take_node(&mut batch, &lease, &run, node)?;
        }
        if let Some(GrantRental { provider, offer }) = &grant.rental {
            // The row is there before anybody is asked: whatever is rented for it is found by its label.
            let id = self.new_id().into();
            let rental = self.rental_options()?.intend(id, lease.id, provider, offer, now);
            batch.push(Write::Insert(rental.to_row()));
        }
        queues.charge(&mut batch, queue, &lease)?;
        batch.writes.extend(of_account(&lease, 1));
        Self::charge_use(&mut batch, &lease, (now, lease.charged_until));
        let told = format!("attempt {} on {} nodes", run.attempt, grant.nodes.len());
        batch.push(self.lease_log("run.grant", &lease, &told, now));
        Ok((lease, batch))
    }

    /// A run that gets its GPUs, from its queue too where it is due and nothing is left to prepare: the number of its attempt rises.
    fn granted(&self, run: &mut TrainingRun, now: Timestamp) -> Result<()> {
        if due(run, now) == Some(RunEvent::Ready) {
            self.turn_run(run, RunEvent::Ready, now)?;
        }
        self.turn_run(run, RunEvent::Grant, now)?;
        run.attempt += 1;
        Ok(())
    }

    fn lease_of(&self, run: &TrainingRun, queue: QueueId, now: Timestamp) -> Result<GpuLease> {
        let members = i64::from(run.ask.members);
        let gpu_milli = i64::from(run.ask.gpus) * run.ask.gpu_milli.get() * members;
        let too_much = |_| Error::invalid("ask", "it is more than can be counted");
        Ok(GpuLease {
            id: self.new_id().into(),
            run_id: Some(run.id),
            of_run: run.id,
            attempt: run.attempt,
            account_id: run.owner_id,
            queue_id: Some(queue),
            state: BindingState::Reserved,
            token: 0,
            worker: None,
            node_id: None,
            session: None,
            gpu_milli: GpuMilli::new(gpu_milli).map_err(too_much)?,
            cpu_milli: CpuMilli::new(run.ask.cpu.get() * members).map_err(too_much)?,
            memory_mib: MemoryMib::new(run.ask.memory.get() * members).map_err(too_much)?,
            storage_mib: StorageMib::new(run.ask.storage.get() * members).map_err(too_much)?,
            charged_until: now.plus(SLICE),
            reason: None,
            created_at: now,
            bound_at: None,
            released_at: None,
        })
    }
}

/// Takes a run's part of one node.
fn take_node(batch: &mut Batch, lease: &GpuLease, run: &TrainingRun, at: &GrantNode) -> Result<()> {
    let (members, asked) = (i64::from(at.members), &run.ask);
    let too_much = |_| Error::invalid("ask", "it is more than can be counted");
    let part = LeaseNode {
        lease_id: lease.id,
        of_node: at.node,
        node_id: Some(at.node),
        members: at.members,
        cpu_milli: CpuMilli::new(asked.cpu.get() * members).map_err(too_much)?,
        memory_mib: MemoryMib::new(asked.memory.get() * members).map_err(too_much)?,
        storage_mib: StorageMib::new(asked.storage.get() * members).map_err(too_much)?,
        gpu_milli: GpuMilli::new(at.gpus.iter().map(|(_, milli)| milli.get()).sum()).map_err(too_much)?,
    };
    batch.push(Write::Insert(part.to_row()));
    batch.push(Write::guard(&NODE_LIFECYCLES, at.node, at.lifecycle_revision));
    batch.writes.extend(of_node(&part, 1));
    for (gpu, milli) in &at.gpus {
        let of_gpu = LeaseGpu { lease_id: lease.id, of_gpu: *gpu, gpu_id: Some(*gpu), milli: *milli };
        batch.push(Write::Insert(of_gpu.to_row()));
        let healthy = vec![Test::eq("health", "healthy")];
        batch.push(Write::patch(&GPUS, *gpu, healthy, vec![("used_milli", Change::Add(milli.get()))]));
    }
    Ok(())
}

/// The writes that charge a node's ledger, or with `times` of -1 take that back.
pub(super) fn of_node(part: &LeaseNode, times: i64) -> impl Iterator<Item = Write> {
    let amounts = [
        ("cpu_milli", part.cpu_milli.get()),
        ("memory_mib", part.memory_mib.get()),
        ("storage_mib", part.storage_mib.get()),
        ("gpu_milli", part.gpu_milli.get()),
    ];
    adjusted(&NODE_LEDGERS, part.of_node.into(), amounts, times, Mode::Admit)
}
