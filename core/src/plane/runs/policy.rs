//! How long each state of a run may last, and when it is tried again: [`RunPolicy`], [`after_failure`].

use std::time::Duration;

use crate::entity::{RunCause, RunEvent, RunState, TrainingRun};
use crate::time::Timestamp;

/// How long each state of a run may last, and how long is waited before it is tried again.
///
/// More may come: begin with [`RunPolicy::default`] and set what is another, by the methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunPolicy {
    /// How long its images may be resized: an hour unless said.
    pub preparing: Duration,
    /// How long it may wait for GPUs: for ever unless said.
    pub waiting: Option<Duration>,
    /// How long it may hold GPUs before a worker begins: 15 minutes unless said.
    pub starting: Duration,
    /// How long it may tell nothing while it trains: 30 minutes unless said.
    pub silence: Duration,
    /// How long its artefact may be uploaded: two hours unless said.
    pub uploading: Duration,
    /// The pause after the first failure, which doubles with each one: 30 seconds unless said.
    pub backoff: Duration,
    /// The longest pause: an hour unless said.
    pub longest_backoff: Duration,
}

impl Default for RunPolicy {
    fn default() -> Self {
        Self {
            preparing: Duration::from_hours(1),
            waiting: None,
            starting: Duration::from_mins(15),
            silence: Duration::from_mins(30),
            uploading: Duration::from_hours(2),
            backoff: Duration::from_secs(30),
            longest_backoff: Duration::from_hours(1),
        }
    }
}

impl RunPolicy {
    /// Says how long images may be resized.
    pub const fn preparing(mut self, limit: Duration) -> Self {
        self.preparing = limit;
        self
    }

    /// Says how long a run may wait for GPUs; `None` is for ever.
    pub const fn waiting(mut self, limit: Option<Duration>) -> Self {
        self.waiting = limit;
        self
    }

    /// Says how long GPUs may be held before a worker begins.
    pub const fn starting(mut self, limit: Duration) -> Self {
        self.starting = limit;
        self
    }

    /// Says how long a run may tell nothing while it trains.
    pub const fn silence(mut self, limit: Duration) -> Self {
        self.silence = limit;
        self
    }

    /// Says how long an artefact may be uploaded.
    pub const fn uploading(mut self, limit: Duration) -> Self {
        self.uploading = limit;
        self
    }

    /// Sets the pause after the first failure, and the longest one.
    pub const fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.backoff, self.longest_backoff) = (first, longest);
        self
    }

    /// When a state that begins now becomes too old. A queued run is due then. Nothing that is live is without one, so that there
    /// is no state in which a run is forgotten.
    pub(in crate::plane) fn deadline(
        &self,
        state: RunState,
        not_before: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        match state {
            RunState::Queued => Some(not_before.unwrap_or(now).max(now)),
            RunState::Preparing => Some(now.plus(self.preparing)),
            RunState::WaitingForGpu => Some(self.waiting.map_or(Timestamp::MAX, |longest| now.plus(longest))),
            RunState::Starting => Some(now.plus(self.starting)),
            RunState::Training => Some(now.plus(self.silence)),
            RunState::Uploading => Some(now.plus(self.uploading)),
            RunState::Completed | RunState::Failed | RunState::Aborted | RunState::Stalled => None,
        }
    }

    /// The pause after so many failures: it doubles with each one, up to the longest, and some of its second half is taken off, as
    /// the run's id and the number say, so that runs that failed together do not all come again together.
    fn pause(&self, run: &TrainingRun) -> Duration {
        let doubled = self.backoff.saturating_mul(1_u32.checked_shl(run.failures).unwrap_or(u32::MAX));
        let longest = u64::try_from(doubled.min(self.longest_backoff).as_micros()).unwrap_or(u64::MAX);
        let (high, low) = run.id.uuid().as_u64_pair();
        let off = mixed(high ^ low.rotate_left(32) ^ u64::from(run.failures)) % (longest / 2).max(1);
        Duration::from_micros(longest.saturating_sub(off))
    }
}

/// What becomes of a run whose attempt has failed, or whose state is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plane) enum Next {
    /// It is queued again, and not begun before this.
    Requeue(Timestamp),
    /// It ends by this.
    End(RunEvent),
}

/// What becomes of a run by a cause. What was the run's own doing is never repeated, what was nobody's fault always is and counts
/// as no failure; everything else is repeated as often as it may fail. Only what has had GPUs can be repeated.
pub(in crate::plane) fn after_failure(
    run: &TrainingRun,
    cause: RunCause,
    now: Timestamp,
    policy: &RunPolicy,
) -> Next {
    let end = Next::End(end_by(cause));
    if !run.state.has_lease() {
        return end;
    }
    match cause {
        RunCause::Invalid | RunCause::Requested => end,
        RunCause::Preempted => Next::Requeue(now),
        _ if run.failures < run.max_failures => Next::Requeue(now.plus(policy.pause(run))),
        _ => end,
    }
}

/// How a run ends by a cause: what came no further has stalled, what was tried and did not work has failed.
const fn end_by(cause: RunCause) -> RunEvent {
    match cause {
        RunCause::Requested => RunEvent::Abort,
        RunCause::Crashed
        | RunCause::Invalid
        | RunCause::Hardware
        | RunCause::NotRented
        | RunCause::Preempted => RunEvent::Fail,
        RunCause::WorkerLost
        | RunCause::NotBegun
        | RunCause::NoProgress
        | RunCause::NotPrepared
        | RunCause::NoGpus
        | RunCause::NotUploaded => RunEvent::Stall,
    }
}

/// Why a run is too old in a state; none where no state can be, for one that is queued or has ended.
pub(super) const fn too_old(state: RunState) -> Option<RunCause> {
    match state {
        RunState::Preparing => Some(RunCause::NotPrepared),
        RunState::WaitingForGpu => Some(RunCause::NoGpus),
        RunState::Starting => Some(RunCause::NotBegun),
        RunState::Training => Some(RunCause::NoProgress),
        RunState::Uploading => Some(RunCause::NotUploaded),
        RunState::Queued | RunState::Completed | RunState::Failed | RunState::Aborted | RunState::Stalled => {
            None
        }
    }
}

/// Spreads the bits of a number over all of it: the finalizer of `SplitMix64`.
const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
