//! The store's handle: [`RedbStore`].

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use apportion::store::{
    Batch, Changes, Cursor, Prune, Pruned, Query, Reads, Receipt, Resolution, Schema, Snapshot, Store,
    StoreError,
};
use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::error::writer_failed;
use crate::queue::{Answer, Entry, Job, Ticket, Waiting};
use crate::read;
use crate::shared::{Readable, Shared};
use crate::snapshot::RedbSnapshot;
use crate::view::View;

/// How long dropping the last handle waits for the writer to end.
const MAX_DROP_WAIT: Duration = Duration::from_secs(5);

/// A store in one redb file, owned by one process.
///
/// One thread writes: it takes every batch that waits, judges each on its own, and makes all of them durable with
/// one sync; so a hundred callers at once pay for one. Reads run beside it and never wait for it.
///
/// Futures of a store run in a tokio runtime whose timer is enabled. Dropping the store answers what was accepted
/// and releases the file, like [`Store::close`]; it waits for that for at most five seconds.
#[derive(Debug)]
pub struct RedbStore {
    shared: Arc<Shared>,
    /// None only while the store is being dropped.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// A batch on its way: refused before it was queued, or waiting for its answer.
enum Pending {
    Refused(StoreError),
    Waiting(Uuid, Arc<Ticket>, oneshot::Receiver<Result<Receipt, StoreError>>),
}

impl RedbStore {
    pub(crate) fn start(shared: Arc<Shared>, jobs: mpsc::Sender<Job>, writer: JoinHandle<()>) -> Self {
        Self { shared, jobs: Some(jobs), writer: Some(writer) }
    }

    /// How many bytes the file has.
    pub fn file_bytes(&self) -> u64 {
        self.shared.meter.bytes()
    }

    /// Moves what is stored to the beginning of the file and cuts the rest off; false where nothing was won.
    ///
    /// Writes and reads wait meanwhile. It is `Busy` while a snapshot is open, or while a read goes on for longer
    /// than a second.
    pub async fn compact(&self) -> Result<bool, StoreError> {
        self.ask(Job::Compact).await
    }

    /// What can be read now, waiting for a compaction to end.
    pub(crate) async fn view(&self) -> Result<Arc<View>, StoreError> {
        if self.shared.closing.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        let mut views = None;
        loop {
            match &*self.shared.views.borrow() {
                Readable::Yes(view) => return Ok(Arc::clone(view)),
                Readable::No(error) => return Err(error.clone()),
                Readable::Soon => {}
            }
            // Whoever subscribes looks again, so that no change is missed in between.
            match &mut views {
                None => views = Some(self.shared.views.subscribe()),
                Some(views) => drop(views.changed().await),
            }
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    async fn send(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(job).await.map_err(|_| StoreError::Closed)
    }

    /// Hands the writer a job that has one answer, and waits for it.
    async fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, StoreError> {
        if self.shared.closing.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        let (answer, answered) = oneshot::channel();
        self.send(job(answer)).await?;
        answered.await.unwrap_or_else(|_| Err(writer_failed()))
    }

    fn queue(&self, batches: Vec<Batch>, began: Duration) -> (Vec<Entry>, Vec<Pending>) {
        let mut entries = Vec::with_capacity(batches.len());
        let mut pending = Vec::with_capacity(batches.len());
        let closed = self.shared.closing.load(Ordering::Acquire);
        for batch in batches {
            let id = batch.id;
            match self.shared.schema.prepare(batch) {
                Err(error) => pending.push(Pending::Refused(error)),
                Ok(_) if closed => pending.push(Pending::Refused(StoreError::Closed)),
                Ok(batch) => {
                    let ticket = Ticket::new(began, batch.deadline);
                    let (answer, answered) = oneshot::channel();
                    pending.push(Pending::Waiting(id, Arc::clone(&ticket), answered));
                    entries.push(Entry {
                        batch,
                        ticket,
                        answer,
                        _waiting: Waiting::new(&self.shared.waiting),
                    });
                }
            }
        }
        (entries, pending)
    }

    /// Hands batches to the writer, waiting for room until all their deadlines have passed.
    async fn enqueue(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        let tickets: Vec<_> = entries.iter().map(|entry| Arc::clone(&entry.ticket)).collect();
        let waiting = self.shared.waiting.load(Ordering::Relaxed);
        self.shared.metrics.queue_depth(waiting);
        let mut send = pin!(self.send(Job::Commit(entries)));
        loop {
            let now = self.shared.clock.monotonic();
            // While one of them has no deadline, or one that is not over, there is something to wait for.
            let left = tickets.iter().map(|ticket| ticket.left(now).unwrap_or(Duration::MAX));
            match left.max().unwrap_or_default() {
                Duration::ZERO if tickets.iter().all(|ticket| ticket.withdraw()) => return Ok(()),
                Duration::ZERO | Duration::MAX => return send.await,
                left => {
                    if let Some(sent) = within(left, send.as_mut()).await {
                        return sent;
                    }
                }
            }
        }
    }

    /// Waits for a batch's answer until its deadline.
    async fn answer(
        &self,
        id: Uuid,
        ticket: &Ticket,
        mut answered: oneshot::Receiver<Result<Receipt, StoreError>>,
    ) -> Result<Receipt, StoreError> {
        let gone = || match (ticket.withdraw(), self.shared.closing.load(Ordering::Acquire)) {
            (true, true) => Err(StoreError::Closed),
            (true, false) => Err(writer_failed()),
            // The writer had it, and nobody can say how far it came.
            (false, _) => Err(StoreError::Unknown { id }),
        };
        loop {
            let now = self.shared.clock.monotonic();
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

/// Waits for a future, but not much longer than `most`; outside a runtime there is no timer, and it waits for as
/// long as it takes.
async fn within<F: Future>(most: Duration, future: Pin<&mut F>) -> Option<F::Output> {
    if Handle::try_current().is_err() {
        return Some(future.await);
    }
    tokio::time::timeout(most, future).await.ok()
}

#[async_trait]
impl Store for RedbStore {
    fn schema(&self) -> &Schema {
        &self.shared.schema
    }

    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        let view = self.view().await?;
        let last_at = view.state.last_at;
        let answers = read::answer(view, queries).await?;
        Ok(Reads::new(self.shared.clock.now().max(last_at), answers))
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        let view = self.view().await?;
        let snapshot = RedbSnapshot::open(&self.shared.snapshots, view, &self.shared.clock)?;
        Ok(Arc::new(snapshot))
    }

    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        let (entries, pending) = self.queue(batches, self.shared.clock.monotonic());
        // Where the writer is gone nothing was queued, and each batch finds its answer gone.
        if !entries.is_empty() {
            drop(self.enqueue(entries).await);
        }
        let mut answers = Vec::with_capacity(pending.len());
        for batch in pending {
            answers.push(match batch {
                Pending::Refused(error) => Err(error),
                Pending::Waiting(id, ticket, answered) => self.answer(id, &ticket, answered).await,
            });
        }
        answers
    }

    async fn resolve(&self, id: Uuid) -> Result<Resolution, StoreError> {
        self.ask(|answer| Job::Resolve(id, answer)).await
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        let view = self.view().await?;
        let changes = read::blocking(move || view.changes(after, limit)).await?;
        self.shared.metrics.feed_lag(changes.lag);
        Ok(changes)
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StoreError> {
        self.ask(|answer| Job::Prune(prune, answer)).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.shared.closing.store(true, Ordering::Release);
        let (answer, answered) = oneshot::channel();
        if self.send(Job::Close(answer)).await.is_ok()
            && let Ok(closed) = answered.await
        {
            return closed;
        }
        // The writer had ended, or was just ending.
        let mut views = self.shared.views.subscribe();
        let closed = views.wait_for(|readable| matches!(readable, Readable::No(StoreError::Closed)));
        drop(closed.await);
        Ok(())
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.shared.meter.syncs())
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        // The writer ends when nobody can ask any more.
        self.jobs = None;
        if !self.shared.ended.wait(MAX_DROP_WAIT) {
            tracing::warn!("the writer is still busy; the file stays locked until it has ended");
        } else if let Some(writer) = self.writer.take() {
            // It has nothing left to do but to end. What made it panic was reported when it did.
            drop(writer.join());
        }
    }
}
