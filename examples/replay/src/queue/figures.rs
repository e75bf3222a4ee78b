//! What is made of a course: how long everything took, how fair it was, and how busy the GPUs were.

use apportion::queue::QueuePolicy;
use serde::Serialize;

use super::{Attempt, Discipline};
use crate::jobs::JobRow;

/// The figures of one policy; the names are those of the JSON file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueueFigures {
    /// The policy.
    pub policy: String,
    /// Jobs of the trace, all of which ended.
    pub jobs: u64,
    /// From the first arrival to the last end.
    pub makespan_s: u64,
    /// From a job's arrival to its end, on average.
    pub completion_mean_s: f64,
    /// 99 of 100 jobs took at most this long.
    pub completion_p99_s: u64,
    /// The worst finish-time fairness: a job's completion time, divided by what it would have been with an equal part of
    /// the cluster. That is its duration times the mean number of jobs in the system during its stay per GPU, or its
    /// duration where that is less than one.
    ///
    /// Source: Mahajan et al., "Themis: Fair and Efficient GPU Cluster Scheduling", NSDI 2020.
    pub worst_rho: f64,
    /// The same with all jobs of the trace in place of those in the system.
    pub worst_rho_static: f64,
    /// GPU seconds of work, in per cent of what the GPUs had until the last end.
    pub utilisation_pct: f64,
    /// How often a run was stopped for another.
    pub preemptions: u64,
    /// How often that happened to one job, at most.
    pub most_preemptions: u64,
    /// The most GPUs that were held at once.
    pub peak_gpus: u64,
}

impl QueueFigures {
    /// Measures a course on so many GPUs.
    pub fn measure(jobs: &[JobRow], gpus: u32, discipline: Discipline, attempts: &[Attempt]) -> Self {
        let first_s = first_s(jobs);
        let mut stays: Vec<Stay<'_>> =
            jobs.iter().map(|job| Stay { job, end_s: job.arrival_s, stops: 0 }).collect();
        for attempt in attempts {
            let Some(stay) = stays.get_mut(attempt.job) else { continue };
            stay.end_s = stay.end_s.max(attempt.until_s);
            stay.stops += u64::from(!attempt.done);
        }
        let makespan_s = stays.iter().map(|stay| stay.end_s).max().unwrap_or(first_s) - first_s;
        let crowd = Crowd::new(&stays);
        let gpus_had = real(u64::from(gpus));
        let all = (real(count(jobs.len())) / gpus_had).max(1.0);
        let rho = |stay: &Stay<'_>| {
            let others = real(crowd.until(stay.end_s) - crowd.until(stay.job.arrival_s));
            let crowded = (others / real(stay.long_s().max(1)) / gpus_had).max(1.0);
            stay.slowdown() / crowded
        };
        let worst = |ratio: &dyn Fn(&Stay<'_>) -> f64| stays.iter().map(ratio).fold(0.0, f64::max);
        let mut completions: Vec<u64> = stays.iter().map(Stay::long_s).collect();
        completions.sort_unstable();
        let rank = (completions.len() * 99).div_ceil(100);
        let work: u64 = jobs.iter().map(JobRow::work).sum();
        Self {
            policy: discipline.to_string(),
            jobs: count(jobs.len()),
            makespan_s,
            completion_mean_s: real(completions.iter().sum()) / real(count(jobs.len()).max(1)),
            completion_p99_s: completions.get(rank.saturating_sub(1)).copied().unwrap_or(0),
            worst_rho: worst(&rho),
            worst_rho_static: worst(&|stay| stay.slowdown() / all),
            utilisation_pct: 100.0 * real(work) / (gpus_had * real(makespan_s.max(1))),
            preemptions: stays.iter().map(|stay| stay.stops).sum(),
            most_preemptions: stays.iter().map(|stay| stay.stops).max().unwrap_or(0),
            peak_gpus: peak(attempts),
        }
    }

    /// Whether this is the policy of a queue for which none is chosen.
    pub fn is_default(&self) -> bool {
        self.policy == QueuePolicy::default().name()
    }
}

/// No policy can end earlier: the work that comes from some moment on takes so long even if no GPU ever idles, and no
/// job can be done before its duration has passed. From the first arrival.
pub fn least_makespan_s(jobs: &[JobRow], gpus: u32) -> u64 {
    let first_s = first_s(jobs);
    let mut by_arrival: Vec<&JobRow> = jobs.iter().collect();
    by_arrival.sort_by_key(|job| job.arrival_s);
    let mut work = 0;
    let mut least_s = 0;
    for job in by_arrival.into_iter().rev() {
        work += job.work();
        let since_s = job.arrival_s - first_s;
        least_s = least_s.max(since_s + work.div_ceil(u64::from(gpus.max(1))));
        least_s = least_s.max(since_s + job.duration_s);
    }
    least_s
}

fn first_s(jobs: &[JobRow]) -> u64 {
    jobs.iter().map(|job| job.arrival_s).min().unwrap_or(0)
}

/// A job in the system.
struct Stay<'a> {
    job: &'a JobRow,
    end_s: u64,
    stops: u64,
}

impl Stay<'_> {
    const fn long_s(&self) -> u64 {
        self.end_s - self.job.arrival_s
    }

    fn slowdown(&self) -> f64 {
        real(self.long_s()) / real(self.job.duration_s)
    }
}

/// How many jobs are in the system, summed over time.
struct Crowd {
    arrivals: Sums,
    ends: Sums,
}

impl Crowd {
    fn new(stays: &[Stay<'_>]) -> Self {
        let arrivals = Sums::new(stays.iter().map(|stay| stay.job.arrival_s).collect());
        Self { arrivals, ends: Sums::new(stays.iter().map(|stay| stay.end_s).collect()) }
    }

    /// Job seconds until a moment: each job counts for the time since it came, less the time since it ended.
    fn until(&self, at_s: u64) -> u64 {
        self.arrivals.since(at_s) - self.ends.since(at_s)
    }
}

/// Moments in order, with the sums of all before each.
struct Sums {
    moments: Vec<u64>,
    sums: Vec<u64>,
}

impl Sums {
    fn new(mut moments: Vec<u64>) -> Self {
        moments.sort_unstable();
        let sums = moments.iter().scan(0, |sum, moment| Some(std::mem::replace(sum, *sum + moment)));
        let sums = sums.chain(std::iter::once(moments.iter().sum())).collect();
        Self { moments, sums }
    }

    /// The time since each moment before this one, summed.
    fn since(&self, at_s: u64) -> u64 {
        let before = self.moments.partition_point(|moment| *moment <= at_s);
        count(before) * at_s - self.sums.get(before).copied().unwrap_or(0)
    }
}

/// The most GPUs that attempts hold at once. What ends at a moment is free for what begins then, and what is stopped at
/// the moment at which it began has held nothing.
fn peak(attempts: &[Attempt]) -> u64 {
    let mut changes: Vec<(u64, bool, u64)> = Vec::with_capacity(2 * attempts.len());
    for attempt in attempts.iter().filter(|attempt| attempt.from_s < attempt.until_s) {
        let gpus = count(attempt.nodes.len());
        changes.extend([(attempt.from_s, true, gpus), (attempt.until_s, false, gpus)]);
    }
    changes.sort_unstable();
    let (mut held, mut peak) = (0_u64, 0);
    for (_, begins, gpus) in changes {
        held = if begins { held + gpus } else { held.saturating_sub(gpus) };
        peak = peak.max(held);
    }
    peak
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a figure to be read; times and amounts are far below 2^53")]
fn real(number: u64) -> f64 {
    number as f64
}
