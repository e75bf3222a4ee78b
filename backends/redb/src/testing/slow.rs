//! A storage whose syncs take longer: [`SlowSync`].

use std::io;
use std::ops::Bound;
use std::time::{Duration, Instant};

use redb::{BackendError, StorageBackend};

/// A storage whose syncs take a certain time at least, so that a fast disk can stand for a slower one.
#[derive(Debug)]
pub struct SlowSync<B> {
    inner: B,
    at_least: Duration,
}

impl<B: StorageBackend> SlowSync<B> {
    /// Makes each sync of `inner` take at least this long; one that takes longer by itself is not delayed.
    pub fn new(inner: B, at_least: Duration) -> Self {
        Self { inner, at_least }
    }
}

impl<B: StorageBackend> StorageBackend for SlowSync<B> {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    #[expect(clippy::disallowed_methods, reason = "how long a sync takes is the wall clock's to say")]
    fn sync_data(&self) -> io::Result<()> {
        let began = Instant::now();
        let synced = self.inner.sync_data();
        std::thread::sleep(self.at_least.saturating_sub(began.elapsed()));
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
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
