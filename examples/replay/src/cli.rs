//! The command line, and what of it can be judged before anything is read or written.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use apportion::sched::Policy;
use clap::{Args, Parser, Subcommand};

use crate::generate::{DEFAULT_PODS, PUBLISHED_NODES};
use crate::inflate::Typical;

mod queue;
mod store;
#[cfg(test)]
mod tests;

pub use queue::{DisciplineArg, QueueArgs};
use store::schema_name;
pub use store::{DatabaseUrl, DurabilityArg, StoreArg, StoreAt};

/// Replays a GPU cluster's workload through the whole durable control plane, and writes a report.
///
/// With no arguments it generates a cluster and a workload of the published shape: 16,304 pods on 1,523 nodes.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Something else than the replay.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to replay.
    #[command(flatten)]
    pub replay: ReplayArgs,
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the published experiment, which fills the cluster until nothing fits, and compares the policies.
    Inflate(InflateArgs),
    /// Replays training jobs through the queue in virtual time, and compares the policies.
    Queue(QueueArgs),
}

/// Where the cluster and the workload come from, how they are replayed, and where the results go.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The cluster, as a CSV file with the columns `sn`, `cpu_milli`, `memory_mib`, `gpu`, `model`.
    #[arg(long, value_name = "FILE", requires = "pods")]
    pub nodes: Option<PathBuf>,
    /// The workload, as a CSV file with the columns `name`, `cpu_milli`, `memory_mib`, `num_gpu`, `gpu_milli` and,
    /// where it has them, `gpu_spec`, `creation_time` and `deletion_time`.
    #[arg(long, value_name = "FILE", requires = "nodes")]
    pub pods: Option<PathBuf>,
    /// How many nodes to generate where no file is given.
    #[arg(long, value_name = "N", default_value_t = PUBLISHED_NODES, value_parser = at_most::<1, 1_000_000>, conflicts_with = "nodes")]
    pub nodes_count: usize,
    /// How many pods to generate where no file is given.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PODS, value_parser = at_most::<1, 10_000_000>, conflicts_with = "nodes")]
    pub pods_count: usize,
    /// How many users the instances belong to.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_most::<1, 100_000>)]
    pub users: usize,
    /// How many instances each user may have at once.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub instance_limit: u32,
    /// How many GPUs each user may hold at once; as many as there are, if it is left out.
    #[arg(long, value_name = "N")]
    pub gpu_limit: Option<u32>,
    /// Where the state is kept: a redb file (PATH or redb:PATH), a SQLite file (sqlite:PATH), a Postgres database
    /// (`postgres://USER@HOST/DATABASE`), or memory: for a trial that leaves nothing.
    ///
    /// A password is better given in the environment, as PGPASSWORD, than in the address, which other users of the machine
    /// can see. Default: replay.redb, or, for a generated workload, a temporary file that is removed at the end.
    #[arg(long, value_name = "STORE")]
    pub store: Option<StoreArg>,
    /// The schema of a Postgres database that the tables are in; replay, if it is left out.
    #[arg(long, value_name = "NAME", value_parser = schema_name)]
    pub schema: Option<String>,
    /// What an acknowledged change survives: full (a power cut; the default) or process-crash (which syncs the disk
    /// seldom or never). With Postgres it is a setting of the server.
    #[arg(long, value_name = "DURABILITY")]
    pub durability: Option<DurabilityArg>,
    /// How many changes are under way at once, and so can share one sync of the disk.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_most::<1, 4_096>)]
    pub concurrency: usize,
    /// How nodes are chosen: random, dot-product, clustering, packing, best-fit, fgd or opportunity-cost.
    #[arg(long, value_name = "POLICY", default_value_t = Policy::default())]
    pub policy: Policy,
    /// The seed of the generated workload and of every random choice.
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Continue a replay that was cut short, on the file or in the schema that it left.
    #[arg(long)]
    pub resume: bool,
    /// Where the report goes.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub report: PathBuf,
    /// Write every figure to this file, for machines.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// End with an error unless the final state has this digest.
    #[arg(long, value_name = "DIGEST")]
    pub expect: Option<String>,
}

/// What to run the experiment on, and what to compare it with.
#[derive(Debug, Args)]
pub struct InflateArgs {
    /// A policy, as often as wanted, or `all`.
    #[arg(long, value_name = "POLICY", default_value = "all")]
    pub policy: Vec<PolicyArg>,
    /// Where the policies know from what is typical: given, from the whole workload beforehand, as published; or
    /// learned, from the pods that have come, beginning with nothing. Both, if both are named.
    #[arg(long, value_enum, value_name = "MIX", default_value = "given")]
    pub mix: Vec<Typical>,
    /// How many seeds to run each policy with; the first one is 42.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_most::<1, 1_000>)]
    pub seeds: usize,
    /// The cluster; the nodes without GPUs are left out.
    #[arg(long, value_name = "FILE", requires = "pods")]
    pub nodes: Option<PathBuf>,
    /// The workloads, each an experiment of its own.
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "nodes")]
    pub pods: Vec<PathBuf>,
    /// The published results, to print beside: a CSV file with the columns `metric`, `trace`, `policy`,
    /// `arrived_pct`, `mean`.
    #[arg(long, value_name = "FILE")]
    pub published: Option<PathBuf>,
    /// Write the results of every run to this file, for machines.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl InflateArgs {
    /// The policies asked for, each once, in their fixed order.
    pub fn policies(&self) -> Vec<Policy> {
        let asked = |policy: &Policy| self.policy.iter().any(|arg| arg.covers(*policy));
        Policy::ALL.into_iter().filter(asked).collect()
    }

    /// Where the policies are to know from what is typical, each once, in a fixed order.
    pub fn mixes(&self) -> Vec<Typical> {
        let asked = |mix: &Typical| self.mix.contains(mix);
        [Typical::Given, Typical::Learned].into_iter().filter(asked).collect()
    }
}

/// One policy or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyArg {
    /// `all`.
    All,
    /// This one.
    One(Policy),
}

impl PolicyArg {
    fn covers(self, policy: Policy) -> bool {
        self == Self::All || self == Self::One(policy)
    }
}

impl FromStr for PolicyArg {
    type Err = apportion::sched::UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(Self::One) }
    }
}

/// Arguments that cannot be followed, found before anything was written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageError {
    /// A replay would be mixed into a store that is not empty.
    #[error("{} is there already: continue it with --resume, or name another file with --store", path.display())]
    StoreExists {
        /// The file.
        path: PathBuf,
    },
    /// There is no file to continue.
    #[error("{} is not there: there is nothing to --resume", path.display())]
    NothingToResume {
        /// The file.
        path: PathBuf,
    },
    /// What leaves nothing cannot be continued.
    #[error("--resume continues what is in a file or a database: name it with --store")]
    ResumeWithoutStore,
    /// There is no such kind of store.
    #[error("--store takes PATH, redb:PATH, sqlite:PATH, postgres://… or memory:, and this is none of them")]
    UnknownStore,
    /// Only Postgres has schemas.
    #[error("--schema goes with --store postgres://…")]
    SchemaOfNothing,
    /// What a commit survives is not the client's to say.
    #[error(
        "what a commit survives is a setting of the Postgres server (fsync, synchronous_commit): leave --durability out"
    )]
    ServerDurability,
    /// A result could not be written at the end.
    #[error("{} cannot be written: its folder is not there", path.display())]
    NoFolder {
        /// The file.
        path: PathBuf,
    },
}

/// Refuses a path whose folder is not there.
pub fn folder_of(path: &Path) -> Result<(), UsageError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_none_or(Path::is_dir) { Ok(()) } else { Err(UsageError::NoFolder { path: path.to_owned() }) }
}

/// Reads a number and says its range where it is outside.
fn at_most<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| String::from("not a whole number"))?;
    if (LEAST..=MOST).contains(&number) { Ok(number) } else { Err(format!("must be from {LEAST} to {MOST}")) }
}
