//! Where reads run.
//!
//! A scan may touch the whole file, so it runs on the runtime's threads for blocking work. A few point reads, by a
//! key or of the first row of an order, run where they are asked: one costs about a microsecond, while handing it to another thread costs ten; a page that
//! is not in the cache costs one read of the file, which the operating system mostly has in memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use apportion::store::{Answer, Query, StoreError};
use tokio::runtime::Handle;

use crate::error::panicked;
use crate::view::View;

/// The largest number of point reads that run where they are asked.
const MAX_INLINE: usize = 32;

pub(crate) async fn answer(view: Arc<View>, queries: Vec<Query>) -> Result<Vec<Answer>, StoreError> {
    if queries.iter().all(is_point) && queries.len() <= MAX_INLINE {
        return guarded(|| view.answer(&queries));
    }
    blocking(move || view.answer(&queries)).await
}

/// Whether a question is answered by looking at one row, or two.
fn is_point(query: &Query) -> bool {
    match query {
        Query::Get { .. } => true,
        Query::Scan(scan) => scan.limit == 1 && scan.tests.is_empty(),
        _ => false,
    }
}

/// Runs `work` on a thread for blocking work; outside a runtime, here.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    if Handle::try_current().is_err() {
        return guarded(work);
    }
    match tokio::task::spawn_blocking(|| guarded(work)).await {
        Ok(done) => done,
        // The runtime is shutting down.
        Err(error) => Err(StoreError::unavailable("the runtime ended", error)),
    }
}

/// Makes a panic over a damaged page an error.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}
