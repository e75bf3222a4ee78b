//! A store that fails after so many batches, as a process that is killed between two of them; or before whose first one, or between
//! two of whose looks, something else happens.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::store::{Batch, Query, Reads, Receipt, Store, StoreError, Table, store_over};

type Meanwhile = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Commits so many batches, and nothing after.
pub(super) struct Cut {
    inner: Arc<dyn Store>,
    left: AtomicUsize,
    meanwhile: Mutex<Option<Meanwhile>>,
    /// What happens before a row of this table is looked at.
    before_look: Mutex<Option<(&'static Table, Meanwhile)>>,
}

impl Cut {
    pub(super) fn after(inner: &Arc<dyn Store>, batches: usize) -> Self {
        Self {
            inner: Arc::clone(inner),
            left: AtomicUsize::new(batches),
            meanwhile: Mutex::default(),
            before_look: Mutex::default(),
        }
    }

    /// The same; and between the first decision and its commit this happens.
    pub(super) fn raced_by(self, other: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { meanwhile: Mutex::new(Some(Box::pin(other))), ..self }
    }

    /// The same; and before the first look at a row of this table this happens.
    pub(super) fn raced_before(
        self,
        table: &'static Table,
        other: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self { before_look: Mutex::new(Some((table, Box::pin(other)))), ..self }
    }

    /// What is to happen before these questions are answered.
    fn before(&self, queries: &[Query]) -> Option<Meanwhile> {
        let mut before_look = self.before_look.lock().unwrap();
        let (of, _) = before_look.as_ref()?;
        let looks = |query: &Query| matches!(query, Query::Get { table, .. } if table.name == of.name);
        if queries.iter().any(looks) { before_look.take().map(|(_, other)| other) } else { None }
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut").field("left", &self.left).finish_non_exhaustive()
    }
}

store_over!(Cut.inner, reads {
    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        if let Some(other) = self.before(&queries) {
            other.await;
        }
        self.inner.read(queries).await
    }

    async fn commit_many(&self, mut batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile.await;
        }
        let all = batches.len();
        let left = self.left.load(Ordering::SeqCst).min(all);
        self.left.fetch_sub(left, Ordering::SeqCst);
        batches.truncate(left);
        let mut answers = self.inner.commit_many(batches).await;
        answers.resize_with(all, || {
            Err(StoreError::Unavailable { reason: "it was cut off".into(), source: None })
        });
        answers
    }
});
