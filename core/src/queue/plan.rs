//! What a tick decides: [`Plan`].

use uuid::Uuid;

use super::resources::Resource;
use crate::sched::Placement;
use crate::time::Timestamp;

/// What a tick decides. Nothing of it has happened: the caller carries it out, and tells the queue what has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Runs to start now, in the order in which they were chosen. All of them fit beside each other.
    pub grants: Vec<Grant>,
    /// Runs to stop. Those for which they stop are started by a later tick, when they have ended.
    pub preemptions: Vec<Preemption>,
    /// Runs that wait for others to end.
    pub reservations: Vec<Reservation>,
}

/// A run to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The run.
    pub job: Uuid,
    /// Where each of its members goes.
    pub placements: Vec<Placement>,
}

/// A run to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preemption {
    /// The run that stops.
    pub victim: Uuid,
    /// The run that gets its place.
    pub claimant: Uuid,
    /// Why it may.
    pub reason: PreemptionReason,
}

/// Why a run has to give way to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PreemptionReason {
    /// The claimant's queue takes back what is its own.
    Reclaim {
        /// The queue that borrows.
        borrower: Uuid,
        /// What it borrows.
        resource: Resource,
    },
    /// The claimant has the higher priority in the same queue.
    Priority {
        /// The priority of the claimant.
        claimant: i32,
        /// The priority of the run that stops.
        victim: i32,
    },
    /// The claimant comes before it in the order of the policy.
    Order,
}

/// Nodes that are kept for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The run.
    pub job: Uuid,
    /// When it is expected to start, if everybody ends when they are expected to; none where that is not known.
    pub at: Option<Timestamp>,
    /// The nodes, in ascending order. Until then only runs use them that end before.
    pub nodes: Vec<Uuid>,
}
