//! The store's handle: [`PostgresStore`].

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use apportion::store::{
    Batch, Changes, Cursor, Prepared, Prune, Pruned, Query, Reads, Receipt, Resolution, Schema, Snapshot,
    Store, StoreError,
};
use apportion::time::Clock;
use apportion_sql::{
    Answering, Baton, Failure, Gather, GroupCommit, Queue, QueueOptions, Tables, Take, backoff, changes,
    prune_some, read, resolve, stamp_waiting,
};
use async_trait::async_trait;
use sqlx_postgres::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::{nothing_happened, unavailable};
use crate::link::Meter;
use crate::options::PostgresOptions;
use crate::shared::Shared;
use crate::snapshot::PostgresSnapshot;
use crate::units::{Pooled, Work};

/// How often a read is tried that other transactions disturb.
const ATTEMPTS: u32 = 8;

/// A store in a Postgres database.
///
/// What waits is judged, each batch on its own, and made durable with one commit; so a hundred callers at once pay
/// for one sync. Any number of processes, and of handles in one process, may have the same database open.
///
/// It is opened within a tokio runtime whose timer and network are enabled, and works there, wherever it is called from.
/// Dropping the store lets what was accepted be committed, without waiting for it; [`Store::close`] waits.
#[derive(Debug)]
pub struct PostgresStore {
    shared: Arc<Shared>,
    queue: Queue,
    gather: Arc<Gather>,
}

/// How many statements look rows up at once, where one takes long.
const LOOKING_UP: usize = 2;

/// Answers reads.
#[derive(Debug)]
struct Reader(Arc<Shared>);

#[async_trait]
impl Answering for Reader {
    async fn answer(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        let queries: Arc<[Query]> = queries.into();
        let reading = calmly(&self.0, move |shared, link| {
            let queries = Arc::clone(&queries);
            Box::pin(async move { read(link, shared.tables(), &queries, shared.clock.now()).await })
        });
        reading.await.map_err(nothing_happened)
    }
}

/// Commits groups.
#[derive(Debug)]
struct Committer(Arc<Shared>);

/// How long to wait before a unit of work is repeated.
pub(crate) fn pause(tries: u32) -> Duration {
    // Who waits longer of those who met is nobody's business, and no test's either.
    let random = RandomState::new().build_hasher().finish() % 1024;
    let part = u32::try_from(random).map_or(1.0, |random| f64::from(random) / 1024.0);
    backoff(tries, part)
}

#[async_trait]
impl GroupCommit for Committer {
    async fn commit(&self, members: Vec<Prepared>, baton: Baton) -> Vec<Result<Receipt, StoreError>> {
        let ids: Vec<Uuid> = members.iter().map(|member| member.id).collect();
        let shared = Arc::clone(&self.0);
        let committing = self.0.units.run(move |link| {
            Box::pin(async move { Ok(shared.committing.commit(link, &members, &pause, Some(baton)).await) })
        });
        let committed = committing.await;
        if self.0.committing.take_unstamped() {
            self.0.stamp_soon();
        }
        match committed {
            Ok(answers) => answers,
            Err(Failure::Unknown) => ids.into_iter().map(|id| Err(StoreError::Unknown { id })).collect(),
            Err(failure) => {
                let error = nothing_happened(failure);
                ids.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }
}

impl PostgresStore {
    pub(crate) fn start(
        pool: PgPool,
        ours: bool,
        tables: Tables,
        clock: Arc<dyn Clock>,
        meter: Arc<Meter>,
        options: &PostgresOptions,
    ) -> Self {
        let shared = Arc::new(Shared::new(pool, ours, tables, clock, meter, options));
        let queue = Queue::start(
            Arc::clone(shared.tables().schema()),
            Arc::clone(&shared.clock),
            Arc::clone(&shared.metrics),
            Arc::new(Committer(Arc::clone(&shared))),
            QueueOptions { max_group: options.max_group, queue: options.queue, lanes: options.lanes },
        );
        let gather = Gather::new(Arc::new(Reader(Arc::clone(&shared))), LOOKING_UP);
        Self { shared, queue, gather }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// Does a piece of work of which nothing remains where it fails, again where others disturb it.
async fn calmly<T, W>(shared: &Arc<Shared>, work: W) -> Result<T, Failure>
where
    T: Send + 'static,
    W: for<'l> Fn(Arc<Shared>, &'l mut Pooled) -> Work<'l, T> + Clone + Send + 'static,
{
    shared.accepting()?;
    let mut tries = 1;
    loop {
        let (with, work) = (Arc::clone(shared), work.clone());
        match shared.units.run(move |link| work(with, link)).await {
            Err(Failure::Serialization) if tries < ATTEMPTS => {
                rest(shared, tries).await;
                tries += 1;
            }
            done => return done,
        }
    }
}

/// The same, also where it needs the right to give positions and others have that for longer than a lock is waited for:
/// again, for as long as a call may take. Whoever has it is a moment before its end, or gone, which the server notices.
async fn patiently<T, W>(shared: &Arc<Shared>, work: W) -> Result<T, Failure>
where
    T: Send + 'static,
    W: for<'l> Fn(Arc<Shared>, &'l mut Pooled) -> Work<'l, T> + Clone + Send + 'static,
{
    let until = shared.units.deadline();
    let mut tries = 1;
    loop {
        match calmly(shared, work.clone()).await {
            Err(Failure::LockTimeout) if Instant::now() < until => {
                rest(shared, tries).await;
                tries += 1;
            }
            done => return done,
        }
    }
}

/// Waits before a repetition, by the timer of the store's runtime: the caller's executor may have none.
async fn rest(shared: &Shared, tries: u32) {
    let pause = pause(tries);
    // Where that runtime is gone the repetition says so.
    drop(shared.units.runtime().spawn(async move { tokio::time::sleep(pause).await }).await);
}

#[async_trait]
impl Store for PostgresStore {
    fn schema(&self) -> &Schema {
        self.shared.tables().schema()
    }

    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        self.gather.read(queries).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.shared.accepting()?;
        Ok(Arc::new(PostgresSnapshot::open(&self.shared).await?))
    }

    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        self.queue.commit_many(batches).await
    }

    async fn resolve(&self, id: Uuid) -> Result<Resolution, StoreError> {
        let resolving = calmly(&self.shared, move |shared, link| {
            Box::pin(async move { resolve(link, shared.tables(), id, shared.clock.now()).await })
        });
        resolving.await.map_err(|failure| match failure {
            // Somebody may be committing it at this moment, for longer than can be waited for.
            Failure::Unknown | Failure::LockTimeout => StoreError::Unknown { id },
            failure => nothing_happened(failure),
        })
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        let reading = patiently(&self.shared, move |shared, link| {
            Box::pin(async move {
                if let Some(changes) = changes(link, shared.tables(), after, limit, false).await? {
                    return Ok(Some(changes));
                }
                // Each step has its own time: the more records wait, the longer they would keep waiting.
                link.extend(shared.units.deadline());
                link.begin_with(Arc::clone(&shared.stamping.begin));
                stamp_waiting(link, shared.tables(), Take::Waiting).await?;
                link.extend(shared.units.deadline());
                // What came since was not acknowledged when this was asked; and more than fill a page have positions now.
                changes(link, shared.tables(), after, limit, true).await
            })
        });
        let changes = reading.await.map_err(nothing_happened)?;
        let changes = changes.ok_or_else(|| unavailable("the feed gave no answer"))?;
        self.shared.metrics.feed_lag(changes.lag);
        Ok(changes)
    }

    async fn prune(&self, what: Prune) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::new(0, 0, 0);
        loop {
            // One piece of work for each some thousands, so that each has its own time.
            let pruning = patiently(&self.shared, move |shared, link| {
                Box::pin(async move {
                    link.begin_with(Arc::clone(&shared.stamping.begin));
                    prune_some(link, shared.tables(), what, shared.clock.now(), pruned).await
                })
            });
            match pruning.await {
                Ok((so_far, true)) => pruned = so_far,
                Ok((so_far, false)) => return Ok(so_far),
                // It has happened, as far as it went, and an error would say that it had not.
                Err(failure) if pruned.records + pruned.receipts > 0 => {
                    tracing::debug!(?failure, "pruning ended early");
                    return Ok(pruned);
                }
                Err(failure) => return Err(nothing_happened(failure)),
            }
        }
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.shared.closing.store(true, Ordering::Release);
        self.queue.close().await;
        let shared = Arc::clone(&self.shared);
        // In a task of its own, so that a caller that goes away leaves nothing half closed.
        let runtime = self.shared.units.runtime().clone();
        drop(runtime.spawn(async move { shared.close().await }).await);
        Ok(())
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.shared.meter.syncs())
    }
}

#[cfg(test)]
mod tests;
