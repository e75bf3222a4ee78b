//! What becomes of a run that came no further: it begins again, or has stalled.

use super::advance::overdue;
use super::policy::too_old;
use super::{ControlPlane, judge_first};
use crate::entity::{Entity as _, RUN_PULSES, RunCause, RunPulse, RunState, TrainingRun, entry};
use crate::error::{Error, Result};
use crate::plane::retry::lost_race;
use crate::store::{Batch, Is, MAX_PAGE, Row, StoreExt as _, Test, Value, Write};
use crate::time::Timestamp;

/// What a sweep of runs came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweptRuns {
    /// How many runs were looked at: their state was too old.
    pub runs: u64,
    /// How many have told something meanwhile, and go on.
    pub heard: u64,
    /// How many begin again.
    pub requeued: u64,
    /// How many have ended.
    pub ended: u64,
}

/// What a sweep does with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    /// It is not late: it was heard since.
    Heard(Timestamp),
    /// It is late, for this reason.
    By(RunCause),
}

impl ControlPlane {
    /// Looks at every run whose state has lasted too long: one that trains and was heard goes on, another one begins again, or ends.
    /// Any number of processes may do so at any time; each change is decided once.
    #[tracing::instrument(skip(self))]
    pub async fn sweep_runs(&self) -> Result<SweptRuns> {
        let now = self.store.read(Vec::new()).await?.now;
        let (mut swept, mut after) = (SweptRuns::default(), None);
        loop {
            let late = overdue(now).test(Test::new("state", Is::Ne(RunState::Queued.as_str().into())));
            let page = self.store.scan(late.after(after).limit(MAX_PAGE)).await?.value;
            let (mut turned, mut batches) = (Vec::new(), Vec::new());
            for row in &page.rows {
                swept.runs += 1;
                if let Some((run, batch)) = self.decide_late(row, now).await? {
                    turned.push(run);
                    batches.push(batch);
                }
            }
            for (state, answer) in turned.into_iter().zip(self.store.commit_many(batches).await) {
                match (answer, state) {
                    (Ok(_), RunState::Queued) => swept.requeued += 1,
                    (Ok(_), state) if state.is_terminal() => swept.ended += 1,
                    (Ok(_), _) => swept.heard += 1,
                    // It was heard meanwhile, or came further, or somebody else was faster.
                    (Err(error), _) if lost_race(&error) => {}
                    (Err(error), _) => return Err(Error::of_store(TrainingRun::KIND, error)),
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(swept);
            }
        }
    }

    /// The state that a run has after the sweep, and the batch that gives it.
    pub(in crate::plane) async fn decide_late(
        &self,
        row: &Row,
        now: Timestamp,
    ) -> Result<Option<(RunState, Batch)>> {
        let entry = entry::<TrainingRun>(row)?;
        let heard_at = match self.store.get(&RUN_PULSES, entry.id).await?.value {
            Some(pulse) => RunPulse::from_row(&pulse)?.heard_at,
            None => Timestamp::MIN,
        };
        let silent_before = now.minus(self.runs.silence);
        let Some(late) = judge(entry.state, heard_at, silent_before) else { return Ok(None) };
        let mut run = entry.value.clone();
        let mut batch = self.batch("run.sweep");
        match late {
            Late::Heard(at) => run.state_deadline = Some(at.plus(self.runs.silence)),
            Late::By(cause) => {
                if cause == RunCause::NoProgress {
                    let silent = Is::Le(Value::from(silent_before));
                    batch.push(Write::patch(
                        &RUN_PULSES,
                        run.id,
                        vec![Test::new("heard_at", silent)],
                        Vec::new(),
                    ));
                }
                self.fail_attempt(&mut batch, &mut run, (cause, None), now).await?;
                self.give_up_lease(&mut batch, &mut run, cause.as_str(), now).await?;
            }
        }
        judge_first(&mut batch, &entry, &run);
        Ok(Some((run.state, batch)))
    }
}

/// What a sweep does with a run whose state has lasted too long, and that was heard then, where everything until `silent_before` is
/// silence.
fn judge(state: RunState, heard_at: Timestamp, silent_before: Timestamp) -> Option<Late> {
    match (state, too_old(state)?) {
        (RunState::Training, _) if heard_at > silent_before => Some(Late::Heard(heard_at)),
        (_, cause) => Some(Late::By(cause)),
    }
}
