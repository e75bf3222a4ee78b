//! Prints the ratios that matter, measured side by side in one run.

mod instructions;
mod plot;
mod report;
mod tables;

use std::time::Duration;

use benches::defragment::Workload;
use benches::scale::Scale;
use benches::server::Server;
use benches::stores::{Failed, SYNC_AT_LEAST};
use clap::{Parser, Subcommand};

use crate::report::ReportArgs;
use crate::tables::bound::BoundArgs;
use crate::tables::decisions::{Extent, decisions};
use crate::tables::{
    Size, bound, checks, claims, defragment, files, heartbeats, import, logins, postgres, queue, reads,
    refused, reports,
};

/// Decisions of the scheduler, ticks of the queue, durable launches on each store, runs that workers take and complete, reads, heartbeats, an import,
/// checks of sessions and keys, logins, and moves of tasks that leave GPUs idle, as small tables.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Measures less, to see that everything runs.
    #[arg(long, global = true)]
    quick: bool,
    #[command(flatten)]
    bound: BoundArgs,
    /// Measures only this; all of it where nothing is named.
    #[arg(value_enum)]
    only: Vec<What>,
}

/// What else can be done.
#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything side by side and writes it down: report.md, with plots.
    Report(ReportArgs),
    /// Counts instructions with valgrind, and fails where there are more of them than there were.
    Instructions {
        /// Writes the counts down, to compare with from now on.
        #[arg(long)]
        update: bool,
    },
    /// Builds the index of so many nodes and changes it, in a process of its own: what the report asks for.
    #[command(hide = true)]
    Scale {
        nodes: u64,
        changes: u64,
        #[arg(long)]
        perturbed: bool,
    },
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// What no placement can exceed in the published experiment.
    Bound,
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
    match cli.command {
        Some(Command::Report(args)) => return on_runtime(report::report(&args, cli.quick)),
        Some(Command::Instructions { update }) => return instructions::check(update),
        Some(Command::Scale { nodes, changes, perturbed }) => {
            println!("{}", Scale::measure(nodes, perturbed, changes)?);
            return Ok(());
        }
        None => {}
    }
    if cli.wants(What::Decisions) {
        decisions(Size::new(cli.quick), &Extent::table());
    }
    if cli.wants(What::Bound) {
        bound::bounds(&cli.bound, cli.quick)?;
    }
    if cli.wants(What::Queue) {
        queue::queue(Size::new(cli.quick))?;
    }
    if cli.wants(What::Defragment) {
        let size = Size::new(cli.quick);
        let workload = match (&cli.bound.nodes, cli.bound.pods.first()) {
            (Some(nodes), Some(pods)) => Workload::read(nodes, pods)?,
            _ => Workload::generated(if cli.quick { 8 } else { 1 }),
        };
        defragment::defragment(&workload, size)?;
    }
    on_runtime(stores(&cli))
}

fn on_runtime(measurement: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(measurement);
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
