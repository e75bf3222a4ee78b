//! A store that measures how long its calls take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apportion::store::{
    Batch, Changes, Cursor, Prune, Pruned, Query, Reads, Receipt, Resolution, Schema, Snapshot, Store,
    StoreError,
};
use apportion::time::{Clock as _, SystemClock};
use async_trait::async_trait;
use hdrhistogram::{CreationError, Histogram};
use uuid::Uuid;

/// Passes everything on to another store, and measures it.
#[derive(Debug)]
pub(super) struct Measured {
    inner: Arc<dyn Store>,
    clock: SystemClock,
    figures: Mutex<Figures>,
}

/// What was measured.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    /// How many microseconds each batch waited for its answer.
    commits: Histogram<u64>,
    /// Time in which a commit was awaited.
    pub(super) committing: Duration,
    /// Time in which rows and changes were read.
    pub(super) reading: Duration,
}

/// The longest commit that is told from longer ones: ten minutes, in microseconds.
const LONGEST_US: u64 = 600_000_000;

impl Figures {
    /// The time in milliseconds within which so many of a hundred batches were answered.
    pub(super) fn commit_ms(&self, percent: f64) -> f64 {
        let micros = u32::try_from(self.commits.value_at_percentile(percent)).unwrap_or(u32::MAX);
        f64::from(micros) / 1000.0
    }
}

impl Measured {
    pub(super) fn new(inner: Arc<dyn Store>) -> Result<Self, CreationError> {
        Ok(Self {
            inner,
            clock: SystemClock::new(),
            figures: Mutex::new(Figures {
                commits: Histogram::new_with_max(LONGEST_US, 3)?,
                committing: Duration::ZERO,
                reading: Duration::ZERO,
            }),
        })
    }

    /// What was measured until now; begins anew.
    pub(super) fn take(&self) -> Figures {
        let mut figures = self.lock();
        let taken = figures.clone();
        figures.commits.reset();
        (figures.committing, figures.reading) = (Duration::ZERO, Duration::ZERO);
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Figures> {
        // Each figure is written whole.
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_since(&self, began: Duration) {
        let took = self.clock.monotonic().saturating_sub(began);
        self.lock().reading += took;
    }
}

#[async_trait]
impl Store for Measured {
    fn schema(&self) -> &Schema {
        self.inner.schema()
    }

    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        let began = self.clock.monotonic();
        let answer = self.inner.read(queries).await;
        self.read_since(began);
        answer
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.inner.snapshot().await
    }

    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        let began = self.clock.monotonic();
        let count = u64::try_from(batches.len()).unwrap_or(u64::MAX);
        let answers = self.inner.commit_many(batches).await;
        let took = self.clock.monotonic().saturating_sub(began);
        let mut figures = self.lock();
        figures.committing += took;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        figures.commits.saturating_record_n(micros, count);
        answers
    }

    async fn resolve(&self, id: Uuid) -> Result<Resolution, StoreError> {
        self.inner.resolve(id).await
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        let began = self.clock.monotonic();
        let answer = self.inner.changes(after, limit).await;
        self.read_since(began);
        answer
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
