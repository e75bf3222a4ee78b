//! Sixteen schedulers and sixty-four workers in four processes on one file, one of them killed again and again: no GPU has two
//! owners, no run is lost, and no word counts that is too late. `CROWD_SECONDS=120` lets them work for that long.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../sql/tests/crowd/mod.rs"]
mod crowd;

use std::path::Path;
use std::sync::Arc;

use apportion::entity::TABLES;
use apportion::store::Store;
use apportion_sqlite::SqliteStore;

async fn open(path: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(path, TABLES, crowd::clock()).await.unwrap())
}

fn main() {
    let runtime = crowd::runtime();
    if let Some(path) = crowd::address() {
        let store = runtime.block_on(open(Path::new(&path)));
        return crowd::be_a_part(&runtime, &store);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let store = runtime.block_on(open(&path));
    crowd::let_loose(&runtime, "sqlite", path.to_str().unwrap(), store);
}
