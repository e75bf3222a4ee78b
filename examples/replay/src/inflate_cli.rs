//! `replay inflate`: the published experiment over workloads, policies and seeds, and its table.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use apportion::sched::Policy;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{InflateArgs, UsageError, folder_of};
use crate::error::AppError;
use crate::generate::{PUBLISHED_NODES, PUBLISHED_PODS, Size, generate};
use crate::inflate::{self, Outcome, Typical};
use crate::input::trace_name;
use crate::published::Published;
use crate::table::write_json;
use crate::trace::{NodeRow, PodRow, models, read_nodes, read_pods};

mod summary;

/// The first seed of the published runs; the others follow.
pub const FIRST_SEED: u64 = 42;
/// Runs under way at once: more would disturb each other's measurement of time on a small machine.
const THREADS: usize = 2;

/// Runs what is asked for, writes the JSON file, and returns the table.
pub fn run(args: &InflateArgs) -> Result<String, AppError> {
    args.json.as_deref().map_or(Ok::<_, UsageError>(()), folder_of)?;
    let published = args.published.as_deref().map(Published::read).transpose()?;
    let (nodes, traces) = workloads(args)?;
    if nodes.iter().all(|node| node.gpus == 0) {
        return Err(AppError::NoGpus);
    }
    let outcomes = outcomes(&nodes, &traces, &args.policies(), &args.mixes(), args.seeds);
    if let Some(path) = &args.json {
        write_json(path, &outcomes)?;
    }
    Ok(summary::table(&outcomes, published.as_ref()))
}

/// Runs every policy on every workload with so many seeds; the outcomes are grouped by workload, policy, and where the
/// policy knows from what is typical.
pub fn outcomes(
    nodes: &[NodeRow],
    traces: &[Trace],
    policies: &[Policy],
    mixes: &[Typical],
    seeds: usize,
) -> Vec<Outcome> {
    run_all(nodes, &jobs(traces, policies, mixes, seeds))
}

/// A workload with its name.
pub type Trace = (String, Vec<PodRow>);

/// The cluster and the workloads that are asked for, read or generated.
pub fn workloads(args: &InflateArgs) -> Result<(Vec<NodeRow>, Vec<Trace>), AppError> {
    let Some(nodes) = &args.nodes else {
        let workload = generate(&Size { nodes: PUBLISHED_NODES, pods: PUBLISHED_PODS, seed: FIRST_SEED });
        return Ok((workload.nodes, vec![("generated".to_owned(), workload.pods)]));
    };
    let nodes = read_nodes(nodes)?;
    let models = models(&nodes);
    let read = |path: &std::path::PathBuf| Ok((trace_name(path), read_pods(path, &models)?));
    let traces = args.pods.iter().map(read).collect::<Result<_, AppError>>()?;
    Ok((nodes, traces))
}

/// One run.
struct Job<'a> {
    trace: &'a Trace,
    policy: Policy,
    mix: Typical,
    seed: u64,
}

fn jobs<'a>(traces: &'a [Trace], policies: &[Policy], mixes: &[Typical], seeds: usize) -> Vec<Job<'a>> {
    let mut jobs = Vec::with_capacity(traces.len() * policies.len() * mixes.len() * seeds);
    for trace in traces {
        for &policy in policies {
            for &mix in mixes {
                jobs.extend((FIRST_SEED..).take(seeds).map(|seed| Job { trace, policy, mix, seed }));
            }
        }
    }
    jobs
}

/// Runs all jobs; the outcomes are in the order of the jobs, whichever thread is faster.
fn run_all(nodes: &[NodeRow], jobs: &[Job<'_>]) -> Vec<Outcome> {
    let progress = ProgressBar::new(u64::try_from(jobs.len()).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} runs, {eta} left") {
        progress.set_style(style);
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Outcome)>> = Mutex::new(Vec::with_capacity(jobs.len()));
    let work = || {
        // Relaxed: the counter only deals the jobs out; the mutex publishes what comes of them.
        while let (at, Some(job)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            (at, jobs.get(at))
        } {
            let (name, pods) = job.trace;
            let outcome = inflate::run(nodes, name, pods, job.policy, job.mix, job.seed);
            done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, outcome));
            progress.inc(1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    progress.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_come_in_the_order_of_the_jobs_and_do_not_depend_on_the_threads() {
        let workload = generate(&Size { nodes: 20, pods: 100, seed: 1 });
        let traces = [("t".to_owned(), workload.pods)];
        let mixes = [Typical::Given, Typical::Learned];
        let jobs = jobs(&traces, &[Policy::Random, Policy::Fgd], &mixes, 3);
        let outcomes = run_all(&workload.nodes, &jobs);
        let order: Vec<_> =
            outcomes.iter().map(|outcome| (outcome.policy, outcome.mix, outcome.seed)).collect();
        let seeds = |policy, mix| [42, 43, 44].map(|seed| (policy, mix, seed));
        let expected =
            [Policy::Random, Policy::Fgd].map(|policy| mixes.map(|mix| seeds(policy, mix)).concat()).concat();
        assert_eq!(order, expected);
        for outcome in &outcomes {
            let (policy, mix, seed) = (outcome.policy, outcome.mix, outcome.seed);
            let alone = inflate::run(&workload.nodes, "t", &traces[0].1, policy, mix, seed);
            assert_eq!(
                Outcome { decisions_per_s: 0.0, ..alone },
                Outcome { decisions_per_s: 0.0, ..outcome.clone() }
            );
        }
    }
}
