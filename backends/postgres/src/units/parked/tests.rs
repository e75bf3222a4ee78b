use std::sync::Arc;

use apportion::store::{NoMetrics, StoreError};
use apportion::time::SystemClock;
use apportion_throwaway_postgres::ThrowawayPostgres;
use sqlx_core::row::Row as _;
use sqlx_postgres::PgPoolOptions;

use super::*;
use crate::link::Meter;
use crate::units::Units;

const MS: Duration = Duration::from_millis(1);

fn made(connections: u32, ours: bool) -> (PgPool, Arc<Units>) {
    let url = ThrowawayPostgres::shared().unwrap().fresh_database().unwrap();
    let meter = Arc::new(Meter::new(Arc::new(SystemClock::new()), Arc::new(NoMetrics)));
    let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(300 * MS);
    let pool = pool.connect_lazy(&url).unwrap();
    (pool.clone(), Arc::new(Units::new(pool, ours, 3000 * MS, "BEGIN".into(), meter)))
}

/// Which process of the server does a piece of work.
async fn pid(units: &Arc<Units>) -> i32 {
    let asked = units.run(|link| {
        Box::pin(async move {
            let row = sqlx_core::query::query("SELECT pg_backend_pid()").fetch_one(link.lent()?).await;
            Ok(row.unwrap().get::<i32, _>(0))
        })
    });
    asked.await.unwrap()
}

async fn idle(pool: &PgPool, count: usize) {
    let deadline = Instant::now() + 100 * KEPT;
    while pool.num_idle() != count {
        assert!(Instant::now() < deadline, "{} idle, not {count}", pool.num_idle());
        tokio::time::sleep(5 * MS).await;
    }
}

#[tokio::test]
async fn what_follows_at_once_has_the_same_connection_and_later_the_pool_has_it_back() {
    let (pool, units) = made(5, false);
    // So many that a pool would give them out in turn.
    let open = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    drop(open);
    idle(&pool, 3).await;
    let first = pid(&units).await;
    for _ in 0..5 {
        assert_eq!(pid(&units).await, first);
    }
    assert_eq!(pool.num_idle(), 2);
    idle(&pool, 3).await;
}

#[tokio::test]
async fn a_small_pool_keeps_all_of_its_connections() {
    let (pool, units) = made(2, false);
    pid(&units).await;
    // Its owner waits for none that nobody uses.
    let both = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    drop(both);
}

#[tokio::test]
async fn a_pool_that_is_closed_has_everything_back() {
    let (pool, units) = made(5, false);
    pid(&units).await;
    tokio::time::timeout(100 * KEPT, pool.close()).await.unwrap();
    assert!(units.run(|link| Box::pin(async { link.run("SELECT 1").await })).await.is_err());
    let (pool, units) = made(5, true);
    pid(&units).await;
    units.close().await;
    assert_eq!(pool.size(), 0);
}

#[tokio::test]
async fn an_application_that_uses_all_of_its_connections_keeps_its_pool() {
    let (pool, units) = made(2, false);
    pid(&units).await;
    idle(&pool, 1).await;
    let all = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    let refused = units.run(|link| Box::pin(async { link.run("SELECT 1").await })).await;
    assert!(
        matches!(refused, Err(apportion_sql::Failure::Store(StoreError::Unavailable { .. }))),
        "{refused:?}"
    );
    drop(all);
    idle(&pool, 2).await;
    pid(&units).await;
    assert_eq!(units.generation().number, 0, "another pool was made");
}

#[test]
fn a_store_that_outlives_its_runtime_for_a_moment_ends() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (pool, units) = runtime.block_on(async {
        let made = made(5, true);
        pid(&made.1).await;
        made
    });
    drop(runtime);
    drop(units);
    drop(pool);
}
