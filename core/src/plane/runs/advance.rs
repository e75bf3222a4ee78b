//! Runs that are due go on: to where their images are prepared, or to where only GPUs are missing.

use super::{ControlPlane, of_run, updated};
use crate::entity::{Entity as _, RunEvent, RunState, TRAINING_RUNS, TrainingRun, entry};
use crate::error::{Error, Result};
use crate::plane::retry::lost_race;
use crate::store::{Batch, MAX_PAGE, Row, Scan, StoreExt as _, Test, Value};
use crate::time::Timestamp;
use std::ops::Bound;

/// How many runs went on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advanced {
    /// Those that wait for their images now.
    pub preparing: u64,
    /// Those that wait for GPUs now.
    pub ready: u64,
}

impl ControlPlane {
    /// Lets the runs that are due go on, at most `limit` (1 to 1,000) of them, those that are due longest first. Any number of
    /// processes may do so at any time; each run goes on once.
    ///
    /// # Errors
    /// `Invalid`.
    #[tracing::instrument(skip(self))]
    pub async fn advance_runs(&self, limit: u32) -> Result<Advanced> {
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::invalid("limit", format!("must be from 1 to {MAX_PAGE}, got {limit}")));
        }
        let now = self.store.read(Vec::new()).await?.now;
        let (mut events, mut batches) = (Vec::new(), Vec::new());
        let (mut left, mut after) = (limit, None);
        while left > 0 {
            let queued = overdue(now).test(Test::eq("state", RunState::Queued.as_str()));
            let page = self.store.scan(queued.after(after).limit(left)).await?.value;
            for row in &page.rows {
                left = left.saturating_sub(1);
                if let Some((event, batch)) = self.decide_advance(row, now)? {
                    events.push(event);
                    batches.push(batch);
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut advanced = Advanced::default();
        for (event, answer) in events.into_iter().zip(self.store.commit_many(batches).await) {
            match (answer, event) {
                (Ok(_), RunEvent::Prepare) => advanced.preparing += 1,
                (Ok(_), _) => advanced.ready += 1,
                // It went on, or ended, or its last image was resized meanwhile.
                (Err(error), _) if lost_race(&error) => {}
                (Err(error), _) => return Err(Error::of_store(TrainingRun::KIND, error)),
            }
        }
        Ok(advanced)
    }

    fn decide_advance(&self, row: &Row, now: Timestamp) -> Result<Option<(RunEvent, Batch)>> {
        let entry = entry::<TrainingRun>(row)?;
        let Some(event) = due(&entry, now) else { return Ok(None) };
        let mut run = entry.value.clone();
        self.turn_run(&mut run, event, now)?;
        // How many images are left is no part of the revision. But whoever resizes the last one writes the run too, so the
        // revision says that there was none left, or that there still is one.
        let batch = self
            .batch("run.advance")
            .with(updated(&entry, &run))
            .with(self.log(of_run("run.advance", &run, run.state.as_str()), now));
        Ok(Some((event, batch)))
    }
}

/// What happens to a run that is queued, where it is due.
pub(in crate::plane) fn due(run: &TrainingRun, now: Timestamp) -> Option<RunEvent> {
    let is_due = run.state == RunState::Queued && run.not_before.is_none_or(|from| from <= now);
    match run.images_left {
        _ if !is_due => None,
        0 => Some(RunEvent::Ready),
        _ => Some(RunEvent::Prepare),
    }
}

/// The live runs whose state has lasted as long as it may at that time, the longest first.
pub(super) fn overdue(now: Timestamp) -> Scan {
    let until = Bound::Included(Value::from(now));
    // Null comes first in an index, and is the deadline of what has ended.
    let from = Bound::Included(Value::from(Timestamp::MIN));
    Scan::of(&TRAINING_RUNS).by("training_runs_state_deadline").range(from, until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::runs::tests::sample;

    #[test]
    fn a_run_goes_on_when_it_is_due_and_only_while_it_is_queued() {
        let at = Timestamp::from_micros;
        for state in RunState::ALL {
            for (not_before, left) in
                [(None, 0), (None, 2), (Some(100), 0), (Some(100), 2), (Some(101), 0), (Some(101), 2)]
            {
                let run = TrainingRun {
                    state: *state,
                    not_before: not_before.map(at),
                    images_left: left,
                    ..sample()
                };
                let expected = match (state, not_before, left) {
                    (RunState::Queued, None | Some(100), 0) => Some(RunEvent::Ready),
                    (RunState::Queued, None | Some(100), _) => Some(RunEvent::Prepare),
                    _ => None,
                };
                assert_eq!(due(&run, at(100)), expected, "{state}, {not_before:?}, {left}");
                assert!(expected.is_none_or(|event| state.on(event).is_ok()));
            }
        }
    }
}
