//! GPUs that moves of tasks leave idle, beside what no plan of as many moves can pass.

use std::time::Duration;

use apportion::sched::Policy;
use benches::defragment::{History, Workload};
use benches::stores::Failed;

use super::Size;

/// How many moves.
const BUDGETS: [usize; 4] = [10, 50, 100, 500];
/// How many parts of those that are freeable should be freed.
const REACH: f64 = 0.6;

/// Which policy filled the cluster, until how much had arrived, and how much of that has ended. Those that leave few gaps
/// are fragmented only when something has ended.
const HISTORIES: [(Policy, u64, u32); 11] = [
    (Policy::Random, 70, 0),
    (Policy::Random, 90, 0),
    (Policy::Random, 90, 50),
    (Policy::DotProduct, 100, 50),
    (Policy::BestFit, 100, 50),
    (Policy::Fgd, 100, 50),
    (Policy::Fgd, 120, 30),
    (Policy::Fgd, 120, 10),
    (Policy::DotProduct, 90, 0),
    (Policy::BestFit, 90, 0),
    (Policy::Fgd, 90, 0),
];

/// Prints the table.
pub(crate) fn defragment(workload: &Workload, size: Size) -> Result<(), Failed> {
    let (nodes, gpus) = workload.size();
    println!("\nmoves that leave GPUs idle, {nodes} nodes with {gpus} GPUs, one core\n");
    println!(
        "{:<52} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>8}  to reach",
        "", "idle", "budget", "moves", "freed", "bound", "ratio", "ms"
    );
    for (policy, arrived_pct, ended_pct) in HISTORIES {
        let fragmented = workload.after(History { policy, arrived_pct, ended_pct });
        let name =
            format!("{policy}, {arrived_pct} % arrived, {ended_pct} % ended, {} shares", fragmented.shares());
        for budget in BUDGETS {
            let mut times = Vec::new();
            let (plan, took) = fragmented.plan(budget)?;
            times.push(took);
            for _ in 1..size.rounds {
                times.push(fragmented.plan(budget)?.1);
            }
            times.sort_unstable();
            let took = times.get(times.len() / 2).copied().unwrap_or_default();
            let ratio = ratio(plan.freed, plan.freeable);
            let told = if ratio >= REACH { "reached" } else { "missed" };
            println!(
                "{name:<52} {:>6} {budget:>6} {:>6} {:>6} {:>6} {ratio:>6.2} {:>8.1}  {REACH}, {told}",
                fragmented.idle(),
                plan.moves.len(),
                plan.freed,
                plan.freeable,
                millis(took)
            );
        }
    }
    Ok(())
}

/// How much of what the bound says is freed; all of it where that is nothing.
fn ratio(freed: usize, freeable: usize) -> f64 {
    let [freed, freeable] = [freed, freeable].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    if freeable == 0 { 1.0 } else { f64::from(freed) / f64::from(freeable) }
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1_000.0
}
