//! What opening says about files that it cannot open.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use apportion::store::{Column, OpenProblem, Scan, Store as _, StoreError, StoreExt as _, Table};
use apportion_sqlite::{IntegrityCheck, SqliteOptions, SqliteStore};
use common::{ACCOUNTS, TABLES, UNITS, clock, feed, file, filled, open, other_program, problem, rows};
use sqlx_core::connection::Connection as _;
use sqlx_core::executor::Executor as _;
use sqlx_core::row::Row as _;

/// Runs a statement as another program would.
async fn run(path: &Path, sql: &'static str) {
    let mut connection = other_program(path).await;
    connection.execute(sql).await.unwrap();
    connection.close().await.unwrap();
}

async fn ask(path: &Path, sql: &'static str) -> String {
    let mut connection = other_program(path).await;
    let answer = connection.fetch_one(sql).await.unwrap().get(0);
    connection.close().await.unwrap();
    answer
}

#[tokio::test]
async fn a_missing_folder_and_a_folder_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(problem(&folder.path().join("no/store.sqlite"), &TABLES).await, OpenProblem::Missing);
    assert!(matches!(problem(folder.path(), &TABLES).await, OpenProblem::Foreign(_)));
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(problem(&file.join("store.sqlite"), &TABLES).await, OpenProblem::Missing);
}

#[tokio::test]
async fn a_path_is_a_file_whatever_sqlite_would_take_it_for() {
    let path = Path::new("file:no-such-folder/store?mode=memory");
    assert_eq!(problem(path, &TABLES).await, OpenProblem::Missing);
    assert!(matches!(problem(Path::new(""), &TABLES).await, OpenProblem::Other(_)));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_place_that_takes_no_files_is_forbidden() {
    // Not even the superuser may make one there.
    assert_eq!(problem(Path::new("/sys/store.sqlite"), &TABLES).await, OpenProblem::Forbidden);
}

#[tokio::test]
async fn a_file_of_something_else_is_foreign_and_left_alone() {
    let (_folder, path) = file();
    let text = "not a database, but long enough to be taken for one by its size alone".repeat(100);
    fs::write(&path, &text).unwrap();
    assert!(matches!(problem(&path, &TABLES).await, OpenProblem::Foreign(_)));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_store_lives_beside_the_tables_of_an_application() {
    let (_folder, path) = file();
    run(
        &path,
        "CREATE TABLE users (name TEXT); CREATE TABLE accounts (x); INSERT INTO accounts VALUES ('theirs')",
    )
    .await;
    filled(&path, 3).await;
    let store = open(&path).await;
    assert_eq!(rows(&*store, &UNITS).await.len(), 3);
    assert_eq!(ask(&path, "SELECT x FROM accounts").await, "theirs");
    assert_eq!(ask(&path, "SELECT name FROM apportion_accounts").await, "a");
}

#[tokio::test]
async fn two_stores_of_other_prefixes_share_a_file() {
    let (_folder, path) = file();
    filled(&path, 3).await;
    let options = SqliteOptions::default().prefix("second_");
    let second = SqliteStore::open_with(&path, &TABLES, clock(), options).await.unwrap();
    assert!(rows(&second, &UNITS).await.is_empty());
    second.close().await.unwrap();
    assert_eq!(rows(&*open(&path).await, &UNITS).await.len(), 3);
}

#[tokio::test]
async fn a_prefix_that_cannot_be_one_is_invalid() {
    let (_folder, path) = file();
    for prefix in ["", "Upper", "x\"; DROP TABLE y; --", "a-b", "1"] {
        let options = SqliteOptions::default().prefix(prefix);
        let error = SqliteStore::open_with(&path, &TABLES, clock(), options).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. }), "{prefix:?}: {error}");
    }
    assert!(!path.exists());
}

#[tokio::test]
async fn a_table_of_our_name_that_is_not_ours_is_incompatible_and_nothing_is_changed() {
    for (made, named) in [
        ("CREATE TABLE apportion_accounts (id BLOB PRIMARY KEY, other TEXT)", "accounts"),
        ("CREATE TABLE apportion_kernel_head (id INTEGER)", "kernel_head"),
        ("CREATE TABLE apportion_kernel_migrations (version INTEGER)", "kernel_migrations"),
        ("CREATE TABLE apportion_kernel_meta (k TEXT)", "kernel_meta"),
    ] {
        let (_folder, path) = file();
        run(&path, made).await;
        match problem(&path, &TABLES).await {
            OpenProblem::Incompatible(what) => assert!(what.contains(named), "{what}"),
            other => panic!("{made}: {other:?}"),
        }
        assert_eq!(ask(&path, "SELECT count(*) || '' FROM sqlite_master WHERE type = 'table'").await, "1");
        assert_eq!(ask(&path, "PRAGMA journal_mode").await, "delete");
    }
}

#[tokio::test]
async fn a_file_of_a_later_build_is_too_new() {
    let (_folder, path) = file();
    filled(&path, 0).await;
    run(&path, "UPDATE apportion_kernel_meta SET value = '1000000' WHERE key = 'min_writer'").await;
    assert!(matches!(problem(&path, &TABLES).await, OpenProblem::TooNew(_)));
    run(&path, "UPDATE apportion_kernel_meta SET value = 'soon' WHERE key = 'min_writer'").await;
    assert!(matches!(problem(&path, &TABLES).await, OpenProblem::Damaged(_)));
    run(&path, "UPDATE apportion_kernel_meta SET value = '1' WHERE key = 'min_writer'").await;
    run(&path, "UPDATE apportion_kernel_migrations SET checksum = 'x'").await;
    assert!(matches!(problem(&path, &TABLES).await, OpenProblem::Incompatible(_)));
}

#[tokio::test]
async fn declarations_that_do_not_fit_the_file_are_incompatible() {
    static OTHER: Table = Table::new("accounts", &[Column::uuid("id"), Column::int("name")], &["id"]);
    let (_folder, path) = file();
    filled(&path, 3).await;
    match problem(&path, &[&OTHER]).await {
        OpenProblem::Incompatible(what) => assert!(what.contains("name"), "{what}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(rows(&*open(&path).await, &UNITS).await.len(), 3);
}

#[tokio::test]
async fn a_file_that_somebody_keeps_locked_is_in_use_within_the_time_given() {
    let (_folder, path) = file();
    let mut other = other_program(&path).await;
    other.execute("PRAGMA locking_mode = EXCLUSIVE").await.unwrap();
    other.execute("CREATE TABLE a (b)").await.unwrap();
    let options = SqliteOptions::default()
        .lock_timeout(Duration::from_millis(20))
        .open_timeout(Duration::from_millis(300));
    match SqliteStore::open_with(&path, &TABLES, clock(), options.clone()).await {
        Err(StoreError::CannotOpen { reason: OpenProblem::InUse, .. }) => {}
        other => panic!("{other:?}"),
    }
    other.close().await.unwrap();
    SqliteStore::open_with(&path, &TABLES, clock(), options).await.unwrap();
}

#[tokio::test]
async fn the_time_to_wait_for_others_holds_where_one_lock_may_be_waited_for_longer() {
    let (_folder, path) = file();
    filled(&path, 0).await;
    run(&path, "PRAGMA journal_mode = DELETE").await;
    let mut other = other_program(&path).await;
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let options = SqliteOptions::default()
        .lock_timeout(Duration::from_mins(1))
        .open_timeout(Duration::from_millis(200));
    let opening = SqliteStore::open_with(&path, &TABLES, clock(), options);
    match tokio::time::timeout(Duration::from_secs(10), opening).await.unwrap() {
        Err(StoreError::CannotOpen { reason: OpenProblem::InUse, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_that_nobody_else_has_opens_however_long_it_is_looked_at() {
    let (_folder, path) = file();
    filled(&path, 300).await;
    // Far less than it takes to read the file.
    let options = SqliteOptions::default()
        .check_integrity_on_open(IntegrityCheck::Thorough)
        .open_timeout(Duration::from_micros(1));
    let store = SqliteStore::open_with(&path, &TABLES, clock(), options).await.unwrap();
    assert_eq!(rows(&store, &UNITS).await.len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_gives_a_typed_error_and_never_a_panic() {
    let (_folder, path) = file();
    filled(&path, 300).await;
    let sound = fs::read(&path).unwrap();
    let nothing = flipped(&sound, IntegrityCheck::Nothing).await;
    let quick = flipped(&sound, IntegrityCheck::Quick).await;
    let thorough = flipped(&sound, IntegrityCheck::Thorough).await;
    println!(
        "refused by no check {nothing}, by a quick one {quick}, by a thorough one {thorough} of {FLIPS}"
    );
    assert!(nothing < quick && quick < thorough, "{nothing} {quick} {thorough}");
}

const FLIPS: usize = 300;

/// How many of many files with one flipped bit are not opened. What is opened is read.
async fn flipped(sound: &[u8], check: IntegrityCheck) -> usize {
    let mut refused = 0;
    for round in 0..FLIPS {
        let at = (round * 7919 * 61) % sound.len();
        let mut bytes = sound.to_vec();
        bytes[at] ^= 1 << (round % 8);
        let (_folder, path) = file();
        fs::write(&path, &bytes).unwrap();
        let options = SqliteOptions::default().check_integrity_on_open(check);
        let store = match SqliteStore::open_with(&path, &TABLES, clock(), options).await {
            Ok(store) => store,
            Err(StoreError::CannotOpen {
                reason: reason @ (OpenProblem::InUse | OpenProblem::Other(_)),
                ..
            }) => {
                panic!("byte {at} is not told as damage: {reason}")
            }
            Err(StoreError::CannotOpen { .. }) => {
                refused += 1;
                continue;
            }
            Err(error) => panic!("byte {at}: {error}"),
        };
        for table in [&ACCOUNTS, &UNITS] {
            match store.scan_all(Scan::of(table).limit(1000)).await {
                Ok(_) | Err(StoreError::Corrupt { .. }) => {}
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
    }
    refused
}

#[tokio::test]
async fn a_file_that_ends_too_early_is_damaged() {
    let (_folder, path) = file();
    filled(&path, 300).await;
    let sound = fs::read(&path).unwrap();
    for part in [2, 3, 10] {
        fs::write(&path, &sound[..sound.len() / part]).unwrap();
        let reason = problem(&path, &TABLES).await;
        assert!(matches!(reason, OpenProblem::Damaged(_)), "1/{part}: {reason}");
    }
}

#[tokio::test]
async fn a_store_opens_without_the_check_where_that_is_asked() {
    let (_folder, path) = file();
    filled(&path, 3).await;
    let options =
        SqliteOptions::default().check_integrity_on_open(IntegrityCheck::Nothing).cache_bytes(1 << 20);
    let store = SqliteStore::open_with(&path, &TABLES, clock(), options).await.unwrap();
    assert_eq!(rows(&store, &UNITS).await.len(), 3);
    assert_eq!(feed(&store).await.len(), 4);
    assert_eq!(store.syncs(), Some(0));
}

#[tokio::test]
async fn the_exported_migrations_make_a_file_that_opens_as_it_is() {
    let (_folder, path) = file();
    let sql = SqliteStore::migrations_sql(&TABLES, &SqliteOptions::default()).unwrap();
    let mut connection = other_program(&path).await;
    connection.execute(sqlx_core::sql_str::AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
    let count = "SELECT count(*) || '' FROM sqlite_master";
    let made = ask(&path, count).await;
    filled(&path, 3).await;
    assert_eq!(ask(&path, count).await, made);
}
