//! `replay queue`: a trace of training jobs under each policy of the queue, and a table of what came of it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::{QueueArgs, UsageError, folder_of};
use crate::error::AppError;
use crate::input::trace_name;
use crate::jobs::{JobCount, JobRow, generate, read_jobs};
use crate::queue::figures::{QueueFigures, least_makespan_s};
use crate::queue::{Gangs, Setup, run as replay};
use crate::report::text::count;
use crate::table::{Grid, write_json};

/// What goes into the JSON file.
#[derive(Debug, Serialize)]
struct Figures<'a> {
    trace: &'a str,
    least_makespan_s: u64,
    policies: &'a [QueueFigures],
}

/// Runs what is asked for, writes the JSON file, and returns the table.
pub fn run(args: &QueueArgs) -> Result<String, AppError> {
    args.json.as_deref().map_or(Ok::<_, UsageError>(()), folder_of)?;
    let setup = args.setup();
    let (trace, jobs) = workload(args, &setup)?;
    let mut policies = Vec::new();
    for discipline in args.disciplines() {
        let attempts = replay(&jobs, &setup, discipline)?;
        policies.push(QueueFigures::measure(&jobs, setup.gpus, discipline, &attempts));
    }
    let least_makespan_s = least_makespan_s(&jobs, setup.gpus);
    if let Some(path) = &args.json {
        write_json(path, &Figures { trace: &trace, least_makespan_s, policies: &policies })?;
    }
    let mut text = table(&policies).to_string();
    let gangs = match setup.gangs {
        Gangs::Any => "those of a job on any nodes",
        Gangs::OneNode => "those of a job on one node",
    };
    // A string takes every write.
    let _ = writeln!(
        text,
        "\n{trace}: {} jobs on {} GPUs, {} a node, {gangs}; no makespan can be below {} s",
        count(u64::try_from(jobs.len()).unwrap_or(u64::MAX)),
        count(setup.gpus.into()),
        setup.per_node,
        count(least_makespan_s),
    );
    Ok(text)
}

fn workload(args: &QueueArgs, setup: &Setup) -> Result<(String, Vec<JobRow>), AppError> {
    if let Some(path) = &args.jobs {
        return Ok((format!("trace {}", trace_name(path)), read_jobs(path)?));
    }
    let most_gpus = match setup.gangs {
        Gangs::Any => setup.gpus,
        Gangs::OneNode => setup.gpus.min(setup.per_node),
    };
    let jobs = generate(&JobCount { jobs: args.jobs_count, most_gpus, seed: args.seed });
    Ok((format!("a drawn trace, seed {}", args.seed), jobs))
}

fn table(policies: &[QueueFigures]) -> Grid {
    let head = [
        "policy",
        "makespan s",
        "completion s, mean",
        "99th percentile",
        "worst rho",
        "static",
        "GPUs busy",
        "preemptions",
    ];
    let mut grid = Grid { left: 1, lines: vec![head.map(str::to_owned).to_vec()] };
    for figures in policies {
        let default = if figures.is_default() { " (default)" } else { "" };
        grid.lines.push(vec![
            format!("{}{default}", figures.policy),
            count(figures.makespan_s),
            crate::table::whole(figures.completion_mean_s),
            count(figures.completion_p99_s),
            format!("{:.2}", figures.worst_rho),
            format!("{:.2}", figures.worst_rho_static),
            format!("{:.1} %", figures.utilisation_pct),
            count(figures.preemptions),
        ]);
    }
    grid
}
