//! Forty openings of one new file at once, by tasks and by processes: all succeed, and the tables are made once.
//!
//! The parent starts this program again as children that open the file, commit, and say what they see.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use apportion::store::{Batch, Store as _, StoreExt as _};
use apportion_sqlite::SqliteOptions;
use common::{ACCOUNTS, account, feed, ids, open, open_with, rows};

const STARTS: usize = 40;
const CHILD: &str = "APPORTION_FIRST_START_CHILD";

fn main() {
    if let Some(path) = std::env::var_os(CHILD) {
        return runtime().block_on(open_and_commit(Path::new(&path)));
    }
    runtime().block_on(by_tasks());
    runtime().block_on(impatient_tasks());
    by_processes();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
}

async fn open_and_commit(path: &Path) {
    let store = open(path).await;
    let id = ids().next_id();
    let batch = Batch::new(ids().next_id(), "open").with(account(id, &id.to_string(), None));
    store.commit(batch).await.unwrap();
    store.close().await.unwrap();
}

async fn by_tasks() {
    for _ in 0..3 {
        let (_folder, path) = common::file();
        let starts: Vec<_> = (0..STARTS)
            .map(|_| {
                let path = path.clone();
                tokio::spawn(async move { open_and_commit(&path).await })
            })
            .collect();
        for start in starts {
            start.await.unwrap();
        }
        all_are_there(&path).await;
    }
}

/// Opening waits for its turn although no single lock is waited for.
async fn impatient_tasks() {
    for _ in 0..3 {
        let (_folder, path) = common::file();
        let starts: Vec<_> = (0..STARTS)
            .map(|_| {
                let path = path.clone();
                let options = SqliteOptions::default().lock_timeout(Duration::ZERO);
                tokio::spawn(async move { drop(open_with(&path, options).await) })
            })
            .collect();
        for start in starts {
            start.await.unwrap();
        }
    }
}

fn by_processes() {
    for _ in 0..3 {
        let (_folder, path) = common::file();
        let mut children: Vec<_> = (0..STARTS)
            .map(|_| {
                Command::new(std::env::current_exe().unwrap())
                    .env(CHILD, &path)
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for child in &mut children {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            std::io::stderr().write_all(said.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success(), "a start failed: {said}");
        }
        runtime().block_on(all_are_there(&path));
    }
}

async fn all_are_there(path: &Path) {
    let store = open(path).await;
    assert_eq!(rows(&*store, &ACCOUNTS).await.len(), STARTS);
    assert_eq!(feed(&*store).await.len(), STARTS);
    store.close().await.unwrap();
}
