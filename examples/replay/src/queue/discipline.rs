//! What is compared: [`Discipline`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use apportion::queue::{QueuePolicy, Settings, UnknownQueuePolicy};

use super::Setup;

/// What is compared: the policies of the queue, one of them without reservations, and one that chooses before it places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// A policy as it is.
    Policy(QueuePolicy),
    /// First come, first served; what does not fit is passed over by all that does, and nothing is kept for it.
    Skipping,
    /// The least remaining time first, by the number of GPUs alone, whoever runs; only then those who are chosen are
    /// placed, and who finds no place waits, with nothing else in its stead. So do simulators that decide in rounds.
    Counted,
}

impl Discipline {
    /// All, in the order of the table.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = QueuePolicy::ALL.into_iter().map(Self::Policy).collect();
        all.insert(1, Self::Skipping);
        let shortest = Self::Policy(QueuePolicy::ShortestRemaining);
        let behind = all.iter().position(|discipline| *discipline == shortest).map_or(all.len(), |at| at + 1);
        all.insert(behind, Self::Counted);
        all
    }

    pub(super) fn settings(self, setup: &Setup) -> Settings {
        let mut settings = match self {
            Self::Policy(policy) => Settings::new(policy),
            Self::Skipping | Self::Counted => Settings::new(QueuePolicy::Backfill),
        };
        if matches!(self, Self::Skipping | Self::Counted) {
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
            Self::Counted => f.pad("shortest-counted"),
        }
    }
}

impl FromStr for Discipline {
    type Err = UnknownQueuePolicy;

    fn from_str(name: &str) -> Result<Self, UnknownQueuePolicy> {
        match name {
            "skipping" => Ok(Self::Skipping),
            "shortest-counted" => Ok(Self::Counted),
            name => name.parse().map(Self::Policy),
        }
    }
}
