//! The repositories, and identity and access, on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../sql/tests/history/mod.rs"]
mod history;

use std::sync::{Arc, Mutex};

use apportion::entity::TABLES;
use apportion::entity::checks::check_repositories;
use apportion::id::TimeOrderedIds;
use apportion::identity::checks::check_identity;
use apportion::plane::checks::{
    ModelSize, ModelStores, check_machine_model, check_machines, check_rentals, check_run_model, check_runs,
    check_trainings,
};
use apportion::store::Store;
use apportion::time::{ManualClock, SystemClock, Timestamp};
use apportion_postgres::PostgresStore;
use apportion_sql::Names;
use apportion_throwaway_postgres::ThrowawayPostgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_repositories_keep_their_word_before_and_after_reopening() {
    let url = ThrowawayPostgres::shared().unwrap().fresh_database().unwrap();
    for _ in 0..2 {
        let clock = Arc::new(SystemClock::new());
        let store = Arc::new(PostgresStore::connect(&url, TABLES, clock.clone()).await.unwrap());
        check_repositories(store.clone(), Arc::new(TimeOrderedIds::new(clock))).await;
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn identity_and_access_hold() {
    let url = ThrowawayPostgres::shared().unwrap().fresh_database().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = PostgresStore::connect(&url, TABLES, clock.clone()).await.unwrap();
    check_identity(Arc::new(store), clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn machines_hold() {
    let url = ThrowawayPostgres::shared().unwrap().fresh_database().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = PostgresStore::connect(&url, TABLES, clock.clone()).await.unwrap();
    check_machines(Arc::new(store), clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn trainings_hold() {
    let url = ThrowawayPostgres::shared().unwrap().fresh_database().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = PostgresStore::connect(&url, TABLES, clock.clone()).await.unwrap();
    check_trainings(Arc::new(store), clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rented_machines_hold() {
    let url = ThrowawayPostgres::shared().unwrap().fresh_database().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = PostgresStore::connect(&url, TABLES, clock.clone()).await.unwrap();
    check_rentals(Arc::new(store), clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_hold() {
    let url = ThrowawayPostgres::shared().unwrap().fresh_database().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = PostgresStore::connect(&url, TABLES, clock.clone()).await.unwrap();
    check_runs(Arc::new(store), clock).await;
}

/// Databases of which the last one is connected to again.
struct Databases(Mutex<String>);

impl Databases {
    async fn connect(&self, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        let url = self.0.lock().unwrap().clone();
        Arc::new(PostgresStore::connect(&url, TABLES, clock).await.unwrap())
    }
}

#[async_trait::async_trait]
impl ModelStores for Databases {
    async fn fresh(&self, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        *self.0.lock().unwrap() = ThrowawayPostgres::shared().unwrap().fresh_database().unwrap();
        self.connect(clock).await
    }

    async fn reopened(&self, store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        store.close().await.unwrap();
        self.connect(clock).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn machines_are_as_a_model_of_them() {
    let databases = Databases(Mutex::default());
    check_machine_model(&databases, ModelSize { sequences: 2, steps: 80, audit_every: 10 }, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_are_as_a_model_of_them() {
    let databases = Databases(Mutex::default());
    check_run_model(&databases, ModelSize { sequences: 2, steps: 60, audit_every: 20 }, 1300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_from_before_the_limits_on_amounts_is_counted_when_it_is_migrated() {
    let server = ThrowawayPostgres::shared().unwrap();
    let url = server.fresh_database().unwrap();
    let clock = Arc::new(SystemClock::new());
    let store = Arc::new(PostgresStore::connect(&url, TABLES, clock.clone()).await.unwrap());
    let before = history::make(&history::plane(store.clone())).await;
    store.close().await.unwrap();
    let database = url.rsplit('/').next().unwrap();
    server.psql_in(database, &history::undo(&Names::postgres("apportion").unwrap())).unwrap();
    let store = Arc::new(PostgresStore::connect(&url, TABLES, clock).await.unwrap());
    history::check(&history::plane(store), before).await;
}
