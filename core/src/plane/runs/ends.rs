//! How a run ends, or begins again.

use super::policy::{Next, after_failure};
use super::{ControlPlane, after, judge_first, of_run};
use crate::entity::{
    Entity as _, Entry, QUOTAS, RunCause, RunEvent, RunId, RunState, TRAINING_RUN_IMAGES, TrainingRun,
    TrainingRunImage,
};
use crate::error::Result;
use crate::plane::commands::clipped;
use crate::plane::decided::Decided;
use crate::store::{Batch, MAX_PAGE, Row, Scan, StoreExt as _, Write};
use crate::time::Timestamp;

/// The most bytes of what is said of an end.
pub(super) const MAX_INFO: usize = 4096;

impl ControlPlane {
    /// Ends a run that is not wanted any more, wherever it is. Its GPUs come back when its worker has let go of them; of one that no
    /// worker has begun, at once. Aborting it again changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` for one that has ended otherwise.
    #[tracing::instrument(skip_all)]
    pub async fn abort_run(&self, id: RunId, reason: &str) -> Result<Entry<TrainingRun>> {
        self.decided("run.abort", TrainingRun::KIND, || async move {
            let (entry, now) = self.run_of(id).await?;
            if entry.state == RunState::Aborted {
                return Ok(Decided::Done(entry));
            }
            let mut run = entry.value.clone();
            let mut batch = self.batch("run.abort");
            self.end_run(&mut batch, &mut run, RunEvent::Abort, now).await?;
            (run.cause, run.status_info) = (Some(RunCause::Requested), Some(clipped(reason, MAX_INFO)));
            self.give_up_lease(&mut batch, &mut run, "aborted", now).await?;
            judge_first(&mut batch, &entry, &run);
            batch.push(self.log(of_run("run.abort", &run, &clipped(reason, 256)), now));
            Ok(Decided::Commit(after(&entry, run), batch))
        })
        .await
    }

    /// Adds what becomes of a run whose lease is lost: its row as it is given is the one that was read, but for what is counted on
    /// it. The lease is the caller's to give up, in the same batch.
    pub(in crate::plane) async fn attempt_over(
        &self,
        batch: &mut Batch,
        run: Entry<TrainingRun>,
        cause: RunCause,
        info: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        let mut next = run.value.clone();
        self.fail_attempt(batch, &mut next, (cause, info), now).await?;
        judge_first(batch, &run, &next);
        Ok(())
    }

    /// Turns a run whose attempt has failed, or whose state is too old, to what comes next: to its queue, or to its end. The row and
    /// the lease are the caller's to write and to give up, in the same batch.
    pub(in crate::plane) async fn fail_attempt(
        &self,
        batch: &mut Batch,
        run: &mut TrainingRun,
        (cause, info): (RunCause, Option<&str>),
        now: Timestamp,
    ) -> Result<()> {
        let next = after_failure(run, cause, now, &self.runs);
        // What never had GPUs has failed in nothing.
        let tried = u32::from(run.state.has_lease());
        if cause == RunCause::Preempted {
            run.preemptions = run.preemptions.saturating_add(tried);
        } else {
            run.failures = run.failures.saturating_add(tried);
        }
        match next {
            Next::Requeue(not_before) => {
                run.not_before = Some(not_before);
                self.turn_run(run, RunEvent::Requeue, now)?;
            }
            Next::End(event) => self.end_run(batch, run, event, now).await?,
        }
        (run.cause, run.status_info) = (Some(cause), info.map(|info| clipped(info, MAX_INFO)));
        let happened = if run.state.is_terminal() { "run.end" } else { "run.requeue" };
        batch.push(self.log(of_run(happened, run, cause.as_str()), now));
        Ok(())
    }

    /// Turns a run to its end: from then on it pins neither training nor queue nor images, and its owner may have another one.
    pub(super) async fn end_run(
        &self,
        batch: &mut Batch,
        run: &mut TrainingRun,
        event: RunEvent,
        now: Timestamp,
    ) -> Result<()> {
        let copies = self.store.scan_all(copies_of(run.id)).await?;
        self.end_run_of(batch, run, &copies, (event, now))
    }

    /// The same where the run's images were read.
    pub(super) fn end_run_of(
        &self,
        batch: &mut Batch,
        run: &mut TrainingRun,
        copies: &[Row],
        (event, now): (RunEvent, Timestamp),
    ) -> Result<()> {
        self.turn_run(run, event, now)?;
        (run.training_id, run.queue_id, run.ended_at) = (None, None, Some(now));
        for row in copies {
            let mut copy = TrainingRunImage::from_row(row)?;
            if copy.image_id.take().is_some() {
                batch.push(Write::update(&TRAINING_RUN_IMAGES, row.key(), row.revision(), copy.plain()));
            }
        }
        batch.push(Write::record(&QUOTAS, run.owner_id, "runs", -1));
        Ok(())
    }
}

/// The copies of images that a run has.
pub(in crate::plane) fn copies_of(run: RunId) -> Scan {
    Scan::of(&TRAINING_RUN_IMAGES).with(run).limit(MAX_PAGE)
}
