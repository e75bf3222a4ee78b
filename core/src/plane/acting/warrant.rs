//! A store whose batches carry what they were authorized by: [`Warranted`].

use std::sync::Arc;

use crate::store::{Batch, Key, Receipt, Store, StoreError, Table, Write, store_over};

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

store_over!(Warranted.inner {
    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        self.inner.commit_many(batches.into_iter().map(|batch| self.warranted(batch)).collect()).await
    }
});
