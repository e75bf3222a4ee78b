//! Ticks of schedulers, what happens while they decide, and the quotas that they keep to.

use std::sync::{Arc, Mutex};

use super::Checked;
use super::act::Act;
use super::expected::Answer;
use super::run::{Run, answered};
use super::step::Between;
use crate::ControlPlane;
use crate::amount::GpuMilli;
use crate::entity::QueueId;
use crate::error::Result as Answered;
use crate::plane::{QueueTerms, Ticked};

/// What has happened meanwhile.
#[derive(Debug)]
enum Meanwhile {
    Ticked(Answered<Ticked>),
    Done(Act, Answer),
    Closed(usize, Answered<()>),
}

/// The quota of a queue: what is its own, what it borrows and what it lends.
pub(super) type Quota = [Option<i64>; 3];

/// What is left to a queue that is closed.
const NOTHING: Quota = [Some(0), Some(0), Some(0)];

impl Run<'_> {
    pub(super) async fn tick(&mut self, at: u8, is_blind: bool, raced_by: Option<Between>) -> Checked {
        let at = usize::from(at) % self.schedulers.len();
        let told = Arc::new(Mutex::new(None));
        if let Some(between) = raced_by {
            self.race(at, between, &told);
        }
        let one = &self.schedulers[at];
        one.sees.blind(is_blind);
        let got = one.it.tick().await;
        one.sees.calm();
        one.sees.blind(false);
        let rows = self.rows().await?;
        let told = told.lock().unwrap().take();
        match told {
            Some(Meanwhile::Ticked(ticked)) => {
                let ticked = ticked.map_err(|error| format!("a tick failed: {error}"))?;
                self.model.ticked(&ticked, &rows)?;
            }
            Some(Meanwhile::Done(act, got)) => answered(&act, &got, &self.model.act(&act, None))?,
            Some(Meanwhile::Closed(queue, closed)) => {
                closed.map_err(|error| format!("a queue was not closed: {error}"))?;
                self.has_quota(queue, NOTHING);
            }
            None => {}
        }
        let ticked = got.map_err(|error| format!("a tick failed: {error}"))?;
        self.model.ticked(&ticked, &rows)
    }

    /// Lets something happen between the decision of a scheduler and its next commit.
    fn race(&self, at: usize, between: Between, told: &Arc<Mutex<Option<Meanwhile>>>) {
        let (cloud, tells) = (Arc::clone(self.cloud()), Arc::clone(told));
        let sees = &self.schedulers[at].sees;
        match between {
            Between::Tick(by) => {
                let by = usize::from(by) % self.schedulers.len();
                if by == at {
                    return;
                }
                let other = Arc::clone(&self.schedulers[by].it);
                sees.race(async move {
                    let ticked = Meanwhile::Ticked(other.tick().await);
                    *tells.lock().unwrap() = Some(ticked);
                });
            }
            Between::Do(deed) => {
                let Some(act) = self.resolved(deed) else { return };
                sees.race(async move {
                    let answer = act.carry_out(&cloud).await;
                    *tells.lock().unwrap() = Some(Meanwhile::Done(act, answer));
                });
            }
            Between::Close(queue) => {
                let at = 1 + usize::from(queue) % (self.model.queues.len() - 1);
                let id = self.model.queues[at].id;
                sees.race(async move {
                    let closed = Meanwhile::Closed(at, give_quota(&cloud, id, NOTHING).await);
                    *tells.lock().unwrap() = Some(closed);
                });
            }
        }
    }

    pub(super) async fn quota(&mut self, queue: u8, quota: [Option<u8>; 3]) -> Checked {
        // The default queue stays as it is.
        let at = 1 + usize::from(queue) % (self.model.queues.len() - 1);
        let quota = quota.map(|gpus| gpus.map(|gpus| i64::from(gpus) * 1000));
        let changed = give_quota(self.cloud(), self.model.queues[at].id, quota).await;
        changed.map_err(|error| error.to_string())?;
        self.has_quota(at, quota);
        Ok(())
    }

    fn has_quota(&mut self, at: usize, [own, borrowing, lending]: Quota) {
        let queue = &mut self.model.queues[at];
        (queue.own, queue.borrowing, queue.lending) = (own, borrowing, lending);
    }
}

async fn give_quota(cloud: &ControlPlane, id: QueueId, quota: Quota) -> Answered<()> {
    let kept = cloud.repositories().run_queues().require(id).await?;
    let mut terms = QueueTerms::of(&kept);
    let [own, borrowing, lending] =
        quota.map(|milli| milli.map(|milli| GpuMilli::from_u32(u32::try_from(milli).unwrap())));
    (terms.gpu.nominal, terms.gpu.borrowing, terms.gpu.lending) = (own, borrowing, lending);
    cloud.change_queue(id, kept.revision, terms).await?;
    Ok(())
}
