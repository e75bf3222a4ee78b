//! The contract of a store, kept by this backend.
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::sync::Arc;

use apportion::conformance::Harness;
use apportion::store::{Store, Table};
use apportion::time::Clock;
use apportion_sqlite::SqliteStore;

/// Files in a folder of its own, which goes with it.
struct Files {
    folder: tempfile::TempDir,
    made: std::sync::atomic::AtomicUsize,
}

impl Files {
    fn path(&self, number: usize) -> std::path::PathBuf {
        self.folder.path().join(format!("{number}.sqlite"))
    }
}

#[async_trait::async_trait]
impl Harness for Files {
    async fn open(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        let number = self.made.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        Arc::new(SqliteStore::open(self.path(number), tables, clock).await.unwrap())
    }

    async fn reopen(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Option<Arc<dyn Store>> {
        let number = self.made.load(std::sync::atomic::Ordering::SeqCst);
        Some(Arc::new(SqliteStore::open(self.path(number), tables, clock).await.unwrap()))
    }
}

apportion::conformance!(|| Files { folder: tempfile::tempdir().unwrap(), made: 0.into() });
