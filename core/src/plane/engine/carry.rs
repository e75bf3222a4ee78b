//! Doing what a tick has planned.

use super::Ticked;
use super::convert::by_node;
use super::known::Known;
use crate::amount::GpuMilli;
use crate::entity::{
    Entity as _, Entry, LeaseId, RunCause, RunEvent, RunId, RunState, TRAINING_RUNS, TrainingRun,
};
use crate::error::{Error, Result};
use crate::plane::ControlPlane;
use crate::plane::decided::Decided;
use crate::plane::leases::{Grant, GrantNode};
use crate::plane::runs::due;
use crate::queue::{self, Preemption};
use crate::store::{StoreExt as _, Write};
use crate::time::Timestamp;

/// How many grants are committed at once.
const AT_ONCE: usize = 256;

impl ControlPlane {
    pub(super) async fn carry_out(
        &self,
        known: &mut Known,
        grants: &[queue::Grant],
        preemptions: &[Preemption],
        ticked: &mut Ticked,
    ) -> Result<()> {
        for some in grants.chunks(AT_ONCE) {
            let mut wanted = Vec::with_capacity(some.len());
            for grant in some {
                match wanted_of(known, grant) {
                    Some(grant) => wanted.push(grant),
                    None => ticked.lost += 1,
                }
            }
            for (grant, answer) in wanted.iter().zip(self.grant_runs(&wanted).await) {
                match answer {
                    Ok(lease) => ticked.granted.push((grant.run, lease.value.id)),
                    Err(error @ Error::Store(_)) => return Err(error),
                    // A plan that does not hold any more: the next one sees why.
                    Err(error) => {
                        tracing::debug!(run = %grant.run, %error, "not granted");
                        ticked.lost += 1;
                    }
                }
            }
        }
        for preemption in preemptions {
            let Some(run) = known.leases.get(&preemption.victim).copied() else { continue };
            let claimant = RunId::new(preemption.claimant);
            match self.preempt_run(RunId::new(run), LeaseId::new(preemption.victim), claimant).await {
                Ok(true) => {
                    known.queue.stopping(preemption.victim, Some(preemption.claimant));
                    ticked.preempted.push((RunId::new(run), claimant));
                }
                Ok(false) => {}
                Err(error @ Error::Store(_)) => return Err(error),
                Err(_) => ticked.lost += 1,
            }
        }
        Ok(())
    }

    /// Takes a run's lease for another run: it is to stop, and waits for its turn again. What it holds it holds until its worker
    /// says that it has stopped. `false` where the lease is not its own any more, or the other one does not wait any more: nobody
    /// stops for a run that got its GPUs elsewhere meanwhile, or has ended.
    async fn preempt_run(&self, run: RunId, lease: LeaseId, claimant: RunId) -> Result<bool> {
        self.decided("run.preempt", TrainingRun::KIND, || async move {
            let keys = [run, claimant].map(|run| (&TRAINING_RUNS, run.into()));
            let read = self.store.get_many(keys.into()).await?;
            let [Some(row), Some(claims)] = read.value.as_slice() else {
                return Err(Error::not_found(TrainingRun::KIND, run));
            };
            let own = self.lease_of_run(run).await?;
            let is_own = own.is_some_and(|own| own.value.id == lease);
            if !is_own || !waits(&TrainingRun::from_row(claims)?, read.now) {
                return Ok(Decided::Done(false));
            }
            let mut batch = self.batch("run.preempt");
            batch.push(Write::guard(&TRAINING_RUNS, claimant, claims.revision()));
            let mut value = TrainingRun::from_row(row)?;
            self.give_up_lease(&mut batch, &mut value, "preempted", read.now).await?;
            let told = format!("for run {claimant}");
            let entry = Entry::new(value, row.revision());
            self.attempt_over(&mut batch, entry, RunCause::Preempted, Some(&told), read.now).await?;
            Ok(Decided::Commit(true, batch))
        })
        .await
    }
}

/// Whether nothing but GPUs is missing to a run.
fn waits(run: &TrainingRun, now: Timestamp) -> bool {
    run.state == RunState::WaitingForGpu || due(run, now) == Some(RunEvent::Ready)
}

/// What a planned grant takes, by the ids of GPUs; none where a node is not as it was.
fn wanted_of(known: &Known, grant: &queue::Grant) -> Option<Grant> {
    let mut nodes = Vec::new();
    for on in by_node(&grant.placements) {
        let node = known.view.node(on.node)?;
        let (true, lifecycle_revision) = node.lifecycle? else { return None };
        let mut gpus = Vec::with_capacity(on.gpus.len());
        for (place, milli) in &on.gpus {
            let gpu = node.gpus.get(usize::try_from(*place).ok()?)?;
            gpus.push((gpu.id.into(), GpuMilli::new(*milli).ok()?));
        }
        nodes.push(GrantNode { node: on.node.into(), lifecycle_revision, members: on.members, gpus });
    }
    Some(Grant { run: RunId::new(grant.job), nodes, rental: None })
}
