//! A store in which something happens between what is read and what is committed: [`Behind`].

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use uuid::Uuid;

use crate::store::{
    Batch, Changes, Cursor, Prune, Pruned, Query, Reads, Receipt, Resolution, Schema, Snapshot, Store,
    StoreError,
};

/// A store before whose first commit something else is done. So what was decided first is older than what is so, every time,
/// and the batch alone can tell.
pub(super) struct Behind {
    inner: Arc<dyn Store>,
    first: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

impl Behind {
    pub(super) fn new(inner: Arc<dyn Store>, first: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { inner, first: Mutex::new(Some(Box::pin(first))) }
    }
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behind").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Behind {
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
        let first = self.first.lock().unwrap().take();
        if let Some(first) = first {
            first.await;
        }
        self.inner.commit_many(batches).await
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
}
