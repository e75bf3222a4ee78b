//! The parts of `replay`: a trace or a generated workload, the published experiment, the queue in virtual time, and what is made of the results.

pub mod cli;
pub mod error;
pub mod events;
pub mod generate;
pub mod inflate;
pub mod inflate_cli;
pub mod input;
pub mod jobs;
pub mod published;
pub mod queue;
pub mod queue_cli;
pub mod report;
pub mod run;
pub mod table;
pub mod trace;

/// The programs of the project's README are tests: here, where every backend is at hand.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
