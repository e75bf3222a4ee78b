//! The application's own transaction: [`PostgresTransaction`].

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use apportion::id::IdSource as _;
use apportion::store::{
    Batch, Changes, Cursor, Prepared, Prune, Pruned, Query, Reads, Receipt, Resolution, Schema, Snapshot,
    Store, StoreError,
};
use apportion::time::Timestamp;
use apportion_sql::{Ended, Failure, read};
use async_trait::async_trait;
use sqlx_core::transaction::Transaction;
use sqlx_postgres::{PgConnection, Postgres};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, OwnedMutexGuard};
use uuid::Uuid;

use crate::error::{nothing_happened, unavailable};
use crate::nested::Nested;
use crate::shared::Shared;
use crate::store::{PostgresStore, pause};

/// A transaction in which the application's own statements and the store's batches happen together or not at all.
///
/// It is a [`Store`] itself, so everything that works on a store works in it; what it reads shows what was done in it
/// before. A refused batch is answered like anywhere else, and the transaction goes on without it; so is one that would
/// have to wait for longer than [`PostgresOptions::lock_timeout`](crate::PostgresOptions::lock_timeout), or half of
/// [`PostgresOptions::call_timeout`](crate::PostgresOptions::call_timeout), for a row of somebody else's. The
/// application's own `lock_timeout` holds for its own statements. Rows that a batch changes or guards stay locked until the
/// transaction ends: keep it short, and do not call the store that it came from meanwhile, which would wait for those rows
/// until its time is over. Snapshots, the feed, `resolve` and `prune` are not to be had in it.
///
/// Nothing is repeated inside. Above READ COMMITTED a batch that other transactions disturb is answered as
/// [`StoreError::Unavailable`], and the application repeats the whole transaction.
///
/// Where the future of a batch is dropped before it has answered, the batch is undone before anything else is done in
/// the transaction; until then [`PostgresTransaction::commit`] refuses. Dropping the transaction undoes all of it.
///
/// See [`PostgresStore::bind`].
#[derive(Debug)]
pub struct PostgresTransaction {
    shared: Arc<Shared>,
    nested: Arc<Mutex<Nested>>,
}

/// The connection of a transaction, lent to the application; see [`PostgresTransaction::sql`].
pub struct Sql<'a>(MappedMutexGuard<'a, PgConnection>);

impl fmt::Debug for Sql<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sql").finish_non_exhaustive()
    }
}

impl Deref for Sql<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Sql<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

impl PostgresStore {
    /// Binds a transaction that the application began, in the same database. It can be ended here, or taken back with
    /// [`PostgresTransaction::into_inner`].
    pub fn bind(&self, transaction: Transaction<'static, Postgres>) -> PostgresTransaction {
        let shared = Arc::clone(self.shared());
        let limits = (shared.units.call_timeout(), shared.bound_lock_limit);
        let nested = Nested::new(transaction, limits.0, limits.1, Arc::clone(&shared.meter));
        PostgresTransaction { shared, nested: Arc::new(Mutex::new(nested)) }
    }
}

impl PostgresTransaction {
    /// The connection, for the application's own statements. They must not end the transaction. Everything else in the
    /// transaction waits until it is given back.
    pub async fn sql(&self) -> Result<Sql<'_>, StoreError> {
        let mut nested = self.nested.lock().await;
        nested.heal().await.map_err(nothing_happened)?;
        nested.lend().await.map_err(nothing_happened)?;
        MutexGuard::try_map(nested, Nested::connection_mut)
            .map(Sql)
            .map_err(|_| unavailable("the transaction has ended"))
    }

    /// Makes everything that was done in the transaction durable.
    ///
    /// Its last statement writes a receipt of the transaction's own, where any batch was tried in it: no batch, and no
    /// record in the feed, but an id that [`Store::resolve`] answers for the transaction as a whole.
    ///
    /// Where this future is dropped the commit goes on. Whoever asks again, here or with
    /// [`PostgresTransaction::rollback`], waits for it and is told what it came to.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where nothing of it happened: also where a batch was dropped and not undone since,
    /// after which the transaction goes on. [`StoreError::Unknown`] where nobody can say, with the id of that receipt,
    /// to be resolved with the store that the transaction was bound to; with the nil id where no batch was tried, as then
    /// there is no receipt, and only the application can look whether its own statements happened.
    pub async fn commit(&self) -> Result<(), StoreError> {
        let mut nested = Arc::clone(&self.nested).lock_owned().await;
        if let Some(ended) = nested.ending.ended() {
            return ended.committed();
        }
        untorn(&nested)?;
        let shared = Arc::clone(&self.shared);
        let committing = async move {
            nested.commit(shared.tables(), shared.ids.next_id(), shared.clock.now()).await;
        };
        let ended = self.end(committing).await?.committed();
        // It takes no positions itself.
        self.shared.stamp_soon();
        ended
    }

    /// Undoes everything that was done in the transaction.
    ///
    /// Where the server does not answer in time, it is still to undo it when this returns, and whoever is given the
    /// connection next waits for that.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where it was committed before, and [`StoreError::Unknown`] where nobody can say whether
    /// it was; see [`PostgresTransaction::commit`].
    pub async fn rollback(&self) -> Result<(), StoreError> {
        self.undo().await?.rolled_back()
    }

    /// Gives the transaction back, with everything that was done in it. The application ends it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where it has ended, and where a batch was dropped and not undone since: then the
    /// whole transaction is undone.
    pub async fn into_inner(self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut nested = self.nested.lock().await;
        untorn(&nested)?;
        nested.lend().await.map_err(nothing_happened)?;
        // The application probably ends it before long, and nobody would be told when.
        self.shared.stamp_soon();
        nested.take().ok_or_else(|| unavailable("the transaction has ended"))
    }

    /// Undoes it, unless it has ended, and says how it has.
    async fn undo(&self) -> Result<Ended, StoreError> {
        let mut nested = Arc::clone(&self.nested).lock_owned().await;
        match nested.ending.ended() {
            Some(ended) => Ok(ended),
            None => self.end(async move { nested.undo().await }).await,
        }
    }

    /// Ends it, and says how it has ended.
    async fn end(&self, ending: impl Future<Output = ()> + Send + 'static) -> Result<Ended, StoreError> {
        let ending = self.apart(async {
            ending.await;
            Ok(())
        });
        drop(ending.await);
        // Where there is nothing, it was not even begun.
        let ended = self.nested.lock().await.ending.ended();
        ended.ok_or_else(|| unavailable("the work ended without an answer"))
    }

    /// Does a piece of work in a task that no caller's drop cancels.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        self.shared.units.runtime().spawn(work).await.unwrap_or(Err(Failure::Unknown))
    }

    /// The transaction, with nothing in it that was dropped.
    async fn healed(&self) -> Result<OwnedMutexGuard<Nested>, StoreError> {
        let mut nested = Arc::clone(&self.nested).lock_owned().await;
        nested.heal().await.map_err(nothing_happened)?;
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
        let shared = Arc::clone(&self.shared);
        let ids: Vec<Uuid> = members.iter().map(|member| member.id).collect();
        let writing = self.apart(async move {
            nested.ending.tried(Timestamp::MIN);
            let judged = match nested.tear().await {
                Ok(()) => shared.committing.commit(&mut *nested, &members, &pause, None).await,
                Err(failure) => {
                    let error = nothing_happened(failure);
                    members.iter().map(|_| Err(error.clone())).collect()
                }
            };
            Ok((nested, judged))
        });
        let judged = match writing.await {
            Ok((mut nested, judged)) => {
                // From here to the answer nothing is waited for.
                nested.settle();
                judged.iter().flatten().for_each(|receipt| nested.ending.tried(receipt.at));
                judged
            }
            Err(_) => ids.into_iter().map(|id| Err(StoreError::Unknown { id })).collect(),
        };
        let mut judged = judged.into_iter();
        let gone = || Err(StoreError::Closed);
        answers.into_iter().map(|answer| answer.or_else(|| judged.next()).unwrap_or_else(gone)).collect()
    }
}

fn untorn(nested: &Nested) -> Result<(), StoreError> {
    if nested.is_torn() {
        return Err(unavailable(
            "a batch of the transaction was dropped, and has to be undone before it can commit",
        ));
    }
    Ok(())
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
impl Store for PostgresTransaction {
    fn schema(&self) -> &Schema {
        self.shared.tables().schema()
    }

    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        let mut nested = self.healed().await?;
        let shared = Arc::clone(&self.shared);
        // A read that fails would take the whole transaction with it; it gets a savepoint, too.
        let reading = self.apart(async move {
            nested.tear().await?;
            let reads = read(&mut *nested, shared.tables(), &queries, shared.clock.now()).await;
            match &reads {
                Ok(_) => nested.settle(),
                Err(_) => nested.heal().await?,
            }
            reads
        });
        reading.await.map_err(nothing_happened)
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

    /// Undoes the transaction, like [`PostgresTransaction::rollback`], unless it has ended.
    async fn close(&self) -> Result<(), StoreError> {
        self.undo().await?.closed()
    }
}
