//! redb's storage with its syncs and its size counted: [`Metered`].

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use apportion::store::Metrics;
use apportion::time::Clock;
use redb::{BackendError, StorageBackend};

/// How often a file was synced, and how large it is.
#[derive(Debug)]
pub(crate) struct Meter {
    syncs: AtomicU64,
    bytes: AtomicU64,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn Metrics>,
}

impl Meter {
    pub(crate) fn new(clock: Arc<dyn Clock>, metrics: Arc<dyn Metrics>) -> Arc<Self> {
        Arc::new(Self { syncs: AtomicU64::new(0), bytes: AtomicU64::new(0), clock, metrics })
    }

    /// How often the file was synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// How large the file is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts from here: what opening took is not the callers' doing.
    pub(crate) fn restart(&self) {
        self.syncs.store(0, Ordering::Relaxed);
    }
}

/// A backend whose syncs are counted, and skipped until the end where nobody asked for them.
#[derive(Debug)]
pub(crate) struct Metered<B> {
    inner: B,
    meter: Arc<Meter>,
    skip: bool,
}

impl<B: StorageBackend> Metered<B> {
    pub(crate) fn new(inner: B, meter: Arc<Meter>, skip: bool) -> Self {
        Self { inner, meter, skip }
    }
}

impl<B: StorageBackend> StorageBackend for Metered<B> {
    fn len(&self) -> io::Result<u64> {
        let len = self.inner.len()?;
        self.meter.bytes.store(len, Ordering::Relaxed);
        Ok(len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)?;
        self.meter.bytes.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.skip {
            return Ok(());
        }
        let began = self.meter.clock.monotonic();
        self.inner.sync_data()?;
        self.meter.syncs.fetch_add(1, Ordering::Relaxed);
        self.meter.metrics.sync(self.meter.clock.monotonic().saturating_sub(began));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        // The lock is released whatever the last sync says.
        let synced = if self.skip { self.inner.sync_data() } else { Ok(()) };
        self.inner.close().and(synced)
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
