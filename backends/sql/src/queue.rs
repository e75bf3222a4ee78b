//! Callers that wait for their batches to be committed together: [`Queue`].

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use apportion::store::{Batch, Metrics, Prepared, Receipt, Schema, StoreError};
use apportion::time::Clock;
use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use crate::writer::{Entry, Job, Writer};

/// How many groups may be under way at once where each lets the next begin.
pub(crate) const MAX_OVERLAP: usize = 3;

/// Commits groups of batches: what a backend does with what has waited.
#[async_trait]
pub trait GroupCommit: Send + Sync {
    /// Judges the members in their order, commits those that are accepted, and answers each, in the same order.
    ///
    /// It runs in a task of its own, which nobody's drop cancels. Where that ends without an answer the outcome of
    /// every member is unknown.
    ///
    /// Once `baton` is passed on the next group may begin, at the latest when this one ends.
    async fn commit(&self, members: Vec<Prepared>, baton: Baton) -> Vec<Result<Receipt, StoreError>>;
}

/// The right of the next group to begin, which a group holds until it passes it on or ends.
#[derive(Debug)]
pub struct Baton {
    passed: mpsc::UnboundedSender<Passed>,
    early: bool,
}

/// A group lets the next begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// And has not ended.
    pub(crate) early: bool,
}

impl Baton {
    pub(crate) fn new(passed: &mpsc::UnboundedSender<Passed>) -> Self {
        Self { passed: passed.clone(), early: false }
    }

    /// Lets the next group begin while this one goes on.
    pub fn pass(mut self) {
        self.early = true;
    }
}

impl Drop for Baton {
    fn drop(&mut self) {
        // Where it fails nobody forms groups any more.
        let _ = self.passed.send(Passed { early: self.early });
    }
}

/// How much waits and how much is under way.
#[derive(Clone, Copy, Debug)]
pub struct QueueOptions {
    /// The largest number of batches that are committed together.
    pub max_group: usize,
    /// How many calls may wait before further ones wait for room.
    pub queue: usize,
    /// How many groups may be under way at once, those not counted that let the next begin.
    pub lanes: usize,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { max_group: 1024, queue: 4096, lanes: 1 }
    }
}

/// Takes batches from any number of callers, forms groups of what waits, and has each group committed.
///
/// The batches of one call are committed in their order. Where the outcome of one is not certain, or the store could
/// not be reached, those behind it in the same call are not tried, so that what is durable is a prefix.
///
/// Dropping the queue lets what was accepted be committed, without waiting for it.
#[derive(Debug)]
pub struct Queue {
    schema: Arc<Schema>,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn Metrics>,
    jobs: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
    closing: AtomicBool,
    ended: watch::Receiver<bool>,
}

/// A batch on its way: refused before it was queued, or waiting for its answer.
enum Pending {
    Refused(StoreError),
    Waiting(Uuid, Arc<Ticket>, Answered),
}

type Answered = oneshot::Receiver<Result<Receipt, StoreError>>;

impl Queue {
    /// Starts the task that forms groups.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        schema: Arc<Schema>,
        clock: Arc<dyn Clock>,
        metrics: Arc<dyn Metrics>,
        committer: Arc<dyn GroupCommit>,
        options: QueueOptions,
    ) -> Self {
        let (jobs, receiver) = mpsc::channel(options.queue.max(1));
        let (end, ended) = watch::channel(false);
        let writer = Writer::new(receiver, committer, Arc::clone(&clock), Arc::clone(&metrics), options);
        tokio::spawn(async move {
            writer.run().await;
            end.send_replace(true);
        });
        let waiting = Arc::default();
        Self { schema, clock, metrics, jobs, waiting, closing: AtomicBool::new(false), ended }
    }

    /// Commits independent batches in the given order and answers each; see `Store::commit_many`.
    pub async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        let call = Arc::new(Call::default());
        let (entries, pending) = self.prepare(batches, &call);
        // Where the writer is gone nothing was queued, and each batch finds its answer gone.
        if !entries.is_empty() {
            self.enqueue(entries).await;
        }
        let mut answers = Vec::with_capacity(pending.len());
        for batch in pending {
            answers.push(match batch {
                Pending::Refused(error) => Err(error),
                Pending::Waiting(id, ticket, answered) => {
                    let answer = self.answer(id, &ticket, answered).await;
                    call.note(&answer);
                    answer
                }
            });
        }
        answers
    }

    /// Whether somebody asked to close.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Answers what was accepted, and refuses everything after.
    pub async fn close(&self) {
        self.closing.store(true, Ordering::Release);
        // Where nobody takes it the writer has ended, or is just ending.
        drop(self.jobs.send(Job::Close).await);
        // An error says that the writer is gone, which is what is waited for.
        drop(self.ended.clone().wait_for(|ended| *ended).await);
    }

    fn prepare(&self, batches: Vec<Batch>, call: &Arc<Call>) -> (Vec<Entry>, Vec<Pending>) {
        let began = self.clock.monotonic();
        let closed = self.is_closing();
        let mut entries = Vec::with_capacity(batches.len());
        let mut pending = Vec::with_capacity(batches.len());
        for batch in batches {
            let id = batch.id;
            match self.schema.prepare(batch) {
                Err(error) => pending.push(Pending::Refused(error)),
                Ok(_) if closed => pending.push(Pending::Refused(StoreError::Closed)),
                Ok(batch) => {
                    let ticket = Ticket::new(began, batch.deadline);
                    let (answer, answered) = oneshot::channel();
                    pending.push(Pending::Waiting(id, Arc::clone(&ticket), answered));
                    let (call, waiting) = (Arc::clone(call), Waiting::new(&self.waiting));
                    entries.push(Entry { batch, ticket, answer, call, waiting });
                }
            }
        }
        (entries, pending)
    }

    /// Hands batches to the writer, waiting for room until all their deadlines have passed.
    async fn enqueue(&self, entries: Vec<Entry>) {
        let tickets: Vec<_> = entries.iter().map(|entry| Arc::clone(&entry.ticket)).collect();
        self.metrics.queue_depth(self.waiting.load(Ordering::Relaxed));
        let mut send = pin!(self.jobs.send(Job::Commit(entries)));
        loop {
            let now = self.clock.monotonic();
            // While one of them has no deadline, or one that is not over, there is something to wait for.
            let left = tickets.iter().map(|ticket| ticket.left(now).unwrap_or(Duration::MAX));
            match left.max().unwrap_or_default() {
                Duration::ZERO if tickets.iter().all(|ticket| ticket.withdraw()) => return,
                Duration::ZERO | Duration::MAX => return drop(send.await),
                left => {
                    if within(left, send.as_mut()).await.is_some() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for a batch's answer until its deadline.
    async fn answer(&self, id: Uuid, ticket: &Ticket, mut answered: Answered) -> Result<Receipt, StoreError> {
        let gone = || match (ticket.withdraw(), self.is_closing()) {
            (true, true) => Err(StoreError::Closed),
            (true, false) => Err(unavailable("its writer has ended")),
            // The writer had it, and nobody can say how far it came.
            (false, _) => Err(StoreError::Unknown { id }),
        };
        loop {
            let now = self.clock.monotonic();
            match ticket.left(now) {
                None => return answered.await.unwrap_or_else(|_| gone()),
                Some(Duration::ZERO) => {
                    return match answered.try_recv() {
                        Ok(answer) => answer,
                        Err(_) if ticket.withdraw() => {
                            Err(StoreError::DeadlineExceeded { waited: ticket.waited(now) })
                        }
                        Err(_) => Err(StoreError::Unknown { id }),
                    };
                }
                Some(left) => {
                    if let Some(answer) = within(left, Pin::new(&mut answered)).await {
                        return answer.unwrap_or_else(|_| gone());
                    }
                }
            }
        }
    }
}

pub(crate) fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable { reason: reason.into(), source: None }
}

/// Waits for a future, but not much longer than `most`; outside a runtime there is no timer, and it waits for as
/// long as it takes.
async fn within<F: Future>(most: Duration, future: Pin<&mut F>) -> Option<F::Output> {
    if Handle::try_current().is_err() {
        return Some(future.await);
    }
    tokio::time::timeout(most, future).await.ok()
}

/// What the batches of one call share.
#[derive(Debug, Default)]
pub(crate) struct Call {
    /// The outcome of one of them is not certain: those behind it are not tried.
    broken: AtomicBool,
    /// Some of them are under way: those behind them wait.
    pub(crate) flying: AtomicBool,
}

impl Call {
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Takes notice of an answer after which nothing more of the call is to be tried.
    pub(crate) fn note(&self, answer: &Result<Receipt, StoreError>) {
        let breaks = matches!(
            answer,
            Err(StoreError::Unknown { .. }
                | StoreError::Unavailable { .. }
                | StoreError::Busy { .. }
                | StoreError::Closed)
        );
        if breaks {
            self.broken.store(true, Ordering::Release);
        }
    }
}

/// Counts a batch as waiting for as long as it does, however that ends.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }

    /// How many wait, this one among them.
    pub(crate) fn all(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A batch's turn. The writer takes it or its caller withdraws it, whoever is first; so exactly one of them
/// decides whether it can still happen.
#[derive(Debug)]
pub(crate) struct Ticket {
    state: AtomicU8,
    /// When the caller asked, by the clock's monotonic time.
    began: Duration,
    deadline: Option<Duration>,
}

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Ticket {
    pub(crate) fn new(began: Duration, deadline: Option<Duration>) -> Arc<Self> {
        Arc::new(Self { state: AtomicU8::new(WAITING), began, deadline })
    }

    /// Claims the batch for the writer; false where it was withdrawn.
    pub(crate) fn take(&self) -> bool {
        self.leave_waiting_for(TAKEN)
    }

    /// Withdraws the batch; false where the writer has it.
    pub(crate) fn withdraw(&self) -> bool {
        self.leave_waiting_for(WITHDRAWN) || self.state.load(Ordering::Acquire) == WITHDRAWN
    }

    fn leave_waiting_for(&self, state: u8) -> bool {
        self.state.compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// How long the caller has waited at `now`.
    pub(crate) fn waited(&self, now: Duration) -> Duration {
        now.saturating_sub(self.began)
    }

    /// Whether the deadline has passed at `now`.
    pub(crate) fn is_late(&self, now: Duration) -> bool {
        self.left(now) == Some(Duration::ZERO)
    }

    /// How long until the deadline; none where there is no deadline.
    pub(crate) fn left(&self, now: Duration) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_sub(self.waited(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_decided_once() {
        let ticket = Ticket::new(Duration::ZERO, None);
        assert!(ticket.take());
        assert!(!ticket.withdraw());
        assert!(!ticket.take());
        let ticket = Ticket::new(Duration::ZERO, None);
        assert!(ticket.withdraw());
        assert!(ticket.withdraw());
        assert!(!ticket.take());
    }

    #[test]
    fn a_deadline_is_measured_from_the_call() {
        let at = Duration::from_secs;
        let ticket = Ticket::new(at(5), Some(at(2)));
        assert_eq!(ticket.left(at(6)), Some(at(1)));
        assert!(!ticket.is_late(at(6)));
        assert!(ticket.is_late(at(7)));
        assert_eq!(ticket.waited(at(9)), at(4));
        assert!(!Ticket::new(at(5), None).is_late(at(1_000_000)));
    }
}
