//! The log is cut although somebody always reads it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apportion::id::IdSource;
use apportion::store::{Batch, Column, NewRow, Store as _, StoreExt as _, Table, Write};
use apportion_sqlite::{SqliteOptions, SqliteStore};
use common::{clock, file, ids, other_program};
use sqlx_core::executor::Executor as _;
use sqlx_sqlite::SqliteConnection;

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 4 * MIB;
const PAGE_BYTES: usize = 100_000;

static PAGES: Table = Table::new("pages", &[Column::uuid("id"), Column::text("text", PAGE_BYTES)], &["id"]);

async fn open(path: &Path) -> SqliteStore {
    let options = SqliteOptions::default().log_bytes(LIMIT);
    SqliteStore::open_with(path, &[&PAGES], clock(), options).await.unwrap()
}

fn log_bytes(path: &Path) -> u64 {
    std::fs::metadata(format!("{}-wal", path.display())).unwrap().len()
}

/// Commits so many MiB, and gives the longest that the log was meanwhile.
async fn write(store: &SqliteStore, ids: &dyn IdSource, path: &Path, mib: u64) -> u64 {
    let text = "x".repeat(PAGE_BYTES);
    let mut longest = 0;
    for _ in 0..mib * 10 {
        let page = NewRow::new(&PAGES).set("id", ids.next_id()).set("text", text.as_str());
        store.commit(Batch::new(ids.next_id(), "write").with(Write::Insert(page))).await.unwrap();
        longest = longest.max(log_bytes(path));
    }
    longest
}

/// Begins a transaction that sees what there is now.
async fn look(connection: &mut SqliteConnection) {
    connection.execute("BEGIN; SELECT count(*) FROM apportion_pages").await.unwrap();
    tokio::time::sleep(Duration::from_millis(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_bounded_although_one_reader_begins_before_another_ends() {
    let (_folder, path) = file();
    let (store, ids) = (open(&path).await, ids());
    let stop = Arc::new(AtomicBool::new(false));
    let (mut first, mut second) = (other_program(&path).await, other_program(&path).await);
    let stopped = Arc::clone(&stop);
    let reading = tokio::spawn(async move {
        let mut looks = 0;
        look(&mut first).await;
        while !stopped.load(Ordering::Relaxed) {
            look(&mut second).await;
            first.execute("COMMIT").await.unwrap();
            look(&mut first).await;
            second.execute("COMMIT").await.unwrap();
            looks += 2;
        }
        looks
    });
    let longest = write(&store, &*ids, &path, 24).await;
    stop.store(true, Ordering::Relaxed);
    let looks = reading.await.unwrap();
    println!("the log took {longest} bytes at most, beside {looks} readers");
    assert!(looks > 20, "{looks}");
    assert!(longest > LIMIT, "nothing was to be cut: {longest}");
    assert!(longest < 2 * LIMIT, "{longest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_keeps_the_log_and_nobody_waits_for_it_for_long() {
    let (_folder, path) = file();
    let (store, ids) = (open(&path).await, ids());
    let snapshot = store.snapshot().await.unwrap();
    let began = tokio::time::Instant::now();
    let grown = write(&store, &*ids, &path, 7).await;
    assert!(grown > LIMIT, "{grown}");
    // It is tried once for each further mebibyte, and not at each commit.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(snapshot);
    write(&store, &*ids, &path, 2).await;
    // Cut, or begun anew by SQLite itself, which cuts it back to the limit.
    assert!(log_bytes(&path) <= LIMIT, "{}", log_bytes(&path));
    store.close().await.unwrap();
}
