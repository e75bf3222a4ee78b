//! The end of a lease: everything that it holds comes back, exactly once, and only when it is known that nothing uses it.

use super::grant::of_node;
use super::queues::of_queue;
use super::{LOOKS, Over, RunLease, charge_of, not_renewed, of_account, over, spent, still_of, uses, whole};
use crate::entity::{
    BindingEvent, BindingState, Entity as _, Entry, GPU_LEASES, GPUS, GpuLease, LEASE_GPUS, LEASE_NODES,
    LEASE_RENEWALS, LeaseGpu, LeaseId, LeaseNode, NodeId, RunCause, RunId, TRAINING_RUNS, TrainingRun, entry,
};
use crate::error::{Error, Result};
use crate::plane::decided::Decided;
use crate::plane::node_life::hears;
use crate::plane::overrides::check_reason;
use crate::plane::{ControlPlane, NodeSession};
use crate::queue::Decay;
use crate::store::{Answer, Batch, Change, MAX_PAGE, Query, Row, Scan, Store, StoreExt as _, Value, Write};
use crate::time::Timestamp;

/// The longest reason, in bytes.
const MAX_REASON: usize = 256;

/// What a lease holds of nodes and GPUs.
#[derive(Debug)]
pub(in crate::plane) struct HeldRows {
    pub(in crate::plane) nodes: Vec<Row>,
    pub(in crate::plane) gpus: Vec<Row>,
}

impl HeldRows {
    fn scans(lease: LeaseId) -> [Scan; 2] {
        [(&LEASE_NODES, "lease_nodes_lease"), (&LEASE_GPUS, "lease_gpus_lease")]
            .map(|(table, order)| Scan::of(table).by(order).with(lease).limit(MAX_PAGE))
    }

    /// What is read of it.
    pub(in crate::plane) fn queries(lease: LeaseId) -> [Query; 2] {
        Self::scans(lease).map(Query::Scan)
    }

    /// What the next answers say, to these queries; what follows on their pages is read.
    pub(in crate::plane) async fn of(
        lease: LeaseId,
        answers: &mut impl Iterator<Item = Answer>,
        store: &dyn Store,
    ) -> Result<Self> {
        let [nodes, gpus] = Self::scans(lease);
        let mut page = || answers.next().map(Answer::into_page).unwrap_or_default();
        let (some_nodes, some_gpus) = (page(), page());
        let nodes = whole(store, nodes, some_nodes).await?;
        Ok(Self { nodes, gpus: whole(store, gpus, some_gpus).await? })
    }
}

impl ControlPlane {
    /// Gives up the run's lease, if it has one: one that no worker took is released in this batch, another one is to be released
    /// by its worker. The run's own row is the caller's to write.
    pub(in crate::plane) async fn give_up_lease(
        &self,
        batch: &mut Batch,
        run: &mut TrainingRun,
        reason: &str,
        now: Timestamp,
    ) -> Result<()> {
        let Some(mut lease) = self.lease_of_run(run.id).await? else {
            return Ok(());
        };
        if lease.value.state == BindingState::Reserved {
            lease.value.reason = Some(cut(reason));
            return self.release_in(batch, run, lease, now).await;
        }
        lease.value.state = lease.value.state.on(BindingEvent::Release)?;
        (lease.value.run_id, lease.value.reason) = (None, Some(cut(reason)));
        batch.push(Write::update(&GPU_LEASES, lease.value.id, lease.revision, lease.value.plain()));
        Ok(())
    }

    /// Releases a lease of which it is known that nothing uses it: everything that it holds comes back in this batch, and the time
    /// is counted on the run, whose row is the caller's to write.
    pub(in crate::plane) async fn release_in(
        &self,
        batch: &mut Batch,
        run: &mut TrainingRun,
        lease: Entry<GpuLease>,
        now: Timestamp,
    ) -> Result<()> {
        let reads = self.store.read(HeldRows::queries(lease.value.id).into()).await?;
        let held = HeldRows::of(lease.value.id, &mut reads.answers.into_iter(), &*self.store).await?;
        self.release_held(batch, run, (lease, &held), now)
    }

    /// As [`ControlPlane::release_in`], where what the lease holds was read.
    pub(in crate::plane) fn release_held(
        &self,
        batch: &mut Batch,
        run: &mut TrainingRun,
        (lease, rows): (Entry<GpuLease>, &HeldRows),
        now: Timestamp,
    ) -> Result<()> {
        let Entry { value: mut lease, revision } = lease;
        let before = lease.clone();
        lease.state = lease.state.on(BindingEvent::Free)?;
        (lease.run_id, lease.queue_id, lease.node_id) = (None, None, None);
        (lease.charged_until, lease.released_at) = (now, Some(now));
        // First of all: of two that release it, the second one is told so, and not what is missing of its use.
        batch.push(Write::update(&GPU_LEASES, lease.id, revision, lease.plain()));
        give_back(batch, &rows.nodes, &rows.gpus)?;
        batch.writes.extend(of_account(&before, -1));
        if let Some(queue) = before.queue_id {
            batch.writes.extend(of_queue(queue.uuid(), charge_of(&before), -1));
        }
        // It was charged in advance; what of that was not used comes back. What was used and not charged yet is charged.
        let unused =
            spent(charge_of(&before), before.created_at, (now, before.charged_until), &Decay::default());
        for (period, unused) in unused {
            batch.writes.extend(uses(&before, period, unused, -1));
        }
        Self::charge_use(batch, &before, (before.charged_until, now));
        let millis = u64::try_from(lease.held(now).as_millis()).unwrap_or(u64::MAX);
        run.held_ms = run.held_ms.saturating_add(millis);
        batch.push(self.lease_log("lease.release", &lease, lease.reason.as_deref().unwrap_or("ended"), now));
        Ok(())
    }

    /// Says, as the worker that has a lease, that nothing of the run uses what it holds any more. That counts however late it
    /// comes: it is about GPUs, not about the run. A worker that has not renewed the lease in time has lost the run by that. The
    /// same again is answered the same.
    ///
    /// # Errors
    /// `WrongState` where another worker has it, or where the run is still this worker's: that one completes it, fails it, or gives
    /// it back.
    #[tracing::instrument(skip_all)]
    pub async fn release_lease(&self, shown: &RunLease) -> Result<()> {
        self.decided("lease.release", GpuLease::KIND, || async move {
            let (lease, run, now) = self.lease_and_run(shown.lease).await?;
            if !shown.is_of(&lease.value) {
                return Err(over("releasing it", Over::Anothers));
            }
            match lease.value.state {
                BindingState::Released => Ok(Decided::Done(())),
                BindingState::Releasing => {
                    Ok(Decided::Commit((), self.released("lease.release", run, lease, now).await?))
                }
                BindingState::Bound => self.release_expired(run, lease).await,
                state => Err(over("releasing it", Over::Is(state))),
            }
        })
        .await
    }

    /// Releases, by the word of its worker, a lease that was not renewed in time, before anybody has noticed.
    async fn release_expired(
        &self,
        run: Entry<TrainingRun>,
        mut lease: Entry<GpuLease>,
    ) -> Result<Decided<()>> {
        let read = self.store.get(&LEASE_RENEWALS, lease.value.id).await?;
        let renewal = read.value.ok_or_else(|| Error::not_found(GpuLease::KIND, lease.value.id))?;
        if renewal.time("expires_at")? > read.now {
            return Err(over("releasing it", Over::Is(lease.value.state)));
        }
        let id = lease.value.id;
        lease.value.reason = Some("not renewed in time".to_owned());
        let mut batch = self.lost("lease.release", run, lease, RunCause::WorkerLost, read.now).await?;
        batch.push(not_renewed(id, &renewal));
        Ok(Decided::Commit((), batch))
    }

    /// Says that nothing uses what a lease holds, for a reason that is recorded. Whoever says so answers for it.
    ///
    /// A run whose lease it is goes on with another one, or fails.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` for one that is released; `Invalid` for no reason.
    #[tracing::instrument(skip(self, reason))]
    pub async fn abandon_lease(&self, id: LeaseId, reason: &str) -> Result<()> {
        check_reason(reason, MAX_REASON)?;
        self.decided("lease.abandon", GpuLease::KIND, || async move {
            let (mut lease, run, now) = self.lease_and_run(id).await?;
            if lease.value.state == BindingState::Released {
                return Err(over("abandoning it", Over::Is(lease.value.state)));
            }
            lease.value.reason = Some(reason.to_owned());
            let batch = self.lost("lease.abandon", run, lease, RunCause::WorkerLost, now).await?;
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    /// Gives up the leases that hold something of a node, while that is so; answers how many. One that holds something of other
    /// nodes too is taken from its run, and held until its worker says that nothing of it runs there.
    pub(in crate::plane) async fn abandon_leases_on(
        &self,
        node: NodeId,
        while_so: &Write,
        reason: &str,
    ) -> Result<usize> {
        let parts = self.store.scan_all(Scan::of(&LEASE_NODES).by("lease_nodes_node").with(node)).await?;
        let mut given_up = 0;
        for part in parts {
            let id: LeaseId = part.id("lease_id")?;
            let taken = self
                .decided("lease.abandon", GpuLease::KIND, || async move {
                    let (mut lease, run, now) = self.lease_and_run(id).await?;
                    if lease.value.state == BindingState::Released {
                        return Ok(Decided::Done(false));
                    }
                    let all =
                        self.store.scan_all(Scan::of(&LEASE_NODES).by("lease_nodes_lease").with(id)).await?;
                    let reserved = lease.value.state == BindingState::Reserved;
                    let mut batch = if reserved
                        || all.iter().all(|part| part.key().values().get(1) == Some(&node.into()))
                    {
                        lease.value.reason = Some(cut(reason));
                        self.lost("lease.abandon", run, lease, RunCause::Hardware, now).await?
                    } else if lease.value.run_id.is_some() {
                        let mut batch = self.batch("lease.abandon");
                        let Entry { value: mut run, revision } = run;
                        self.give_up_lease(&mut batch, &mut run, reason, now).await?;
                        let run = Entry::new(run, revision);
                        self.attempt_over(&mut batch, run, RunCause::Hardware, Some(reason), now).await?;
                        batch
                    } else {
                        return Ok(Decided::Done(false));
                    };
                    batch.push(while_so.clone());
                    Ok(Decided::Commit(true, batch))
                })
                .await?;
            given_up += usize::from(taken);
        }
        Ok(given_up)
    }

    /// Takes in, as the agent of a node, which leases something still runs of there; what others hold that earlier sessions of the
    /// agent took is released. Answers how many were.
    ///
    /// # Errors
    /// `WrongState` for an agent that was replaced.
    #[tracing::instrument(skip_all)]
    pub async fn report_leases(
        &self,
        node: NodeId,
        session: NodeSession,
        running: &[LeaseId],
    ) -> Result<usize> {
        self.still_speaks(node, session).await?;
        let parts = self.store.scan_all(Scan::of(&LEASE_NODES).by("lease_nodes_node").with(node)).await?;
        let mut released = 0;
        for part in parts {
            let id: LeaseId = part.id("lease_id")?;
            if running.contains(&id) {
                continue;
            }
            released += usize::from(self.report_gone(node, session, id).await?);
        }
        Ok(released)
    }

    /// Releases a lease of which the agent says that nothing of it runs, where the agent may say so.
    async fn report_gone(&self, node: NodeId, session: NodeSession, id: LeaseId) -> Result<bool> {
        self.decided("lease.report", GpuLease::KIND, || async move {
            let (lease, run, now) = self.lease_and_run(id).await?;
            let of_agent = lease.value.node_id == Some(node);
            let earlier = lease.value.session.is_some_and(|taken| taken < session.0);
            let gone = match lease.value.state {
                // The agent itself took it: it knows.
                BindingState::Releasing => of_agent,
                // What it took in this session it may have begun since it looked.
                BindingState::Bound => of_agent && earlier,
                _ => false,
            };
            if !gone {
                return Ok(Decided::Done(false));
            }
            let mut batch = self.lost("lease.report", run, lease, RunCause::WorkerLost, now).await?;
            batch.push(hears(node, session, now));
            Ok(Decided::Commit(true, batch))
        })
        .await
    }

    /// A batch that releases a lease whose run may have ended since.
    async fn released(
        &self,
        operation: &'static str,
        run: Entry<TrainingRun>,
        lease: Entry<GpuLease>,
        now: Timestamp,
    ) -> Result<Batch> {
        let mut batch = self.batch(operation);
        let Entry { value: mut run, revision } = run;
        self.release_in(&mut batch, &mut run, lease, now).await?;
        let held = Value::Int(i64::try_from(run.held_ms).unwrap_or(i64::MAX));
        batch.push(Write::update(&TRAINING_RUNS, run.id, revision, vec![("held_ms", held)]));
        Ok(batch)
    }

    /// A batch that releases a lease that is lost; a run whose own it is has lost its attempt.
    pub(in crate::plane) async fn lost(
        &self,
        operation: &'static str,
        run: Entry<TrainingRun>,
        lease: Entry<GpuLease>,
        cause: RunCause,
        now: Timestamp,
    ) -> Result<Batch> {
        if lease.value.run_id.is_none() {
            return self.released(operation, run, lease, now).await;
        }
        let mut batch = self.batch(operation);
        let Entry { value: mut run, revision } = run;
        let reason = lease.value.reason.clone();
        self.release_in(&mut batch, &mut run, lease, now).await?;
        self.attempt_over(&mut batch, Entry::new(run, revision), cause, reason.as_deref(), now).await?;
        Ok(batch)
    }

    /// The lease that is a run's own.
    pub(in crate::plane) async fn lease_of_run(&self, run: RunId) -> Result<Option<Entry<GpuLease>>> {
        let own = Scan::of(&GPU_LEASES).by("gpu_leases_run").with(run).limit(1);
        let rows = self.store.scan(own).await?.value.rows;
        Ok(rows.first().map(entry).transpose()?)
    }

    /// A lease with the run that it is or was of, as they fit together.
    pub(super) async fn lease_and_run(
        &self,
        id: LeaseId,
    ) -> Result<(Entry<GpuLease>, Entry<TrainingRun>, Timestamp)> {
        for _ in 0..LOOKS {
            let row = self.store.get(&GPU_LEASES, id).await?.value;
            let lease = entry::<GpuLease>(&row.ok_or_else(|| Error::not_found(GpuLease::KIND, id))?)?;
            let read = self.store.get(&TRAINING_RUNS, lease.value.of_run).await?;
            let row = read.value.ok_or_else(|| Error::not_found(TrainingRun::KIND, lease.value.of_run))?;
            let run = entry::<TrainingRun>(&row)?;
            if still_of(&lease.value, &run) {
                return Ok((lease, run, read.now));
            }
        }
        Err(Error::Conflict { what: GpuLease::KIND.to_owned() })
    }
}

/// Gives back what rows of a lease hold of nodes and GPUs.
fn give_back(batch: &mut Batch, nodes: &[Row], gpus: &[Row]) -> Result<()> {
    for row in gpus {
        let held = LeaseGpu::from_row(row)?;
        let Some(gpu) = held.gpu_id else { continue };
        batch.push(Write::update(&LEASE_GPUS, row.key(), row.revision(), vec![("gpu_id", Value::Null)]));
        let less = vec![("used_milli", Change::Add(-held.milli.get()))];
        batch.push(Write::patch(&GPUS, gpu, Vec::new(), less));
    }
    for row in nodes {
        let part = LeaseNode::from_row(row)?;
        if part.node_id.is_none() {
            continue;
        }
        batch.push(Write::update(&LEASE_NODES, row.key(), row.revision(), vec![("node_id", Value::Null)]));
        batch.writes.extend(of_node(&part, -1));
    }
    Ok(())
}

fn cut(reason: &str) -> String {
    crate::plane::commands::clipped(reason, MAX_REASON)
}
