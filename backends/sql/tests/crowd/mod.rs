//! A crowd of real processes over one database. Included by the tests of the backends.
//!
//! The test starts its own program again as each of them, tells them words in lines, and kills one now and then. One whose parent
//! has gone reads the end of its input, and ends.
//!
//! It is at work for six seconds, and until each kind of trouble has happened; `CROWD_SECONDS=120` says for how long instead, and
//! `CROWD_SEED` by which seed. What came of it is told in a line.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use apportion::plane::checks::{CrowdPart, CrowdParts, CrowdPhase, CrowdSize, be_part_of_crowd, check_crowd};
use apportion::store::Store;
use apportion::time::{Clock, SystemClock};
use tokio::runtime::Runtime;

/// What a process of the crowd is, and where its database is.
const PART: &str = "APPORTION_CROWD_PART";
const ADDRESS: &str = "APPORTION_CROWD_ADDRESS";

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Where this process is one of the crowd: what the parent gave it to open.
pub(crate) fn address() -> Option<String> {
    std::env::var(ADDRESS).ok()
}

/// Is one of the crowd.
pub(crate) fn be_a_part(runtime: &Runtime, store: &Arc<dyn Store>) {
    let part: CrowdPart = std::env::var(PART).unwrap().parse().unwrap();
    let phase = CrowdPhase::default();
    let hears = phase.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            hears.hear(&line);
        }
        // Nobody wants this any more.
        hears.hear("");
    });
    runtime.block_on(async {
        be_part_of_crowd(Arc::clone(store), clock(), part, phase).await;
        store.close().await.unwrap();
    });
}

/// The processes, by their numbers.
struct Processes {
    address: String,
    running: BTreeMap<u32, (Child, ChildStdin)>,
}

#[async_trait::async_trait]
impl CrowdParts for Processes {
    async fn start(&mut self, part: CrowdPart) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(PART, part.to_string())
            .env(ADDRESS, &self.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        self.running.insert(part.number(), (child, input));
    }

    async fn kill(&mut self, number: u32) {
        let (mut child, _) = self.running.remove(&number).unwrap();
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "process {number} ended by itself: {status}");
    }

    async fn tell(&mut self, word: &'static str) {
        for (_, input) in self.running.values_mut() {
            input.write_all(format!("{word}\n").as_bytes()).unwrap();
        }
    }

    async fn check(&mut self) {
        for (number, (child, _)) in &mut self.running {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("process {number} ended by itself: {status}");
            }
        }
    }

    async fn ended(&mut self) {
        for (number, (mut child, input)) in std::mem::take(&mut self.running) {
            let status = child.wait().unwrap();
            assert!(status.success(), "process {number}: {status}");
            drop(input);
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for (child, _) in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Lets the crowd loose. `name` is for the line.
pub(crate) fn let_loose(runtime: &Runtime, name: &str, address: &str, store: Arc<dyn Store>) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let load = Duration::from_secs(number("CROWD_SECONDS").unwrap_or(6));
    let clock = clock();
    let seed = number("CROWD_SEED").unwrap_or_else(|| clock.now().as_micros().unsigned_abs());
    println!("{name}: a crowd for {load:?}, seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let mut parts = Processes { address: address.to_owned(), running: BTreeMap::new() };
    let check = check_crowd(store, clock, &mut parts, folder.path(), CrowdSize { load, seed });
    println!("{name}: {}", runtime.block_on(check));
}
