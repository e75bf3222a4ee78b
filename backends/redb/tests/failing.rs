//! Storages that fail while the store writes.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apportion::store::{Store, StoreError, StoreExt};
use apportion_redb::RedbOptions;
use apportion_redb::testing::Disk;
use common::{ACCOUNTS, MS, ids, on, rows, take, with_account};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;

/// A storage whose syncs panic from a moment on.
#[derive(Debug)]
struct Panicking(InMemoryBackend, Arc<AtomicBool>);

impl StorageBackend for Panicking {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        assert!(!self.1.load(Ordering::SeqCst), "a sync that panics");
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_writing_leaves_nobody_waiting() {
    let broken = Arc::new(AtomicBool::new(false));
    let store = on(Panicking(InMemoryBackend::new(), broken.clone()), RedbOptions::default());
    let owner = with_account(&store).await;
    broken.store(true, Ordering::SeqCst);
    let first = take(ids().next_id(), ids().next_id(), owner);
    assert!(matches!(store.commit(first).await, Err(StoreError::Unknown { .. })));
    let second = take(ids().next_id(), ids().next_id(), owner);
    assert!(matches!(store.commit(second).await, Err(StoreError::Unavailable { .. })));
    let resolved = store.resolve(ids().next_id()).await;
    assert!(matches!(resolved, Err(StoreError::Unavailable { .. })));
    // What was committed before can still be read.
    assert_eq!(rows(&*store, &ACCOUNTS).await.len(), 1);
    drop(tokio::time::timeout(5_000 * MS, store.close()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_is_unknown_and_later_ones_are_unavailable() {
    let disk = Disk::new();
    let store = on(disk.backend(), RedbOptions::default());
    let owner = with_account(&store).await;
    disk.cut_after(0);
    let answer = store.commit(take(ids().next_id(), ids().next_id(), owner)).await;
    assert!(matches!(answer, Err(StoreError::Unknown { .. } | StoreError::Unavailable { .. })), "{answer:?}");
    let answer = store.commit(take(ids().next_id(), ids().next_id(), owner)).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    assert!(answer.unwrap_err().is_retryable());
}
