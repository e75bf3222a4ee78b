//! The application's own transaction: [`SqliteTransaction`].

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex as Plain, PoisonError};
use std::time::Duration;

use apportion::store::{
    Batch, Changes, Cursor, Prepared, Prune, Pruned, Query, Reads, Receipt, Resolution, Schema, Snapshot,
    Store, StoreError,
};
use apportion_sql::{Failure, read};
use async_trait::async_trait;
use sqlx_core::connection::Connection as _;
use sqlx_sqlite::SqliteConnection;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use uuid::Uuid;

use crate::error::{plain, store_error};
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
    nested: Mutex<Nested>,
    /// The last batch that was accepted, to be asked for where it is not known whether the transaction happened.
    last: Plain<Option<Uuid>>,
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
            Ok(SqliteTransaction { shared, nested: Mutex::new(nested), last: Plain::new(None) })
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
    /// # Errors
    /// [`StoreError::Unavailable`] where nothing of it happened: also where a batch was dropped and not undone since,
    /// after which the transaction goes on. [`StoreError::Unknown`] with its last batch where nobody can say.
    pub async fn commit(&self) -> Result<(), StoreError> {
        let mut nested = self.connection().await?;
        if nested.is_torn() {
            return Err(StoreError::Unavailable {
                reason: "a batch of the transaction was dropped, and has to be undone before it can commit"
                    .into(),
                source: None,
            });
        }
        nested.heal().await.map_err(plain)?;
        let (ending, id) = (nested.take(), self.last());
        apart(async move {
            match ending.finish().await {
                Ok(()) => Ok(()),
                Err(Failure::Unknown) => Err(StoreError::Unknown { id }),
                Err(failure) => Err(plain(failure)),
            }
        })
        .await
    }

    /// Undoes everything that was done in the transaction.
    pub async fn rollback(&self) -> Result<(), StoreError> {
        let ending = self.connection().await?.take();
        match ending.into_connection() {
            // Closing a connection undoes what it has not committed.
            Some(connection) => apart(async move { connection.close().await.map_err(store_error) }).await,
            None => Ok(()),
        }
    }

    fn last(&self) -> Uuid {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_default()
    }

    /// The connection, once nobody else works on it. Whoever keeps it lent while he waits here would wait for ever.
    async fn connection(&self) -> Result<MutexGuard<'_, Nested>, StoreError> {
        let most = self.shared.connector.lock_timeout();
        let lent = |_| StoreError::Unavailable {
            reason: "the connection of the transaction is in use: let go of what sql() gave".into(),
            source: None,
        };
        tokio::time::timeout(most, self.nested.lock()).await.map_err(lent)
    }

    /// The connection, with nothing on it that was dropped.
    async fn healed(&self) -> Result<MutexGuard<'_, Nested>, StoreError> {
        let mut nested = self.connection().await?;
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
        let judged = match nested.tear().await.map_err(plain) {
            Ok(()) => self.shared.committing.commit(&mut *nested, &members, &pause).await,
            Err(error) => members.iter().map(|_| Err(error.clone())).collect(),
        };
        // From here to the answer nothing is waited for.
        nested.settle();
        if let Some(receipt) = judged.iter().rev().find_map(|answer| answer.as_ref().ok()) {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(receipt.batch);
        }
        let mut judged = judged.into_iter();
        let gone = || Err(StoreError::Closed);
        answers.into_iter().map(|answer| answer.or_else(|| judged.next()).unwrap_or_else(gone)).collect()
    }
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

    /// Undoes the transaction, like [`SqliteTransaction::rollback`].
    async fn close(&self) -> Result<(), StoreError> {
        self.rollback().await
    }
}
