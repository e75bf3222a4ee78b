//! A network that fails: what was told is so, and the store works again when the network does.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use apportion::store::{Batch, Query, Receipt, Resolution, Scan, Store, StoreError, StoreExt};
use apportion_postgres::PostgresOptions;
use apportion_throwaway_postgres::proxy::{Fault, FaultProxy, What, When};
use uuid::Uuid;

use common::{MS, Taken, Told, UNITS, check, database, ids, open, server, take, with_account};

fn quick() -> PostgresOptions {
    PostgresOptions::default().call_timeout(500 * MS).max_connections(4)
}

async fn proxied(url: &str) -> (FaultProxy, String) {
    let proxy = FaultProxy::start(server().address()).await.unwrap();
    let through = proxy.url_for(url);
    (proxy, through)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_that_is_cut_is_unknown_and_its_resolution_is_what_happened() {
    let url = database();
    let (proxy, through) = proxied(&url).await;
    let store = open(&through, quick()).await;
    let owner = with_account(&*store).await;
    let ids = ids();
    let mut taken = Vec::new();
    let (mut happened, mut did_not) = (0, 0);
    for when in [When::BeforeCommit, When::AtCommit, When::AfterCommit] {
        for what in [What::Cut, What::Reset, What::Stall] {
            proxy.arm(Fault::once(when.clone(), what));
            let (batch, unit) = (ids.next_id(), ids.next_id());
            let error = store.commit(take(batch, unit, owner)).await.unwrap_err();
            assert!(
                matches!(error, StoreError::Unknown { id } if id == batch),
                "{when:?} {what:?}: {error:?}"
            );
            proxy.heal();
            let told = match store.resolve(batch).await.unwrap() {
                Resolution::Committed(_) => Told::Yes,
                Resolution::NotCommitted => Told::No,
                other => panic!("{other:?}"),
            };
            if when == When::AfterCommit {
                assert_eq!(told, Told::Yes);
            }
            happened += i32::from(told == Told::Yes);
            did_not += i32::from(told == Told::No);
            taken.push(Taken { batch, unit, told });
        }
    }
    assert!(happened >= 3 && did_not >= 1, "{happened} happened, {did_not} did not");
    check(&*store, &taken).await;
}

/// The outcome of a batch, asked for until it is known: what was cut may still hold its locks.
async fn resolved(store: &dyn Store, batch: Uuid) -> Told {
    for _ in 0..MAX_TRIES {
        match store.resolve(batch).await {
            Ok(Resolution::Committed(_)) => return Told::Yes,
            Ok(Resolution::NotCommitted) => return Told::No,
            Err(StoreError::Unknown { .. } | StoreError::Unavailable { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("the outcome of {batch} stays unknown");
}

/// A batch that is tried until the store is available.
async fn repeated(store: &dyn Store, batch: &Batch) -> Result<Receipt, StoreError> {
    for _ in 1..MAX_TRIES {
        match store.commit(batch.clone()).await {
            Err(StoreError::Unavailable { .. }) => {}
            answer => return answer,
        }
    }
    store.commit(batch.clone()).await
}

/// How often something is asked for that a cut connection may still hold up.
const MAX_TRIES: usize = 100;

/// How many commits are cut, each of them under up to four callers.
const CUTS: usize = 210;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_cut_commits_under_several_callers_have_one_effect_each_or_none() {
    let url = database();
    let (proxy, through) = proxied(&url).await;
    let store = open(&through, quick()).await;
    let owner = with_account(&*store).await;
    let ids = Arc::new(ids());
    let mut taken = Vec::new();
    let (mut unknown, mut happened) = (0, 0);
    for round in 0..CUTS {
        let when = [When::BeforeCommit, When::AtCommit, When::AfterCommit][round % 3].clone();
        let what = if round % 21 == 20 { What::Stall } else { [What::Cut, What::Reset][round % 2] };
        proxy.arm(Fault::once(when, what));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (store, ids) = (Arc::clone(&store), Arc::clone(&ids));
                tokio::spawn(async move {
                    let (batch, unit) = (ids.next_id(), ids.next_id());
                    (batch, unit, store.commit(take(batch, unit, owner)).await)
                })
            })
            .collect();
        let mut answers = Vec::new();
        for caller in callers {
            answers.push(caller.await.unwrap());
        }
        proxy.heal();
        for (batch, unit, answer) in answers {
            let told = match answer {
                Ok(_) => Told::Yes,
                // What came behind the cut in the same group was not tried.
                Err(StoreError::Unavailable { .. }) => Told::No,
                Err(StoreError::Unknown { id }) => {
                    assert_eq!(id, batch);
                    unknown += 1;
                    resolved(&*store, batch).await
                }
                Err(error) => panic!("{error:?}"),
            };
            happened += u64::from(told == Told::Yes);
            // Asked for once more: what happened is not done again, what is void stays so.
            match (repeated(&*store, &take(batch, unit, owner)).await, &told) {
                (Ok(receipt), Told::Yes) => assert!(receipt.repeated),
                (Err(StoreError::UnusableId { .. }), Told::No) => {}
                (Ok(receipt), Told::No) => {
                    assert!(!receipt.repeated, "a batch that did not happen has happened");
                    taken.push(Taken { batch, unit, told: Told::Yes });
                    continue;
                }
                (answer, _) => panic!("{answer:?}"),
            }
            taken.push(Taken { batch, unit, told });
        }
        assert_eq!(proxy.fired(), u64::try_from(round + 1).unwrap(), "every round cuts a commit");
    }
    println!("{CUTS} commits cut: {unknown} batches were unknown, {happened} batches had happened");
    assert!(unknown >= CUTS && happened > 0);
    check(&*store, &taken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_fails_before_the_commit_is_unavailable_and_did_not_happen() {
    let url = database();
    let (proxy, through) = proxied(&url).await;
    let store = open(&through, quick()).await;
    let owner = with_account(&*store).await;
    let ids = ids();
    let mut taken = Vec::new();
    for statement in ["BEGIN", "INSERT INTO \"apportion\".\"units\"", "kernel_receipts"] {
        for what in [What::Cut, What::Reset, What::Stall] {
            proxy.arm(Fault::once(When::OnStatement(statement.into()), what));
            let (batch, unit) = (ids.next_id(), ids.next_id());
            let error = store.commit(take(batch, unit, owner)).await.unwrap_err();
            assert!(matches!(error, StoreError::Unavailable { .. }), "{statement} {what:?}: {error:?}");
            taken.push(Taken { batch, unit, told: Told::No });
            proxy.heal();
        }
    }
    check(&*store, &taken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stalled_server_is_told_within_the_deadline_and_served_again_afterwards() {
    let url = database();
    let (proxy, through) = proxied(&url).await;
    let store = open(&through, quick()).await;
    let owner = with_account(&*store).await;
    let snapshot = store.snapshot().await.unwrap();
    proxy.stall_all();
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let read = store.read(vec![Query::Scan(Scan::of(&UNITS))]).await.map(drop);
                let commit = store.commit(take(ids().next_id(), ids().next_id(), owner)).await.map(drop);
                (read, commit)
            })
        })
        .collect();
    let limit = Duration::from_secs(30);
    for caller in callers {
        let (read, commit) = tokio::time::timeout(limit, caller).await.unwrap().unwrap();
        assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
        assert!(
            matches!(commit, Err(StoreError::Unavailable { .. } | StoreError::Unknown { .. })),
            "{commit:?}"
        );
    }
    assert!(snapshot.read(vec![Query::Scan(Scan::of(&UNITS))]).await.is_err());
    proxy.heal();
    let (batch, unit) = (ids().next_id(), ids().next_id());
    store.commit(take(batch, unit, owner)).await.unwrap();
    drop(store.snapshot().await.unwrap());
    check(&*store, &[Taken { batch, unit, told: Told::Yes }]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn closing_a_store_whose_server_stalls_ends_all_the_same() {
    let url = database();
    let (proxy, through) = proxied(&url).await;
    let store = open(&through, quick()).await;
    with_account(&*store).await;
    let snapshot = store.snapshot().await.unwrap();
    proxy.stall_all();
    tokio::time::timeout(Duration::from_secs(30), store.close()).await.unwrap().unwrap();
    assert!(matches!(snapshot.read(Vec::new()).await, Err(StoreError::SnapshotExpired)));
}
