//! Opening without making anything: a file that will not do stays as it is, to the last bit.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use apportion::store::{OpenProblem, Store as _, StoreError, Table};
use apportion_sqlite::{IntegrityCheck, Migrate, SqliteOptions, SqliteStore};
use common::{ACCOUNTS, TABLES, UNITS, clock, file, filled, other_program, rows};
use sqlx_core::connection::Connection as _;
use sqlx_core::executor::Executor as _;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::AssertSqlSafe;

async fn verified(path: &Path, tables: &[&'static Table]) -> Result<SqliteStore, OpenProblem> {
    let options = SqliteOptions::default().migrate(Migrate::Verify);
    match SqliteStore::open_with(path, tables, clock(), options).await {
        Ok(store) => Ok(store),
        Err(StoreError::CannotOpen { reason, .. }) => Err(reason),
        Err(error) => panic!("{error}"),
    }
}

/// Every file of a folder with what is in it, but for the index of a log, which holds nothing that is not in the log.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|found| found.unwrap().path());
    let named = files.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path));
    named
        .filter(|(name, _)| !name.ends_with("-shm"))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect()
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_made() {
    let (folder, path) = file();
    assert_eq!(verified(&path, &TABLES).await.unwrap_err(), OpenProblem::Missing);
    assert!(contents(folder.path()).is_empty());
}

#[tokio::test]
async fn the_file_of_another_program_is_unmigrated_and_stays_as_it_is() {
    for mode in ["DELETE", "WAL"] {
        let (folder, path) = file();
        let mut other = other_program(&path).await;
        let made = format!("PRAGMA journal_mode = {mode}; CREATE TABLE songs (name TEXT)");
        other.execute(AssertSqlSafe(made)).await.unwrap();
        other.close().await.unwrap();
        let before = contents(folder.path());
        for check in [IntegrityCheck::Nothing, IntegrityCheck::Thorough] {
            let options = SqliteOptions::default().migrate(Migrate::Verify).check_integrity_on_open(check);
            let error = SqliteStore::open_with(&path, &TABLES, clock(), options).await.unwrap_err();
            let StoreError::CannotOpen { reason: OpenProblem::Unmigrated(what), .. } = error else {
                panic!("{error:?}")
            };
            assert!(what.contains("0001"), "{what}");
        }
        let mut after = contents(folder.path());
        // Who only reads a log makes an empty one where there is none.
        after.retain(|name, bytes| !(name.ends_with("-wal") && bytes.is_empty()));
        assert!(before == after, "{mode}: something was changed");
    }
}

#[tokio::test]
async fn what_another_program_left_in_its_log_stays_there() {
    let (_elsewhere, theirs) = file();
    let mut other = other_program(&theirs).await;
    other.execute("PRAGMA journal_mode = WAL; CREATE TABLE songs (name TEXT)").await.unwrap();
    // As after a crash, with changes in the log that are not in the file.
    let (folder, path) = file();
    for end in ["", "-wal"] {
        let with = |path: &Path| format!("{}{end}", path.display());
        fs::copy(with(&theirs), with(&path)).unwrap();
    }
    let before = contents(folder.path());
    assert!(before.values().all(|bytes| !bytes.is_empty()) && before.len() == 2);
    assert!(matches!(verified(&path, &TABLES).await, Err(OpenProblem::Unmigrated(_))));
    assert!(before == contents(folder.path()), "something was changed");
}

#[tokio::test]
async fn a_store_of_fewer_tables_is_told_what_is_missing() {
    let (folder, path) = file();
    let store = SqliteStore::open(&path, &[&ACCOUNTS], clock()).await.unwrap();
    store.close().await.unwrap();
    let before = contents(folder.path());
    match verified(&path, &TABLES).await {
        Err(OpenProblem::Unmigrated(what)) => assert_eq!(what, "table units is missing"),
        other => panic!("{other:?}"),
    }
    assert!(before.get("store.sqlite") == contents(folder.path()).get("store.sqlite"), "it was changed");
}

#[tokio::test]
async fn what_is_as_declared_opens_and_works() {
    let (_folder, path) = file();
    filled(&path, 3).await;
    let store = verified(&path, &TABLES).await.unwrap();
    assert_eq!(rows(&store, &UNITS).await.len(), 3);
    store.close().await.unwrap();

    let (_folder, path) = file();
    let sql = SqliteStore::migrations_sql(&TABLES, &SqliteOptions::default()).unwrap();
    let mut other = other_program(&path).await;
    other.execute(AssertSqlSafe(sql)).await.unwrap();
    other.close().await.unwrap();
    let store = verified(&path, &TABLES).await.unwrap();
    common::with_account(&store).await;
    store.close().await.unwrap();
    let mode: String = other_program(&path).await.fetch_one("PRAGMA journal_mode").await.unwrap().get(0);
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn what_a_writer_left_unfinished_is_undone_and_then_looked_at() {
    let (_elsewhere, theirs) = file();
    let mut other = other_program(&theirs).await;
    let unfinished = "PRAGMA cache_size = 1; CREATE TABLE songs (name TEXT); BEGIN; \
                      WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
                      INSERT INTO songs SELECT hex(randomblob(200)) FROM n";
    other.execute(unfinished).await.unwrap();
    let (_folder, path) = file();
    for end in ["", "-journal"] {
        let with = |path: &Path| format!("{}{end}", path.display());
        fs::copy(with(&theirs), with(&path)).unwrap();
    }
    assert!(matches!(verified(&path, &TABLES).await, Err(OpenProblem::Unmigrated(_))));
}
