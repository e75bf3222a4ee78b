//! Power cuts at any write, with what was not synced lost, torn or just written: what was acknowledged stays.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use apportion::store::{Batch, OpenProblem, Store, StoreError, StoreExt};
use apportion_redb::testing::{Disk, Surviving};
use apportion_redb::{RedbOptions, RedbStore};
use common::{ACCOUNTS, TABLES, Taken, Told, account, check, clock, ids, rows, take};
use uuid::Uuid;

const CUTS: u64 = 120;

fn open(disk: &Disk) -> Result<RedbStore, StoreError> {
    RedbStore::open_backend(disk.backend(), &TABLES, clock(), RedbOptions::default())
}

fn surviving(cut: u64) -> Surviving {
    match cut % 4 {
        0 => Surviving::Nothing,
        1 => Surviving::Everything,
        _ => Surviving::Torn(cut),
    }
}

/// A disk with a store of one account, closed.
async fn prepared(owner: Uuid) -> Vec<u8> {
    let disk = Disk::new();
    let store = open(&disk).unwrap();
    let first = Batch::new(ids().next_id(), "open").with(account(owner, "a", Some(400)));
    store.commit(first).await.unwrap();
    store.close().await.unwrap();
    disk.surviving(Surviving::Nothing)
}

/// Takes units by eight callers until the power is gone.
async fn work_until_dark(disk: &Disk, owner: Uuid) -> Vec<Taken> {
    let Ok(store) = open(disk) else {
        return Vec::new();
    };
    let (store, ids) = (Arc::new(store), ids());
    let mut callers = Vec::new();
    for _ in 0..8 {
        let (store, ids) = (store.clone(), ids.clone());
        callers.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            for _ in 0..100 {
                let (batch, unit) = (ids.next_id(), ids.next_id());
                let told = match store.commit(take(batch, unit, owner)).await {
                    Ok(_) => Told::Yes,
                    Err(StoreError::Unknown { .. }) => Told::Maybe,
                    Err(_) => Told::No,
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
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_every_power_cut() {
    let owner = ids().next_id();
    let image = prepared(owner).await;
    let (mut acknowledged, mut unknown, mut refused) = (0, 0, 0);
    for cut in 1..=CUTS {
        let disk = Disk::with(image.clone());
        disk.cut_after(cut * cut / 8 + cut);
        let taken = work_until_dark(&disk, owner).await;
        let count = |told| taken.iter().filter(|one| one.told == told).count();
        acknowledged += count(Told::Yes);
        unknown += count(Told::Maybe);
        refused += count(Told::No);
        let after = Disk::with(disk.surviving(surviving(cut)));
        let store = open(&after).unwrap_or_else(|error| panic!("cut {cut}: {error}"));
        let units = check(&store, &taken).await;
        assert!((count(Told::Yes)..=count(Told::Yes) + count(Told::Maybe)).contains(&units));
    }
    // Otherwise the cuts came too early or too late to show anything.
    assert!(acknowledged > 1000, "{acknowledged} acknowledged");
    assert!(unknown > 20 && refused > 1000, "{unknown} unknown, {refused} refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_while_a_store_is_made_leaves_nothing_or_a_store() {
    for cut in 1..60 {
        let disk = Disk::new();
        disk.cut_after(cut);
        let made = open(&disk).is_ok();
        let after = Disk::with(disk.surviving(surviving(cut)));
        match open(&after) {
            Ok(store) => assert!(rows(&store, &ACCOUNTS).await.is_empty()),
            // Nobody was told that there is a store, and the file says that it is none.
            Err(StoreError::CannotOpen { reason, .. }) => {
                assert!(!made, "cut {cut}");
                assert!(matches!(reason, OpenProblem::Foreign(_) | OpenProblem::Damaged(_)), "{reason}");
            }
            Err(error) => panic!("cut {cut}: {error}"),
        }
    }
}
