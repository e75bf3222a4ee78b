//! Runs that are taken and completed on each store.

use std::time::Duration;

use benches::claims::{Claims, Round, WORKERS};
use benches::server::Server;
use benches::stores::{Failed, Stores};

use super::Size;
use crate::rate;

/// Prints the table.
pub(crate) async fn claims(server: &Server, size: Size) -> Result<(), Failed> {
    println!(
        "\n{} runs of one GPU each, granted by the scheduler's engine, then taken and completed by {WORKERS} workers: each run is",
        size.runs
    );
    println!(
        "claimed, begun, told of once, set to uploading and completed with its artefact: five durable commits\n"
    );
    println!(
        "{:<10} {:>9} {:>12} {:>10} {:>10} {:>10}",
        "store", "grants/s", "completed/s", "a claim", "99th", "longest"
    );
    let files = Stores::new(Duration::ZERO)?;
    for (name, store) in files.all(&server.fresh_database()?).await? {
        let bench = Claims::new(store, size.runs).await?;
        bench.round().await?;
        let mut rounds = Vec::new();
        for _ in 0..size.rounds {
            rounds.push(bench.round().await?);
        }
        bench.check().await?;
        row(name, size.runs, &mut rounds)?;
    }
    Ok(())
}

/// The medians of some rounds, and how long claims took in all of them.
fn row(name: &str, runs: u32, rounds: &mut [Round]) -> Result<(), Failed> {
    let mut claims: Vec<Duration> = rounds.iter().flat_map(|round| round.claims.iter().copied()).collect();
    claims.sort_unstable();
    let middle = rounds.len() / 2;
    let mut median = |of: fn(&Round) -> Duration| {
        rounds.sort_unstable_by_key(of);
        rounds.get(middle).map(of).ok_or("no round was run")
    };
    let (granting, working) = (median(|round| round.granting)?, median(|round| round.working)?);
    let at = |percent: usize| claims.get((claims.len().saturating_sub(1)) * percent / 100).copied();
    let millis = |percent| at(percent).unwrap_or_default().as_secs_f64() * 1e3;
    println!(
        "{name:<10} {:>9.0} {:>12.0} {:>8.2}ms {:>8.2}ms {:>8.2}ms",
        rate(runs.into(), granting),
        rate(runs.into(), working),
        millis(50),
        millis(99),
        millis(100),
    );
    Ok(())
}
