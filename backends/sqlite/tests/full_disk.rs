//! A file that cannot grow any more: what was acknowledged stays, what failed did not happen, and it can be read.
//!
//! The parent starts this program again under a limit on the size of files, which holds for everybody.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use apportion::store::{OpenProblem, Store as _, StoreError, StoreExt as _};
use common::{TABLES, Taken, Told, UNITS, check, file, filled, ids, open, problem, rows, take};
use uuid::Uuid;

const OPENS: &str = "APPORTION_FULL_DISK_OPENS";
const WRITES: &str = "APPORTION_FULL_DISK_WRITES";
const OWNER: &str = "APPORTION_FULL_DISK_OWNER";

fn main() {
    if !cfg!(unix) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Some(path) = std::env::var_os(OPENS) {
        return runtime.block_on(cannot_open(Path::new(&path)));
    }
    if let Some(path) = std::env::var_os(WRITES) {
        let owner = std::env::var(OWNER).unwrap().parse().unwrap();
        return runtime.block_on(write_until_it_fails(Path::new(&path), owner));
    }
    for blocks in [0, 8, 16, 32, 64] {
        a_new_file_is_not_half_made(&runtime, blocks);
    }
    runtime.block_on(what_was_acknowledged_stays());
}

/// This program again, with files of at most so many blocks of half a KiB.
fn limited(blocks: u32) -> Command {
    let mut shell = Command::new("sh");
    // The signal that comes with a refused write would end the program before it sees the error.
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks} && exec \"$0\"")]);
    shell.arg(std::env::current_exe().unwrap());
    shell
}

fn a_new_file_is_not_half_made(runtime: &tokio::runtime::Runtime, blocks: u32) {
    let (_folder, path) = file();
    assert!(limited(blocks).env(OPENS, &path).status().unwrap().success(), "{blocks} blocks");
    let sound = runtime.block_on(async {
        let store = open(&path).await;
        rows(&*store, &UNITS).await.len()
    });
    assert_eq!(sound, 0);
}

async fn cannot_open(path: &Path) {
    let reason = problem(path, &TABLES).await;
    assert!(matches!(reason, OpenProblem::Other(_)), "{reason:?}");
}

async fn what_was_acknowledged_stays() {
    let (_folder, path) = file();
    let owner = filled(&path, 10).await;
    let output = limited(1024)
        .env(WRITES, &path)
        .env(OWNER, owner.to_string())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    let mut taken = Vec::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let told = match words[0] {
            "yes" => Told::Yes,
            "no" => Told::No,
            _ => Told::Maybe,
        };
        taken.push(Taken { batch: words[1].parse().unwrap(), unit: words[2].parse().unwrap(), told });
    }
    let count = |told| taken.iter().filter(|one| one.told == told).count();
    println!(
        "{} acknowledged, {} did not happen, {} unknown",
        count(Told::Yes),
        count(Told::No),
        count(Told::Maybe)
    );
    assert!(count(Told::Yes) > 20 && count(Told::No) > 5);
    let store = open(&path).await;
    check(&*store, &taken).await;
}

async fn write_until_it_fails(path: &Path, owner: Uuid) {
    let (store, ids) = (open(path).await, ids());
    let mut failed = 0;
    while failed < 10 {
        let (batch, unit) = (ids.next_id(), ids.next_id());
        match store.commit(take(batch, unit, owner)).await {
            Ok(_) => println!("yes {batch} {unit}"),
            Err(StoreError::Unknown { .. }) => {
                println!("maybe {batch} {unit}");
                failed += 1;
            }
            Err(StoreError::Unavailable { .. }) => {
                println!("no {batch} {unit}");
                failed += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(!rows(&*store, &UNITS).await.is_empty(), "it can still be read");
    store.close().await.unwrap();
}
