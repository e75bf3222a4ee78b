//! Eight processes race on one file: of what there is too little of, exactly what there is, is given out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../sql/tests/racing/mod.rs"]
mod racing;

use std::path::Path;
use std::sync::Arc;

use apportion::store::Store;
use apportion_sqlite::SqliteStore;

async fn open(path: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(path, &racing::TABLES, racing::clock()).await.unwrap())
}

fn main() {
    let runtime = racing::runtime();
    if let Some(path) = racing::address() {
        let store = runtime.block_on(open(Path::new(&path)));
        return racing::be_a_child(&runtime, &store);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let store = runtime.block_on(open(&path));
    racing::race(&runtime, "sqlite", path.to_str().unwrap(), &store);
}
