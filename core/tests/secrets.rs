//! No secret is printed, logged, part of an error, or serialized.
#![cfg(feature = "conformance")]

use std::sync::Arc;

use apportion::entity::TABLES;
use apportion::identity::checks::check_secrets;
use apportion::store::memory::MemoryStore;
use apportion::time::{ManualClock, Timestamp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_said_by_the_reference_store() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = Arc::new(MemoryStore::new(TABLES, Arc::<ManualClock>::clone(&clock)).unwrap());
    check_secrets(store, clock).await;
}
