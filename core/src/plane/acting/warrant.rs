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
    /// is the guard; and where several things were authorized by one row, it is guarded once. Where two need it at different
    /// revisions, it has changed between the reads: then only a guard of the older one is left of the batch, which is refused
    /// as a conflict, and authorized anew.
    fn warranted(&self, mut batch: Batch) -> Batch {
        for guard in &self.guards {
            let Some((table, key, revision)) = held(guard) else { continue };
            let own = batch
                .writes
                .iter()
                .find(|own| held(own).is_some_and(|(of, at, _)| (of.name, at) == (table.name, key)));
            match own.and_then(held).map(|(.., own)| own) {
                None => batch.writes.push(guard.clone()),
                Some(own) if own == revision => {}
                Some(own) => {
                    batch.writes = vec![Write::guard(table, key.clone(), own.min(revision))];
                    return batch;
                }
            }
        }
        batch
    }
}

/// The row that a write needs at a revision.
fn held(write: &Write) -> Option<(&'static Table, &Key, i64)> {
    match write {
        Write::Update { table, key, revision, .. }
        | Write::Delete { table, key, revision }
        | Write::Guard { table, key, revision } => Some((*table, key, *revision)),
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
