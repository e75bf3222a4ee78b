//! The task that forms groups of what waits, and has them committed.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use apportion::store::{Metrics, Prepared, Receipt, StoreError};
use apportion::time::Clock;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::queue::{
    Baton, Call, GroupCommit, MAX_OVERLAP, Passed, QueueOptions, Ticket, Waiting, unavailable,
};

/// The longest that a group waits for the callers of the last one to come back.
const MAX_LINGER: Duration = Duration::from_millis(5);
/// The shortest wait that the runtime's timer can tell.
const MIN_LINGER: Duration = Duration::from_millis(1);
/// How often the wait is halved, at most, while the callers do not come back.
const MAX_DOUBT: u32 = 6;
/// After so many groups that were not waited for it is tried again.
const FORGIVEN_AFTER: u32 = 64;
/// From so many callers on a group may begin before the last has ended,
const WORTH_OVERLAPPING: usize = 32;
/// and from so many on another one before that.
const WORTH_OVERLAPPING_TWICE: usize = 128;
/// How often a group lets other tasks run first, so that those callers can come back.
const YIELDS: usize = 16;

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Commits batches of one call, in this order.
    Commit(Vec<Entry>),
    /// Ends the writer.
    Close,
}

/// A batch that waits for the writer.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) batch: Prepared,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) answer: oneshot::Sender<Result<Receipt, StoreError>>,
    pub(crate) call: Arc<Call>,
    pub(crate) waiting: Waiting,
}

/// What the writer waits for while it can form no group.
enum Event {
    /// A group has ended.
    Ended(Option<Pace>),
    /// A group lets the next begin.
    Passed(Passed),
    /// Somebody asks for something, or nobody can any more.
    Asked(Option<Job>),
}

/// A batch that is under way.
struct Member {
    id: Uuid,
    answer: oneshot::Sender<Result<Receipt, StoreError>>,
    call: Arc<Call>,
    waiting: Waiting,
}

/// Takes what waits and hands it on in groups.
pub(crate) struct Writer {
    jobs: mpsc::Receiver<Job>,
    committer: Arc<dyn GroupCommit>,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn Metrics>,
    max_group: usize,
    max_lanes: usize,
    backlog: VecDeque<Entry>,
    /// The groups that are under way.
    lanes: JoinSet<Pace>,
    /// How many of them have not let the next begin.
    holding: usize,
    /// How many batches they have.
    flying: Arc<AtomicUsize>,
    /// Tells of each that lets the next begin.
    passing: mpsc::UnboundedReceiver<Passed>,
    /// What their batons tell that with.
    passed: mpsc::UnboundedSender<Passed>,
    /// Whether the last that did had not ended.
    early: bool,
    pace: Pace,
    doubt: Doubt,
    /// Nobody can ask any more.
    ended: bool,
}

/// How often in a row callers did not come back within the time that a group waited for them.
#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    times: u32,
    /// How many groups did not wait.
    groups: u32,
}

/// What is remembered of the last group that ended.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// How many batches waited or were under way when it ended: as many callers are known.
    known: usize,
    took: Duration,
}

impl Writer {
    pub(crate) fn new(
        jobs: mpsc::Receiver<Job>,
        committer: Arc<dyn GroupCommit>,
        clock: Arc<dyn Clock>,
        metrics: Arc<dyn Metrics>,
        options: QueueOptions,
    ) -> Self {
        let (passed, passing) = mpsc::unbounded_channel();
        Self {
            jobs,
            committer,
            clock,
            metrics,
            max_group: options.max_group.max(1),
            max_lanes: options.lanes.max(1),
            backlog: VecDeque::new(),
            lanes: JoinSet::new(),
            holding: 0,
            flying: Arc::default(),
            passing,
            passed,
            early: false,
            pace: Pace::default(),
            doubt: Doubt::default(),
            ended: false,
        }
    }

    /// Works until it is told to close, or the queue is gone, and then until everything is answered.
    pub(crate) async fn run(mut self) {
        loop {
            self.accept_waiting();
            if self.is_free() && self.can_go_on() {
                self.linger().await;
                self.launch();
            } else if self.ended && self.lanes.is_empty() {
                return;
            } else {
                self.wait().await;
            }
        }
    }

    /// Whether something waits whose call has nothing under way.
    fn can_go_on(&self) -> bool {
        self.backlog.iter().any(|entry| !entry.call.flying.load(Ordering::Acquire))
    }

    /// Whether more may be taken from the channel: what only waits for the rest of its call fills no group.
    fn has_room(&self) -> bool {
        !self.ended && (self.backlog.len() < self.max_group || !self.can_go_on())
    }

    fn accept_waiting(&mut self) {
        while self.has_room() {
            match self.jobs.try_recv() {
                Ok(job) => self.accept(Some(job)),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => self.accept(None),
            }
        }
    }

    fn accept(&mut self, job: Option<Job>) {
        match job {
            Some(Job::Commit(entries)) => self.backlog.extend(entries),
            // What is in the channel behind this is dropped with it, and finds its answers gone.
            Some(Job::Close) | None => {
                self.jobs.close();
                self.ended = true;
            }
        }
    }

    /// Waits for another job, or for a group to end or to let the next begin.
    async fn wait(&mut self) {
        let has_room = self.has_room();
        let (lanes, passing, jobs) = (&mut self.lanes, &mut self.passing, &mut self.jobs);
        let event = poll_fn(|context| {
            if let Poll::Ready(Some(ended)) = lanes.poll_join_next(context) {
                return Poll::Ready(Event::Ended(ended.ok()));
            }
            if let Poll::Ready(Some(passed)) = passing.poll_recv(context) {
                return Poll::Ready(Event::Passed(passed));
            }
            if has_room && let Poll::Ready(job) = jobs.poll_recv(context) {
                return Poll::Ready(Event::Asked(job));
            }
            Poll::Pending
        });
        match event.await {
            Event::Ended(pace) => self.pace = pace.unwrap_or(self.pace),
            Event::Passed(passed) => {
                self.holding -= 1;
                self.early = passed.early;
            }
            Event::Asked(job) => self.accept(job),
        }
    }

    /// How many batches the next group has at most. Where groups overlap they share the callers, so that some work while
    /// others are being made durable.
    fn most(&self) -> usize {
        match self.overlap() {
            1 => self.max_group,
            groups => self.pace.known.div_ceil(groups).min(self.max_group),
        }
    }

    /// How many groups are worth having under way at once: the fewer callers there are, the better they share one commit.
    fn overlap(&self) -> usize {
        match self.pace.known {
            WORTH_OVERLAPPING..WORTH_OVERLAPPING_TWICE if self.early => 2,
            WORTH_OVERLAPPING_TWICE.. if self.early => MAX_OVERLAP,
            _ => 1,
        }
    }

    /// Whether another group may begin.
    fn is_free(&self) -> bool {
        let overlapping = self.lanes.len() > self.holding;
        self.holding < self.max_lanes
            && (!overlapping || self.max_lanes > 1 || self.lanes.len() < self.overlap())
    }

    /// Callers that were answered together come back one by one. Without a short wait the first would be committed
    /// alone, and the others would wait for its sync. So a group waits until nearly all of those are there who were known when the
    /// last one ended, but for a quarter of the time that it took at most, and less where waiting was in vain.
    async fn linger(&mut self) {
        let others = self.flying.load(Ordering::Relaxed);
        let known = self.pace.known.saturating_sub(others).min(self.most());
        let enough = known - known / 32;
        for _ in 0..YIELDS {
            if self.backlog.len() >= known || self.ended {
                self.doubt = Doubt::default();
                return;
            }
            tokio::task::yield_now().await;
            self.accept_waiting();
        }
        let patience = (self.pace.took / 4).min(MAX_LINGER) / (1 << self.doubt.times);
        if patience < MIN_LINGER {
            self.doubt.groups += 1;
            if self.doubt.groups >= FORGIVEN_AFTER {
                self.doubt = Doubt::default();
            }
            return;
        }
        let come_back = async {
            while self.backlog.len() < enough && !self.ended {
                let job = self.jobs.recv().await;
                self.accept(job);
            }
        };
        let came = tokio::time::timeout(patience, come_back).await.is_ok();
        self.doubt.times = if came { 0 } else { (self.doubt.times + 1).min(MAX_DOUBT) };
    }

    /// Forms a group and has it committed.
    fn launch(&mut self) {
        let began = self.clock.monotonic();
        let mut batches = Vec::new();
        let mut members = Vec::new();
        let mut held = Vec::new();
        let mut flying = Flying::new(&self.flying);
        let most = self.most();
        while batches.len() < most {
            let Some(entry) = self.backlog.pop_front() else { break };
            // Another lane may end meanwhile: what follows on a batch that was held is held all the same.
            let follows = held.last().is_some_and(|last: &Entry| Arc::ptr_eq(&last.call, &entry.call));
            if follows || (entry.call.flying.load(Ordering::Acquire) && !flying.has(&entry.call)) {
                held.push(entry);
            } else if let Some(Entry { batch, answer, call, waiting, .. }) = turn(entry, began) {
                flying.add(&call);
                members.push(Member { id: batch.id, answer, call, waiting });
                batches.push(batch);
            }
        }
        for entry in held.into_iter().rev() {
            self.backlog.push_front(entry);
        }
        if batches.is_empty() {
            return;
        }
        let committer = Arc::clone(&self.committer);
        let (clock, metrics) = (Arc::clone(&self.clock), Arc::clone(&self.metrics));
        self.holding += 1;
        let baton = Baton::new(&self.passed);
        self.lanes.spawn(async move {
            // In a task of its own, so that a panic in it is an outcome like another.
            let committing = tokio::spawn(async move { committer.commit(batches, baton).await });
            let answers = committing.await.unwrap_or_else(|error| {
                tracing::error!(%error, "committing a group ended without an answer");
                Vec::new()
            });
            let known = members.first().map_or(0, |member| member.waiting.all());
            let (count, took) = (members.len(), clock.monotonic().saturating_sub(began));
            let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
            metrics.group(count, accepted, took);
            tracing::trace!(batches = count, accepted, ?took, "committed a group");
            answer(members, answers);
            drop(flying);
            Pace { known, took }
        });
    }
}

/// Answers the members of a group. What has no answer may have happened or not.
fn answer(members: Vec<Member>, answers: Vec<Result<Receipt, StoreError>>) {
    let mut answers = answers.into_iter();
    for member in members {
        let answer = answers.next().unwrap_or(Err(StoreError::Unknown { id: member.id }));
        member.call.note(&answer);
        // Who no longer waits for an answer does not get one.
        let _ = member.answer.send(answer);
    }
}

/// Takes a batch whose turn has come; nothing where it is answered without being tried.
fn turn(entry: Entry, now: Duration) -> Option<Entry> {
    if entry.ticket.is_late(now) {
        if entry.ticket.withdraw() {
            let waited = entry.ticket.waited(now);
            let _ = entry.answer.send(Err(StoreError::DeadlineExceeded { waited }));
        }
        return None;
    }
    if !entry.ticket.take() {
        return None;
    }
    if entry.call.is_broken() {
        let _ =
            entry.answer.send(Err(unavailable("an earlier batch of the same call has no certain outcome")));
        return None;
    }
    Some(entry)
}

/// The batches of a group that is under way, and their calls.
#[derive(Debug)]
struct Flying {
    calls: Vec<Arc<Call>>,
    batches: usize,
    all: Arc<AtomicUsize>,
}

impl Flying {
    fn new(all: &Arc<AtomicUsize>) -> Self {
        Self { calls: Vec::new(), batches: 0, all: Arc::clone(all) }
    }

    /// The batches of a call are taken one after the other, so that looking at the last is enough.
    fn has(&self, call: &Arc<Call>) -> bool {
        self.calls.last().is_some_and(|last| Arc::ptr_eq(last, call))
    }

    fn add(&mut self, call: &Arc<Call>) {
        self.batches += 1;
        self.all.fetch_add(1, Ordering::Relaxed);
        if !self.has(call) {
            call.flying.store(true, Ordering::Release);
            self.calls.push(Arc::clone(call));
        }
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.all.fetch_sub(self.batches, Ordering::Relaxed);
        for call in &self.calls {
            call.flying.store(false, Ordering::Release);
        }
    }
}
