//! Several handles on one database, as several processes have them: what one process alone keeps, all keep together.

mod common;

use std::sync::Arc;

use apportion::store::{Batch, Cause, Cursor, Query, Scan, Store, StoreError, StoreExt};
use apportion_postgres::{Isolation, PgPool, PostgresOptions, PostgresStore};
use common::{
    ACCOUNTS, Taken, Told, UNITS, account, check, database, ids, name_of, open, rows, server, take, unit,
    with_account,
};
use sqlx_core::executor::Executor as _;

/// Handles at these levels, each with several groups under way at once.
async fn handles(url: &str, levels: &[Isolation]) -> Vec<Arc<PostgresStore>> {
    let mut handles = Vec::new();
    for isolation in levels {
        let options =
            PostgresOptions::default().isolation(*isolation).lanes(2).max_group(8).max_connections(4);
        handles.push(open(url, options).await);
    }
    handles
}

const EACH: [&[Isolation]; 4] = [
    &[Isolation::ReadCommitted; 3],
    &[Isolation::RepeatableRead; 3],
    &[Isolation::Serializable; 3],
    &[Isolation::ReadCommitted, Isolation::RepeatableRead, Isolation::Serializable],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_holds_over_all_of_them_and_nothing_is_lost_or_done_twice() {
    for levels in EACH {
        let url = database();
        let stores = handles(&url, levels).await;
        let owner = ids().next_id();
        let first = Batch::new(ids().next_id(), "open").with(account(owner, "a", Some(40)));
        stores[0].commit(first).await.unwrap();
        let callers: Vec<_> = (0..24_usize)
            .map(|caller| {
                let store = Arc::clone(&stores[caller % stores.len()]);
                tokio::spawn(async move {
                    let mut taken = Vec::new();
                    for _ in 0..4 {
                        let (batch, unit) = (ids().next_id(), ids().next_id());
                        let told = loop {
                            match store.commit(take(batch, unit, owner)).await {
                                Ok(_) => break Told::Yes,
                                // The same request may be made again under its id.
                                Err(StoreError::Unavailable { .. }) => {}
                                Err(error) => match error.refusal().map(|refusal| refusal.cause.clone()) {
                                    Some(Cause::Ceiling { rule: "accounts_unit_limit", .. }) => {
                                        break Told::No;
                                    }
                                    _ => panic!("{levels:?}: {error:?}"),
                                },
                            }
                        };
                        taken.push(Taken { batch, unit, told });
                    }
                    taken
                })
            })
            .collect();
        let mut all = Vec::new();
        for caller in callers {
            all.extend(caller.await.unwrap());
        }
        assert_eq!(all.iter().filter(|one| one.told == Told::Yes).count(), 40, "{levels:?}");
        for store in &stores {
            check(&**store, &all).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_made_of_all_of_them_at_once_happens_once() {
    for levels in EACH {
        let url = database();
        let stores = handles(&url, levels).await;
        let owner = with_account(&*stores[0]).await;
        for _ in 0..10 {
            let request = take(ids().next_id(), ids().next_id(), owner);
            let callers: Vec<_> = (0..9)
                .map(|caller| {
                    let (store, request) = (Arc::clone(&stores[caller % stores.len()]), request.clone());
                    tokio::spawn(async move { store.commit(request).await.unwrap().repeated })
                })
                .collect();
            let mut firsts = 0;
            for caller in callers {
                firsts += i32::from(!caller.await.unwrap());
            }
            assert_eq!(firsts, 1, "{levels:?}");
        }
        assert_eq!(check(&*stores[1], &[]).await, 10);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_unique_key_is_refused_by_its_name_whoever_took_it() {
    let url = database();
    let stores = handles(&url, EACH[3]).await;
    let owner = with_account(&*stores[0]).await;
    for label in ["a", "b", "c", "d"] {
        let callers: Vec<_> = (0..12)
            .map(|caller| {
                let store = Arc::clone(&stores[caller % stores.len()]);
                let batch =
                    Batch::new(ids().next_id(), "label").with(unit(ids().next_id(), owner, Some(label)));
                tokio::spawn(async move { store.commit(batch).await })
            })
            .collect();
        let mut winners = 0;
        for caller in callers {
            match caller.await.unwrap() {
                Ok(_) => winners += 1,
                Err(error) => assert!(error.refusal().unwrap().names("units_label"), "{error:?}"),
            }
        }
        assert_eq!(winners, 1);
    }
    assert_eq!(rows(&*stores[2], &UNITS).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_snapshot_names_what_it_shows_without_a_position() {
    let url = database();
    let stores = handles(&url, &[Isolation::RepeatableRead, Isolation::ReadCommitted]).await;
    // Somebody has the right to give positions, and does not end.
    let pool = PgPool::connect(&url).await.unwrap();
    let mut head = pool.begin().await.unwrap();
    head.execute("SELECT 1 FROM apportion.kernel_head FOR UPDATE").await.unwrap();
    let batch = Batch::new(ids().next_id(), "open").with(account(ids().next_id(), "a", None));
    let id = batch.id;
    stores[0].commit(batch).await.unwrap();
    let snapshot = stores[0].snapshot().await.unwrap();
    assert_eq!((snapshot.cursor(), snapshot.already_seen()), (Cursor::START, &[id][..]));
    head.rollback().await.unwrap();
    let behind = stores[1].changes(snapshot.cursor(), 10).await.unwrap();
    assert_eq!(behind.records.iter().map(|record| record.batch).collect::<Vec<_>>(), [id]);
    let later = stores[1].snapshot().await.unwrap();
    assert_eq!((later.cursor(), later.already_seen()), (behind.next, &[][..]));
    // And here it is given with the commit.
    let batch = Batch::new(ids().next_id(), "open").with(account(ids().next_id(), "b", None));
    let id = batch.id;
    stores[1].commit(batch).await.unwrap();
    let snapshot = stores[0].snapshot().await.unwrap();
    assert_eq!((snapshot.cursor().batch, snapshot.cursor().position), (id, 2));
    assert!(snapshot.already_seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_snapshot_whose_connection_is_gone_is_over_and_the_next_one_is_not() {
    let url = database();
    let store = open(&url, PostgresOptions::default()).await;
    with_account(&*store).await;
    let snapshot = store.snapshot().await.unwrap();
    let scan = || vec![Query::Scan(Scan::of(&ACCOUNTS))];
    snapshot.read(scan()).await.unwrap();
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle in transaction'";
    assert_eq!(server().psql_in(name_of(&url), kill).unwrap(), "1");
    assert!(matches!(snapshot.read(scan()).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(snapshot.read(scan()).await, Err(StoreError::SnapshotExpired)));
    store.snapshot().await.unwrap().read(scan()).await.unwrap();
}

#[tokio::test]
async fn a_commit_that_writes_is_counted_as_one_sync_and_one_that_is_refused_as_none() {
    let store = open(&database(), PostgresOptions::default()).await;
    let owner = with_account(&*store).await;
    let before = store.syncs().unwrap();
    // Rows of two tables, new and changed, with their record.
    let two = Batch::new(ids().next_id(), "two").with(account(ids().next_id(), "b", None)).with(unit(
        ids().next_id(),
        owner,
        Some("once"),
    ));
    store.commit(two).await.unwrap();
    store.commit(take(ids().next_id(), ids().next_id(), owner)).await.unwrap();
    assert_eq!(store.syncs().unwrap() - before, 2);
    let taken = Batch::new(ids().next_id(), "taken").with(unit(ids().next_id(), owner, Some("once")));
    store.commit(taken).await.unwrap_err();
    assert_eq!(store.syncs().unwrap() - before, 2);
}
