//! A process that is killed at any moment: what it acknowledged is in the file, once and whole.
//!
//! The parent starts this program again as a child that writes and prints what it was answered, kills it, opens the
//! file and compares; again and again with the same file.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use apportion::store::{Batch, Store as _, StoreExt as _};
use common::{Taken, Told, UNITS, account, check, ids, open, rows, take};
use uuid::Uuid;

const KILLS: u64 = 60;
const CHILD: &str = "APPORTION_SIGKILL_CHILD";
/// An account that takes everything, and one that is full.
const OPEN: Uuid = Uuid::from_u128(1);
const FULL: Uuid = Uuid::from_u128(2);

#[tokio::main]
async fn main() {
    match std::env::var_os(CHILD) {
        Some(path) => write_until_killed(Path::new(&path)).await,
        None => kill_and_compare().await,
    }
}

async fn write_until_killed(path: &Path) {
    let (store, ids) = (open(path).await, ids());
    let mut callers = Vec::new();
    for caller in 0..8 {
        let (store, ids) = (store.clone(), ids.clone());
        callers.push(tokio::spawn(async move {
            for round in 0_u64.. {
                let owner = if (round + caller) % 16 == 0 { FULL } else { OPEN };
                let (batch, unit) = (ids.next_id(), ids.next_id());
                say("asked", batch, unit);
                match store.commit(take(batch, unit, owner)).await {
                    Ok(_) => say("yes", batch, unit),
                    Err(error) if error.refusal().is_some() => say("no", batch, unit),
                    Err(error) => panic!("{error}"),
                }
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
}

fn say(what: &str, batch: Uuid, unit: Uuid) {
    let mut out = std::io::stdout().lock();
    // A line is written at once, or cut off by the kill.
    out.write_all(format!("{what} {batch} {unit}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

async fn kill_and_compare() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let store = open(&path).await;
    let accounts = Batch::new(ids().next_id(), "open").with(account(OPEN, "open", None)).with(account(
        FULL,
        "full",
        Some(0),
    ));
    store.commit(accounts).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let (mut acknowledged, mut refused, mut open_ended) = (Vec::new(), 0, 0);
    for kill in 0..KILLS {
        // Every other kill can hit the opening.
        let working = kill % 2 == 0;
        let taken = killed_after(&path, working, Duration::from_millis(kill * 37 % 150));
        let store = open(&path).await;
        check(&*store, &taken).await;
        for one in taken {
            match one.told {
                Told::Yes => acknowledged.push(one.unit),
                Told::No => refused += 1,
                Told::Maybe => open_ended += 1,
            }
        }
        let units = rows(&*store, &UNITS).await;
        assert!(acknowledged.iter().all(|unit| units.contains_key(unit)), "an earlier one is lost");
    }
    println!(
        "{KILLS} kills: {} acknowledged and there, {refused} refused and not there, {open_ended} cut off",
        acknowledged.len()
    );
    // Otherwise the kills came too early to show anything.
    assert!(acknowledged.len() > 500 && refused > 20 && open_ended > 50);
}

/// Runs a child for so long, from its start or from its first batch, kills it, and gives what it had been told.
fn killed_after(path: &Path, working: bool, moment: Duration) -> Vec<Taken> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    let (began, begins) = std::sync::mpsc::channel::<()>();
    let lines = std::thread::spawn(move || {
        let (mut out, mut text) = (BufReader::new(out), String::new());
        out.read_line(&mut text).unwrap();
        drop(began);
        out.read_to_string(&mut text).unwrap();
        text
    });
    if working {
        // It hangs up when it has read a line.
        assert!(begins.recv().is_err());
    }
    std::thread::sleep(moment);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "the child ended by itself: {status}");
    let mut taken: BTreeMap<Uuid, Taken> = BTreeMap::new();
    let text = lines.join().unwrap();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let mut words = line.split_whitespace();
        let told = match words.next().unwrap() {
            "yes" => Told::Yes,
            "no" => Told::No,
            _ => Told::Maybe,
        };
        let [batch, unit] = [(); 2].map(|()| words.next().unwrap().parse().unwrap());
        taken.insert(batch, Taken { batch, unit, told });
    }
    taken.into_values().collect()
}
