//! The contract of a store, kept in transactions of the application's own, at every isolation level: each batch is
//! committed in one that the application began, and what it repeats is the whole of it.
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::sync::{Arc, Mutex};

use apportion::conformance::Harness;
use apportion::store::{
    Batch, Changes, Cursor, Prune, Pruned, Query, Reads, Receipt, Resolution, Schema, Snapshot, Store,
    StoreError, Table,
};
use apportion::time::Clock;
use apportion_postgres::{PgPool, PostgresOptions, PostgresStore};
use apportion_throwaway_postgres::ThrowawayPostgres;
use async_trait::async_trait;
use sqlx_core::executor::Executor as _;
use sqlx_core::row::Row as _;
use sqlx_postgres::PgPoolOptions;
use uuid::Uuid;

/// How often an application repeats a transaction that met another one.
const MAX_REPETITIONS: u32 = 200;

/// A store that commits in transactions which it does not begin itself.
#[derive(Debug)]
struct Bound {
    store: PostgresStore,
    pool: PgPool,
    begin: &'static str,
}

impl Bound {
    /// One batch in one transaction, which is repeated where it met another.
    async fn commit(&self, batch: Batch) -> Result<Receipt, StoreError> {
        let id = batch.id;
        for _ in 0..MAX_REPETITIONS {
            let host = self.pool.begin_with(self.begin).await.unwrap();
            let bound = self.store.bind(host);
            let answer = bound.commit_many(vec![batch.clone()]).await.pop().unwrap();
            match answer {
                Ok(receipt) => match bound.commit().await {
                    Ok(()) => return Ok(receipt),
                    Err(StoreError::Unavailable { .. }) => {}
                    Err(error) => return Err(error),
                },
                Err(StoreError::Unavailable { .. }) => bound.rollback().await.unwrap(),
                Err(error) => {
                    bound.rollback().await.unwrap();
                    return Err(error);
                }
            }
        }
        Err(StoreError::Unknown { id })
    }

    async fn receipts_of_transactions(&self) -> u64 {
        let sql = "SELECT count(*) FROM apportion.kernel_receipts WHERE fingerprint = \
                   '00000000-0000-0000-0000-000000000000'";
        let count: i64 = self.pool.fetch_one(sql).await.unwrap().get(0);
        count.try_into().unwrap()
    }
}

#[async_trait]
impl Store for Bound {
    fn schema(&self) -> &Schema {
        self.store.schema()
    }

    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        self.store.read(queries).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.store.snapshot().await
    }

    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        let mut answers = Vec::with_capacity(batches.len());
        for batch in batches {
            // What a closed store, or a batch that does not fit, is answered, the store says.
            let closed = self.store.read(Vec::new()).await.is_err();
            let late = batch.deadline.is_some();
            answers.push(if closed || late {
                self.store.commit_many(vec![batch]).await.pop().unwrap()
            } else {
                self.commit(batch).await
            });
        }
        answers
    }

    async fn resolve(&self, id: Uuid) -> Result<Resolution, StoreError> {
        self.store.resolve(id).await
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        self.store.changes(after, limit).await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StoreError> {
        let before = self.receipts_of_transactions().await;
        let mut pruned = self.store.prune(prune).await?;
        // Every transaction has left a receipt beside its batch's, and what is said to be gone is counted in batches.
        pruned.receipts -= before - self.receipts_of_transactions().await;
        Ok(pruned)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

struct Databases {
    begin: &'static str,
    last: Mutex<String>,
}

impl Databases {
    const fn new(begin: &'static str) -> Self {
        Self { begin, last: Mutex::new(String::new()) }
    }

    async fn connect(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        let url = self.last.lock().unwrap().clone();
        let pool = PgPoolOptions::new().max_connections(16).connect(&url).await.unwrap();
        let options = PostgresOptions::default();
        let store = PostgresStore::with_pool(pool.clone(), tables, clock, options).await.unwrap();
        Arc::new(Bound { store, pool, begin: self.begin })
    }
}

#[async_trait]
impl Harness for Databases {
    async fn open(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        *self.last.lock().unwrap() = ThrowawayPostgres::shared().unwrap().fresh_database().unwrap();
        self.connect(tables, clock).await
    }

    async fn reopen(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Option<Arc<dyn Store>> {
        Some(self.connect(tables, clock).await)
    }
}

mod read_committed {
    use super::Databases;

    apportion::conformance!(|| Databases::new("BEGIN ISOLATION LEVEL READ COMMITTED"));
}

mod repeatable_read {
    use super::Databases;

    apportion::conformance!(|| Databases::new("BEGIN ISOLATION LEVEL REPEATABLE READ"));
}

mod serializable {
    use super::Databases;

    apportion::conformance!(|| Databases::new("BEGIN ISOLATION LEVEL SERIALIZABLE"));
}
