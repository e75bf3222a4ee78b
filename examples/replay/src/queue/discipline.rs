//! What is compared: [`Discipline`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use apportion::queue::{QueuePolicy, Settings, UnknownQueuePolicy};

use super::Setup;

/// What is compared: the policies of the queue, and one of them without reservations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// A policy as it is.
    Policy(QueuePolicy),
    /// First come, first served; what does not fit is passed over by all that does, and nothing is kept for it.
    Skipping,
}

impl Discipline {
    /// All, in the order of the table.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = QueuePolicy::ALL.into_iter().map(Self::Policy).collect();
        all.insert(1, Self::Skipping);
        all
    }

    pub(super) fn settings(self, setup: &Setup) -> Settings {
        let mut settings = match self {
            Self::Policy(policy) => Settings::new(policy),
            Self::Skipping => Settings::new(QueuePolicy::Backfill),
        };
        if self == Self::Skipping {
            settings.reservations = 0;
        }
        settings.quantum = Duration::from_secs(setup.quantum_s);
        settings
    }
}

impl fmt::Display for Discipline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(policy) => policy.fmt(f),
            Self::Skipping => f.pad("skipping"),
        }
    }
}

impl FromStr for Discipline {
    type Err = UnknownQueuePolicy;

    fn from_str(name: &str) -> Result<Self, UnknownQueuePolicy> {
        if name == "skipping" { Ok(Self::Skipping) } else { name.parse().map(Self::Policy) }
    }
}
