//! Checks of sessions and of API keys on each store.

use std::time::Duration;

use benches::checks::{Checks, Kind, MEMBERS};
use benches::server::Server;
use benches::stores::{Failed, Stores};

use super::{Size, callers};

/// How many callers there are beside the single one.
const CALLERS: usize = 4;
/// How many checks a second a store in this process has to reach.
const TO_REACH: f64 = 100_000.0;

/// Prints the table.
pub(crate) async fn checks(server: &Server, size: Size) -> Result<(), Failed> {
    println!("\nchecks of sessions and API keys, of {MEMBERS} users\n");
    println!("{:<10} {:<10} {:<10} {:>10}  to reach", "store", "", "", "checks/s");
    let files = Stores::new(Duration::ZERO)?;
    // Those in this process.
    let within = [true, true, false, false];
    for ((name, store), within) in files.all(&server.fresh_database()?).await?.into_iter().zip(within) {
        let checks = Checks::new(store).await?;
        for kind in Kind::ALL {
            for count in [1, CALLERS] {
                let reached = median(&checks, kind, count, size).await?;
                let to_reach = match (within, reached >= TO_REACH) {
                    (false, _) => String::new(),
                    (true, true) => format!("  {TO_REACH:.0}, reached"),
                    (true, false) => format!("  {TO_REACH:.0}, missed"),
                };
                println!("{name:<10} {:<10} {:<10} {reached:>10.0}{to_reach}", kind.name(), callers(count));
            }
        }
    }
    Ok(())
}

/// The median of some rounds, after one that is not counted.
async fn median(checks: &Checks, kind: Kind, callers: usize, size: Size) -> Result<f64, Failed> {
    let long = Duration::from_millis(size.checks_ms);
    checks.per_second(kind, callers, long).await?;
    // Three even where little is measured: one could be that in which the machine did something else.
    let mut all = Vec::with_capacity(size.rounds.max(3));
    for _ in 0..size.rounds.max(3) {
        all.push(checks.per_second(kind, callers, long).await?);
    }
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().ok_or_else(|| "no round was run".into())
}
