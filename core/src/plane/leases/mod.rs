//! Leases of GPUs, as far as runs need them.

use serde::{Deserialize, Serialize};

use super::ControlPlane;
use crate::entity::{
    BindingState, Entity as _, Entry, GPU_LEASES, GpuLease, LeaseId, QueueId, RUN_QUEUES, RunId, RunQueue,
    TRAINING_RUNS, TrainingRun,
};
use crate::error::{Error, Result};
use crate::store::{Batch, Scan, StoreExt as _, Write};
use crate::time::Timestamp;

/// That a worker has a run's lease: what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunLease {
    /// The run.
    pub run: RunId,
    /// The lease.
    pub lease: LeaseId,
    /// The number of the attempt.
    pub attempt: u32,
    /// The fencing token.
    pub token: u32,
}

impl RunLease {
    /// A lease that a worker has kept.
    pub const fn new(run: RunId, lease: LeaseId, attempt: u32, token: u32) -> Self {
        Self { run, lease, attempt, token }
    }
}

/// What a worker has shown, as it is.
#[derive(Debug)]
pub(in crate::plane) struct Shown {
    pub(in crate::plane) run: Entry<TrainingRun>,
    pub(in crate::plane) lease: Entry<GpuLease>,
    pub(in crate::plane) now: Timestamp,
}

impl ControlPlane {
    /// The queue of runs that name none.
    pub(in crate::plane) async fn default_queue(&self) -> Result<Entry<RunQueue>> {
        let id = QueueId::new(uuid::Uuid::nil());
        let read = self.store.get(&RUN_QUEUES, id).await?;
        if let Some(row) = read.value {
            return Ok(Entry::new(RunQueue::from_row(&row)?, row.revision()));
        }
        let queue = RunQueue {
            id,
            name: "default".into(),
            parent_id: None,
            weight_milli: 1000,
            gpu_milli: None,
            gpu_milli_borrowing: None,
            gpu_milli_lending: None,
            cpu_milli: None,
            cpu_milli_borrowing: None,
            cpu_milli_lending: None,
            memory_mib: None,
            memory_mib_borrowing: None,
            memory_mib_lending: None,
            created_at: read.now,
            updated_at: read.now,
        };
        let batch = self.batch("queue.default").with(Write::Ensure(queue.to_row()));
        self.store.commit(batch).await?;
        Ok(Entry::new(queue, 1))
    }

    /// The run and the lease.
    pub(in crate::plane) async fn shown(&self, shown: &RunLease) -> Result<Shown> {
        let keys = vec![(&TRAINING_RUNS, shown.run.into()), (&GPU_LEASES, shown.lease.into())];
        let read = self.store.get_many(keys).await?;
        let [Some(run), Some(lease)] = read.value.as_slice() else {
            return Err(Error::not_found(TrainingRun::KIND, shown.run));
        };
        let run = Entry::new(TrainingRun::from_row(run)?, run.revision());
        let lease = Entry::new(GpuLease::from_row(lease)?, lease.revision());
        if lease.of_run != shown.run {
            return Err(Error::not_found(TrainingRun::KIND, shown.run));
        }
        if lease.run_id != Some(shown.run) || lease.attempt != shown.attempt || lease.token != shown.token {
            return Err(Error::WrongState {
                kind: GpuLease::KIND,
                state: lease.state.as_str(),
                event: "showing it",
                allowed: Vec::new(),
            });
        }
        Ok(Shown { run, lease, now: read.now })
    }

    /// Gives up the run's lease.
    pub(in crate::plane) async fn give_up_lease(
        &self,
        batch: &mut Batch,
        run: &TrainingRun,
        reason: &str,
        now: Timestamp,
    ) -> Result<()> {
        let of_run = Scan::of(&GPU_LEASES).by("gpu_leases_run").with(run.id).limit(1);
        for row in self.store.scan(of_run).await?.value.rows {
            let mut lease = GpuLease::from_row(&row)?;
            lease.reason = Some(reason.to_owned());
            lease.run_id = None;
            if lease.state == BindingState::Reserved {
                (lease.state, lease.queue_id, lease.released_at) = (BindingState::Released, None, Some(now));
            } else {
                lease.state = BindingState::Releasing;
            }
            batch.push(Write::update(&GPU_LEASES, lease.id, row.revision(), lease.plain()));
        }
        Ok(())
    }

    /// The worker's own end.
    pub(in crate::plane) async fn release_in(
        &self,
        batch: &mut Batch,
        run: &mut TrainingRun,
        lease: &Entry<GpuLease>,
        now: Timestamp,
    ) -> Result<()> {
        let mut released = lease.value.clone();
        (released.state, released.run_id, released.queue_id) = (BindingState::Released, None, None);
        released.released_at = Some(now);
        run.held_ms += u64::try_from(released.held(now).as_millis()).unwrap_or(u64::MAX);
        batch.push(Write::update(&GPU_LEASES, released.id, lease.revision, released.plain()));
        Ok(())
    }
}

/// Adds what tests that the lease is still the holder's.
pub(in crate::plane) fn still_holds(batch: &mut Batch, _shown: &RunLease, lease: &Entry<GpuLease>) {
    batch.push(Write::guard(&GPU_LEASES, lease.id, lease.revision));
}
