//! How a queue decides: [`Settings`].

use std::time::Duration;

use super::policy::QueuePolicy;
use super::usage::Decay;
use crate::sched::Policy;

/// How a queue decides. The default is the balanced order with both kinds of preemption.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// In which order runs get their turn.
    pub policy: QueuePolicy,
    /// On which nodes they are placed.
    pub placement: Policy,
    /// How use is forgotten.
    pub decay: Decay,
    /// For how long, at least, a run keeps what it got before one that comes before it in order may have it. Reclaiming
    /// and priorities look at [`Job::min_runtime`](super::Job::min_runtime) alone.
    pub quantum: Duration,
    /// How many runs that do not fit get a reservation in a tick, from 0 on.
    pub reservations: usize,
    /// For how long a run without a known time to start is passed over. After that, nodes are kept for it as they
    /// become free, those first whose runs began first.
    pub patience: Duration,
    /// The most runs that a tick starts.
    pub most_grants: usize,
    /// The most runs that a tick preempts.
    pub most_preemptions: usize,
    /// Whether a queue within its quota takes back what others borrow.
    pub reclaim: bool,
    /// Whether a run preempts those of lower priority in its queue.
    pub preempt_by_priority: bool,
}

impl Settings {
    /// The default settings with another policy.
    pub fn new(policy: QueuePolicy) -> Self {
        Self { policy, ..Self::default() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: QueuePolicy::default(),
            placement: Policy::BestFit,
            decay: Decay::default(),
            quantum: Duration::from_mins(5),
            reservations: 4,
            patience: Duration::from_hours(1),
            most_grants: 16_384,
            most_preemptions: 256,
            reclaim: true,
            preempt_by_priority: true,
        }
    }
}
