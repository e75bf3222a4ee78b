//! The store's handle: [`SqliteStore`].

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use apportion::store::{
    Batch, Changes, Cursor, Prepared, Prune, Pruned, Query, Reads, Receipt, Resolution, Schema, Snapshot,
    Store, StoreError,
};
use apportion_sql::{Baton, GroupCommit, Queue, QueueOptions, backoff, changes, read, resolve};
use async_trait::async_trait;
use uuid::Uuid;

use crate::error::plain;
use crate::link::Reader;
use crate::options::SqliteOptions;
use crate::shared::Shared;
use crate::snapshot::SqliteSnapshot;

/// A store in one SQLite file.
///
/// One connection writes: what waits is judged, each batch on its own, and made durable with one commit; so a hundred
/// callers at once pay for one sync. Reads run beside it and never wait for it. Several processes, and several handles
/// in one process, may have the same file open.
///
/// It is opened and used within a tokio runtime whose timer is enabled. Dropping the store lets what was accepted be
/// committed, without waiting for it; [`Store::close`] waits.
#[derive(Debug)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    queue: Queue,
}

/// Commits groups on the connection that writes.
#[derive(Debug)]
struct Committer(Arc<Shared>);

/// How long a group waits that the database refused and the evaluator did not: there is nobody to make room for.
pub(crate) fn pause(tries: u32) -> Duration {
    backoff(tries, 0.5)
}

#[async_trait]
impl GroupCommit for Committer {
    async fn commit(&self, members: Vec<Prepared>, baton: Baton) -> Vec<Result<Receipt, StoreError>> {
        match self.0.writer().await {
            Ok(mut turn) => {
                let answers = self.0.committing.commit(&mut *turn, &members, &pause, Some(baton)).await;
                if turn.has_long_log(&self.0.connector) {
                    // The next group waits for it, and who is answered does not.
                    let shared = Arc::clone(&self.0);
                    tokio::spawn(async move { turn.cut_log(&shared.connector).await });
                }
                answers
            }
            Err(error) => members.iter().map(|_| Err(error.clone())).collect(),
        }
    }
}

impl SqliteStore {
    pub(crate) fn start(shared: Arc<Shared>, options: &SqliteOptions) -> Self {
        let queue = Queue::start(
            Arc::clone(shared.tables().schema()),
            Arc::clone(&shared.clock),
            Arc::clone(&shared.metrics),
            Arc::new(Committer(Arc::clone(&shared))),
            QueueOptions { max_group: options.max_group, queue: options.queue, lanes: 1 },
        );
        Self { shared, queue }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn accepting(&self) -> Result<(), StoreError> {
        if self.shared.is_closing() { Err(StoreError::Closed) } else { Ok(()) }
    }
}

/// Does a unit of work in a task of its own, which goes on where its caller goes away.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => Err(StoreError::unavailable("a unit of work ended without an answer", error)),
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn schema(&self) -> &Schema {
        self.shared.tables().schema()
    }

    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        let mut connection = self.shared.reader().await?;
        let now = self.shared.clock.now();
        read(&mut Reader(&mut connection), self.shared.tables(), &queries, now).await.map_err(plain)
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.accepting()?;
        let shared = Arc::clone(&self.shared);
        let snapshot = apart(async move { SqliteSnapshot::open(&shared).await }).await?;
        Ok(Arc::new(snapshot))
    }

    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        self.queue.commit_many(batches).await
    }

    async fn resolve(&self, id: Uuid) -> Result<Resolution, StoreError> {
        self.accepting()?;
        let shared = Arc::clone(&self.shared);
        apart(async move {
            let mut turn = shared.writer().await?;
            resolve(&mut *turn, shared.tables(), id, shared.clock.now()).await.map_err(plain)
        })
        .await
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        let mut connection = self.shared.reader().await?;
        // A commit gives its records their positions: none of them waits.
        let changes = changes(&mut Reader(&mut connection), self.shared.tables(), after, limit, true).await;
        let changes =
            changes.map_err(plain)?.ok_or(StoreError::CursorForeign { position: after.position })?;
        self.shared.metrics.feed_lag(changes.lag);
        Ok(changes)
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StoreError> {
        self.accepting()?;
        let shared = Arc::clone(&self.shared);
        apart(async move {
            let mut turn = shared.writer().await?;
            apportion_sql::prune(&mut *turn, shared.tables(), prune, shared.clock.now()).await.map_err(plain)
        })
        .await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.shared.closing.store(true, Ordering::Release);
        self.queue.close().await;
        let shared = Arc::clone(&self.shared);
        apart(async move { shared.close().await }).await
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.shared.meter.syncs())
    }
}
