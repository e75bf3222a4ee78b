//! A network that fails: what was told is so, and the store works again when the network does.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use apportion::store::{Batch, Query, Receipt, Resolution, Scan, Store, StoreError, StoreExt};
use apportion_postgres::PostgresOptions;
use apportion_throwaway_postgres::proxy::{Fault, FaultProxy, What, When};
use uuid::Uuid;

use common::{
    Taken, Told, UNITS, check, database, ids, nothing_stays_open, open, server, take, with_account,
};

/// How long a call may take, and twenty times as long: what has not ended by then hangs.
const CALL_TIMEOUT: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(10);

fn quick() -> PostgresOptions {
    PostgresOptions::default().call_timeout(CALL_TIMEOUT).max_connections(4)
}

/// What comes of a call, which has to end.
async fn ended<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, call).await.unwrap()
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
    let (mut unknown, mut happened, mut stalled) = (0, 0, [0; 3]);
    for round in 0..CUTS {
        let moment = round % 3;
        let when = [When::BeforeCommit, When::AtCommit, When::AfterCommit][moment].clone();
        let what = if round % 35 == 34 { What::Stall } else { [What::Cut, What::Reset][round % 2] };
        stalled[moment] += i32::from(what == What::Stall);
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
    assert!(stalled.iter().all(|times| *times >= 2), "{stalled:?} stalls at the moments of a commit");
    check(&*store, &taken).await;
}

/// A commit whose message or answer is on its way for twice as long as its caller waits, and what came of it.
async fn late(when: When) -> Told {
    let url = database();
    let (proxy, through) = proxied(&url).await;
    let store = open(&through, quick()).await;
    let owner = with_account(&*store).await;
    // Somebody with more time, who asks the server itself.
    let asking = open(&url, PostgresOptions::default().lock_timeout(LIMIT)).await;
    proxy.arm(Fault::once(when, What::Delay(2 * CALL_TIMEOUT)));
    let (batch, unit) = (ids().next_id(), ids().next_id());
    let error = ended(store.commit(take(batch, unit, owner))).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown { id } if id == batch), "{error:?}");
    // It may not have happened yet, and who only looked would not find it.
    let (own, told) = tokio::join!(resolved(&*store, batch), resolved(&*asking, batch));
    // Everything that was on its way has arrived.
    nothing_stays_open(&url).await;
    check(&*asking, &[Taken { batch, unit, told }]).await;
    assert_eq!(own, told);
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_late_commit_is_waited_for_by_who_asks_for_it() {
    let moments = [When::BeforeCommit, When::BeforeCommit, When::AtCommit, When::AfterCommit];
    let commits: Vec<_> = moments.map(|when| tokio::spawn(late(when))).into();
    let mut told = Vec::new();
    for commit in commits {
        told.push(commit.await.unwrap());
    }
    assert_eq!(told[2..], [Told::Yes; 2], "what the server has heard of happens");
    println!("of two commits that were late on their way to the server came {:?}", &told[..2]);
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
                let read = ended(store.read(vec![Query::Scan(Scan::of(&UNITS))])).await.map(drop);
                let commit = take(ids().next_id(), ids().next_id(), owner);
                (read, ended(store.commit(commit)).await.map(drop))
            })
        })
        .collect();
    for caller in callers {
        let (read, commit) = caller.await.unwrap();
        assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
        assert!(
            matches!(commit, Err(StoreError::Unavailable { .. } | StoreError::Unknown { .. })),
            "{commit:?}"
        );
    }
    assert!(ended(snapshot.read(vec![Query::Scan(Scan::of(&UNITS))])).await.is_err());
    proxy.heal();
    let (batch, unit) = (ids().next_id(), ids().next_id());
    ended(store.commit(take(batch, unit, owner))).await.unwrap();
    drop(ended(store.snapshot()).await.unwrap());
    check(&*store, &[Taken { batch, unit, told: Told::Yes }]).await;
}

/// Ten commits and reads, each of which ends; what was told about the commits.
async fn busy(store: &dyn Store, owner: Uuid) -> Vec<Taken> {
    let mut taken = Vec::new();
    for _ in 0..10 {
        let (batch, unit) = (ids().next_id(), ids().next_id());
        let told = match ended(store.commit(take(batch, unit, owner))).await {
            Ok(_) => Told::Yes,
            Err(StoreError::Unavailable { .. }) => Told::No,
            Err(StoreError::Unknown { .. }) => Told::Maybe,
            Err(error) => panic!("{error:?}"),
        };
        taken.push(Taken { batch, unit, told });
        let read = ended(store.read(vec![Query::Scan(Scan::of(&UNITS))])).await;
        assert!(matches!(read, Ok(_) | Err(StoreError::Unavailable { .. })), "{read:?}");
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_whose_connections_are_all_dead_works_on_with_new_ones() {
    let url = database();
    let (proxy, through) = proxied(&url).await;
    let store = open(&through, quick()).await;
    let owner = with_account(&*store).await;
    let snapshot = store.snapshot().await.unwrap();
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { busy(&*store, owner).await })
        })
        .collect();
    // In the middle of a commit; and then whatever is open. None of them ever goes on.
    proxy.arm(Fault::once(When::BeforeCommit, What::Stall));
    ended(proxy.wait_until_fired(1)).await;
    proxy.arm(Fault::always(When::Now, What::Stall));
    let dead = proxy.fired();
    assert!(dead > 2, "{dead} connections were open");
    let mut taken = Vec::new();
    for caller in callers {
        taken.extend(caller.await.unwrap());
    }
    assert!(taken.iter().any(|one| one.told == Told::Maybe), "no commit was lost");
    // The server keeps the rows of a transaction that nobody ends, but not for long.
    let (batch, unit) = (ids().next_id(), ids().next_id());
    ended(repeated(&*store, &take(batch, unit, owner))).await.unwrap();
    taken.push(Taken { batch, unit, told: Told::Yes });
    assert!(ended(snapshot.read(vec![Query::Scan(Scan::of(&UNITS))])).await.is_err());
    let again = async { while store.snapshot().await.is_err() {} };
    ended(again).await;
    // Nobody else finds them: one call that fails is enough.
    busy(&*store, owner).await;
    proxy.arm(Fault::always(When::Now, What::Stall));
    let (batch, unit) = (ids().next_id(), ids().next_id());
    let failed = ended(store.commit(take(batch, unit, owner))).await;
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
    taken.push(Taken { batch, unit, told: Told::No });
    let (batch, unit) = (ids().next_id(), ids().next_id());
    ended(store.commit(take(batch, unit, owner))).await.unwrap();
    taken.push(Taken { batch, unit, told: Told::Yes });
    assert!(proxy.open_connections() > usize::try_from(dead - 1).unwrap(), "the dead ones were let go on");
    check(&*store, &taken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn closing_a_store_whose_server_stalls_ends_all_the_same() {
    let url = database();
    let (proxy, through) = proxied(&url).await;
    let store = open(&through, quick()).await;
    with_account(&*store).await;
    let snapshot = store.snapshot().await.unwrap();
    proxy.stall_all();
    ended(store.close()).await.unwrap();
    assert!(matches!(snapshot.read(Vec::new()).await, Err(StoreError::SnapshotExpired)));
}
