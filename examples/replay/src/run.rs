//! The replay through the whole durable control plane, and what is made of it.
//!
//! Every event of the workload, in event time, is one operation: a pod's creation launches an instance of one of the
//! users, its deletion deletes it. Operations are decided in their order and handed over in windows that share a commit.
//! Ids, times and random choices come from the inputs, so the final state depends on nothing else.
//!
//! How far the replay has come is a row that every operation's own batch raises. What is durable is always a prefix, so
//! after a kill it goes on exactly behind what happened. The report is not collected on the way but read from the change
//! feed at the end, and is therefore the same too.
//!
//! The published traces are samples of a workload: in event time their pods never hold more than 66 of the 6,212 GPUs at
//! once, and none is refused. The generated workload keeps the cluster busy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::id::{IdSource, TimeOrderedIds};
use apportion::plane::Options;
use apportion::store::Store;
use apportion::time::{Clock, ManualClock, Timestamp};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::{ReplayArgs, StoreAt};
use crate::error::AppError;
use crate::input;
use crate::report;
use crate::report::text::count;
use crate::table::{Grid, ReplayFigures, write_json};

mod begun;
mod course;
mod drive;
mod measured;
mod mirror;
mod open;
mod page;
mod progress;
mod reason;
mod state;
#[cfg(test)]
mod tests;
mod workload;

use course::Course;
use drive::{Done, Driver};
use measured::Measured;
use open::Opened;
pub use reason::Reason;
use state::FinalState;
use workload::{Workload, moment};

/// A replay that came to its end.
#[derive(Debug)]
pub struct Finished {
    /// The figures as a table.
    pub table: String,
    /// An error where the replay did everything and the result is not what it must be.
    pub verdict: Result<(), AppError>,
}

/// Replays what the arguments name, and writes the results where they say.
pub fn run(args: &ReplayArgs) -> Result<Finished, AppError> {
    let input = input::prepare(args)?;
    let (source, at) = (input.source.clone(), input.store.clone());
    let workload = Workload::new(args, input);
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let store_clock: Arc<dyn Clock> = clock.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (ended, bytes) = runtime.block_on(async {
        let opened = Opened::new(&at, args, &store_clock).await?;
        let replay = Replay { args, at: &at, workload: &workload, store: &opened.store, clock: &clock };
        let ended = replay.carry_out().await;
        let closed = opened.store.close().await;
        let ended = ended?;
        closed?;
        Ok::<_, AppError>((ended, opened.bytes().await))
    })?;
    let figures = ended.figures(bytes);
    let about = about(args, &workload, &source, &at);
    let table = table(&about, &figures, args);
    let verdict = ended.verdict(args, &figures);
    if let Some(path) = &args.json {
        write_json(path, &figures)?;
    }
    let data = page::data(&about, &figures, &ended.done.progress, ended.course, workload.nodes.len());
    report::write(&args.report, &data)?;
    Ok(Finished { table, verdict })
}

/// One replay on one store.
struct Replay<'a> {
    args: &'a ReplayArgs,
    at: &'a StoreAt,
    workload: &'a Workload,
    store: &'a Arc<dyn Store>,
    clock: &'a Arc<ManualClock>,
}

/// What a replay left behind.
struct Ended {
    pods: usize,
    done: Done,
    drift: u64,
    live_instances: u64,
    state: FinalState,
    course: Course,
}

impl Replay<'_> {
    async fn carry_out(&self) -> Result<Ended, AppError> {
        let store = Arc::new(Measured::new(Arc::clone(self.store))?);
        let shared: Arc<dyn Store> = store.clone();
        let inputs = begun::inputs(self.args, self.workload);
        let begun = begun::was_begun(&shared, &inputs).await?;
        self.judge(begun)?;
        let mix = self.workload.mix();
        let ids = self.ids(&*shared).await?;
        let options = Options::default()
            .policy(self.args.policy)
            .seed(self.args.seed)
            .mix(mix.clone())
            .ids(Arc::clone(&ids));
        let plane = ControlPlane::with(Arc::clone(&shared), options);
        let bar = bar(self.workload.events.len());
        let driver = Driver {
            workload: self.workload,
            plane: &plane,
            store: &store,
            ids: &ids,
            clock: self.clock,
            window: self.args.concurrency,
            bar: &bar,
        };
        bar.set_message("registering the nodes");
        driver.set_up(&inputs, begun).await?;
        bar.set_message("replaying");
        let done = driver.run().await?;
        bar.set_message("recounting");
        if let Some(last) = self.workload.events.last() {
            self.clock.set(moment(last.at_s));
        }
        let audit = plane.audit().await?;
        let snapshot = shared.snapshot().await?;
        let state = state::read(&*snapshot).await?;
        drop(snapshot);
        let course = course::follow(&*shared, &self.workload.events, mix).await?;
        bar.finish_and_clear();
        Ok(Ended {
            pods: self.workload.pods.len(),
            done,
            drift: wide(audit.drifts.len()),
            live_instances: audit.live_instances,
            state,
            course,
        })
    }

    /// Whether a replay that was begun, or was not, is what the arguments expect. Of a file its being there says so.
    fn judge(&self, begun: bool) -> Result<(), AppError> {
        match (self.at, begun, self.args.resume) {
            (StoreAt::Postgres { schema, .. }, true, false) => {
                Err(AppError::SchemaInUse { schema: schema.clone() })
            }
            (StoreAt::Postgres { schema, .. }, false, true) => {
                Err(AppError::NothingInSchema { schema: schema.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Ids that no earlier run on this store has used: each run that got anywhere left the feed longer than it was.
    async fn ids(&self, store: &dyn Store) -> Result<Arc<dyn IdSource>, AppError> {
        let head = store.snapshot().await?.cursor().position;
        let seed = self.args.seed.wrapping_add(head.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Ok(Arc::new(TimeOrderedIds::seeded(self.clock.clone(), seed)))
    }
}

impl Ended {
    fn figures(&self, store_bytes: Option<u64>) -> ReplayFigures {
        let Done { progress, decisions, operations, took, store, syncs } = &self.done;
        let deciding = took.saturating_sub(store.committing).saturating_sub(store.reading);
        let refused: BTreeMap<_, _> = progress
            .refused
            .iter()
            .map(|(reason, pods)| (reason.name().to_owned(), positive(*pods)))
            .collect();
        ReplayFigures {
            pods: wide(self.pods),
            launched: positive(progress.launched),
            refused,
            audit_drift: self.drift,
            digest: self.state.digest.clone(),
            allocation_pct_mean: self.course.allocation_pct_mean,
            allocation_pct_peak: self.course.peak.allocation_pct,
            fragmentation_pct_mean: self.course.fragmentation_pct_mean,
            fragmentation_pct_at_peak: self.course.peak.fragmentation_pct,
            running_at_end: self.course.end.running,
            decisions_per_s: rate(*decisions, deciding),
            operations_per_s: rate(*operations, *took),
            replay_s: took.as_secs_f64(),
            deciding_s: deciding.as_secs_f64(),
            reading_s: store.reading.as_secs_f64(),
            committing_s: store.committing.as_secs_f64(),
            commit_ms_p50: store.commit_ms(50.0),
            commit_ms_p99: store.commit_ms(99.0),
            syncs: *syncs,
            store_bytes,
        }
    }

    /// Whether everything adds up: the pods, the counters, the rows against the feed, the digest against the expected.
    fn verdict(&self, args: &ReplayArgs, figures: &ReplayFigures) -> Result<(), AppError> {
        let told = (self.course.end.running, self.course.end_used_milli);
        let accounted = figures.launched + figures.refused.values().sum::<u64>();
        if self.drift > 0 {
            return Err(AppError::Drift { counters: self.drift });
        }
        if accounted != figures.pods {
            return Err(AppError::Unaccounted { pods: figures.pods, accounted });
        }
        if told != (self.state.live, self.state.used_milli) || self.live_instances != self.state.live {
            return Err(AppError::FeedDiffers);
        }
        match &args.expect {
            Some(expected) if *expected != figures.digest => {
                Err(AppError::OtherDigest { expected: expected.clone(), got: figures.digest.clone() })
            }
            _ => Ok(()),
        }
    }
}

fn about(args: &ReplayArgs, workload: &Workload, source: &str, at: &StoreAt) -> String {
    let (first, rest) = source.split_at(source.chars().next().map_or(0, char::len_utf8));
    format!(
        "{}{rest}: {} pods of {} users on {} nodes with {} GPUs; policy {}, up to {} operations a commit, kept in {}",
        first.to_uppercase(),
        count(wide(workload.pods.len())),
        count(wide(args.users)),
        count(wide(workload.nodes.len())),
        count(workload.nodes.iter().map(|node| u64::from(node.gpus)).sum()),
        args.policy,
        args.concurrency,
        at.kind()
    )
}

fn table(about: &str, figures: &ReplayFigures, args: &ReplayArgs) -> String {
    let mut lines: Vec<_> = figures.rows().into_iter().map(|(label, value)| vec![label, value]).collect();
    lines.push(vec!["report".to_owned(), args.report.display().to_string()]);
    format!("{about}\n\n{}", Grid { left: 2, lines })
}

/// A progress bar, which is not shown where nobody looks.
fn bar(events: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(wide(events)), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg:21} {bar:40} {human_pos}/{human_len} events, {eta} left");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// So many a second; 0 where nothing took no time.
fn rate(count: i64, took: Duration) -> f64 {
    let count = u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    let seconds = took.as_secs_f64();
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
