//! Traces of training jobs: which gang comes when, and for how long it needs its GPUs.
//!
//! A trace is a CSV file with the columns `job_id`, `arrival_s`, `duration_s`, `num_gpus` and, where it has them, `mode`
//! and `model`. Where none is given, one is drawn from a seed.

use std::path::Path;

use apportion::queue::MAX_MEMBERS;

use crate::trace::table::{Row, Table};
use crate::trace::{Names, TraceError};

mod draw;
#[cfg(test)]
mod tests;

pub use draw::{JobCount, generate};

/// The latest arrival and the longest duration that a trace may have: some thirty years, far below where sums of times
/// would overflow.
const MOST_S: u64 = 1_000_000_000;

/// A training job as a trace describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// The name (column `job_id`), unique in its file.
    pub name: String,
    /// Seconds from the start of the trace.
    pub arrival_s: u64,
    /// How long it needs its GPUs, all of them at once, and without a stop.
    pub duration_s: u64,
    /// How many GPUs it needs.
    pub gpus: u32,
    /// How its batches grow, where the file says it.
    pub mode: Option<String>,
    /// What is trained, where the file says it.
    pub model: Option<String>,
}

impl JobRow {
    /// The GPU seconds that it needs.
    pub fn work(&self) -> u64 {
        self.duration_s.saturating_mul(u64::from(self.gpus))
    }
}

/// Reads a trace of jobs.
pub fn read_jobs(path: &Path) -> Result<Vec<JobRow>, TraceError> {
    let mut table = Table::open(path)?;
    for column in ["job_id", "arrival_s", "duration_s", "num_gpus"] {
        table.require(column)?;
    }
    let mut names = Names::new("job_id");
    let mut jobs = Vec::new();
    while let Some(row) = table.next_row()? {
        jobs.push(JobRow {
            name: names.take(&row)?,
            arrival_s: seconds(&row, "arrival_s", 0)?,
            duration_s: seconds(&row, "duration_s", 1)?,
            gpus: gpus(&row)?,
            mode: row.optional_text("mode"),
            model: row.optional_text("model"),
        });
    }
    if jobs.is_empty() { Err(TraceError::Empty { path: path.to_owned() }) } else { Ok(jobs) }
}

fn seconds(row: &Row<'_>, column: &'static str, least: u64) -> Result<u64, TraceError> {
    let seconds = u64::try_from(row.count(column)?).unwrap_or(0);
    if (least..=MOST_S).contains(&seconds) {
        return Ok(seconds);
    }
    Err(row.bad(column, &format!("must be from {least} to {MOST_S}")))
}

fn gpus(row: &Row<'_>) -> Result<u32, TraceError> {
    let gpus = u32::try_from(row.count("num_gpus")?).ok();
    gpus.filter(|gpus| (1..=MAX_MEMBERS).contains(gpus))
        .ok_or_else(|| row.bad("num_gpus", &format!("must be from 1 to {MAX_MEMBERS}")))
}
