//! What opening says about files that it cannot open.

mod common;

use std::fs;

use apportion::store::Store;
use apportion::store::{OpenProblem, StoreError};
use apportion_redb::{RedbOptions, RedbStore};
use common::{ACCOUNTS, TABLES, UNITS, clock, feed, filled, problem, rows};

#[tokio::test]
async fn a_file_that_is_open_cannot_be_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = RedbStore::open(&path, &TABLES, clock()).unwrap();
    assert_eq!(problem(&path, &TABLES), OpenProblem::InUse);
    drop(store);
    RedbStore::open(&path, &TABLES, clock()).unwrap();
}

#[test]
fn a_missing_folder_and_a_folder_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(problem(&folder.path().join("no/store.redb"), &TABLES), OpenProblem::Missing);
    assert!(matches!(problem(folder.path(), &TABLES), OpenProblem::Foreign(_)));
}

#[test]
fn a_file_of_something_else_is_foreign_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "not a database, but long enough to be taken for one by its size alone".repeat(100);
    fs::write(&path, &text).unwrap();
    assert!(matches!(problem(&path, &TABLES), OpenProblem::Foreign(_)));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let path = folder.path().join("other.redb");
    let other: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("visits");
    {
        let database = redb::Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(other).unwrap().insert("home", 7).unwrap();
        transaction.commit().unwrap();
    }
    let OpenProblem::Foreign(what) = problem(&path, &TABLES) else {
        panic!("it is foreign");
    };
    assert!(what.contains("visits"));
}

#[tokio::test]
async fn a_file_of_a_later_format_is_too_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    filled(&path, 0).await;
    {
        let meta: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("apportion.meta");
        let database = redb::Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let format = 2_u64.to_be_bytes();
        transaction.open_table(meta).unwrap().insert("format", format.as_slice()).unwrap();
        transaction.commit().unwrap();
    }
    assert!(matches!(problem(&path, &TABLES), OpenProblem::TooNew(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_found_and_never_shows_wrong_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    filled(&path, 300).await;
    let sound = fs::read(&path).unwrap();
    let store = RedbStore::open(&path, &TABLES, clock()).unwrap();
    let expected = (rows(&store, &ACCOUNTS).await, rows(&store, &UNITS).await, feed(&store).await);
    drop(store);
    let (mut damaged, mut harmless) = (0, 0);
    for round in 0..400_usize {
        let at = (round * 7919 * 61) % sound.len();
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (round % 8);
        fs::write(&path, &bytes).unwrap();
        match RedbStore::open(&path, &TABLES, clock()) {
            Ok(store) => {
                // The bit was in a page that nothing uses.
                let found = (rows(&store, &ACCOUNTS).await, rows(&store, &UNITS).await, feed(&store).await);
                assert_eq!(found, expected, "byte {at}");
                harmless += 1;
            }
            Err(StoreError::CannotOpen { reason: OpenProblem::Damaged(_), .. }) => damaged += 1,
            Err(error) => assert!(at < 4096, "byte {at} behind the header: {error}"),
        }
    }
    assert!(damaged > 100, "{damaged} damaged, {harmless} harmless");
}

#[tokio::test]
async fn a_file_that_ends_too_early_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    filled(&path, 300).await;
    let sound = fs::read(&path).unwrap();
    for part in [2, 3, 10] {
        fs::write(&path, &sound[..sound.len() / part]).unwrap();
        let reason = problem(&path, &TABLES);
        assert!(matches!(reason, OpenProblem::Damaged(_)), "1/{part}: {reason}");
    }
}

#[tokio::test]
async fn a_store_opens_without_the_check_where_that_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    filled(&path, 3).await;
    let options = RedbOptions::default().check_integrity_on_open(false).cache_bytes(1 << 20);
    let store = RedbStore::open_with(&path, &TABLES, clock(), options).unwrap();
    assert_eq!(rows(&store, &UNITS).await.len(), 3);
    assert_eq!(store.syncs(), Some(0));
}
