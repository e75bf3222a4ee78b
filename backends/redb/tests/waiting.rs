//! Callers that wait: deadlines, a full queue, dropped futures, closing.

mod common;

use std::time::Duration;

use apportion::store::{Cursor, Prune, Resolution, Store, StoreError, StoreExt};
use apportion_redb::RedbOptions;
use common::{MS, Taken, Told, UNITS, check, ids, rows, slow, take, with_account};

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_in_the_queue_withdraws_and_one_under_way_is_unknown() {
    let store = slow(400 * MS, RedbOptions::default());
    let owner = with_account(&store).await;
    let [first, second, third] = [(); 3].map(|()| take(ids().next_id(), ids().next_id(), owner));
    let (under_way, queued) = (first.id, second.id);
    let running = tokio::spawn({
        let store = store.clone();
        async move { store.commit(first.deadline(200 * MS)).await }
    });
    tokio::time::sleep(100 * MS).await;
    let late = store.commit(second.deadline(50 * MS)).await;
    assert!(matches!(late, Err(StoreError::DeadlineExceeded { waited }) if waited >= 50 * MS), "{late:?}");
    assert!(matches!(running.await.unwrap(), Err(StoreError::Unknown { id }) if id == under_way));
    assert!(matches!(store.resolve(under_way).await.unwrap(), Resolution::Committed(_)));
    assert_eq!(store.resolve(queued).await.unwrap(), Resolution::NotCommitted);
    store.commit(third.deadline(60_000 * MS)).await.unwrap();
    assert_eq!(rows(&*store, &UNITS).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_lets_callers_wait_until_their_deadline() {
    let store = slow(100 * MS, RedbOptions::default().queue(1).max_group(1));
    let owner = with_account(&store).await;
    let mut patient = Vec::new();
    for _ in 0..6 {
        let (store, batch) = (store.clone(), take(ids().next_id(), ids().next_id(), owner));
        patient.push(tokio::spawn(async move { store.commit(batch).await }));
    }
    tokio::time::sleep(20 * MS).await;
    let hasty = take(ids().next_id(), ids().next_id(), owner).deadline(20 * MS);
    let id = hasty.id;
    assert!(matches!(store.commit(hasty).await, Err(StoreError::DeadlineExceeded { .. })));
    for caller in patient {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(store.resolve(id).await.unwrap(), Resolution::NotCommitted);
    assert_eq!(rows(&*store, &UNITS).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_callers_tear_nothing() {
    let store = slow(MS, RedbOptions::default().queue(8));
    let owner = with_account(&store).await;
    let ids = ids();
    let mut callers = Vec::new();
    for caller in 0..32_u64 {
        let (store, ids) = (store.clone(), ids.clone());
        callers.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            for round in 0..30 {
                let (batch, unit) = (ids.next_id(), ids.next_id());
                let patience = Duration::from_micros((caller * 131 + round * 977) % 6000);
                let told = match tokio::time::timeout(patience, store.commit(take(batch, unit, owner))).await
                {
                    Ok(answer) => {
                        answer.unwrap();
                        Told::Yes
                    }
                    Err(_) => Told::Maybe,
                };
                taken.push(Taken { batch, unit, told });
            }
            taken
        }));
    }
    let mut all = Vec::new();
    for caller in callers {
        all.extend(caller.await.unwrap());
    }
    let count = |told| all.iter().filter(|one| one.told == told).count();
    assert!(count(Told::Yes) > 50 && count(Told::Maybe) > 50, "{}", count(Told::Yes));
    // Behind everything that is still queued.
    store.resolve(ids.next_id()).await.unwrap();
    check(&*store, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_answers_what_was_accepted_and_refuses_the_rest() {
    let store = slow(20 * MS, RedbOptions::default().max_group(4));
    let owner = with_account(&store).await;
    let mut accepted = Vec::new();
    for _ in 0..20 {
        let (store, batch) = (store.clone(), take(ids().next_id(), ids().next_id(), owner));
        accepted.push(tokio::spawn(async move { store.commit(batch).await }));
    }
    tokio::time::sleep(30 * MS).await;
    store.close().await.unwrap();
    for caller in accepted {
        caller.await.unwrap().unwrap();
    }
    let late = take(ids().next_id(), ids().next_id(), owner);
    assert!(matches!(store.commit(late).await, Err(StoreError::Closed)));
    assert!(matches!(store.resolve(ids().next_id()).await, Err(StoreError::Closed)));
    assert!(matches!(store.prune(Prune::up_to(1)).await, Err(StoreError::Closed)));
    assert!(matches!(store.changes(Cursor::START, 1).await, Err(StoreError::Closed)));
    assert!(store.snapshot().await.is_err());
    assert!(matches!(store.compact().await, Err(StoreError::Closed)));
}
