//! Leases that were not renewed in time, and the charges of those that go on: any number of processes may look.

use super::{SLICE, not_renewed, still_of};
use crate::entity::{
    BindingEvent, BindingState, Entity as _, Entry, GPU_LEASES, GpuLease, LEASE_RENEWALS, RunCause,
    TRAINING_RUNS, TrainingRun, entry,
};
use crate::error::{Error, Result};
use crate::plane::ControlPlane;
use crate::plane::retry::lost_race;
use crate::store::{Batch, Row, Scan, StoreExt as _, Write};
use crate::time::Timestamp;

/// How many leases are looked at at once.
const AT_ONCE: u32 = 500;

/// What a look at all leases has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeasesSwept {
    /// How many leases hold something.
    pub leases: u64,
    /// How many were not renewed in time: their runs go on without them.
    pub expired: u64,
    /// How many were charged for another slice of time.
    pub charged: u64,
}

impl ControlPlane {
    /// Looks at all leases that hold something: takes the run from those that were not renewed in time, and charges what goes on.
    ///
    /// What such a lease holds stays held and charged: silence is no evidence. Any number of processes may do this at any time.
    #[tracing::instrument(skip_all)]
    pub async fn sweep_leases(&self) -> Result<LeasesSwept> {
        let mut swept = LeasesSwept::default();
        for state in [BindingState::Reserved, BindingState::Bound, BindingState::Releasing] {
            let mut after = None;
            loop {
                let scan = Scan::of(&GPU_LEASES).by("gpu_leases_state").with(state.as_str()).limit(AT_ONCE);
                let page = self.store.scan(scan.after(after)).await?;
                self.sweep_some(&page.value.rows, page.now, &mut swept).await?;
                after = page.value.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(swept)
    }

    async fn sweep_some(&self, rows: &[Row], now: Timestamp, swept: &mut LeasesSwept) -> Result<()> {
        let keys = rows.iter().map(|row| (&LEASE_RENEWALS, row.key())).collect();
        let renewals = self.store.get_many(keys).await?.value;
        let mut batches = Vec::new();
        let mut expired = Vec::new();
        for (row, renewal) in rows.iter().zip(&renewals) {
            let lease = entry::<GpuLease>(row)?;
            swept.leases += 1;
            let over = match renewal {
                Some(renewal) => renewal.time("expires_at")? <= now,
                None => false,
            };
            if lease.value.state == BindingState::Bound && over {
                if let Some(batch) = self.expire(&lease, renewal.as_ref(), now).await? {
                    batches.push(batch);
                    expired.push(true);
                }
            } else if lease.value.charged_until <= now {
                batches.push(self.charge_slice(lease, now));
                expired.push(false);
            }
        }
        for (answer, expired) in self.store.commit_many(batches).await.into_iter().zip(expired) {
            match answer {
                Ok(_) if expired => swept.expired += 1,
                Ok(_) => swept.charged += 1,
                // It was renewed, released or charged meanwhile, or will be the next time.
                Err(error) if lost_race(&error) => {}
                Err(error) => return Err(Error::of_store(GpuLease::KIND, error)),
            }
        }
        Ok(())
    }

    /// A batch that takes the run from a lease that is over, on the condition that it was not renewed since it was read.
    async fn expire(
        &self,
        lease: &Entry<GpuLease>,
        renewal: Option<&Row>,
        now: Timestamp,
    ) -> Result<Option<Batch>> {
        let Some((run, renewal)) = lease.value.run_id.zip(renewal) else { return Ok(None) };
        let Some(row) = self.store.get(&TRAINING_RUNS, run).await?.value else { return Ok(None) };
        let run = entry::<TrainingRun>(&row)?;
        if !still_of(&lease.value, &run) {
            return Ok(None);
        }
        let mut batch = self.batch("lease.expire");
        let mut given = lease.value.clone();
        given.state = given.state.on(BindingEvent::Release)?;
        given.run_id = None;
        given.reason = Some("not renewed in time".to_owned());
        batch.push(Write::update(&GPU_LEASES, given.id, lease.revision, given.plain()));
        batch.push(not_renewed(given.id, renewal));
        batch.push(self.lease_log("lease.expire", &given, given.worker.as_deref().unwrap_or_default(), now));
        self.attempt_over(&mut batch, run, RunCause::WorkerLost, None, now).await?;
        Ok(Some(batch))
    }

    /// A batch that charges a lease until a slice from now.
    fn charge_slice(&self, lease: Entry<GpuLease>, now: Timestamp) -> Batch {
        let Entry { value: mut lease, revision } = lease;
        let until = now.plus(SLICE);
        let mut batch = self.batch("lease.charge");
        Self::charge_use(&mut batch, &lease, (lease.charged_until, until));
        lease.charged_until = until;
        batch.push(Write::update(&GPU_LEASES, lease.id, revision, vec![("charged_until", until.into())]));
        batch
    }
}
