//! Runs that are taken and ended on each store.

use std::sync::Arc;
use std::time::Duration;

use apportion::store::Store;
use benches::claims::{Claims, Life, Round, WORKERS};
use benches::server::Server;
use benches::stores::{Failed, Stores};

use super::{Size, rate};

/// What a store does in a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// The store.
    pub(crate) store: &'static str,
    /// What becomes of the runs.
    pub(crate) life: Life,
    /// Runs that are granted by the scheduler.
    pub(crate) granted_per_s: f64,
    /// Runs that are taken and ended.
    pub(crate) ended_per_s: f64,
    /// How long a claim takes: the median, the 99th percentile and the longest.
    claim_ms: [f64; 3],
}

/// Prints the table.
pub(crate) async fn claims(server: &Server, size: Size) -> Result<Vec<Taken>, Failed> {
    println!(
        "\n{} runs of one GPU each, granted by the scheduler's engine, then taken and completed by {WORKERS} workers: each run is",
        size.runs
    );
    println!(
        "claimed, begun, told of once, set to uploading and completed with its artefact: five durable commits"
    );
    println!(
        "the shortest life is a claim and the worker's word that it can never be done: two durable commits\n"
    );
    println!(
        "{:<10} {:<8} {:>9} {:>12} {:>10} {:>10} {:>10}",
        "store", "life", "grants/s", "ended/s", "a claim", "99th", "longest"
    );
    let files = Stores::new(Duration::ZERO)?;
    let mut rows = Vec::new();
    for (name, store) in files.all(&server.fresh_database()?).await? {
        rows.extend(on(name, store, size).await?);
    }
    Ok(rows)
}

/// Both lives on one store.
async fn on(store: &'static str, opened: Arc<dyn Store>, size: Size) -> Result<[Taken; 2], Failed> {
    let bench = Claims::new(opened, size.runs).await?;
    bench.round(Life::Whole).await?;
    let (mut whole, mut shortest) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        whole.push(bench.round(Life::Whole).await?);
        shortest.push(bench.round(Life::Shortest).await?);
    }
    bench.check().await?;
    let row = |life, rounds: &mut [Round]| Taken::of(store, life, size.runs, rounds);
    Ok([row(Life::Whole, &mut whole)?.told(), row(Life::Shortest, &mut shortest)?.told()])
}

impl Taken {
    /// The medians of some rounds, and how long claims took in all of them.
    fn of(store: &'static str, life: Life, runs: u32, rounds: &mut [Round]) -> Result<Self, Failed> {
        let mut claims: Vec<Duration> =
            rounds.iter().flat_map(|round| round.claims.iter().copied()).collect();
        claims.sort_unstable();
        let middle = rounds.len() / 2;
        let mut median = |of: fn(&Round) -> Duration| {
            rounds.sort_unstable_by_key(of);
            rounds.get(middle).map(of).ok_or("no round was run")
        };
        let (granting, working) = (median(|round| round.granting)?, median(|round| round.working)?);
        let at = |percent: usize| claims.get((claims.len().saturating_sub(1)) * percent / 100).copied();
        let claim_ms = [50, 99, 100].map(|percent| at(percent).unwrap_or_default().as_secs_f64() * 1e3);
        let (granted_per_s, ended_per_s) = (rate(runs.into(), granting), rate(runs.into(), working));
        Ok(Self { store, life, granted_per_s, ended_per_s, claim_ms })
    }

    /// Prints the row, and is it.
    fn told(self) -> Self {
        let life = if self.life == Life::Whole { "whole" } else { "shortest" };
        let [median, most, longest] = self.claim_ms;
        println!(
            "{:<10} {life:<8} {:>9.0} {:>12.0} {median:>8.2}ms {most:>8.2}ms {longest:>8.2}ms",
            self.store, self.granted_per_s, self.ended_per_s
        );
        self
    }
}
