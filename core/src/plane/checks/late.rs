//! A store on which many decide before the first of them has committed: [`Late`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_timer::Delay;
use uuid::Uuid;

use crate::store::{
    Batch, Changes, Cursor, Prune, Pruned, Query, Reads, Receipt, Resolution, Schema, Snapshot, Store,
    StoreError,
};

/// How long a batch is kept back. It has only to be longer than what others need to decide meanwhile; where it is not, a race
/// is less of one.
const LATE: Duration = Duration::from_millis(20);

/// A store whose commits come late, as on a slow disk. So what was read is older than what is committed, and the batch alone
/// keeps a limit.
#[derive(Debug)]
pub(super) struct Late(pub(super) Arc<dyn Store>);

#[async_trait]
impl Store for Late {
    fn schema(&self) -> &Schema {
        self.0.schema()
    }

    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        self.0.read(queries).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.0.snapshot().await
    }

    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        Delay::new(LATE).await;
        self.0.commit_many(batches).await
    }

    async fn resolve(&self, id: Uuid) -> Result<Resolution, StoreError> {
        self.0.resolve(id).await
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        self.0.changes(after, limit).await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StoreError> {
        self.0.prune(prune).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.0.close().await
    }
}
