//! Stand-in.
use crate::entity::*;
use crate::error::Result;
use crate::plane::ControlPlane;
use crate::store::{Batch, Write};
use crate::time::Timestamp;
#[derive(Debug, Clone, Copy)]
pub(in crate::plane) struct RunsStub {
    pub(in crate::plane) starting: std::time::Duration,
}
impl ControlPlane {
    pub(in crate::plane) async fn attempt_over(
        &self,
        batch: &mut Batch,
        run: Entry<TrainingRun>,
        cause: RunCause,
        info: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        let Entry { value: mut run, revision } = run;
        run.state = run.state.on(RunEvent::Requeue)?;
        run.cause = Some(cause);
        run.status_info = info.map(str::to_owned);
        run.failures += 1;
        run.updated_at = now;
        batch.push(Write::update(&TRAINING_RUNS, run.id, revision, run.plain()));
        Ok(())
    }
}
