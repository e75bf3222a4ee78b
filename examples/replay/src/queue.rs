//! A trace of training jobs through the queue, in virtual time: who would run when under which policy.
//!
//! The engine is the one that decides in production ([`apportion::queue::Queue`]); only time is not real. Something is
//! decided whenever a job comes or ends, and at every tick between. A job that is preempted stops at once, keeps
//! everything that it has done, and waits again. Nothing is random: the same jobs give the same course.

use apportion::queue::{InvalidAsk, Unacceptable};
use apportion::sched::{InvalidDemand, InvalidNode};

use crate::jobs::JobRow;

mod counted;
mod course;
mod discipline;
pub mod figures;
#[cfg(test)]
mod tests;

use course::Course;
pub use discipline::Discipline;

/// Where the GPUs of a job may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Gangs {
    /// On whatever nodes they are free: a job is a gang of members with one GPU each.
    Any,
    /// All of them on one node.
    OneNode,
}

/// What jobs are replayed on, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// The GPUs of the cluster.
    pub gpus: u32,
    /// The GPUs of a node; the last node has fewer where they do not come out even.
    pub per_node: u32,
    /// Where the GPUs of a job may be.
    pub gangs: Gangs,
    /// How often something is decided when nothing happens; never, where it is 0.
    pub tick_s: u64,
    /// How long a run keeps what it got before one that comes before it in order may have it.
    pub quantum_s: u64,
    /// How many accounts the jobs belong to, in turn.
    pub accounts: u32,
    /// By how much, at most, what is said about a job's duration is wrong, in per cent.
    pub estimate_error_pct: u32,
    /// The seed of these errors.
    pub seed: u64,
}

/// From a job's start to its end or its preemption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The job, by its place in the trace.
    pub job: usize,
    /// The node of each GPU, ascending.
    pub nodes: Vec<u64>,
    /// When it began.
    pub from_s: u64,
    /// When it was over.
    pub until_s: u64,
    /// Whether the job was done then.
    pub done: bool,
}

/// Jobs that cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueReplayError {
    /// A job is larger than where its GPUs may be.
    #[error("job {job} needs {gpus} GPUs, and can have at most {most}")]
    TooLarge {
        /// The job.
        job: String,
        /// What it needs.
        gpus: u32,
        /// What there is.
        most: u32,
    },
    /// Nothing runs and nobody comes any more, but jobs wait.
    #[error("{waiting} jobs wait for ever")]
    Stuck {
        /// How many.
        waiting: usize,
    },
    /// A node cannot be.
    #[error("the nodes cannot be made")]
    Node(#[from] InvalidNode),
    /// A demand cannot be.
    #[error("a job cannot be asked for")]
    Demand(#[from] InvalidDemand),
    /// A gang cannot be.
    #[error("a job cannot be asked for")]
    Ask(#[from] InvalidAsk),
    /// The queue does not take what it decided itself.
    #[error("the queue does not take what it decided")]
    Refused(#[from] Unacceptable),
}

/// Replays jobs under a policy. The attempts are in the order in which they were over; each job's last one is done.
pub fn run(jobs: &[JobRow], setup: &Setup, discipline: Discipline) -> Result<Vec<Attempt>, QueueReplayError> {
    let mut course = Course::new(jobs, setup, discipline)?;
    while course.go_on()? {}
    Ok(course.attempts)
}
