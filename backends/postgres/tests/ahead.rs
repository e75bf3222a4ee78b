//! Groups that work ahead of one another: what they take for granted is found out, and nothing is passed or lost.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use apportion::store::{Batch, Cause, StoreError, StoreExt, Write};
use apportion_postgres::{PostgresOptions, PostgresStore};
use common::{
    ACCOUNTS, Taken, Told, UNITS, account, check, database, feed, ids, open, rows, take, unit, with_account,
};
use uuid::Uuid;

/// More than enough for groups to overlap.
const CALLERS: usize = 64;
const ROUNDS: usize = 12;
const LIMIT: i64 = 500;

fn cause(error: &StoreError) -> &Cause {
    match error {
        StoreError::Refused(refusal) => &refusal.cause,
        other => panic!("{other:?} is no refusal"),
    }
}

/// Each caller takes units of one account, of which there are fewer than are asked for, and in between asks for what
/// cannot be had for another reason.
async fn crowd(stores: &[Arc<PostgresStore>], owner: Uuid) -> Vec<Taken> {
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let store = Arc::clone(&stores[caller % stores.len()]);
            tokio::spawn(async move {
                let mut taken = Vec::new();
                for round in 0..ROUNDS {
                    let (batch, id) = (ids().next_id(), ids().next_id());
                    let told = match store.commit(take(batch, id, owner)).await {
                        Ok(_) => Told::Yes,
                        Err(error) => {
                            assert!(matches!(cause(&error), Cause::Ceiling { .. }), "{error:?}");
                            Told::No
                        }
                    };
                    taken.push(Taken { batch, unit: id, told });
                    let other = match (caller + round) % 8 {
                        0 => {
                            let orphan = unit(ids().next_id(), ids().next_id(), None);
                            let wrong = Batch::new(ids().next_id(), "orphan").with(orphan);
                            Some((wrong, Cause::NoParent { reference: "units_account" }))
                        }
                        1 => {
                            let again = Batch::new(ids().next_id(), "again").with(account(owner, "b", None));
                            let owner = apportion::store::Key::from(owner);
                            Some((again, Cause::Duplicate { unique: "accounts", owner }))
                        }
                        _ => None,
                    };
                    if let Some((wrong, expected)) = other {
                        let refused = store.commit(wrong).await.unwrap_err();
                        assert_eq!(*cause(&refused), expected);
                    }
                }
                taken
            })
        })
        .collect();
    let mut taken = Vec::new();
    for caller in callers {
        taken.extend(caller.await.unwrap());
    }
    taken
}

async fn passes_no_limit(stores: &[Arc<PostgresStore>]) {
    let owner = ids().next_id();
    let first = Batch::new(ids().next_id(), "open").with(account(owner, "a", Some(LIMIT)));
    stores[0].commit(first).await.unwrap();
    let taken = crowd(stores, owner).await;
    let had = taken.iter().filter(|one| one.told == Told::Yes).count();
    assert_eq!(i64::try_from(had).unwrap(), LIMIT, "all of it is given out, and no more");
    assert_eq!(i64::try_from(check(&*stores[0], &taken).await).unwrap(), LIMIT);
    // Followers see the counter rise one by one, at times that do not go back.
    let (mut last, mut at) = (0, apportion::time::Timestamp::MIN);
    for record in feed(&*stores[0]).await {
        for change in record.changes.iter().filter(|change| change.table == ACCOUNTS.name) {
            assert!(change.version > last, "version {} behind {last}", change.version);
            last = change.version;
        }
        if stores.len() == 1 {
            assert!(record.at >= at, "{record:?} is earlier than the one in front of it");
            at = record.at;
        }
    }
    assert_eq!(last, LIMIT + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn groups_that_overlap_pass_no_limit() {
    passes_no_limit(&[open(&database(), PostgresOptions::default()).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn groups_of_several_stores_that_overlap_pass_no_limit() {
    let url = database();
    let mut stores = Vec::new();
    for _ in 0..2 {
        stores.push(open(&url, PostgresOptions::default()).await);
    }
    passes_no_limit(&stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_want_a_name_one_has_it() {
    let store = open(&database(), PostgresOptions::default()).await;
    let owner = with_account(&*store).await;
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut had = Vec::new();
                for round in 0..ROUNDS {
                    // Eight callers want each of them.
                    let label = format!("{} of {round}", caller / 8);
                    let id = ids().next_id();
                    let batch = Batch::new(ids().next_id(), "label").with(unit(id, owner, Some(&label)));
                    match store.commit(batch.with(Write::admit(&ACCOUNTS, owner, "units", 1))).await {
                        Ok(_) => had.push((label, id)),
                        Err(error) => {
                            let duplicate =
                                matches!(cause(&error), Cause::Duplicate { unique: "units_label", .. });
                            assert!(duplicate, "{error:?}");
                        }
                    }
                }
                had
            })
        })
        .collect();
    let mut owners: BTreeMap<String, Uuid> = BTreeMap::new();
    for caller in callers {
        for (label, id) in caller.await.unwrap() {
            assert_eq!(owners.insert(label, id), None, "a name has two owners");
        }
    }
    assert_eq!(owners.len(), CALLERS / 8 * ROUNDS);
    assert_eq!(rows(&*store, &UNITS).await.len(), owners.len());
    check(&*store, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_reason_is_told_although_it_was_taken_for_granted() {
    let store = open(&database(), PostgresOptions::default()).await;
    let owner = ids().next_id();
    let first = Batch::new(ids().next_id(), "open").with(account(owner, "a", Some(0)));
    store.commit(first).await.unwrap();
    // No such account, and beyond the limit: whoever takes the first for granted sees only the second.
    let orphan = unit(ids().next_id(), ids().next_id(), None);
    let both =
        Batch::new(ids().next_id(), "both").with(orphan).with(Write::admit(&ACCOUNTS, owner, "units", 1));
    let refused = store.commit(both).await.unwrap_err();
    assert_eq!(*cause(&refused), Cause::NoParent { reference: "units_account" });
    let again = account(owner, "b", None);
    let both =
        Batch::new(ids().next_id(), "both").with(again).with(Write::admit(&ACCOUNTS, owner, "units", 1));
    let refused = store.commit(both).await.unwrap_err();
    assert!(matches!(cause(&refused), Cause::Duplicate { unique: "accounts", .. }), "{refused:?}");
}
