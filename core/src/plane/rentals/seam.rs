//! What a lost machine does to lease and run, until leases and runs have operations of their own.

use super::ControlPlane;
use crate::entity::{
    BindingEvent, Entity as _, Entry, GPU_LEASES, GpuLease, RunCause, RunEvent, TRAINING_RUNS, TrainingRun,
};
use crate::error::Result;
use crate::store::{Batch, Write};
use crate::time::Timestamp;

impl ControlPlane {
    /// A batch that releases a lease; a run whose own it is begins again.
    #[expect(clippy::unused_async, reason = "what takes its place reads")]
    pub(super) async fn machine_lost(
        &self,
        operation: &'static str,
        run: Entry<TrainingRun>,
        lease: Entry<GpuLease>,
        cause: RunCause,
        now: Timestamp,
    ) -> Result<Batch> {
        let (Entry { value: mut run, revision: of_run }, Entry { value: mut lease, revision: of_lease }) =
            (run, lease);
        let own = lease.run_id.take().is_some();
        lease.state = lease.state.on(BindingEvent::Free)?;
        (lease.queue_id, lease.released_at) = (None, Some(now));
        let millis = u64::try_from(lease.held(now).as_millis()).unwrap_or(u64::MAX);
        run.held_ms = run.held_ms.saturating_add(millis);
        if own && run.state.has_lease() {
            run.state = run.state.on(RunEvent::Requeue)?;
            (run.cause, run.failures, run.updated_at) = (Some(cause), run.failures.saturating_add(1), now);
        }
        Ok(self
            .batch(operation)
            .with(Write::update(&GPU_LEASES, lease.id, of_lease, lease.plain()))
            .with(Write::update(&TRAINING_RUNS, run.id, of_run, run.plain())))
    }
}
