//! The keys of each policy that looks at everybody: [`rank`].
//!
//! Times are microseconds, GPUs and weights thousandths, ratios fixed-point numbers of [`ONE`]: whole numbers
//! throughout, cut off, so that every machine gives the same order.

use std::time::Duration;

use super::super::job::Job;
use super::super::policy::QueuePolicy;
use super::{Entered, History, OrderKey, balanced};
use crate::time::Timestamp;

/// The ratio one.
pub(super) const ONE: i128 = 1 << 20;
/// What is assumed to remain of a run of which nothing is known: as much as it has run, and at least this.
const UNKNOWN_US: i128 = 3_600_000_000;
const SECOND_US: i128 = 1_000_000;

/// A run with everything by which it is given its place.
#[derive(Debug)]
pub(in super::super) struct Ranked<'a> {
    pub(in super::super) key: OrderKey,
    pub(super) weight_milli: i128,
    pub(super) gpu_milli: i128,
    /// How long it has run, all attempts together.
    pub(super) attained: i128,
    /// How long it is expected to run yet.
    pub(super) left: i128,
    /// How long it has been here.
    pub(super) age: i128,
    pub(super) history: &'a mut History,
}

/// What is the same for all.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct World {
    pub(in super::super) gpu_milli: i128,
    /// The sum over time of the weights of all.
    pub(in super::super) crowd: i128,
    /// The weights of all.
    pub(in super::super) weight_milli: i128,
}

impl<'a> Ranked<'a> {
    pub(in super::super) fn new(
        job: &'a mut Job,
        started: Option<Timestamp>,
        gpu_milli: i64,
        weight_milli: u32,
        now: Timestamp,
    ) -> Self {
        let ran = started.map_or(Duration::ZERO, |started| now.since(started));
        let attained = micros(job.done.saturating_add(ran));
        let left = match job.estimate.map(micros) {
            // Whoever runs longer than expected has a twentieth of that to go.
            Some(estimate) => (estimate - attained).max(attained / 20).max(SECOND_US),
            None => attained.max(UNKNOWN_US),
        };
        let key =
            OrderKey { class: 0, rank: 0, waits: started.is_none(), submitted: job.submitted, id: job.id };
        Self {
            key,
            // Without a weight a run is as good as at the end of every order that looks at it.
            weight_milli: i128::from(weight_milli.max(1)),
            gpu_milli: i128::from(gpu_milli),
            attained,
            left,
            age: micros(now.since(job.submitted)),
            history: &mut job.history,
        }
    }

    /// How many others there were on average since it came, its own weight being one, as a sum over time.
    pub(super) fn crowd(&self, world: &World) -> i128 {
        let since = self.history.entered.map_or(world.crowd, |entered| entered.crowd);
        (world.crowd - since) / self.weight_milli
    }

    /// The virtual time: when it came, and what it has got since.
    fn service(&self) -> i128 {
        let began = self.history.entered.map_or(0, |entered| entered.service);
        began.saturating_add(self.attained * self.gpu_milli / self.weight_milli)
    }

    /// The ratio of the time that it takes here to the time that it would take with an equal part of the cluster, if it
    /// ran from now on: as if there went on to be as many as were here on average.
    fn finish_time_ratio(&self, world: &World) -> i128 {
        let mean = if self.age > 0 {
            self.crowd(world) * ONE / self.age
        } else {
            world.weight_milli * ONE / self.weight_milli
        };
        let crowded = (mean * 1000 / world.gpu_milli).max(ONE);
        (self.age + self.left) * ONE / (self.attained + self.left) * ONE / crowded
    }

    pub(super) const fn urgent(&self) -> bool {
        self.history.urgent
    }

    pub(super) const fn set_urgent(&mut self, urgent: bool) {
        self.history.urgent = urgent;
    }
}

/// Gives everybody their place under a policy.
pub(in super::super) fn rank(policy: QueuePolicy, world: &World, all: &mut [Ranked<'_>]) {
    enter(world, all);
    match policy {
        QueuePolicy::Balanced => balanced::rank(world, all),
        QueuePolicy::FinishTimeFairness => {
            for run in all {
                run.key.rank = u128::MAX - run.finish_time_ratio(world).max(0).cast_unsigned();
            }
        }
        QueuePolicy::MaxMin => {
            for run in all {
                run.key.rank = run.service().max(0).cast_unsigned();
            }
        }
        // These have an order that does not look at everybody.
        _ => {}
    }
}

/// Remembers of those that are new when they came. Their virtual time begins at the least of all others.
fn enter(world: &World, all: &mut [Ranked<'_>]) {
    let known = all.iter().filter(|run| run.history.entered.is_some());
    let service = known.map(Ranked::service).min().unwrap_or(0);
    for run in all.iter_mut().filter(|run| run.history.entered.is_none()) {
        // What it got before it was seen here is not held against it.
        let service = service.saturating_sub(run.attained * run.gpu_milli / run.weight_milli);
        run.history.entered = Some(Entered { crowd: world.crowd, service });
    }
}

fn micros(time: Duration) -> i128 {
    i128::try_from(time.as_micros().min(1 << 62)).unwrap_or(0)
}
