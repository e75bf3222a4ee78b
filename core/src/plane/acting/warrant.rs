//! A store whose batches carry what they were authorized by: [`Warranted`].

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::store::{
    Batch, Changes, Cursor, Key, Prune, Pruned, Query, Reads, Receipt, Resolution, Schema, Snapshot, Store,
    StoreError, Table, Write,
};

/// The store of an operation on behalf of a caller: every batch guards what the operation was authorized by.
#[derive(Debug)]
pub(super) struct Warranted {
    inner: Arc<dyn Store>,
    guards: Vec<Write>,
}

impl Warranted {
    pub(super) fn new(inner: Arc<dyn Store>, guards: Vec<Write>) -> Self {
        Self { inner, guards }
    }

    /// The batch with the guards that it does not carry already.
    ///
    /// A key occurs once in a batch. Where the operation itself guards, changes or deletes such a row at the same revision, that
    /// is the guard. Where it does so at another one, it has read the row after it was authorized: then only the guard is left of
    /// the batch, which is refused as a conflict, and authorized anew.
    fn warranted(&self, mut batch: Batch) -> Batch {
        let mut missing = Vec::new();
        for guard in &self.guards {
            let Some((table, key, revision)) = held(guard) else { continue };
            let own = batch.writes.iter().filter_map(held).find(|own| (own.0, own.1) == (table, key));
            match own {
                None => missing.push(guard.clone()),
                Some((_, _, same)) if same == revision => {}
                Some(_) => {
                    batch.writes = vec![guard.clone()];
                    return batch;
                }
            }
        }
        batch.writes.extend(missing);
        batch
    }
}

/// The row that a write needs at a revision.
fn held(write: &Write) -> Option<(&'static str, &Key, i64)> {
    let named = |table: &'static Table, key, revision: &i64| Some((table.name, key, *revision));
    match write {
        Write::Update { table, key, revision, .. }
        | Write::Delete { table, key, revision }
        | Write::Guard { table, key, revision } => named(table, key, revision),
        _ => None,
    }
}

#[async_trait]
impl Store for Warranted {
    fn schema(&self) -> &Schema {
        self.inner.schema()
    }

    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        self.inner.read(queries).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.inner.snapshot().await
    }

    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        self.inner.commit_many(batches.into_iter().map(|batch| self.warranted(batch)).collect()).await
    }

    async fn resolve(&self, id: Uuid) -> Result<Resolution, StoreError> {
        self.inner.resolve(id).await
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        self.inner.changes(after, limit).await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StoreError> {
        self.inner.prune(prune).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }

    fn syncs(&self) -> Option<u64> {
        self.inner.syncs()
    }
}
