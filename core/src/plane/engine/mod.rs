//! The engine: what the store has, a pure tick over it, and guarded commits of what the tick plans.
//!
//! `known.rs` follows the feed, `convert.rs` makes of rows what the queue knows, and `carry.rs` commits. Any number of schedulers, in
//! any number of processes, may tick over one store: a plan is a wish, and every grant tests in its batch that it can be.

mod carry;
mod convert;
mod known;
mod rent;

use std::sync::Arc;
use std::time::Duration;

use futures_timer::Delay;
use futures_util::lock::Mutex;

use super::ControlPlane;
use crate::entity::{Entity as _, LeaseId, RunId, TrainingRun};
use crate::error::{Error, Result};
use crate::queue::{Plan, Reservation, Settings, WhyPending};
use known::Known;

/// Gives GPUs to runs: over a [`ControlPlane`], by the rules of [`queue`](crate::queue).
///
/// It keeps what it has seen of runs, leases, queues and nodes, and brings that up to date from the change feed before each tick.
#[derive(Debug)]
pub struct RunScheduler {
    plane: Arc<ControlPlane>,
    settings: Settings,
    known: Mutex<Option<Known>>,
}

/// What a tick has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ticked {
    /// Runs that got a lease.
    pub granted: Vec<(RunId, LeaseId)>,
    /// Runs that are to stop, with those for which they do.
    pub preempted: Vec<(RunId, RunId)>,
    /// Runs for which nodes are kept.
    pub reserved: Vec<Reservation>,
    /// How much of the plan was not so any more when it was to be done: another scheduler was first, or something changed. The
    /// next tick sees it.
    pub lost: usize,
}

impl RunScheduler {
    /// A scheduler that decides as `settings` say.
    pub fn new(plane: Arc<ControlPlane>, settings: Settings) -> Self {
        Self { plane, settings, known: Mutex::new(None) }
    }

    /// The control plane that it works for.
    pub const fn plane(&self) -> &Arc<ControlPlane> {
        &self.plane
    }

    /// Sees what has changed, decides, and does it.
    #[tracing::instrument(skip_all)]
    pub async fn tick(&self) -> Result<Ticked> {
        let mut guard = self.known.lock().await;
        let known = self.refreshed(&mut guard).await?;
        let now = self.plane.store.read(Vec::new()).await?.now;
        let Plan { grants, preemptions, reservations } = known.queue.tick(now);
        let mut ticked = Ticked { reserved: reservations, ..Ticked::default() };
        self.plane.carry_out(known, &grants, &preemptions, &mut ticked).await?;
        Ok(ticked)
    }

    /// Why a run waits, as data: what is in its way, who is ahead of it, and when it is expected to start.
    ///
    /// # Errors
    /// `NotFound` for a run that does not wait for GPUs.
    #[tracing::instrument(skip(self))]
    pub async fn why_pending(&self, run: RunId) -> Result<WhyPending> {
        let mut guard = self.known.lock().await;
        let known = self.refreshed(&mut guard).await?;
        let now = self.plane.store.read(Vec::new()).await?.now;
        known.queue.why_pending(run.uuid(), now).ok_or_else(|| Error::not_found(TrainingRun::KIND, run))
    }

    /// Ticks, as soon as anything has changed and at the latest after `every`, until `until` answers. What fails is told to `tracing`
    /// and tried again after `every`.
    pub async fn run(&self, every: Duration, until: impl Future<Output = ()>) {
        let until = std::pin::pin!(until);
        let ticks = std::pin::pin!(async {
            loop {
                match self.tick().await {
                    // What was planned in vain is planned anew at once, on what has changed.
                    Ok(ticked) if ticked.lost > 0 => {}
                    Ok(_) => self.awaits_change(every).await,
                    Err(error) => {
                        tracing::warn!(%error, "a tick failed");
                        Delay::new(every).await;
                    }
                }
            }
        });
        futures_util::future::select(until, ticks).await;
    }

    /// Waits until the feed goes on, or for so long.
    async fn awaits_change(&self, at_most: Duration) {
        let step = (at_most / 20).clamp(Duration::from_millis(1), Duration::from_millis(50));
        let mut waited = Duration::ZERO;
        let cursor = self.known.lock().await.as_ref().map(Known::cursor);
        while waited < at_most {
            Delay::new(step).await;
            waited += step;
            let Some(cursor) = cursor else { return };
            match self.plane.store.changes(cursor, 1).await {
                Ok(changes) if changes.records.is_empty() => {}
                _ => return,
            }
        }
    }

    async fn refreshed<'k>(&self, known: &'k mut Option<Known>) -> Result<&'k mut Known> {
        if let Some(seen) = known.as_mut() {
            match seen.follow(&*self.plane.store).await {
                Ok(true) => {}
                // It cannot be followed any more, or what it says does not fit together: begin again.
                Ok(false) => *known = None,
                Err(error) => {
                    *known = None;
                    return Err(error);
                }
            }
        }
        if known.is_none() {
            *known = Some(Known::read(&*self.plane.store, self.settings.clone()).await?);
        }
        known.as_mut().ok_or_else(|| Error::Conflict { what: "run.tick".to_owned() })
    }
}
