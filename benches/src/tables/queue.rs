//! Ticks of the queue over many runs that wait.

use std::time::Duration;

use apportion::queue::{QueuePolicy, Settings};
use benches::launches::now;
use benches::queue::{Extent, Waiting, plain};
use benches::stores::Failed;

use super::Size;

/// How long a tick may take.
const REACH_MS: f64 = 50.0;
/// Of so many runs one has ended since the last tick.
const ENDED: usize = 20;

/// Prints the table.
pub(crate) fn queue(size: Size) -> Result<(), Failed> {
    let one = Extent { nodes: size.queue_nodes, pending: size.waiting, accounts: 1_000, queues: 0 };
    let many = Extent { queues: 64, ..one };
    println!(
        "\nticks over {} runs that wait for {} GPUs, of {} accounts, after one in {ENDED} has ended, one core\n",
        one.pending,
        one.nodes * 8,
        one.accounts
    );
    println!("{:<44} {:>9} {:>8} {:>8} {:>8}  to reach", "", "ms", "running", "starts", "stops");
    let mut settings = vec![("fair shares alone".to_owned(), plain(), one)];
    for policy in QueuePolicy::ALL {
        settings.push((format!("{policy}, one queue"), Settings::new(policy), one));
        settings.push((format!("{policy}, 64 queues with quotas"), Settings::new(policy), many));
    }
    for (name, settings, extent) in settings {
        let mut waiting = Waiting::new(settings, extent)?;
        waiting.end_one_of(ENDED);
        row(&name, size, &mut waiting);
        if name == "fair shares alone" {
            scan(size, &mut waiting)?;
        }
    }
    let mut waiting = Waiting::new(Settings::new(QueuePolicy::Priority), many)?;
    waiting.submit_urgent(size.nodes.min(1_000))?;
    row("priority, 64 queues, a thousand urgent", size, &mut waiting);
    Ok(())
}

/// The median of some ticks.
fn row(name: &str, size: Size, waiting: &mut Waiting) -> f64 {
    let (mut times, mut counts) = (Vec::new(), (0, 0));
    for _ in 0..=size.rounds.max(3) * 2 {
        let began = now();
        counts = waiting.tick();
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let took = times.get(times.len() / 2).copied().unwrap_or_default();
    let (_, running) = waiting.counts();
    let told = if millis(took) <= REACH_MS { "reached" } else { "missed" };
    let (starts, stops) = counts;
    println!(
        "{name:<44} {:>9.2} {running:>8} {starts:>8} {stops:>8}  {REACH_MS:.0} ms, {told}",
        millis(took)
    );
    millis(took)
}

/// The same by a plain scan.
fn scan(size: Size, waiting: &mut Waiting) -> Result<(), Failed> {
    let began = now();
    let ours = waiting.granted();
    let tick = began.elapsed();
    let began = now();
    let theirs = waiting.scan();
    let took = began.elapsed();
    if ours != theirs {
        return Err("the scan decides otherwise".into());
    }
    let name = format!("the same by a plain scan of {}", size.waiting);
    println!("{name:<44} {:>9.2} {:>35}x", millis(took), (millis(took) / millis(tick)).round());
    Ok(())
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1_000.0
}
