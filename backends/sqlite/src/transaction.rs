//! The application's own transaction: [`SqliteTransaction`].

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apportion::id::IdSource as _;
use apportion::store::{
    Batch, Changes, Cursor, Prepared, Prune, Pruned, Query, Reads, Receipt, Resolution, Schema, Snapshot,
    Store, StoreError,
};
use apportion::time::Timestamp;
use apportion_sql::{Ended, read};
use async_trait::async_trait;
use sqlx_sqlite::SqliteConnection;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, OwnedMutexGuard};
use uuid::Uuid;

use crate::error::plain;
use crate::nested::Nested;
use crate::shared::Shared;
use crate::store::{SqliteStore, apart, pause};

/// A transaction in which the application's own statements and the store's batches happen together or not at all.
///
/// It is a [`Store`] itself, so everything that works on a store works in it; what it reads shows what was done in it
/// before. A refused batch is answered like anywhere else, and the transaction goes on without it. Nobody else can
/// write to the file until it ends: keep it short, and do not call the store that it came from meanwhile, which would
/// wait until its time is over. Snapshots, the feed, `resolve` and `prune` are not to be had in it.
///
/// Where the future of a batch is dropped before it has answered, the batch is undone before anything else is done in
/// the transaction; until then [`SqliteTransaction::commit`] refuses. Dropping the transaction undoes all of it.
///
/// See [`SqliteStore::begin`].
#[derive(Debug)]
pub struct SqliteTransaction {
    shared: Arc<Shared>,
    nested: Arc<Mutex<Nested>>,
    /// It is being ended, or has been.
    ending: AtomicBool,
}

/// The connection of a transaction, lent to the application; see [`SqliteTransaction::sql`].
pub struct Sql<'a>(MappedMutexGuard<'a, SqliteConnection>);

impl fmt::Debug for Sql<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sql").finish_non_exhaustive()
    }
}

impl Deref for Sql<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.0
    }
}

impl DerefMut for Sql<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }
}

impl SqliteStore {
    /// Begins a transaction of the application's, on a connection of its own. It waits for the right to write, in its
    /// turn among what this store commits, for [`SqliteOptions::lock_timeout`](crate::SqliteOptions::lock_timeout) at
    /// most.
    pub async fn begin(&self) -> Result<SqliteTransaction, StoreError> {
        self.accepting()?;
        let shared = Arc::clone(self.shared());
        apart(async move {
            let nested = shared.begin().await?;
            let (nested, ending) = (Arc::new(Mutex::new(nested)), AtomicBool::new(false));
            Ok(SqliteTransaction { shared, nested, ending })
        })
        .await
    }
}

impl SqliteTransaction {
    /// The connection, for the application's own statements. They must not end the transaction.
    ///
    /// There is one: let go of what this gives before anything else is called on the transaction, which would wait for
    /// it until [`SqliteOptions::lock_timeout`](crate::SqliteOptions::lock_timeout) is over, and then be
    /// [`StoreError::Unavailable`].
    pub async fn sql(&self) -> Result<Sql<'_>, StoreError> {
        let mut nested = self.healed().await?;
        nested.lend().await.map_err(plain)?;
        MutexGuard::try_map(nested, Nested::connection_mut).map(Sql).map_err(|_| StoreError::Closed)
    }

    /// Makes everything that was done in the transaction durable.
    ///
    /// Its last statement writes a receipt of the transaction's own, where any batch was tried in it: no batch, and no
    /// record in the feed, but an id that [`Store::resolve`] answers for the transaction as a whole.
    ///
    /// Where this future is dropped the commit goes on. Whoever asks again, here or with
    /// [`SqliteTransaction::rollback`], waits for it and is told what it came to.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where nothing of it happened: also where a batch was dropped and not undone since,
    /// after which the transaction goes on. [`StoreError::Unknown`] where nobody can say, with the id of that receipt,
    /// to be resolved with the store that the transaction came from; with the nil id where no batch was tried, as then
    /// there is no receipt, and only the application can look whether its own statements happened.
    pub async fn commit(&self) -> Result<(), StoreError> {
        let mut nested = self.to_end().await?;
        if let Some(ended) = nested.ending.ended() {
            return ended.committed();
        }
        if nested.is_torn() {
            return Err(unavailable(
                "a batch of the transaction was dropped, and has to be undone before it can commit",
            ));
        }
        nested.heal().await.map_err(plain)?;
        let shared = Arc::clone(&self.shared);
        let committing = async move {
            nested.commit(shared.tables(), shared.ids.next_id(), shared.clock.now()).await;
        };
        self.end(committing).await?.committed()
    }

    /// Undoes everything that was done in the transaction.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where it was committed before, and [`StoreError::Unknown`] where nobody can say whether
    /// it was; see [`SqliteTransaction::commit`].
    pub async fn rollback(&self) -> Result<(), StoreError> {
        self.undo().await?.rolled_back()
    }

    /// Undoes it, unless it has ended, and says how it has.
    async fn undo(&self) -> Result<Ended, StoreError> {
        let mut nested = self.to_end().await?;
        match nested.ending.ended() {
            Some(ended) => Ok(ended),
            None => self.end(async move { nested.undo().await }).await,
        }
    }

    /// The connection, for whoever ends the transaction. Whoever ends it already is waited for; whoever has the connection
    /// lent may be the one who waits here.
    async fn to_end(&self) -> Result<OwnedMutexGuard<Nested>, StoreError> {
        let most = self.shared.connector.lock_timeout();
        loop {
            match tokio::time::timeout(most, Arc::clone(&self.nested).lock_owned()).await {
                Ok(nested) => return Ok(nested),
                Err(_) if self.ending.load(Ordering::Acquire) => {}
                Err(_) => return Err(lent()),
            }
        }
    }

    /// Ends it in a task that no caller's drop cancels, and says how it has ended.
    async fn end(&self, ending: impl Future<Output = ()> + Send + 'static) -> Result<Ended, StoreError> {
        self.ending.store(true, Ordering::Release);
        let ending = apart(async {
            ending.await;
            Ok(())
        });
        drop(ending.await);
        // Where there is nothing, it was not even begun.
        let ended = self.nested.lock().await.ending.ended();
        ended.ok_or_else(|| unavailable("the work ended without an answer"))
    }

    /// The connection, with nothing on it that was dropped.
    async fn healed(&self) -> Result<MutexGuard<'_, Nested>, StoreError> {
        let most = self.shared.connector.lock_timeout();
        // Whoever keeps the connection lent while he waits here would wait for ever.
        let mut nested = tokio::time::timeout(most, self.nested.lock()).await.map_err(|_| lent())?;
        nested.heal().await.map_err(plain)?;
        Ok(nested)
    }

    /// Judges and writes what is not refused before, and answers in order.
    async fn write(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        let began = self.shared.clock.monotonic();
        let prepared: Vec<_> = batches.into_iter().map(|batch| self.schema().prepare(batch)).collect();
        let mut nested = match self.healed().await {
            Ok(nested) => nested,
            Err(error) => {
                return prepared.into_iter().map(|batch| batch.and_then(|_| Err(error.clone()))).collect();
            }
        };
        let waited = self.shared.clock.monotonic().saturating_sub(began);
        let (mut members, mut answers) = (Vec::new(), Vec::with_capacity(prepared.len()));
        for batch in prepared {
            answers.push(match batch.and_then(|batch| in_time(batch, waited)) {
                Ok(batch) => {
                    members.push(batch);
                    None
                }
                Err(error) => Some(Err(error)),
            });
        }
        nested.ending.tried(Timestamp::MIN);
        let judged = match nested.tear().await.map_err(plain) {
            Ok(()) => self.shared.committing.commit(&mut *nested, &members, &pause, None).await,
            Err(error) => members.iter().map(|_| Err(error.clone())).collect(),
        };
        // From here to the answer nothing is waited for.
        nested.settle();
        judged.iter().flatten().for_each(|receipt| nested.ending.tried(receipt.at));
        let mut judged = judged.into_iter();
        let gone = || Err(StoreError::Closed);
        answers.into_iter().map(|answer| answer.or_else(|| judged.next()).unwrap_or_else(gone)).collect()
    }
}

fn lent() -> StoreError {
    unavailable("the connection of the transaction is in use: let go of what sql() gave")
}

fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable { reason: reason.into(), source: None }
}

fn in_time(batch: Prepared, waited: Duration) -> Result<Prepared, StoreError> {
    match batch.deadline {
        Some(deadline) if deadline <= waited => Err(StoreError::DeadlineExceeded { waited }),
        _ => Ok(batch),
    }
}

fn refused(what: &str) -> StoreError {
    StoreError::invalid(what, "not to be had inside a transaction; ask the store itself")
}

#[async_trait]
impl Store for SqliteTransaction {
    fn schema(&self) -> &Schema {
        self.shared.tables().schema()
    }

    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        let mut nested = self.healed().await?;
        let now = self.shared.clock.now();
        read(&mut *nested, self.shared.tables(), &queries, now).await.map_err(plain)
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Err(refused("snapshot"))
    }

    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        self.write(batches).await
    }

    async fn resolve(&self, _id: Uuid) -> Result<Resolution, StoreError> {
        Err(refused("resolve"))
    }

    async fn changes(&self, _after: Cursor, _limit: u32) -> Result<Changes, StoreError> {
        Err(refused("changes"))
    }

    async fn prune(&self, _prune: Prune) -> Result<Pruned, StoreError> {
        Err(refused("prune"))
    }

    /// Undoes the transaction, like [`SqliteTransaction::rollback`], unless it has ended.
    async fn close(&self) -> Result<(), StoreError> {
        self.undo().await?.closed()
    }
}
