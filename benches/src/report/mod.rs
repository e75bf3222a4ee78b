//! Everything side by side in one run, written down: `report.md` and its plots.

mod allocation;
mod durable;
mod job_queue;
mod page;
mod speed;

use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use benches::launches::now;
use benches::server::Server;
use benches::stores::{Failed, SYNC_AT_LEAST};

use self::job_queue::JobQueue;
use self::page::Page;
use crate::tables::decisions::{Extent, decisions};
use crate::tables::defragment::defragment;
use crate::tables::{Size, claims, files, postgres};

/// Where the traces are, and where the report goes.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// A folder with the published cluster and workloads, `openb_node_list_gpu_node.csv` and `openb_pod_list_*.csv`, and the
    /// published results, `published.csv`. Without it a generated workload of the same shape is taken.
    #[arg(long, value_name = "DIR")]
    openb: Option<PathBuf>,
    /// The folder for `report.md` and its plots.
    #[arg(long, value_name = "DIR", default_value = "target/report")]
    out: PathBuf,
}

/// Measures everything and writes it down.
pub(crate) async fn report(args: &ReportArgs, quick: bool) -> Result<(), Failed> {
    std::fs::create_dir_all(&args.out)?;
    let size = Size::report(quick);
    let mut parts = Parts::default();
    // What a job queue needs is built while nothing is timed.
    let job_queue = JobQueue::build();
    let mut allocation = allocation::measure(args.openb.as_deref(), quick)?;
    parts.over("allocation", "the published experiment");
    let job_queue = job_queue.built();
    parts.over("building", "waiting until the job queue to compare with is built");
    allocation.time(quick);
    let decided = decisions(size, &Extent::report(quick));
    parts.over("decisions", "decisions by nodes and policy");
    let scales = speed::scales(quick)?;
    parts.over("index", "the index of a large cluster");
    let moved = defragment(&allocation::workload(args.openb.as_deref(), quick)?, Size::new(true))?;
    parts.over("moves", "moves that leave GPUs idle");
    let redb = files::redb(size).await?;
    let sqlite = files::sqlite(size).await?;
    let (launched, postgres) = {
        let server = Server::start(SYNC_AT_LEAST).await?;
        (postgres::postgres(&server, size).await?, server.commit)
    };
    parts.over("launches", "durable launches on each store");
    let server = Server::start(Duration::ZERO).await?;
    let taken = claims::claims(&server, size).await?;
    parts.over("claims", "runs that are taken and ended");
    let jobs = job_queue.and_then(|queue| queue.measure(&server, quick));
    parts.over("job queue", "jobs of the job queue");

    let mut page = Page::new(&args.out);
    page.title("Measured");
    page.text(&machine(args.openb.is_some(), quick));
    allocation.write(&mut page)?;
    speed::decisions(&mut page, &decided)?;
    allocation.write_speeds(&mut page);
    speed::index(&mut page, &scales);
    speed::moves(&mut page, &moved);
    durable::launches(&mut page, [("redb", &redb), ("SQLite", &sqlite), ("Postgres", &launched)], postgres)?;
    durable::claims(&mut page, &taken, &jobs, size.runs)?;
    parts.write(&mut page);
    let path = page.write()?;
    println!("\n{} is written", path.display());
    Ok(())
}

/// How long each part of the run took.
#[derive(Debug)]
struct Parts {
    began: std::time::Instant,
    took: Vec<(&'static str, &'static str, Duration)>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { began: now(), took: Vec::new() }
    }
}

impl Parts {
    /// A part is over.
    fn over(&mut self, name: &'static str, what: &'static str) {
        let before: Duration = self.took.iter().map(|part| part.2).sum();
        let took = self.began.elapsed().saturating_sub(before);
        eprintln!("\n[{name}: {:.0} s]\n", took.as_secs_f64());
        self.took.push((name, what, took));
    }

    fn write(&self, page: &mut Page) {
        page.section("How long this run took");
        let mut rows: Vec<Vec<String>> = Vec::new();
        for (_, what, took) in &self.took {
            rows.push(vec![(*what).to_owned(), format!("{:.0} s", took.as_secs_f64())]);
        }
        rows.push(vec!["all".to_owned(), format!("{:.0} s", self.began.elapsed().as_secs_f64())]);
        page.table(&["part", "took"], &rows);
    }
}

/// What it was measured on, and how.
fn machine(is_published: bool, quick: bool) -> String {
    let cores = available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = |line: &str| line.split_once(':').map(|(_, model)| model.trim().to_owned());
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(named);
    let model = model.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let traces = if is_published { " --openb DIR" } else { "" };
    let command = format!("report{traces}{}", if quick { " --quick" } else { "" });
    let less = if quick { " With `--quick` little is measured: it shows that everything runs." } else { "" };
    format!(
        "Everything here is from one run of `cargo run --release -p benches -- {command}`, on {cores} cores ({model}), which \
         callers, stores and database servers shared.{less}"
    )
}
