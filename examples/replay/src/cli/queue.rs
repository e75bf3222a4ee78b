//! The arguments of `replay queue`.

use std::path::PathBuf;
use std::str::FromStr;

use apportion::queue::{MAX_MEMBERS, UnknownQueuePolicy};
use apportion::sched::MAX_GPUS;
use clap::Args;

use super::at_most;
use crate::queue::{Discipline, Gangs, Setup};

const MOST_GPUS: usize = MAX_MEMBERS as usize;
const MOST_PER_NODE: usize = MAX_GPUS as usize;

/// Which jobs to replay, on what, and under which policies.
#[derive(Debug, Args)]
pub struct QueueArgs {
    /// The jobs, as a CSV file with the columns `job_id`, `arrival_s`, `duration_s`, `num_gpus` and, where it has them,
    /// `mode` and `model`.
    #[arg(long, value_name = "FILE")]
    pub jobs: Option<PathBuf>,
    /// How many jobs to draw where no file is given.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = at_most::<1, 100_000>, conflicts_with = "jobs")]
    pub jobs_count: usize,
    /// The GPUs of the cluster.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = at_most::<1, MOST_GPUS>)]
    pub gpus: usize,
    /// The GPUs of each node.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_most::<1, MOST_PER_NODE>)]
    pub per_node: usize,
    /// Where the GPUs of a job may be.
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = Gangs::Any)]
    pub gangs: Gangs,
    /// A policy, as often as wanted, or `all`.
    #[arg(long, value_name = "POLICY", default_value = "all")]
    pub policy: Vec<DisciplineArg>,
    /// How often, in seconds, something is decided when nothing happens; 0 for never.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = at_most::<0, 86_400>)]
    pub tick: usize,
    /// For how long, in seconds, a run keeps what it got before one that comes before it in order may have it.
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = at_most::<0, 86_400>)]
    pub quantum: usize,
    /// How many accounts the jobs belong to, in turn.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_most::<1, 100_000>)]
    pub accounts: usize,
    /// By how much, at most, what is said about a job's duration is wrong, in per cent.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = at_most::<0, 100>)]
    pub estimate_error: usize,
    /// The seed of the drawn jobs, and of the errors.
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Write the figures of every policy to this file, for machines.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl QueueArgs {
    /// The policies asked for, each once, in their fixed order.
    pub fn disciplines(&self) -> Vec<Discipline> {
        let asked = |discipline: &Discipline| self.policy.iter().any(|arg| arg.covers(*discipline));
        Discipline::all().into_iter().filter(asked).collect()
    }

    /// What to replay on.
    pub fn setup(&self) -> Setup {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Setup {
            gpus: number(self.gpus),
            per_node: number(self.per_node),
            gangs: self.gangs,
            tick_s: u64::from(number(self.tick)),
            quantum_s: u64::from(number(self.quantum)),
            accounts: number(self.accounts),
            estimate_error_pct: number(self.estimate_error),
            seed: self.seed,
        }
    }
}

/// One policy or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisciplineArg {
    /// `all`.
    All,
    /// This one.
    One(Discipline),
}

impl DisciplineArg {
    fn covers(self, discipline: Discipline) -> bool {
        self == Self::All || self == Self::One(discipline)
    }
}

impl FromStr for DisciplineArg {
    type Err = UnknownQueuePolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(Self::One) }
    }
}
