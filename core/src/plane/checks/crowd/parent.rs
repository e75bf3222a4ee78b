//! Whoever lets the crowd loose: it submits runs, ends some, kills processes, and waits until everything has come to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use super::diary::{Note, Writer, read_all};
use super::judge::{self, CrowdReport, Facts};
use super::words::{Why, Word};
use super::{CrowdPart, CrowdParts, CrowdSize, END, PARTS, SETTLE, place};
use crate::ControlPlane;
use crate::entity::{BindingState, GPU_LEASES, GpuLease, LeaseId, RunId, RunState, TRAINING_RUNS};
use crate::error::{Error, Result};
use crate::store::{Scan, Store, StoreExt as _};
use crate::time::{Clock, Timestamp};

/// How long leases are, beside what a commit takes when nobody else is there: short, so that they age while the crowd is at work, and
/// long enough for what a worker says on a busy machine.
const LEASE: u32 = 400;
/// Between these.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15);
/// How long the crowd is at work between two kills.
const BETWEEN_KILLS: Duration = Duration::from_secs(12);
/// After this time it hangs.
const HANGS: Duration = Duration::from_mins(5);

/// The one that is not killed.
pub(super) struct Parent {
    plane: Arc<ControlPlane>,
    clock: Arc<dyn Clock>,
    /// For how long a worker has a lease that it does not renew.
    lease: Duration,
    folder: PathBuf,
    size: CrowdSize,
    random: Pcg64Mcg,
    /// The generation of each process.
    generations: Vec<u32>,
    /// The runs that were asked for: those of which the answer was that they are there, and the others.
    submitted: BTreeMap<RunId, bool>,
    /// When each process that was killed was gone.
    kills: BTreeMap<(u32, u32), Timestamp>,
    /// What processes held that were killed.
    orphans: BTreeSet<LeaseId>,
}

impl Parent {
    pub(super) async fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        folder: &Path,
        size: CrowdSize,
    ) -> Self {
        let began = clock.monotonic();
        place::furnish(&place::plane(Arc::clone(&store), SHORTEST)).await;
        let each = clock.monotonic().saturating_sub(began) / place::COMMITS;
        let lease = (each * LEASE).clamp(SHORTEST, LONGEST);
        Self {
            plane: place::plane(store, lease),
            clock,
            lease,
            folder: folder.to_owned(),
            size,
            random: Pcg64Mcg::seed_from_u64(size.seed),
            generations: vec![0; usize::try_from(PARTS).unwrap()],
            submitted: BTreeMap::new(),
            kills: BTreeMap::new(),
            orphans: BTreeSet::new(),
        }
    }

    fn part(&self, number: u32) -> CrowdPart {
        let generation = self.generations[usize::try_from(number).unwrap()];
        CrowdPart { number, generation, seed: self.size.seed, lease: self.lease, folder: self.folder.clone() }
    }

    /// Submits runs all the time, until there was enough of everything.
    pub(super) async fn load(&mut self, parts: &mut dyn CrowdParts) {
        for number in 0..PARTS {
            parts.start(self.part(number)).await;
        }
        let began = self.clock.monotonic();
        let (mut next_kill, mut next_look) = (self.size.load.mul_f64(0.4), Duration::from_secs(1));
        loop {
            self.submit().await;
            if self.random.random_bool(0.02) {
                self.abort_any().await;
            }
            let pause = Duration::from_millis(self.random.random_range(2..14));
            tokio::time::sleep(pause).await;
            let at = self.clock.monotonic().saturating_sub(began);
            if at >= next_kill && self.kill_any(parts).await {
                next_kill = at + BETWEEN_KILLS;
            }
            if at >= next_look {
                next_look = at + Duration::from_millis(500);
                parts.check().await;
                let missing = self.missing();
                if at >= self.size.load && missing.is_empty() {
                    return;
                }
                assert!(at < self.size.load + HANGS, "in all this time there was not one of {missing:?}");
            }
        }
    }

    /// What has not happened yet of what is to have happened before anything is judged.
    fn missing(&self) -> BTreeSet<String> {
        let named = |word: &Word| format!("{word:?}");
        let mut missing: BTreeSet<String> = Word::ALL.iter().map(named).collect();
        missing.extend(Why::CERTAIN.iter().map(|why| format!("{why:?}")));
        missing.extend(["a completed run", "a claim in another life", "a kill"].map(str::to_owned));
        for (_, note) in read_all(&self.folder).into_values().flatten() {
            match note {
                Note::Stale { word, why, .. } => {
                    missing.remove(&named(&word));
                    missing.remove(&format!("{why:?}"));
                }
                Note::Completed { .. } => drop(missing.remove("a completed run")),
                Note::Claimed { lives: 1.., .. } => drop(missing.remove("a claim in another life")),
                _ => {}
            }
        }
        if !self.kills.is_empty() {
            missing.remove("a kill");
        }
        missing
    }

    async fn submit(&mut self) {
        let id = RunId::new(self.plane.new_id());
        let run = place::any_run(&mut self.random).id(id);
        loop {
            match self.plane.submit_run(run.clone()).await {
                Ok(_) => drop(self.submitted.insert(id, true)),
                // The training has a run, or the account may have no more of them.
                Err(Error::AlreadyExists { .. } | Error::QuotaExceeded { .. }) => {}
                Err(error) if error.is_retryable() => {
                    self.submitted.insert(id, false);
                    continue;
                }
                Err(error) => panic!("{error:?}"),
            }
            return;
        }
    }

    /// Ends a run that somebody wants no longer.
    async fn abort_any(&mut self) {
        let live = self.live_runs().await;
        if live.is_empty() {
            return;
        }
        let run = live[self.random.random_range(0..live.len())];
        match self.plane.abort_run(run, "not wanted").await {
            Ok(_) | Err(Error::WrongState { .. }) => {}
            Err(error) if error.is_retryable() => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn live_runs(&self) -> Vec<RunId> {
        let mut live = Vec::new();
        for state in RunState::ALL.iter().filter(|state| !state.is_terminal()) {
            let of = Scan::of(&TRAINING_RUNS).by("training_runs_state").with(state.as_str());
            let rows = again(|| self.plane.store.scan_all(of.clone())).await;
            live.extend(rows.iter().map(|row| row.id("id").unwrap()));
        }
        live
    }

    /// Kills a process that has something, and lets another one take its place and its names; `false` where it has nothing now.
    async fn kill_any(&mut self, parts: &mut dyn CrowdParts) -> bool {
        let number = self.random.random_range(0..PARTS);
        let of = (number, self.part(number).generation);
        let diaries = read_all(&self.folder);
        let has = |(writer, notes): (&Writer, &Vec<_>)| (writer.0, writer.1) == of && uses_something(notes);
        if !diaries.iter().any(has) {
            return false;
        }
        parts.kill(number).await;
        self.kills.insert(of, self.clock.now());
        let left = self.held_by(&format!("worker-{number}-")).await;
        self.generations[usize::try_from(number).unwrap()] += 1;
        parts.start(self.part(number)).await;
        // Meanwhile those who come back under the old names take runs.
        tokio::time::sleep(self.lease / 2).await;
        for lease in left {
            self.orphans.insert(lease);
            self.abandon(lease, "its process was killed").await;
        }
        true
    }

    /// What workers hold whose names begin so.
    async fn held_by(&self, name: &str) -> Vec<LeaseId> {
        let mut held = Vec::new();
        for state in [BindingState::Bound, BindingState::Releasing] {
            let of = Scan::of(&GPU_LEASES).by("gpu_leases_state").with(state.as_str());
            for row in again(|| self.plane.store.scan_all(of.clone())).await {
                let lease = <GpuLease as crate::entity::Entity>::from_row(&row).unwrap();
                if lease.worker.is_some_and(|worker| worker.starts_with(name)) {
                    held.push(lease.id);
                }
            }
        }
        held
    }

    async fn abandon(&self, lease: LeaseId, why: &str) {
        loop {
            match self.plane.abandon_lease(lease, why).await {
                // The agent of its node, or the worker itself, has released it.
                Ok(()) | Err(Error::WrongState { .. }) => return,
                Err(error) if error.is_retryable() => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    /// Lets everything come to its end: every run by its workers, and then what was left behind.
    pub(super) async fn settle(&mut self, parts: &mut dyn CrowdParts) {
        parts.tell(SETTLE).await;
        let began = self.clock.monotonic();
        loop {
            let live = self.live_runs().await;
            if live.is_empty() {
                break;
            }
            parts.check().await;
            if self.clock.monotonic().saturating_sub(began) > HANGS {
                self.tell_of(&live).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        parts.tell(END).await;
        parts.ended().await;
        // All are gone. What was given to somebody who was not told so is held until somebody answers for it.
        for lease in self.held_by("").await {
            self.orphans.insert(lease);
            self.abandon(lease, "everybody is gone").await;
        }
    }

    /// Tells of runs that come to no end.
    async fn tell_of(&self, live: &[RunId]) {
        let scheduler =
            crate::plane::RunScheduler::new(Arc::clone(&self.plane), crate::queue::Settings::default());
        let mut told = String::new();
        for run in live.iter().take(5) {
            let row = self.plane.repositories().training_runs().require(*run).await.unwrap().value;
            let why = scheduler.why_pending(*run).await;
            let _ = write!(told, "\n{row:?}\n{why:?}");
        }
        panic!("{} runs come to no end, such as these: {told}", live.len());
    }

    pub(super) async fn judge(self) -> CrowdReport {
        let facts = Facts {
            seed: self.size.seed,
            lease: self.lease,
            diaries: read_all(&self.folder),
            submitted: self.submitted,
            kills: self.kills,
            orphans: self.orphans,
        };
        judge::judge(&self.plane, &facts).await
    }
}

fn uses_something(notes: &[(Timestamp, Note)]) -> bool {
    let last = notes.iter().rev().find(|(_, note)| matches!(note, Note::Claimed { .. } | Note::Idle { .. }));
    matches!(last, Some((_, Note::Claimed { .. })))
}

/// What is answered at last.
async fn again<T, E: std::fmt::Debug + Into<Error>, F: Future<Output = std::result::Result<T, E>>>(
    ask: impl Fn() -> F,
) -> T {
    loop {
        let answer: Result<T> = ask().await.map_err(Into::into);
        match answer {
            Ok(answer) => return answer,
            Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(3)).await,
            Err(error) => panic!("{error:?}"),
        }
    }
}
