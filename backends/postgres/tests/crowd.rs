//! Sixteen schedulers and sixty-four workers in four processes on one database, one of them killed again and again: no GPU has two
//! owners, no run is lost, and no word counts that is too late. `CROWD_SECONDS=120` lets them work for that long.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../sql/tests/crowd/mod.rs"]
mod crowd;

use std::sync::Arc;

use apportion::entity::TABLES;
use apportion::store::Store;
use apportion_postgres::PostgresStore;
use apportion_throwaway_postgres::ThrowawayPostgres;

async fn open(url: &str) -> Arc<dyn Store> {
    Arc::new(PostgresStore::connect(url, TABLES, crowd::clock()).await.unwrap())
}

fn main() {
    let runtime = crowd::runtime();
    if let Some(url) = crowd::address() {
        let store = runtime.block_on(open(&url));
        return crowd::be_a_part(&runtime, &store);
    }
    let url = ThrowawayPostgres::shared().unwrap().fresh_database().unwrap();
    let store = runtime.block_on(open(&url));
    crowd::let_loose(&runtime, "postgres", &url, store);
}
