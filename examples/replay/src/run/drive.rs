//! The replay itself: users and nodes first, then every event in its order.

use std::sync::Arc;
use std::time::Duration;

use apportion::entity::Instance;
use apportion::id::IdSource;
use apportion::plane::Outcome;
use apportion::store::{Batch, Store, StoreExt as _, Write};
use apportion::time::{Clock as _, ManualClock, SystemClock};
use apportion::{ControlPlane, Error};
use indicatif::ProgressBar;

use super::begun::{Inputs, writes};
use super::measured::{Figures, Measured};
use super::progress::{PROGRESS, Progress, ROW};
use super::reason::Reason;
use super::workload::{Workload, moment};
use crate::error::AppError;
use crate::events::{Change, Event};

/// Nodes or users that are created at once.
const AT_ONCE: usize = 512;

/// What carries a workload out.
#[derive(Debug)]
pub(super) struct Driver<'a> {
    pub(super) workload: &'a Workload,
    pub(super) plane: &'a ControlPlane,
    pub(super) store: &'a Measured,
    pub(super) ids: &'a Arc<dyn IdSource>,
    /// The store's clock, which shows the time of the trace.
    pub(super) clock: &'a ManualClock,
    /// How many operations are handed over at once.
    pub(super) window: usize,
    pub(super) bar: &'a ProgressBar,
}

/// What this run did, which is all of the replay unless it was resumed.
#[derive(Debug)]
pub(super) struct Done {
    /// The progress at the end, which counts earlier runs too.
    pub(super) progress: Progress,
    /// Events that this run dealt with, whether they changed something or not.
    pub(super) decisions: i64,
    /// Instances that it launched or deleted.
    pub(super) operations: i64,
    /// How long that took.
    pub(super) took: Duration,
    /// What the store took of it.
    pub(super) store: Figures,
    /// The syncs among it.
    pub(super) syncs: Option<u64>,
}

impl Driver<'_> {
    /// Notes the inputs, and creates the users and the nodes, unless all of that is done.
    pub(super) async fn set_up(&self, inputs: &Inputs, begun: bool) -> Result<(), AppError> {
        if !begun {
            let mut batch = Batch::new(self.ids.next_id(), "replay.begin");
            batch.writes = writes(inputs);
            self.store.commit(batch).await?;
        }
        if self.store.get(&PROGRESS, ROW).await?.value.is_some() {
            return Ok(());
        }
        // Cut short in here, it is repeated: each id is fixed, and what is there stays.
        let users = self.workload.users();
        for users in users.chunks(AT_ONCE) {
            for user in self.plane.create_users(users.to_vec()).await {
                user.map_err(|source| AppError::SetUp { what: "a user".into(), source })?;
            }
        }
        let nodes: Vec<_> = self.workload.nodes().collect();
        for nodes in nodes.chunks(AT_ONCE) {
            let registered = self.plane.register_nodes(nodes.to_vec()).await;
            for (request, node) in nodes.iter().zip(registered) {
                let what = || format!("node {}", request.name);
                node.map_err(|source| AppError::SetUp { what: what(), source })?;
            }
        }
        let row = Write::Insert(Progress::begin());
        let batch = Batch::new(self.ids.next_id(), "replay.ready").with(row);
        self.store.commit(batch).await?;
        Ok(())
    }

    /// Carries out every event that is left.
    pub(super) async fn run(&self) -> Result<Done, AppError> {
        let row = self.store.get(&PROGRESS, ROW).await?.value;
        let row = row.ok_or(AppError::NotAReplay)?;
        let mut course = Course::new(Progress::from_row(&row)?);
        let watch = SystemClock::new();
        let (decided_before, syncs_before) = (course.now.events, self.store.syncs());
        self.store.take();
        loop {
            let done = usize::try_from(course.now.events).unwrap_or(usize::MAX);
            self.bar.set_position(u64::try_from(course.now.events).unwrap_or(0));
            let rest = self.workload.events.get(done..).unwrap_or_default();
            let Some(window) = rest.get(..self.window.min(rest.len())).filter(|window| !window.is_empty())
            else {
                break;
            };
            if let Some(last) = window.last() {
                self.clock.set(moment(last.at_s));
            }
            self.carry_out(window, &mut course).await?;
        }
        if course.now != course.written {
            // The last events were refused, so that no batch of theirs could say so.
            let batch = Batch::new(self.ids.next_id(), "replay.end");
            self.store.commit(batch.with(course.now.write(&course.written))).await?;
        }
        let syncs = self.store.syncs().zip(syncs_before).map(|(now, before)| now.saturating_sub(before));
        Ok(Done {
            decisions: course.now.events - decided_before,
            operations: course.operations,
            progress: course.now,
            took: watch.monotonic(),
            store: self.store.take(),
            syncs,
        })
    }

    async fn carry_out(&self, window: &[Event], course: &mut Course) -> Result<(), AppError> {
        let operations: Vec<_> = window.iter().filter_map(|event| self.workload.operation(event)).collect();
        let decided = |at: usize, decided: Result<&Instance, &Error>| match window.get(at) {
            Some(event) => course.decided(event, decided),
            None => Vec::new(),
        };
        let outcomes = self.plane.apply_many_with(operations, decided).await;
        for (event, outcome) in window.iter().zip(outcomes) {
            self.judge(event, outcome)?;
        }
        Ok(())
    }

    /// Refusals are part of the replay; everything else that goes wrong ends it.
    fn judge(&self, event: &Event, outcome: Outcome) -> Result<(), AppError> {
        let refused = |error: &Error| match event.change {
            Change::Create => Reason::of(error).is_some(),
            // What was refused is not there to be deleted.
            Change::Delete => matches!(error, Error::NotFound { .. }),
        };
        match outcome {
            Err(error) if !refused(&error) => {
                let pod = self.workload.pods.get(event.pod).map(|pod| pod.name.clone());
                Err(AppError::Operation { pod: pod.unwrap_or_default(), source: error })
            }
            _ => Ok(()),
        }
    }
}

/// The progress while a window is decided.
#[derive(Debug)]
struct Course {
    now: Progress,
    /// As the last batch that was handed over says.
    written: Progress,
    operations: i64,
}

impl Course {
    fn new(progress: Progress) -> Self {
        Self { written: progress.clone(), now: progress, operations: 0 }
    }

    /// Counts an event, and says what its batch writes.
    fn decided(&mut self, event: &Event, decided: Result<&Instance, &Error>) -> Vec<Write> {
        self.now.events += 1;
        match (event.change, decided) {
            (Change::Create, Ok(_)) => self.now.launched += 1,
            (Change::Create, Err(error)) => {
                if let Some(reason) = Reason::of(error) {
                    self.now.refuse(reason);
                }
            }
            (Change::Delete, _) => {}
        }
        if decided.is_err() {
            return Vec::new();
        }
        self.operations += 1;
        let write = self.now.write(&self.written);
        self.written = self.now.clone();
        vec![write]
    }
}
