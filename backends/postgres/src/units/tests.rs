use std::sync::atomic::AtomicI64;

use apportion::store::NoMetrics;
use apportion::time::SystemClock;
use apportion_sql::{Connection as _, Statement};
use apportion_throwaway_postgres::ThrowawayPostgres;
use apportion_throwaway_postgres::proxy::{Fault, FaultProxy, What, When};
use sqlx_postgres::PgPoolOptions;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn server() -> &'static ThrowawayPostgres {
    ThrowawayPostgres::shared().unwrap()
}

fn units(url: &str, connections: u32, call_timeout: Duration) -> Arc<Units> {
    let meter = Arc::new(Meter::new(Arc::new(SystemClock::new()), Arc::new(NoMetrics)));
    let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(call_timeout);
    let pool = pool.connect_lazy(url).unwrap();
    Arc::new(Units::new(pool, true, call_timeout, "BEGIN; SET LOCAL lock_timeout = 5000".into(), meter))
}

fn insert(id: i64) -> Statement {
    Statement { sql: format!("INSERT INTO t VALUES ({id})"), params: Vec::new(), branches: Vec::new() }
}

/// Inserts a row in a transaction.
async fn add(units: &Arc<Units>, id: i64) -> Result<(), Failure> {
    units
        .run(move |link| {
            Box::pin(async move {
                link.begin().await?;
                link.execute(&insert(id)).await?;
                link.commit().await
            })
        })
        .await
}

fn with_table() -> (String, String) {
    let url = server().fresh_database().unwrap();
    let database = url.rsplit('/').next().unwrap().to_owned();
    server().psql_in(&database, "CREATE TABLE t (id bigint PRIMARY KEY)").unwrap();
    (url, database)
}

fn count(database: &str, sql: &str) -> i64 {
    server().psql_in(database, sql).unwrap().parse().unwrap()
}

fn open_transactions(database: &str) -> i64 {
    let sql =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    count(database, sql)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_go_away_leave_no_transaction_open_and_lose_nothing() {
    let (url, database) = with_table();
    let units = units(&url, 4, 60_000 * MS);
    let (next, dropped) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let callers: Vec<_> = (0..40_i64)
        .map(|caller| {
            let (units, next, dropped) = (Arc::clone(&units), Arc::clone(&next), Arc::clone(&dropped));
            tokio::spawn(async move {
                // Until so many have begun and had no answer yet.
                while dropped.load(Ordering::Relaxed) < 1000 {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    let patience = Duration::from_micros(u64::try_from(id * 7919 % 4000 + caller).unwrap());
                    match tokio::time::timeout(patience, add(&units, id)).await {
                        Ok(done) => done.unwrap(),
                        Err(_) => drop(dropped.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let begun = next.load(Ordering::Relaxed);
    assert!(dropped.load(Ordering::Relaxed) >= 1000 && begun >= 1000);
    // Behind all of them, on every connection.
    let probes: Vec<_> = (begun..begun + 40)
        .map(|id| {
            tokio::spawn({
                let units = Arc::clone(&units);
                async move { add(&units, id).await }
            })
        })
        .collect();
    for probe in probes {
        probe.await.unwrap().unwrap();
    }
    // What was begun is done although nobody waits for it; what was left open would stay so.
    let all_done = async {
        while count(&database, "SELECT count(*) FROM t") < begun + 40 || open_transactions(&database) > 0 {
            tokio::time::sleep(20 * MS).await;
        }
    };
    tokio::time::timeout(20_000 * MS, all_done).await.unwrap();
}

#[tokio::test]
async fn what_was_left_open_goes_back_clean_and_what_panics_does_not_go_back() {
    let (url, database) = with_table();
    let units = units(&url, 1, 5000 * MS);
    let left_open = units.run(|link| {
        Box::pin(async move {
            link.begin().await?;
            link.execute(&insert(1)).await.map(drop)
        })
    });
    left_open.await.unwrap();
    add(&units, 2).await.unwrap();
    let abandoned = units.run(|link| {
        Box::pin(async move {
            link.begin().await?;
            link.execute(&insert(5)).await?;
            drop(tokio::time::timeout(20 * MS, link.run("SELECT pg_sleep(0.2)")).await);
            Ok(())
        })
    });
    abandoned.await.unwrap();
    add(&units, 6).await.unwrap();
    let panicked = units.run(|link| {
        Box::pin(async move {
            link.begin().await?;
            link.execute(&insert(3)).await?;
            assert!(link.is_clean(), "told to");
            Ok(())
        })
    });
    assert!(matches!(panicked.await, Err(Failure::Unknown)));
    add(&units, 4).await.unwrap();
    assert_eq!(
        server().psql_in(&database, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM t").unwrap(),
        "2 4 6"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pool_whose_peer_stalls_works_again_when_the_peer_does() {
    let (url, database) = with_table();
    let proxy = FaultProxy::start(server().address()).await.unwrap();
    let units = units(&proxy.url_for(&url), 4, 400 * MS);
    for id in 0..8 {
        add(&units, id).await.unwrap();
    }
    proxy.stall_all();
    let stalled: Vec<_> = (100..112)
        .map(|id| {
            tokio::spawn({
                let units = Arc::clone(&units);
                async move { add(&units, id).await }
            })
        })
        .collect();
    for caller in stalled {
        let failure = caller.await.unwrap().unwrap_err();
        assert!(matches!(failure, Failure::Store(StoreError::Unavailable { .. })), "{failure:?}");
    }
    proxy.heal();
    add(&units, 200).await.unwrap();
    let sql = "SELECT count(*) FROM t WHERE id >= 100 AND id < 200";
    assert_eq!(count(&database, sql), 0, "what was unavailable happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_call_is_enough_to_find_that_all_connections_are_dead() {
    let (url, _) = with_table();
    let proxy = FaultProxy::start(server().address()).await.unwrap();
    let units = units(&proxy.url_for(&url), 4, 400 * MS);
    let busy: Vec<_> = (0..4)
        .map(|id| {
            tokio::spawn({
                let units = Arc::clone(&units);
                let work = async move {
                    units.run(|link| Box::pin(async { link.run("SELECT pg_sleep(0.1)").await })).await
                };
                async move { work.await.map(|()| id) }
            })
        })
        .collect();
    for caller in busy {
        caller.await.unwrap().unwrap();
    }
    while units.generation().pool.num_idle() < 4 {
        tokio::task::yield_now().await;
    }
    // As when another server has taken over: what is open is never answered, and what is new is.
    proxy.arm(Fault::always(When::Now, What::Stall));
    add(&units, 1).await.unwrap_err();
    add(&units, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stalled_commits_are_unknown_and_stop_nobody_else() {
    let (url, database) = with_table();
    let proxy = FaultProxy::start(server().address()).await.unwrap();
    let units = units(&proxy.url_for(&url), 4, 400 * MS);
    add(&units, 0).await.unwrap();
    proxy.arm(Fault { when: When::AfterCommit, what: What::Stall, times: 4 });
    for id in 1..5 {
        let failure = add(&units, id).await.unwrap_err();
        assert!(matches!(failure, Failure::Unknown), "{failure:?}");
    }
    // The peer never goes on with those four, and all the others are new.
    add(&units, 5).await.unwrap();
    assert_eq!(count(&database, "SELECT count(*) FROM t"), 6);
}

#[tokio::test]
async fn what_is_lost_before_the_commit_did_not_happen() {
    let (url, database) = with_table();
    let proxy = FaultProxy::start(server().address()).await.unwrap();
    let units = units(&proxy.url_for(&url), 2, 2000 * MS);
    add(&units, 0).await.unwrap();
    for what in [What::Cut, What::Reset] {
        proxy.arm(Fault::once(When::OnStatement("INSERT INTO t".into()), what));
        let failure = add(&units, 1).await.unwrap_err();
        assert!(matches!(failure, Failure::Store(StoreError::Unavailable { .. })), "{failure:?}");
    }
    assert_eq!(count(&database, "SELECT count(*) FROM t"), 1);
    add(&units, 1).await.unwrap();
    units.close().await;
    assert!(matches!(add(&units, 2).await, Err(Failure::Store(StoreError::Closed))));
}
