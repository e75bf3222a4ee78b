//! The parts of `replay`: a trace or a generated workload, the published experiment, and what is made of the results.

pub mod events;
pub mod generate;
pub mod report;
pub mod trace;
