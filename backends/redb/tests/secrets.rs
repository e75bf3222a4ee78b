//! No secret is said, and none is in the file.

use std::sync::Arc;

use apportion::entity::TABLES;
use apportion::identity::checks::check_secrets;
use apportion::store::Store as _;
use apportion::time::{ManualClock, Timestamp};
use apportion_redb::RedbStore;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_said_or_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = Arc::new(RedbStore::open(&path, TABLES, Arc::<ManualClock>::clone(&clock)).unwrap());
    let overheard = check_secrets(Arc::<RedbStore>::clone(&store), clock).await;
    store.close().await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.windows(15).any(|found| found == b"ada@example.net"), "nothing can be found in the file");
    overheard.is_nowhere_in("the file", &bytes);
}
