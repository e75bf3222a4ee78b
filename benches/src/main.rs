//! Prints the ratios that matter, measured side by side in one run.

use std::error::Error;
use std::time::Duration;

use apportion::sched::Policy;
use benches::decisions::Steady;
use benches::launches::{Bench, Figures, SYNC_AT_LEAST, now};
use clap::Parser;

/// Ratios of the scheduler and of group commit, as a small table.
#[derive(Debug, Parser)]
struct Cli {
    /// Measures less, to see that everything runs.
    #[arg(long)]
    quick: bool,
}

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Fallible<()> {
    let cli = Cli::parse();
    decisions(&cli);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(launches(&cli))
}

fn decisions(cli: &Cli) {
    println!("decisions (decide and place), one core\n");
    println!("{:<12} {:>8} {:>9} {:>14}", "policy", "nodes", "states", "decisions/s");
    for nodes in [1_213, 100_000] {
        for policy in Policy::ALL {
            let mut steady = Steady::new(policy, nodes);
            let before = steady.placed;
            let (began, long) = (now(), Duration::from_millis(if cli.quick { 100 } else { 1_000 }));
            while began.elapsed() < long {
                (0..64).for_each(|_| steady.step());
            }
            let per_second = rate(steady.placed - before, began.elapsed());
            println!("{:<12} {nodes:>8} {:>9} {per_second:>14.0}", policy.to_string(), steady.classes());
        }
    }
}

async fn launches(cli: &Cli) -> Fallible<()> {
    println!("\ndurable launches through the control plane, redb\n");
    println!("a sync that takes less than {SYNC_AT_LEAST:?} is delayed, so that it takes that long\n");
    let rounds = if cli.quick { 1 } else { 5 };
    let size = if cli.quick { 20 } else { 100 };
    // The same launches by as many callers, but one durable commit at a time.
    let alone = median(&Bench::new(SYNC_AT_LEAST, 1).await?, 64, size * 2, rounds).await?;
    println!("{:<28} {:>11} {:>14} {:>9}", "", "launches/s", "launches/sync", "ratio");
    line("64 callers, one at a time", alone, alone);
    for callers in [1, 16, 64] {
        let bench = Bench::new(SYNC_AT_LEAST, 1_024).await?;
        let figures = median(&bench, callers, size * callers, rounds).await?;
        line(&format!("{callers} callers, group commit"), figures, alone);
        let (clean, bytes) = bench.check().await?;
        if !clean {
            return Err("the audit found a drift".into());
        }
        if callers == 64 {
            println!("\naudit clean; the file has {bytes} bytes");
        }
    }
    Ok(())
}

/// The round of median throughput, after one that is not counted.
async fn median(bench: &Bench, callers: usize, count: usize, rounds: usize) -> Fallible<Figures> {
    bench.run(callers, count).await?;
    let mut all = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        all.push(bench.run(callers, count).await?);
    }
    all.sort_by(|a, b| a.per_second().total_cmp(&b.per_second()));
    all.get(all.len() / 2).copied().ok_or_else(|| "no round was run".into())
}

fn line(name: &str, figures: Figures, alone: Figures) {
    let ratio = figures.per_second() / alone.per_second();
    println!("{name:<28} {:>11.0} {:>14.1} {ratio:>8.1}x", figures.per_second(), figures.per_sync());
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
