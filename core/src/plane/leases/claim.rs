//! The worker's side: taking a lease that was given, and holding on to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Over, RunLease, held_until, over, whole};
use crate::amount::GpuMilli;
use crate::entity::{
    BindingEvent, BindingState, Entity as _, GPU_LEASES, GPUS, Gpu, GpuId, GpuLease, LEASE_GPUS, LEASE_NODES,
    LEASE_RENEWALS, LeaseGpu, LeaseId, NODE_HEARTBEATS, NodeId, RENTALS, TRAINING_RUNS, TrainingRun,
    TrainingRunImage,
};
use crate::error::{Error, Result};
use crate::plane::decided::Decided;
use crate::plane::node_life::{hears, speaks};
use crate::plane::runs::copies_of;
use crate::plane::{ControlPlane, NodeSession};
use crate::store::{Answer, Change, MAX_PAGE, Query, Row, Scan, StoreExt as _, Test, Write};
use crate::time::Timestamp;

/// How many leases are looked at for one that can be taken.
const LOOKED_AT: u32 = 64;
/// The longest time for which a lease is taken at once.
const LONGEST: Duration = Duration::from_hours(1);

/// Who takes a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Worker {
    /// What it is called, 1 to 128 bytes. A name proves nothing: who comes back under it inherits nothing.
    pub name: String,
    /// The node as whose agent it works, with its session: it takes only what was given there, and only while its session is
    /// the last one. Without, it takes anything.
    pub node: Option<(NodeId, NodeSession)>,
    /// The lease that it takes, and no other one: that of the rented machine that it works on.
    pub lease: Option<LeaseId>,
}

impl Worker {
    /// A worker that takes anything but what is on rented machines.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), node: None, lease: None }
    }

    /// A worker on a machine that is rented for a lease.
    #[must_use]
    pub const fn of(mut self, lease: LeaseId) -> Self {
        self.lease = Some(lease);
        self
    }

    /// A worker that takes what was given on a node, as its agent.
    #[must_use]
    pub const fn on(mut self, node: NodeId, session: NodeSession) -> Self {
        self.node = Some((node, session));
        self
    }
}

/// A run that a worker has taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClaimedRun {
    /// What the worker shows from now on.
    pub lease: RunLease,
    /// The run.
    pub run: TrainingRun,
    /// Its images, in their order.
    pub images: Vec<TrainingRunImage>,
    /// The GPUs that it may use, by node and slot.
    pub gpus: Vec<LeasedGpu>,
    /// Until when the lease is the worker's, unless it renews it.
    pub until: Timestamp,
}

/// A GPU that a run may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeasedGpu {
    /// The GPU.
    pub id: GpuId,
    /// The node that it is in; none for one of a rented machine.
    pub node: Option<NodeId>,
    /// Its number in the node.
    pub slot: u32,
    /// What its driver calls it, where that is known.
    pub key: Option<String>,
    /// Its model.
    pub model: String,
    /// How much of it.
    pub milli: GpuMilli,
}

/// A lease that no worker has, with what belongs to it.
struct Free {
    row: Row,
    run: Row,
    /// Whether it is on a rented machine.
    rented: bool,
    images: Vec<Row>,
    gpus: Vec<Row>,
    now: Timestamp,
}

/// What becomes of a lease that its worker renews.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseStanding {
    /// It is the worker's until then.
    Held(Timestamp),
    /// The worker is to stop, and then to say that it has ([`ControlPlane::release_lease`]); why.
    Stop(String),
}

impl ControlPlane {
    /// Takes a lease that was given and that no worker has, for as long as `lease` (at most an hour); `None` where there is none.
    /// The run is its worker's from then on, which begins it ([`ControlPlane::begin_run`]).
    ///
    /// # Errors
    /// `Invalid`; `WrongState` for the agent of a node that was replaced.
    #[tracing::instrument(skip_all)]
    pub async fn claim_run(&self, worker: &Worker, lease: Duration) -> Result<Option<ClaimedRun>> {
        check(worker, lease)?;
        self.decided("run.claim", GpuLease::KIND, || async move {
            let Some(free) = self.free_lease(worker).await? else {
                return Ok(Decided::Done(None));
            };
            let (revision, now) = (free.row.revision(), free.now);
            let mut batch = self.batch("run.claim");
            batch.writes.extend(worker.node.map(|(node, session)| hears(node, session, now)));
            let mut given = GpuLease::from_row(&free.row)?;
            given.state = given.state.on(BindingEvent::Bind)?;
            let test = vec![Test::eq("token", i64::from(given.token))];
            given.token += 1;
            given.worker = Some(worker.name.clone());
            (given.node_id, given.session) =
                (worker.node.map(|(node, _)| node), worker.node.map(|(_, session)| session.0));
            given.bound_at = Some(now);
            let until = now.plus(lease);
            let set = vec![
                ("token", Change::Set(i64::from(given.token).into())),
                ("expires_at", Change::Set(until.into())),
            ];
            batch.push(Write::update(&GPU_LEASES, given.id, revision, given.plain()));
            batch.push(Write::patch(&LEASE_RENEWALS, given.id, test, set));
            batch.push(self.lease_log("run.claim", &given, &worker.name, now));
            let claimed = self.claimed(&given, free, until).await?;
            Ok(Decided::Commit(Some(claimed), batch))
        })
        .await
    }

    /// Holds on to a lease for as long as `lease` (at most an hour) from now, or says that the worker is to stop.
    ///
    /// # Errors
    /// `WrongState` where the lease is not the worker's any more, or was not renewed in time: the worker is to stop then, too, and to
    /// release it.
    #[tracing::instrument(skip_all)]
    pub async fn renew_lease(&self, shown: &RunLease, lease: Duration) -> Result<LeaseStanding> {
        check_time(lease)?;
        self.decided("lease.renew", GpuLease::KIND, || async move {
            let keys = vec![(&GPU_LEASES, shown.lease.into()), (&LEASE_RENEWALS, shown.lease.into())];
            let read = self.store.get_many(keys).await?;
            let [Some(row), Some(renewal)] = read.value.as_slice() else {
                return Err(Error::not_found(GpuLease::KIND, shown.lease));
            };
            let (given, now) = (GpuLease::from_row(row)?, read.now);
            if !shown.is_of(&given) {
                return Err(over("renewing it", Over::Anothers));
            }
            match given.state {
                BindingState::Bound if renewal.time("expires_at")? > now => {
                    let until = now.plus(lease);
                    let mut batch = self.batch("lease.renew");
                    held_until(&mut batch, shown, row.revision(), (now, until));
                    Ok(Decided::Commit(LeaseStanding::Held(until), batch))
                }
                BindingState::Bound => Err(over("renewing it", Over::Expired)),
                BindingState::Releasing => {
                    Ok(Decided::Done(LeaseStanding::Stop(given.reason.unwrap_or_default())))
                }
                state => Err(over("renewing it", Over::Is(state))),
            }
        })
        .await
    }

    /// A lease that a worker may take, chosen at random, so that many who ask at once do not all want the same one.
    async fn free_lease(&self, worker: &Worker) -> Result<Option<Free>> {
        let mut rows = self.free_leases(worker).await?;
        while !rows.is_empty() {
            let chosen = usize::try_from(self.ids.next_id().as_u64_pair().1).unwrap_or(0) % rows.len();
            let free = self.free(rows.swap_remove(chosen)).await?;
            // Who works on a rented machine says so; nobody else can use what is there.
            if !free.rented || worker.lease.is_some() {
                return Ok(Some(free));
            }
        }
        Ok(None)
    }

    /// The rows of some leases that no worker has, among those that a worker looks at. Refuses an agent that was replaced.
    async fn free_leases(&self, worker: &Worker) -> Result<Vec<Row>> {
        let parts = |node: NodeId| Scan::of(&LEASE_NODES).by("lease_nodes_node").with(node).limit(MAX_PAGE);
        let reserved = BindingState::Reserved.as_str();
        let mut queries = vec![match (worker.lease, worker.node) {
            (Some(lease), _) => Query::Get { table: &GPU_LEASES, key: lease.into() },
            (None, Some((node, _))) => Query::Scan(parts(node)),
            (None, None) => {
                Query::Scan(Scan::of(&GPU_LEASES).by("gpu_leases_state").with(reserved).limit(LOOKED_AT))
            }
        }];
        queries.extend(worker.node.map(|(node, _)| Query::Get { table: &NODE_HEARTBEATS, key: node.into() }));
        let mut answers = self.store.read(queries).await?.answers.into_iter();
        let found = answers.next();
        if let Some((_, session)) = worker.node {
            speaks(answers.next().and_then(Answer::into_row).as_ref(), session)?;
        }
        let rows = match (found, worker.node) {
            (Some(Answer::Page(page)), Some((node, _))) => {
                let parts = whole(&*self.store, parts(node), page).await?;
                let keys = parts.iter().map(|part| Ok((&GPU_LEASES, part.id::<()>("lease_id")?.into())));
                let keys = keys.collect::<Result<Vec<_>>>()?;
                self.store.get_many(keys).await?.value.into_iter().flatten().collect()
            }
            (found, _) => found.map(Answer::into_rows).unwrap_or_default(),
        };
        let is_free = |row: &Row| row.text("state").is_ok_and(|state| state == reserved);
        Ok(rows.into_iter().filter(is_free).collect())
    }

    /// Reads what belongs to a lease, all at once.
    async fn free(&self, row: Row) -> Result<Free> {
        let (lease, run) = (row.id::<()>("id")?, row.id::<TrainingRun>("of_run")?);
        let images = copies_of(run);
        let gpus = Scan::of(&LEASE_GPUS).by("lease_gpus_lease").with(lease).limit(MAX_PAGE);
        let reads = self
            .store
            .read(vec![
                Query::Get { table: &TRAINING_RUNS, key: run.into() },
                Query::Scan(Scan::of(&RENTALS).by("rentals_lease").with(lease).limit(1)),
                Query::Scan(images.clone()),
                Query::Scan(gpus.clone()),
            ])
            .await?;
        let mut answers = reads.answers.into_iter();
        let of_run = answers.next().and_then(Answer::into_row);
        let rented = answers.next().and_then(Answer::into_row).is_some();
        let mut page = || answers.next().map(Answer::into_page).unwrap_or_default();
        let (first_images, first_gpus) = (page(), page());
        Ok(Free {
            row,
            run: of_run.ok_or_else(|| Error::not_found(TrainingRun::KIND, run))?,
            rented,
            images: whole(&*self.store, images, first_images).await?,
            gpus: whole(&*self.store, gpus, first_gpus).await?,
            now: reads.now,
        })
    }

    async fn claimed(&self, given: &GpuLease, free: Free, until: Timestamp) -> Result<ClaimedRun> {
        let images = free.images.iter().map(TrainingRunImage::from_row);
        let mut images = images.collect::<std::result::Result<Vec<_>, _>>()?;
        images.sort_by_key(|image| image.position);
        Ok(ClaimedRun {
            lease: RunLease::new(given.of_run, given.id, given.attempt, given.token),
            run: TrainingRun::from_row(&free.run)?,
            images,
            gpus: self.leased_gpus(&free.gpus).await?,
            until,
        })
    }

    /// The GPUs of a lease, by node and slot.
    async fn leased_gpus(&self, held: &[Row]) -> Result<Vec<LeasedGpu>> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let held = held.iter().map(LeaseGpu::from_row).collect::<std::result::Result<Vec<_>, _>>()?;
        let keys = held.iter().map(|held| (&GPUS, held.of_gpu.into())).collect();
        let rows = self.store.get_many(keys).await?.value;
        let mut gpus = Vec::with_capacity(held.len());
        for (held, row) in held.iter().zip(&rows) {
            let Some(row) = row else { continue };
            let gpu = Gpu::from_row(row)?;
            let (id, node, slot, key, model, milli) =
                (gpu.id, gpu.node_id, gpu.slot, gpu.key, gpu.model, held.milli);
            gpus.push(LeasedGpu { id, node, slot, key, model, milli });
        }
        gpus.sort_by_key(|gpu| (gpu.node, gpu.slot));
        Ok(gpus)
    }
}

fn check(worker: &Worker, lease: Duration) -> Result<()> {
    if !(1..=128).contains(&worker.name.len()) || worker.name.chars().any(char::is_control) {
        return Err(Error::invalid("worker.name", "must be 1 to 128 bytes long, without control characters"));
    }
    check_time(lease)
}

fn check_time(lease: Duration) -> Result<()> {
    if lease.is_zero() || lease > LONGEST {
        return Err(Error::invalid(
            "lease",
            format!("must be above nothing and at most {} s", LONGEST.as_secs()),
        ));
    }
    Ok(())
}
