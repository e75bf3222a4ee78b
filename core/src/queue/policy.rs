//! In which order runs get their turn: [`QueuePolicy`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// In which order runs get their turn, and what happens to those that do not fit.
///
/// Among equals the run that was submitted first goes first, then the one of the lower id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum QueuePolicy {
    /// First come, first served. A run that does not fit stops all behind it; one that its queue's quota refuses stops
    /// those of its queue.
    Fifo,
    /// First come, first served, except that what does not fit is passed over by what does. The first that are passed
    /// over get reservations, so that they are not delayed: EASY backfilling (Lifka, "The ANL/IBM SP scheduling
    /// system", JSSPP 1995; with more than one reservation, as in Mu'alem and Feitelson, IEEE TPDS 12(6), 2001).
    Backfill,
    /// The higher priority first, then as [`Backfill`](Self::Backfill).
    Priority,
    /// Max-min fairness: the queue, and in it the account, that would have the least weighted dominant share with what
    /// it asks for goes first (Ghodsi et al., NSDI 2011); queues that would not borrow go before those that would. In
    /// an account the higher priority first, then as [`Backfill`](Self::Backfill).
    FairShare,
    /// The least remaining time first; runs that have longer to go give way to it. A run without an estimate comes
    /// last.
    ShortestRemaining,
    /// Max-min fairness among runs: who has got the least GPU time by its account's weight since it came goes first,
    /// and those that have got more give way. A new one begins with what the least of the others has (start-time fair
    /// queueing: Goyal, Vin and Cheng, SIGCOMM 1996).
    MaxMin,
    /// The worst finish-time ratio first: the time that a run takes here, were it to run from now on, beside the time
    /// that it would take with an equal part of the cluster; those of a better one give way (Mahajan et al., "Themis:
    /// Fair and Efficient GPU Cluster Scheduling", NSDI 2020).
    FinishTimeFairness,
    /// The least remaining time × √GPUs ÷ weight first, except that runs go before all others whose finish-time ratio
    /// is about to be the worst, and then those that have as long to go as all work together takes. Others give way.
    ///
    /// It needs estimates, and a tick a minute or so besides those at which something happens: runs become urgent with
    /// time alone. Where nothing is known of most runs, [`FairShare`](Self::FairShare) or [`MaxMin`](Self::MaxMin) do
    /// better.
    #[default]
    Balanced,
}

/// What a policy is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) line: LineKind,
    /// Whether what does not fit stops all behind it.
    pub(super) head_blocks: bool,
    /// Whether what does not fit gets a reservation.
    pub(super) reserves: bool,
    /// Whether a running one gives way to one that waits and comes before it.
    pub(super) displaces: bool,
}

/// What the order is by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineKind {
    /// By what does not change while a run waits.
    Fixed,
    /// By shares, which change with each grant.
    Shares,
    /// By what everybody, waiting or running, has got and is expected to need, which changes with time.
    Standing,
}

impl QueuePolicy {
    /// All policies.
    pub const ALL: [Self; 8] = [
        Self::Fifo,
        Self::Backfill,
        Self::Priority,
        Self::FairShare,
        Self::ShortestRemaining,
        Self::MaxMin,
        Self::FinishTimeFairness,
        Self::Balanced,
    ];

    /// The name by which a policy is configured.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::Backfill => "backfill",
            Self::Priority => "priority",
            Self::FairShare => "fair-share",
            Self::ShortestRemaining => "shortest-remaining",
            Self::MaxMin => "max-min",
            Self::FinishTimeFairness => "finish-time-fairness",
            Self::Balanced => "balanced",
        }
    }

    pub(super) const fn rules(self) -> Rules {
        let base = Rules { line: LineKind::Fixed, head_blocks: false, reserves: true, displaces: false };
        match self {
            Self::Fifo => Rules { head_blocks: true, reserves: false, ..base },
            Self::Backfill | Self::Priority => base,
            Self::FairShare => Rules { line: LineKind::Shares, ..base },
            Self::ShortestRemaining => Rules { reserves: false, displaces: true, ..base },
            Self::MaxMin | Self::FinishTimeFairness | Self::Balanced => {
                Rules { line: LineKind::Standing, reserves: false, displaces: true, ..base }
            }
        }
    }
}

impl fmt::Display for QueuePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no policy's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no queue policy is called {name:?}")]
pub struct UnknownQueuePolicy {
    /// The name that was given.
    pub name: String,
}

impl FromStr for QueuePolicy {
    type Err = UnknownQueuePolicy;

    fn from_str(name: &str) -> Result<Self, UnknownQueuePolicy> {
        let found = Self::ALL.into_iter().find(|policy| policy.name() == name);
        found.ok_or_else(|| UnknownQueuePolicy { name: name.to_owned() })
    }
}
