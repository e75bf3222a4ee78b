//! Words that do not count: of a lease that is over, and of one that never was the speaker's. Each must be refused.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ControlPlane;
use crate::entity::RunCause;
use crate::error::{Error, Result};
use crate::plane::{Artifact, LeaseStanding, NewStatus, RunLease};

/// Something that a worker can say of a run, or of its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Word {
    Begin,
    Tell,
    Upload,
    Complete,
    Fail,
    Renew,
    /// Only where the lease is not the speaker's: that a lease is free its last worker may always say.
    Release,
    /// A claim by the agent of a node that was replaced.
    Claim,
}

/// Why a word does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Why {
    /// The lease was not renewed in time.
    Expired,
    /// The lease was taken away: for another run, or because nobody wants the run any more.
    Taken,
    /// The worker itself has let go of the lease.
    Ended,
    /// It is of an attempt, or of a worker, that came before the one whose the lease is, or of none.
    Forged,
    /// A worker died, and this is said by one that has nothing but its name.
    Dead,
    /// Another agent has joined as the node.
    Replaced,
}

impl Why {
    /// What happens for certain if one waits; the others need two processes to meet.
    pub(super) const CERTAIN: [Self; 5] =
        [Self::Expired, Self::Ended, Self::Forged, Self::Dead, Self::Replaced];
}

impl Word {
    /// What can be said of a lease that was the speaker's.
    pub(super) const OF_A_RUN: [Self; 6] =
        [Self::Begin, Self::Tell, Self::Upload, Self::Complete, Self::Fail, Self::Renew];
    pub(super) const ALL: [Self; 8] = [
        Self::Begin,
        Self::Tell,
        Self::Upload,
        Self::Complete,
        Self::Fail,
        Self::Renew,
        Self::Release,
        Self::Claim,
    ];

    /// Says it, as if this lease were the speaker's.
    pub(super) async fn say(self, plane: &ControlPlane, lease: &RunLease) -> Result<()> {
        match self {
            Self::Begin => plane.begin_run(lease).await.map(drop),
            Self::Tell => plane.tell(lease, NewStatus::of("late")).await.map(drop),
            Self::Upload => plane.uploading_run(lease).await.map(drop),
            // Another one than any that was said in time, which would be answered as before.
            Self::Complete => plane.complete_run(lease, &artifact(lease, 'e')).await.map(drop),
            Self::Fail => plane.fail_run(lease, RunCause::Hardware, Some("late")).await.map(drop),
            Self::Renew => match plane.renew_lease(lease, Duration::from_secs(1)).await {
                Ok(LeaseStanding::Held(_)) => Ok(()),
                // That it is to stop is no answer that gives it anything.
                Ok(LeaseStanding::Stop(_)) => Err(refused()),
                Err(error) => Err(error),
            },
            Self::Release => plane.release_lease(lease).await,
            Self::Claim => Err(refused()),
        }
    }
}

fn refused() -> Error {
    Error::WrongState { kind: "gpu_lease", state: "releasing", event: "renewing", allowed: Vec::new() }
}

/// What a worker uploads for an attempt.
pub(super) fn artifact(lease: &RunLease, digit: char) -> Artifact {
    let key = format!("runs/{}/{}/artifact", lease.run, lease.attempt);
    Artifact::new(key, 7, String::from(digit).repeat(64))
}

/// What comes before and behind what a worker shows, and is nobody's.
pub(super) fn forged(lease: &RunLease) -> Vec<RunLease> {
    let with = |attempt, token| RunLease::new(lease.run, lease.lease, attempt, token);
    let mut forged = vec![with(lease.attempt, lease.token + 1), with(lease.attempt + 1, lease.token)];
    forged.extend(lease.token.checked_sub(1).map(|token| with(lease.attempt, token)));
    forged.extend(lease.attempt.checked_sub(1).map(|attempt| with(attempt, lease.token)));
    forged
}
