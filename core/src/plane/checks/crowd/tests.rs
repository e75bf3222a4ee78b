use std::collections::BTreeMap;

use futures_channel::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::entity::TABLES;
use crate::id::{IdSource as _, RandomIds};
use crate::store::memory::MemoryStore;
use crate::time::SystemClock;

/// Processes that are none: each is a runtime, which is dropped where a process would be killed.
struct Runtimes {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    running: BTreeMap<u32, (CrowdPhase, oneshot::Sender<()>, JoinHandle<()>)>,
}

#[async_trait]
impl CrowdParts for Runtimes {
    async fn start(&mut self, part: CrowdPart) {
        let (number, phase) = (part.number(), CrowdPhase::default());
        let part: CrowdPart = part.to_string().parse().unwrap();
        let work = be_part_of_crowd(Arc::clone(&self.store), Arc::clone(&self.clock), part, phase.clone());
        let (kill, killed) = oneshot::channel();
        let runtime = tokio::task::spawn_blocking(move || {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async { drop(futures_util::future::select(Box::pin(work), killed).await) });
        });
        self.running.insert(number, (phase, kill, runtime));
    }

    async fn kill(&mut self, number: u32) {
        let (_, kill, runtime) = self.running.remove(&number).unwrap();
        kill.send(()).unwrap();
        runtime.await.unwrap();
    }

    async fn tell(&mut self, word: &'static str) {
        for (phase, ..) in self.running.values() {
            phase.hear(word);
        }
    }

    async fn check(&mut self) {
        assert!(self.running.values().all(|(.., runtime)| !runtime.is_finished()));
    }

    async fn ended(&mut self) {
        for (_, kill, runtime) in std::mem::take(&mut self.running).into_values() {
            runtime.await.unwrap();
            drop(kill);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_finds_nothing_wrong_on_the_reference_store() {
    let folder = std::env::temp_dir().join(format!("apportion-crowd-{}", RandomIds::new().next_id()));
    std::fs::create_dir(&folder).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(TABLES, Arc::clone(&clock)).unwrap());
    let mut parts =
        Runtimes { store: Arc::clone(&store), clock: Arc::clone(&clock), running: BTreeMap::new() };
    let size = CrowdSize { load: Duration::from_secs(3), seed: 7 };
    println!("{}", check_crowd(store, clock, &mut parts, &folder, size).await);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_part_is_read_as_it_was_written() {
    let part = CrowdPart {
        number: 3,
        generation: 12,
        seed: 77,
        lease: Duration::from_millis(1234),
        folder: PathBuf::from("/a b/c"),
    };
    assert_eq!(part.to_string().parse(), Ok(part));
    assert!("3 x 7 800 /a".parse::<CrowdPart>().is_err());
    assert!("3 1 7 800".parse::<CrowdPart>().is_err());
}
