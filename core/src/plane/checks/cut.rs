//! A store that fails after so many batches, as a process that is killed between two of them; or before whose first one something
//! else happens.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::store::{Batch, Receipt, Store, StoreError, store_over};

type Meanwhile = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Commits so many batches, and nothing after.
pub(super) struct Cut {
    inner: Arc<dyn Store>,
    left: AtomicUsize,
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl Cut {
    pub(super) fn after(inner: &Arc<dyn Store>, batches: usize) -> Self {
        Self { inner: Arc::clone(inner), left: AtomicUsize::new(batches), meanwhile: Mutex::default() }
    }

    /// The same; and between the first decision and its commit this happens.
    pub(super) fn raced_by(self, other: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { meanwhile: Mutex::new(Some(Box::pin(other))), ..self }
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut").field("left", &self.left).finish_non_exhaustive()
    }
}

store_over!(Cut.inner {
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
