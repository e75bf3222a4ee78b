//! Prints the ratios that matter, measured side by side in one run.

mod tables;

use std::path::PathBuf;
use std::time::Duration;

use apportion::sched::Policy;
use benches::decisions::Steady;
use benches::defragment::Workload;
use benches::launches::now;
use benches::server::Server;
use benches::stores::{Failed, SYNC_AT_LEAST};
use clap::Parser;

use crate::tables::{
    Size, checks, claims, defragment, files, heartbeats, import, logins, postgres, queue, reads, refused,
    reports,
};

/// Decisions of the scheduler, ticks of the queue, durable launches on each store, runs that workers take and complete, reads, heartbeats, an import,
/// checks of sessions and keys, logins, and moves of tasks that leave GPUs idle, as small tables.
#[derive(Debug, Parser)]
struct Cli {
    /// Measures less, to see that everything runs.
    #[arg(long)]
    quick: bool,
    /// The nodes to be defragmented, as the published trace has them; generated ones where none are given.
    #[arg(long, requires = "pods")]
    nodes: Option<PathBuf>,
    /// What is asked of these nodes, as the published trace has it.
    #[arg(long, requires = "nodes")]
    pods: Option<PathBuf>,
    /// Measures only this; all of it where nothing is named.
    #[arg(value_enum)]
    only: Vec<What>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Decisions,
    Redb,
    Sqlite,
    Postgres,
    Reads,
    Heartbeats,
    /// Reports of machines.
    Reports,
    Import,
    Checks,
    Logins,
    Refused,
    /// Ticks over many runs that wait.
    Queue,
    /// Runs that workers take and complete.
    Claims,
    /// Moves of tasks that leave GPUs idle.
    Defragment,
}

impl Cli {
    fn wants(&self, what: What) -> bool {
        self.only.is_empty() || self.only.contains(&what)
    }
}

fn main() -> Result<(), Failed> {
    let cli = Cli::parse();
    if cli.wants(What::Decisions) {
        decisions(&cli);
    }
    if cli.wants(What::Queue) {
        queue::queue(Size::new(cli.quick))?;
    }
    if cli.wants(What::Defragment) {
        let size = Size::new(cli.quick);
        let workload = match (&cli.nodes, &cli.pods) {
            (Some(nodes), Some(pods)) => Workload::read(nodes, pods)?,
            _ => Workload::generated(if cli.quick { 8 } else { 1 }),
        };
        defragment::defragment(&workload, size)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(stores(&cli));
    // A store that was not closed has tasks which nobody waits for.
    runtime.shutdown_background();
    measured
}

async fn stores(cli: &Cli) -> Result<(), Failed> {
    let size = Size::new(cli.quick);
    if cli.wants(What::Redb) {
        files::redb(size).await?;
    }
    if cli.wants(What::Sqlite) {
        files::sqlite(size).await?;
    }
    if cli.wants(What::Postgres) {
        postgres::postgres(&Server::start(SYNC_AT_LEAST).await?, size).await?;
    }
    if cli.wants(What::Claims) {
        claims::claims(&Server::start(Duration::ZERO).await?, size).await?;
    }
    if cli.wants(What::Reads) {
        reads::reads(&Server::start(Duration::ZERO).await?, size).await?;
    }
    if cli.wants(What::Heartbeats) {
        heartbeats::heartbeats(&Server::start(Duration::ZERO).await?, size).await?;
    }
    if cli.wants(What::Reports) {
        reports::reports(&Server::start(Duration::ZERO).await?, size).await?;
    }
    if cli.wants(What::Import) {
        import::import(&Server::start(Duration::ZERO).await?, size).await?;
    }
    if cli.wants(What::Checks) {
        checks::checks(&Server::start(Duration::ZERO).await?, size).await?;
    }
    if cli.wants(What::Logins) {
        logins::logins(size).await?;
    }
    if cli.wants(What::Refused) {
        refused::refused(size).await?;
    }
    Ok(())
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

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
