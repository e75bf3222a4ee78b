//! A server that is killed: what was acknowledged is there afterwards, and the same handle goes on.

mod common;

use std::sync::Arc;
use std::time::Duration;

use apportion::store::{StoreError, StoreExt};
use apportion_postgres::{PostgresOptions, PostgresStore};
use apportion_throwaway_postgres::ThrowawayPostgres;
use common::{MS, TABLES, Taken, Told, check, clock, ids, take, with_account};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_survives_a_killed_server() {
    let server = Arc::new(ThrowawayPostgres::start().unwrap());
    let options = PostgresOptions::default().call_timeout(3000 * MS).max_group(4).lanes(2);
    let store = PostgresStore::connect_with(&server.url(), &TABLES, clock(), options).await.unwrap();
    let store = Arc::new(store);
    let owner = with_account(&*store).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        let callers: Vec<_> = (0..16)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let mut taken = Vec::new();
                    loop {
                        let (batch, unit) = (ids().next_id(), ids().next_id());
                        let answer = store.commit(take(batch, unit, owner)).await;
                        let told = match &answer {
                            Ok(_) => Told::Yes,
                            Err(StoreError::Unavailable { .. }) => Told::No,
                            Err(StoreError::Unknown { .. }) => Told::Maybe,
                            Err(error) => panic!("{error:?}"),
                        };
                        taken.push(Taken { batch, unit, told });
                        if answer.is_err() {
                            return taken;
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(150)).await;
        let killed = Arc::clone(&server);
        tokio::task::spawn_blocking(move || killed.kill_hard().unwrap()).await.unwrap();
        for caller in callers {
            all.extend(caller.await.unwrap());
        }
        let killed = Arc::clone(&server);
        tokio::task::spawn_blocking(move || killed.start_again().unwrap()).await.unwrap();
        let (batch, unit) = (ids().next_id(), ids().next_id());
        store.commit(take(batch, unit, owner)).await.unwrap();
        all.push(Taken { batch, unit, told: Told::Yes });
    }
    assert!(all.iter().filter(|one| one.told == Told::Yes).count() > 3, "nothing was acknowledged");
    check(&*store, &all).await;
}
