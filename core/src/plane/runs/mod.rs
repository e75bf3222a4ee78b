//! Runs of trainings: submitted, prepared, worked on, and ended.
//!
//! A run is a copy of what is trained. `submit.rs` makes it, `advance.rs` and `prepare.rs` bring it to where only GPUs are missing,
//! `worker.rs` and `tell.rs` are the side of the worker that has its lease, `ends.rs` is how it ends or begins again, and `sweep.rs`
//! what becomes of one that came no further. Every state has a deadline; what decides over a state is a pure table in `policy.rs`.

mod advance;
mod ends;
mod policy;
mod prepare;
mod request;
mod submit;
mod sweep;
mod tell;
#[cfg(test)]
mod tests;
mod worker;

pub use advance::Advanced;
pub(in crate::plane) use advance::due;
pub(in crate::plane) use ends::copies_of;
pub use policy::RunPolicy;
pub use request::NewRun;
pub use sweep::SweptRuns;
pub use tell::NewStatus;
pub use worker::Artifact;

use super::ControlPlane;
use super::users::Happened;
use crate::entity::{Entity as _, Entry, RunEvent, RunId, TRAINING_RUNS, TrainingRun, entry};
use crate::error::{Error, Result};
use crate::store::{Batch, StoreExt as _, Write};
use crate::time::Timestamp;

/// The most images of a run: they are copied, and given up again, in one batch.
const MAX_IMAGES: usize = 1000;

impl ControlPlane {
    /// A run, and the time.
    async fn run_of(&self, id: RunId) -> Result<(Entry<TrainingRun>, Timestamp)> {
        let read = self.store.get(&TRAINING_RUNS, id).await?;
        let row = read.value.ok_or_else(|| Error::not_found(TrainingRun::KIND, id))?;
        Ok((entry::<TrainingRun>(&row)?, read.now))
    }

    /// Turns a run to the state after an event, with the deadline of that state.
    pub(in crate::plane) fn turn_run(
        &self,
        run: &mut TrainingRun,
        event: RunEvent,
        now: Timestamp,
    ) -> Result<()> {
        run.state = run.state.on(event)?;
        run.state_deadline = self.runs.deadline(run.state, run.not_before, now);
        run.updated_at = now;
        Ok(())
    }
}

/// The write that makes the run of this entry what `run` is.
fn updated(entry: &Entry<TrainingRun>, run: &TrainingRun) -> Write {
    Write::update(&TRAINING_RUNS, run.id, entry.revision, run.plain())
}

/// Adds the write that makes the run of this entry what `run` is, to be judged before everything else: where the run is another one
/// meanwhile, that is why the batch is refused, and not what else would no longer fit.
pub(in crate::plane) fn judge_first(batch: &mut Batch, entry: &Entry<TrainingRun>, run: &TrainingRun) {
    batch.writes.insert(0, updated(entry, run));
}

/// The entry that is there once [`updated`] is committed.
fn after(entry: &Entry<TrainingRun>, run: TrainingRun) -> Entry<TrainingRun> {
    Entry::new(run, entry.revision + 1)
}

pub(in crate::plane) fn of_run<'h>(
    operation: &'static str,
    run: &TrainingRun,
    description: &'h str,
) -> Happened<'h> {
    Happened { operation, actor: None, kind: TrainingRun::KIND, subject: run.id.uuid(), description }
}
