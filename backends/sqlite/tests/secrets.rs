//! No secret is said, and none is in the files.

use std::sync::Arc;

use apportion::entity::TABLES;
use apportion::identity::checks::check_secrets;
use apportion::time::{ManualClock, Timestamp};
use apportion_sqlite::SqliteStore;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_said_or_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = SqliteStore::open(&path, TABLES, Arc::<ManualClock>::clone(&clock)).await.unwrap();
    // Open while they are read: what was written is in the log beside the file as well.
    let overheard = check_secrets(Arc::new(store), clock).await;
    let mut all = Vec::new();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        all.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    assert!(all.windows(15).any(|found| found == b"ada@example.net"), "nothing can be found in the files");
    overheard.is_nowhere_in("the files", &all);
}
