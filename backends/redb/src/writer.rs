//! The one thread that writes: it takes what waits, judges it, and makes it durable with one sync.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use apportion::store::eval::{Effects, Group};
use apportion::store::{Receipt, StoreError};
use redb::Database;
use tokio::sync::mpsc;

use crate::error::{storage, writer_failed};
use crate::layout::State;
use crate::queue::{Answer, Entry, Job};
use crate::shared::{Readable, Shared};
use crate::tables::Tables;
use crate::view::View;

/// The longest that a group waits for the callers of the last one to come back.
const MAX_LINGER: Duration = Duration::from_millis(1);
const NAP: Duration = Duration::from_micros(50);

/// The owner of the database.
pub(crate) struct Writer {
    pub(crate) database: Database,
    pub(crate) shared: Arc<Shared>,
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) max_group: usize,
    pub(crate) state: State,
    pub(crate) pace: Pace,
}

/// What a writer remembers from one group to the next.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    backlog: VecDeque<Work>,
    /// How many batches were in the last group.
    last_group: usize,
    /// How long it took.
    last_took: Duration,
    /// Writing has failed: what the file holds is known only after opening it again.
    pub(crate) failed: bool,
}

#[derive(Debug)]
enum Work {
    Batch(Box<Entry>),
    Other(Job),
}

impl Writer {
    /// Works until it is told to close, or the last handle is gone.
    pub(crate) fn run(mut self) {
        let mut closing = None;
        while self.wait_for_work() {
            // What a panic interrupts was not answered: its callers find out that their answers are gone.
            match catch_unwind(AssertUnwindSafe(|| self.step())) {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    closing = Some(answer);
                    break;
                }
                Err(_) => {
                    tracing::error!("the writer panicked; the store takes no more writes");
                    self.pace.failed = true;
                }
            }
        }
        self.end(closing);
    }

    /// Waits for something to do; false where nobody can ask any more.
    fn wait_for_work(&mut self) -> bool {
        if self.pace.backlog.is_empty() {
            match self.jobs.blocking_recv() {
                Some(job) => self.accept(job),
                None => return false,
            }
        }
        self.accept_waiting();
        // Callers that were answered together come back one by one. Without a short wait the first would be
        // committed alone, and the others would wait for its sync.
        let linger = (self.pace.last_took / 4).min(MAX_LINGER);
        let mut napped = Duration::ZERO;
        while self.pace.backlog.len() < self.pace.last_group.min(self.max_group) && napped < linger {
            std::thread::sleep(NAP);
            napped += NAP;
            self.accept_waiting();
        }
        true
    }

    fn accept_waiting(&mut self) {
        while self.pace.backlog.len() < self.max_group {
            match self.jobs.try_recv() {
                Ok(job) => self.accept(job),
                Err(_) => return,
            }
        }
    }

    fn accept(&mut self, job: Job) {
        match job {
            Job::Commit(entries) => {
                let entries = entries.into_iter().map(|entry| Work::Batch(Box::new(entry)));
                self.pace.backlog.extend(entries);
            }
            other => self.pace.backlog.push_back(Work::Other(other)),
        }
    }

    /// Does one thing: a group of batches, or another job. Gives the answer to wait for the end where it is told
    /// to close.
    fn step(&mut self) -> Option<Answer<()>> {
        let mut group = Vec::new();
        while group.len() < self.max_group {
            match self.pace.backlog.pop_front() {
                Some(Work::Batch(entry)) => group.push(*entry),
                Some(Work::Other(job)) if group.is_empty() => return self.other(job),
                Some(later) => {
                    self.pace.backlog.push_front(later);
                    break;
                }
                None => break,
            }
        }
        self.group(group);
        None
    }

    fn other(&mut self, job: Job) -> Option<Answer<()>> {
        // Who no longer waits for an answer does not get one.
        match job {
            Job::Close(answer) => return Some(answer),
            Job::Resolve(id, answer) => {
                let _ = answer.send(self.able().and_then(|()| self.resolve(id)));
            }
            Job::Prune(prune, answer) => {
                let _ = answer.send(self.able().and_then(|()| self.prune(prune)));
            }
            Job::Compact(answer) => {
                let _ = answer.send(self.able().and_then(|()| self.compact()));
            }
            Job::Commit(entries) => self.group(entries),
        }
        None
    }

    fn able(&self) -> Result<(), StoreError> {
        if self.pace.failed { Err(writer_failed()) } else { Ok(()) }
    }

    /// Judges and commits a group, and answers its members.
    fn group(&mut self, entries: Vec<Entry>) {
        let began = self.shared.clock.monotonic();
        let mut members = Vec::with_capacity(entries.len());
        for entry in entries {
            if self.pace.failed {
                let _ = entry.answer.send(Err(writer_failed()));
            } else if entry.ticket.is_late(began) {
                if entry.ticket.withdraw() {
                    let waited = entry.ticket.waited(began);
                    let _ = entry.answer.send(Err(StoreError::DeadlineExceeded { waited }));
                }
            } else if entry.ticket.take() {
                members.push(entry);
            }
        }
        if members.is_empty() {
            return;
        }
        let answers = self.commit(&members);
        let took = self.shared.clock.monotonic().saturating_sub(began);
        let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
        self.pace.last_group = members.len();
        self.pace.last_took = took;
        self.shared.metrics.group(members.len(), accepted, took);
        tracing::trace!(batches = members.len(), accepted, ?took, "committed a group");
        for (member, answer) in members.into_iter().zip(answers) {
            let _ = member.answer.send(answer);
        }
    }

    fn commit(&mut self, members: &[Entry]) -> Vec<Result<Receipt, StoreError>> {
        let shared = Arc::clone(&self.shared);
        let at = shared.clock.now().max(self.state.last_at);
        let transaction = match self.database.begin_write().map_err(storage) {
            Ok(transaction) => transaction,
            Err(error) => {
                self.fail(&error);
                return members.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let mut tables = Tables::new(&transaction, &shared.schema, &shared.layout);
        let mut group = Group::new(&shared.schema, &tables, at, Some(self.state.head.position));
        let mut answers: Vec<_> = members.iter().map(|member| group.judge(&member.batch)).collect();
        let effects = group.finish();
        if effects.receipts.is_empty() {
            // Nothing to write: what was refused left no trace, what was repeated is durable already.
            return answers;
        }
        let next = self.after(&effects, at);
        if let Err(error) = tables.apply(&effects, &next) {
            self.fail(&error);
            unmake(&mut answers, &effects, |_| error.clone());
            return answers;
        }
        drop(tables);
        if let Err(error) = transaction.commit().map_err(storage) {
            self.fail(&error);
            unmake(&mut answers, &effects, |id| StoreError::Unknown { id });
            return answers;
        }
        self.state = next;
        self.publish();
        answers
    }

    fn after(&self, effects: &Effects, at: apportion::time::Timestamp) -> State {
        let last = effects.records.last().map(apportion::store::Record::cursor);
        State { head: last.unwrap_or(self.state.head), low_water: self.state.low_water, last_at: at }
    }

    /// Lets reads see what was committed.
    pub(crate) fn publish(&self) {
        let shared = &self.shared;
        shared.snapshots.sweep(shared.clock.monotonic());
        let view = View::open(&self.database, &shared.schema, &shared.layout, self.state);
        // A state that cannot be read must not hide behind an older one.
        shared.views.send_replace(match view {
            Ok(view) => Readable::Yes(Arc::new(view)),
            Err(error) => Readable::No(error),
        });
    }

    pub(crate) fn fail(&mut self, error: &StoreError) {
        tracing::error!(%error, "writing failed; the store takes no more writes");
        self.pace.failed = true;
    }

    fn end(mut self, closing: Option<Answer<()>>) {
        self.jobs.close();
        let mut answers: Vec<_> = closing.into_iter().collect();
        while let Some(job) = self.jobs.blocking_recv() {
            self.accept(job);
        }
        for work in self.pace.backlog.drain(..) {
            match work {
                Work::Batch(entry) => drop(entry.answer.send(Err(StoreError::Closed))),
                Work::Other(Job::Close(answer)) => answers.push(answer),
                Work::Other(Job::Resolve(_, answer)) => drop(answer.send(Err(StoreError::Closed))),
                Work::Other(Job::Prune(_, answer)) => drop(answer.send(Err(StoreError::Closed))),
                Work::Other(Job::Compact(answer)) => drop(answer.send(Err(StoreError::Closed))),
                Work::Other(Job::Commit(_)) => {}
            }
        }
        self.shared.snapshots.end();
        self.shared.views.send_replace(Readable::No(StoreError::Closed));
        // A panic while closing must not leave anybody waiting.
        let database = self.database;
        let closed = crate::read::guarded(|| database.close().map_err(storage));
        for answer in answers {
            let _ = answer.send(closed.clone());
        }
        self.shared.ended.set();
    }
}

/// Replaces the answers of what would have been committed with this group.
fn unmake(
    answers: &mut [Result<Receipt, StoreError>],
    effects: &Effects,
    error: impl Fn(uuid::Uuid) -> StoreError,
) {
    for answer in answers {
        let Ok(receipt) = answer else { continue };
        let id = receipt.batch;
        // A repetition of what was durable before stays answered.
        if effects.receipts.iter().any(|written| written.batch == id) {
            *answer = Err(error(id));
        }
    }
}
