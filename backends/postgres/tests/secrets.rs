//! No secret is said, and none is in the server's files: tables, write-ahead log, and its own log.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use apportion::entity::TABLES;
use apportion::identity::checks::check_secrets;
use apportion::time::{ManualClock, Timestamp};
use apportion_postgres::PostgresStore;
use apportion_throwaway_postgres::{Options, ThrowawayPostgres};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_said_or_in_the_files_of_the_server() {
    // A server that logs every statement with its values.
    let options = Options::new().setting("log_statement", "all").setting("log_min_duration_statement", "0");
    let server = ThrowawayPostgres::start_with(&options).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let url = server.fresh_database().unwrap();
    let store = PostgresStore::connect(&url, TABLES, Arc::<ManualClock>::clone(&clock)).await.unwrap();
    let overheard = check_secrets(Arc::new(store), clock).await;
    server.psql("CHECKPOINT").unwrap();
    // The data, the write-ahead log, and what the server logs.
    let (mut in_data, mut in_log) = (false, false);
    files(server.folder(), &mut |path, bytes| {
        let found = bytes.windows(15).any(|found| found == b"ada@example.net");
        *(if path.ends_with("log") { &mut in_log } else { &mut in_data }) |= found;
        overheard.is_nowhere_in(&path.display().to_string(), bytes);
    });
    assert!(in_data && in_log, "nothing can be found: in the data {in_data}, in the log {in_log}");
}

fn files(folder: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            files(&path, look);
        } else if kind.is_file() {
            look(&path, &std::fs::read(&path).unwrap());
        }
    }
}
