//! Heartbeats and sweeps on each store.

use std::time::Duration;

use benches::heartbeats::Heartbeats;
use benches::server::Server;
use benches::stores::{Failed, Stores};

use super::Size;

/// Prints the table.
pub(crate) async fn heartbeats(server: &Server, size: Size) -> Result<(), Failed> {
    println!("\nheartbeats of {} nodes, a thousand in a call, and a sweep over them\n", size.nodes);
    println!("{:<10} {:>12} {:>10}  to reach", "store", "heartbeats/s", "sweep");
    let files = Stores::new(Duration::ZERO)?;
    let to_reach = [None, Some(100_000.0), None, Some(10_000.0)];
    for ((name, store), to_reach) in files.all(&server.fresh_database()?).await?.into_iter().zip(to_reach) {
        let nodes = Heartbeats::new(store, size.nodes).await?;
        let long = Duration::from_millis(size.reads_ms);
        nodes.per_second(long).await?;
        let (mut rates, mut sweeps) = (Vec::new(), Vec::new());
        for _ in 0..size.rounds.max(3) {
            rates.push(nodes.per_second(long).await?);
            sweeps.push(nodes.sweep().await?);
        }
        rates.sort_by(f64::total_cmp);
        sweeps.sort();
        let (Some(rate), Some(sweep)) = (rates.get(rates.len() / 2), sweeps.get(sweeps.len() / 2)) else {
            return Err("no round was run".into());
        };
        let told = match to_reach {
            None => String::new(),
            Some(least) if *rate >= least => format!("  {least:.0}, reached"),
            Some(least) => format!("  {least:.0}, missed"),
        };
        println!("{name:<10} {rate:>12.0} {:>8.1}ms{told}", sweep.as_secs_f64() * 1e3);
    }
    Ok(())
}
