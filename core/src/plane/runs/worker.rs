//! The worker's side of a run: it begins, uploads, and says how it ended.
//!
//! What it says is judged on its lease, in the batch of its effect. A worker that was replaced, or whose run has ended, changes
//! nothing.

use serde::{Deserialize, Serialize};

use super::ends::{MAX_INFO, copies_of};
use super::{ControlPlane, after, judge_first, of_run, updated};
use crate::entity::{
    Entity as _, Entry, GpuLease, RUN_PULSES, RunCause, RunEvent, RunId, RunState, TrainingRun, entry,
};
use crate::error::{Error, Result};
use crate::plane::RunLease;
use crate::plane::commands::clipped;
use crate::plane::decided::Decided;
use crate::plane::leases::{HeldRows, ShownRows, still_holds, whole};
use crate::store::{Answer, Change, Query, Write};

/// What came of a run: where it is in the host's storage, and how it is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Artifact {
    /// The key that was handed out for it.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256: 64 hexadecimal digits.
    pub sha256: String,
}

impl Artifact {
    /// An artefact of this key, size and SHA-256.
    pub fn new(key: impl Into<String>, bytes: u64, sha256: impl Into<String>) -> Self {
        Self { key: key.into(), bytes, sha256: sha256.into() }
    }

    fn check(&self) -> Result<()> {
        if self.sha256.len() != 64 || !self.sha256.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Error::invalid("sha256", "64 hexadecimal digits are expected"));
        }
        if i64::try_from(self.bytes).is_err() {
            return Err(Error::invalid("bytes", "it is too large"));
        }
        Ok(())
    }

    fn is_of(&self, run: &TrainingRun) -> bool {
        run.artifact_key.as_ref() == Some(&self.key)
            && run.artifact_bytes == Some(self.bytes)
            && run.artifact_sha256.as_deref().is_some_and(|kept| kept.eq_ignore_ascii_case(&self.sha256))
    }
}

impl ControlPlane {
    /// The worker begins to train. Saying it again while it trains changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` where the lease is not the worker's any more, or the run is past that.
    #[tracing::instrument(skip_all)]
    pub async fn begin_run(&self, lease: &RunLease) -> Result<Entry<TrainingRun>> {
        self.turn_by_worker("run.begin", lease, RunEvent::Begin, RunState::Training).await
    }

    /// What was trained is about to be uploaded: the key in the host's storage that it is to have, another one for each attempt.
    /// Asking again gives the same one.
    ///
    /// # Errors
    /// As [`ControlPlane::begin_run`].
    #[tracing::instrument(skip_all)]
    pub async fn uploading_run(&self, lease: &RunLease) -> Result<String> {
        let run = self.turn_by_worker("run.upload", lease, RunEvent::Upload, RunState::Uploading).await?;
        Ok(artifact_key(&run))
    }

    /// What was trained is uploaded: the run is complete, and its GPUs are free. The same again is answered the same.
    ///
    /// # Errors
    /// As [`ControlPlane::begin_run`]; `Invalid` for a key that was not handed out for this attempt.
    #[tracing::instrument(skip_all)]
    pub async fn complete_run(&self, lease: &RunLease, artifact: &Artifact) -> Result<Entry<TrainingRun>> {
        artifact.check()?;
        self.decided("run.complete", TrainingRun::KIND, || async move {
            // Everything at once: this is said of every run.
            let mut queries = Vec::from(lease.queries());
            queries.push(Query::Scan(copies_of(lease.run)));
            queries.extend(HeldRows::queries(lease.lease));
            let reads = self.store.read(queries).await?;
            let mut answers = reads.answers.into_iter();
            let rows = ShownRows::of(&mut answers);
            if let Some(run) = let_go_by(lease, &rows)?
                && run.state == RunState::Completed
                && artifact.is_of(&run)
            {
                return Ok(Decided::Done(run));
            }
            let shown = rows.judged(lease, reads.now)?;
            let page = answers.next().map(Answer::into_page).unwrap_or_default();
            let copies = whole(&*self.store, copies_of(lease.run), page).await?;
            let held = HeldRows::of(lease.lease, &mut answers, &*self.store).await?;
            let mut run = shown.run.value.clone();
            if artifact.key != artifact_key(&run) {
                return Err(Error::invalid("key", "it was not handed out for this attempt"));
            }
            let mut batch = self.batch("run.complete");
            self.end_run_of(&mut batch, &mut run, &copies, (RunEvent::Complete, shown.now))?;
            run.artifact_key = Some(artifact.key.clone());
            run.artifact_bytes = Some(artifact.bytes);
            run.artifact_sha256 = Some(artifact.sha256.to_ascii_lowercase());
            (run.cause, run.status_info) = (None, None);
            self.release_held(&mut batch, &mut run, (shown.lease, &held), shown.now)?;
            judge_first(&mut batch, &shown.run, &run);
            let told = format!("{} bytes", artifact.bytes);
            batch.push(self.log(of_run("run.complete", &run, &told), shown.now));
            Ok(Decided::Commit(after(&shown.run, run), batch))
        })
        .await
    }

    /// The attempt has failed, and nothing of it runs any more: its GPUs are free, and the run is tried again later, or ends. The
    /// same again is answered the same, until another attempt begins.
    ///
    /// # Errors
    /// As [`ControlPlane::begin_run`]; `Invalid` for a cause that is not a worker's to name.
    #[tracing::instrument(skip_all)]
    pub async fn fail_run(
        &self,
        lease: &RunLease,
        cause: RunCause,
        info: Option<&str>,
    ) -> Result<Entry<TrainingRun>> {
        if !matches!(cause, RunCause::Crashed | RunCause::Invalid | RunCause::Hardware) {
            return Err(Error::invalid("cause", "a worker says crashed, invalid or hardware"));
        }
        self.decided("run.fail", TrainingRun::KIND, || async move {
            let reads = self.store.read(lease.queries().into()).await?;
            let rows = ShownRows::of(&mut reads.answers.into_iter());
            if let Some(run) = let_go_by(lease, &rows)?
                && run.cause == Some(cause)
            {
                return Ok(Decided::Done(run));
            }
            let shown = rows.judged(lease, reads.now)?;
            let mut run = shown.run.value.clone();
            let mut batch = self.batch("run.fail");
            self.fail_attempt(&mut batch, &mut run, (cause, info), shown.now).await?;
            self.release_in(&mut batch, &mut run, shown.lease, shown.now).await?;
            judge_first(&mut batch, &shown.run, &run);
            Ok(Decided::Commit(after(&shown.run, run), batch))
        })
        .await
    }

    /// The worker gives the run back, and nothing of it runs any more: it is to stop itself, or its machine is needed. The GPUs are
    /// free, and the run is queued again at once, without a failure that counts and without a pause. The same again is answered
    /// the same, until another attempt begins.
    ///
    /// # Errors
    /// As [`ControlPlane::begin_run`].
    #[tracing::instrument(skip_all)]
    pub async fn return_run(&self, lease: &RunLease, reason: &str) -> Result<Entry<TrainingRun>> {
        self.decided("run.return", TrainingRun::KIND, || async move {
            let reads = self.store.read(lease.queries().into()).await?;
            let rows = ShownRows::of(&mut reads.answers.into_iter());
            if let Some(run) = let_go_by(lease, &rows)?
                && run.cause.is_none()
                && !run.state.is_terminal()
            {
                return Ok(Decided::Done(run));
            }
            let mut shown = rows.judged(lease, reads.now)?;
            let mut run = shown.run.value.clone();
            let mut batch = self.batch("run.return");
            run.not_before = Some(shown.now);
            self.turn_run(&mut run, RunEvent::Requeue, shown.now)?;
            (run.cause, run.status_info) = (None, Some(clipped(reason, MAX_INFO)));
            shown.lease.value.reason = Some("given back".to_owned());
            self.release_in(&mut batch, &mut run, shown.lease, shown.now).await?;
            judge_first(&mut batch, &shown.run, &run);
            batch.push(self.log(of_run("run.return", &run, &clipped(reason, 256)), shown.now));
            Ok(Decided::Commit(after(&shown.run, run), batch))
        })
        .await
    }

    /// Turns a run by what its worker says; one that is there already is answered as it is.
    async fn turn_by_worker(
        &self,
        operation: &'static str,
        lease: &RunLease,
        event: RunEvent,
        there: RunState,
    ) -> Result<Entry<TrainingRun>> {
        self.decided(operation, TrainingRun::KIND, || async move {
            let shown = self.shown(lease).await?;
            if shown.run.state == there {
                return Ok(Decided::Done(shown.run));
            }
            let mut run = shown.run.value.clone();
            self.turn_run(&mut run, event, shown.now)?;
            let mut batch = self.batch(operation);
            still_holds(&mut batch, lease, &shown.lease, shown.now);
            batch.push(updated(&shown.run, &run));
            let heard = vec![("heard_at", Change::Max(shown.now.into()))];
            batch.push(Write::patch(&RUN_PULSES, run.id, Vec::new(), heard));
            batch.push(self.log(of_run(operation, &run, &format!("attempt {}", run.attempt)), shown.now));
            Ok(Decided::Commit(after(&shown.run, run), batch))
        })
        .await
    }
}

/// The run of a lease that its worker has let go of by an earlier answer, while no other attempt has begun.
fn let_go_by(lease: &RunLease, rows: &ShownRows) -> Result<Option<Entry<TrainingRun>>> {
    let (Some(run), Some(held)) = (&rows.run, &rows.lease) else {
        return Err(Error::not_found(TrainingRun::KIND, lease.run));
    };
    let entry = entry::<TrainingRun>(run)?;
    let held = GpuLease::from_row(held)?;
    let over = !held.state.holds() && entry.attempt == lease.attempt;
    Ok((lease.is_of(&held) && over).then_some(entry))
}

/// The key of what an attempt of a run uploads.
fn artifact_key(run: &TrainingRun) -> String {
    let (id, attempt): (RunId, u32) = (run.id, run.attempt);
    format!("runs/{id}/{attempt}/artifact")
}
