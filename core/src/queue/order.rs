//! Orders in which those that wait and those that run are set beside each other: [`OrderKey`], [`Standing`].

mod balanced;
mod keys;

use uuid::Uuid;

pub(super) use keys::{Ranked, World, rank};

use super::pending::{JobKey, LaneKey, Pending};
use super::policy::QueuePolicy;
use super::running::RunningSet;
use super::shares::Accounts;
use crate::time::Timestamp;

/// The place of a run, whether it waits or runs, in the order of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OrderKey {
    pub(super) class: u8,
    pub(super) rank: u128,
    /// Among equals those that run stay.
    pub(super) waits: bool,
    pub(super) submitted: Timestamp,
    pub(super) id: Uuid,
}

impl JobKey {
    /// The same place beside those that run, or that wait.
    pub(super) fn order(self, waits: bool) -> OrderKey {
        // Moved to where no rank is negative.
        let rank = u128::from(self.rank.cast_unsigned() ^ (1 << 63));
        OrderKey { class: 0, rank, waits, submitted: self.submitted, id: self.id }
    }
}

/// What an order remembers of a run, from when it was first seen on. It travels with the job: one that was preempted is
/// submitted again with it. Without it, a run is as if it had just come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    entered: Option<Entered>,
    urgent: bool,
}

/// What was so when a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entered {
    /// The sum over time of the weights of all, in thousandths × microseconds.
    crowd: i128,
    /// The virtual time at which it began, in thousandths of a GPU × microseconds.
    service: i128,
}

/// How many there were over time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Crowd {
    at: Option<Timestamp>,
    weight_milli: i128,
    sum: i128,
}

impl Crowd {
    /// Counts the time since the last look, in which there were as many as then.
    fn advance(&mut self, now: Timestamp) {
        let micros = self.at.map_or(0, |at| now.as_micros().saturating_sub(at.as_micros()).max(0));
        self.sum = self.sum.saturating_add(self.weight_milli.saturating_mul(i128::from(micros)));
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
    }
}

/// Everybody's place at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    /// Those that wait and are due, in no particular order.
    pub(super) waiting: Vec<(OrderKey, LaneKey)>,
    /// Those that run, by their ids.
    pub(super) running: Vec<(OrderKey, Uuid)>,
}

/// Looks at all that wait and run, and gives each its place. What is new is remembered.
pub(super) fn standing(
    policy: QueuePolicy,
    now: Timestamp,
    gpu_milli: i64,
    (pending, running): (&mut Pending, &mut RunningSet),
    accounts: &Accounts,
    crowd: &mut Crowd,
) -> Standing {
    crowd.advance(now);
    let mut ranked: Vec<Ranked<'_>> = Vec::new();
    let mut lanes: Vec<LaneKey> = Vec::new();
    for entry in pending.iter_mut().filter(|entry| entry.job.not_before.is_none_or(|at| at <= now)) {
        lanes.push(entry.lane);
        let weight_milli = accounts.weight_of(entry.job.account);
        ranked.push(Ranked::new(&mut entry.job, None, entry.total.gpu_milli, weight_milli, now));
    }
    for held in running.iter_mut() {
        let weight_milli = accounts.weight_of(held.run.job.account);
        let started = Some(held.run.started);
        ranked.push(Ranked::new(&mut held.run.job, started, held.total.gpu_milli, weight_milli, now));
    }
    crowd.weight_milli = ranked.iter().map(|ranked| ranked.weight_milli).sum();
    let world =
        World { gpu_milli: i128::from(gpu_milli.max(1)), crowd: crowd.sum, weight_milli: crowd.weight_milli };
    rank(policy, &world, &mut ranked);
    let (waiting, running) = ranked.split_at(lanes.len().min(ranked.len()));
    Standing {
        waiting: waiting.iter().map(|ranked| ranked.key).zip(lanes).collect(),
        running: running.iter().map(|ranked| (ranked.key, ranked.key.id)).collect(),
    }
}
