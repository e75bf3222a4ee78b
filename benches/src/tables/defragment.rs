//! GPUs that moves of tasks leave idle, beside what no plan of as many moves can pass.

use std::time::Duration;

use apportion::sched::Policy;
use benches::defragment::{History, Workload};
use benches::stores::Failed;

use super::Size;

/// How many moves.
const BUDGETS: [usize; 4] = [10, 50, 100, 500];
/// How many parts of those that are freeable should be freed.
pub(crate) const REACH: f64 = 0.6;

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

/// What moves come to.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    /// How the cluster came to be as it is.
    pub(crate) history: String,
    /// How many GPUs are idle before.
    pub(crate) idle: usize,
    /// How many moves there may be.
    pub(crate) budget: usize,
    /// How many there are.
    pub(crate) moves: usize,
    /// How many more GPUs are idle after them.
    pub(crate) freed: usize,
    /// What no plan of so many moves can pass.
    pub(crate) freeable: usize,
    /// How long it took to plan them.
    pub(crate) took: Duration,
}

impl Moved {
    /// How much of what the bound says is freed; all of it where that is nothing.
    pub(crate) fn ratio(&self) -> f64 {
        let [freed, freeable] =
            [self.freed, self.freeable].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        if freeable == 0 { 1.0 } else { f64::from(freed) / f64::from(freeable) }
    }

    fn told(&self) {
        let Self { history, idle, budget, moves, freed, freeable, took } = self;
        let (ratio, ms) = (self.ratio(), took.as_secs_f64() * 1_000.0);
        let told = if ratio >= REACH { "reached" } else { "missed" };
        println!(
            "{history:<52} {idle:>6} {budget:>6} {moves:>6} {freed:>6} {freeable:>6} {ratio:>6.2} {ms:>8.1}  {REACH}, {told}"
        );
    }
}

/// Prints the table.
pub(crate) fn defragment(workload: &Workload, size: Size) -> Result<Vec<Moved>, Failed> {
    let (nodes, gpus) = workload.size();
    println!("\nmoves that leave GPUs idle, {nodes} nodes with {gpus} GPUs, one core\n");
    println!(
        "{:<52} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>8}  to reach",
        "", "idle", "budget", "moves", "freed", "bound", "ratio", "ms"
    );
    let mut rows = Vec::new();
    for (policy, arrived_pct, ended_pct) in HISTORIES {
        let fragmented = workload.after(History { policy, arrived_pct, ended_pct });
        let history =
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
            let (moves, freed, freeable) = (plan.moves.len(), plan.freed, plan.freeable);
            let idle = fragmented.idle();
            let row = Moved { history: history.clone(), idle, budget, moves, freed, freeable, took };
            row.told();
            rows.push(row);
        }
    }
    Ok(rows)
}
