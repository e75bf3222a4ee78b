//! Training jobs drawn from a seed: nothing to download, the same on every machine.
//!
//! - **Durations** are log-normal with a median of 2,815 s and a deviation of 0.85, from 600 to 20,000 s; given by their
//!   quantiles, linear between them.
//! - **Arrivals** have gaps that are exponential with a mean of 42 s, given in the same way.
//! - **GPUs**: one 76 %, two 16 %, four 7 %, eight 1 %, and never more than there are.
//!
//! So 120 jobs arrive within an hour and a half and keep 32 GPUs busy for several: the queue is long, as it is where
//! policies differ.

use super::JobRow;
use crate::generate::{Draw, Weighted};

/// Millionths of all jobs that need less than so many seconds.
const DURATIONS: &[(u64, u64)] = &[
    (50_000, 695),
    (100_000, 947),
    (250_000, 1_587),
    (500_000, 2_815),
    (750_000, 4_994),
    (900_000, 8_367),
    (950_000, 11_394),
    (980_000, 16_131),
    (1_000_000, 20_000),
];
const SHORTEST_S: u64 = 600;

/// Millionths of all gaps that are below so many seconds.
const GAPS: &[(u64, u64)] = &[
    (100_000, 4),
    (250_000, 12),
    (500_000, 29),
    (750_000, 58),
    (900_000, 97),
    (950_000, 126),
    (980_000, 164),
    (990_000, 193),
    (1_000_000, 290),
];

const GPUS: &[Weighted<u32>] = &[(76, 1), (16, 2), (7, 4), (1, 8)];

const MODES: &[Weighted<&str>] = &[(49, "accordion"), (48, "gns"), (3, "static")];

const MODELS: &[Weighted<&str>] =
    &[(32, "Recommendation"), (30, "LM"), (17, "ResNet-18"), (12, "ResNet-50"), (9, "Transformer")];

/// How many jobs to draw, for which cluster, and from which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobCount {
    /// How many jobs.
    pub jobs: usize,
    /// The most GPUs of a job.
    pub most_gpus: u32,
    /// Another seed is another trace.
    pub seed: u64,
}

/// Draws a trace; see the module's documentation for what is drawn. The first job comes at once.
pub fn generate(count: &JobCount) -> Vec<JobRow> {
    let mut draw = Draw::new(count.seed);
    let mut arrival_s = 0;
    let mut jobs = Vec::with_capacity(count.jobs);
    for at in 0..count.jobs {
        if at > 0 {
            arrival_s += draw.quantile(0, GAPS);
        }
        jobs.push(JobRow {
            name: at.to_string(),
            arrival_s,
            duration_s: draw.quantile(SHORTEST_S, DURATIONS),
            gpus: draw.weighted(GPUS).copied().unwrap_or(1).min(count.most_gpus),
            mode: draw.weighted(MODES).map(|mode| (*mode).to_owned()),
            model: draw.weighted(MODELS).map(|model| (*model).to_owned()),
        });
    }
    jobs
}
