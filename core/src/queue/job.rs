//! What waits and what runs: [`Job`], [`Running`].

use std::time::Duration;

use uuid::Uuid;

use super::order::History;
use super::resources::Resources;
use crate::sched::{Demand, Placement};
use crate::time::Timestamp;

/// The most members of a gang.
pub const MAX_MEMBERS: u32 = 1024;

/// What a run asks for: a gang of equal members, which start together or not at all.
///
/// Equal asks are one *shape*: where one does not fit, no other of the shape does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ask {
    demand: Demand,
    members: u32,
    spread: bool,
}

/// A gang that there cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a gang must have from 1 to {MAX_MEMBERS} members, got {got}")]
pub struct InvalidAsk {
    /// The number of members given.
    pub got: u32,
}

impl Ask {
    /// One task.
    pub const fn one(demand: Demand) -> Self {
        Self { demand, members: 1, spread: false }
    }

    /// So many tasks; each on another node if they are to be spread, else wherever they fit.
    pub fn gang(demand: Demand, members: u32, spread: bool) -> Result<Self, InvalidAsk> {
        if members == 0 || members > MAX_MEMBERS {
            return Err(InvalidAsk { got: members });
        }
        // One member is spread as it is: so that asks which mean the same are equal.
        Ok(Self { demand, members, spread: spread && members > 1 })
    }

    /// What each member asks of its node.
    pub const fn demand(&self) -> &Demand {
        &self.demand
    }

    /// The number of members.
    pub const fn members(&self) -> u32 {
        self.members
    }

    /// Whether each member must be on another node.
    pub const fn spread(&self) -> bool {
        self.spread
    }

    /// What all members ask for together.
    pub fn total(&self) -> Resources {
        Resources::of(&self.demand).times(self.members)
    }
}

/// A run that waits for its turn, or the part of a running one that does not change while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The run.
    pub id: Uuid,
    /// The queue that it waits in.
    pub queue: Uuid,
    /// The account whose share it counts to.
    pub account: Uuid,
    /// The higher goes first, and may preempt the lower in its queue.
    pub priority: i32,
    /// Since when it waits. A run that was preempted keeps the moment of its first submission.
    pub submitted: Timestamp,
    /// Not to be started before this moment.
    pub not_before: Option<Timestamp>,
    /// How long it is expected to run from its beginning, all attempts together.
    pub estimate: Option<Duration>,
    /// When it should be done.
    pub deadline: Option<Timestamp>,
    /// For how long an attempt is not preempted.
    pub min_runtime: Duration,
    /// Whether it may be preempted at all.
    pub preemptible: bool,
    /// What it asks for.
    pub ask: Ask,
    /// What earlier attempts have done of it and kept.
    pub done: Duration,
    /// How many attempts have begun before.
    pub attempt: u32,
    /// What the order remembers of it: empty for one that is new.
    pub history: History,
}

impl Job {
    /// A run of priority 0 that may be preempted at any time, with nothing known of how long it will run.
    pub fn new(id: Uuid, queue: Uuid, account: Uuid, submitted: Timestamp, ask: Ask) -> Self {
        Self {
            id,
            queue,
            account,
            priority: 0,
            submitted,
            not_before: None,
            estimate: None,
            deadline: None,
            min_runtime: Duration::ZERO,
            preemptible: true,
            ask,
            done: Duration::ZERO,
            attempt: 0,
            history: History::default(),
        }
    }

    /// How long it is expected to run yet, were it started now. Nothing where it has run longer than expected.
    pub fn remaining(&self) -> Option<Duration> {
        self.estimate.map(|estimate| estimate.saturating_sub(self.done))
    }
}

/// A run that holds what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The run.
    pub job: Job,
    /// When this attempt began.
    pub started: Timestamp,
    /// Where each member is.
    pub placements: Vec<Placement>,
    /// Whether it was asked to stop; it holds everything until it has ended.
    pub stopping: bool,
}

impl Running {
    /// When it is expected to end; a moment in the past where it runs longer than expected.
    pub fn expected_end(&self) -> Option<Timestamp> {
        Some(self.started.plus(self.job.remaining()?))
    }

    /// How long it is expected to run yet.
    pub fn remaining(&self, now: Timestamp) -> Option<Duration> {
        Some(self.job.remaining()?.saturating_sub(now.since(self.started)))
    }

    /// Whether it may be preempted now, by somebody who leaves it at least `quantum`.
    pub fn may_be_preempted(&self, now: Timestamp, quantum: Duration) -> bool {
        let ran = now.since(self.started);
        !self.stopping && self.job.preemptible && ran >= self.job.min_runtime.max(quantum)
    }
}
