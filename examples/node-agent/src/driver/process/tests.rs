//! What the process driver does with real processes.

mod killed;
mod saved;
mod strange;

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use uuid::Uuid;

use super::keeper::Keeper;
use super::seen::{Seen, Watch};
use crate::driver::{Error, Found, FoundState, Spec};

const SOON: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

/// A folder of a test. Whatever still runs out of it when the test ends, well or badly, is killed.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// An agent that begins to work here. Processes that other tests are starting may hold the lock of the last one.
    fn open(&self) -> Keeper {
        eventually(|| match Keeper::open(self.path()) {
            Err(Error::FolderInUse { .. }) => None,
            keeper => Some(keeper.unwrap()),
        })
    }

    fn processes(&self) -> Vec<Seen> {
        let watch = Watch::new(&self.path().canonicalize().unwrap()).unwrap();
        watch.all().unwrap().into_iter().filter(|seen| seen.instance().is_some()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Ok(folder) = self.path().canonicalize() else { return };
        Watch::new(&folder).unwrap().signal(&self.processes(), Signal::KILL);
    }
}

/// Looks until there is an answer. What takes this long does not come.
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..6000 {
        if let Some(answer) = look() {
            return answer;
        }
        sleep(Duration::from_millis(5));
    }
    panic!("it did not come to it");
}

fn spec(command: &[&str]) -> Spec {
    Spec {
        instance: Uuid::from_u128(0x018f_3f6e_0000_7000_8000_0000_0000_0001),
        name: "training".to_owned(),
        image: None,
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        cpu_milli: apportion::amount::CpuMilli::from_u32(2000),
        memory_mib: apportion::amount::MemoryMib::from_u32(512),
        storage_mib: apportion::amount::StorageMib::from_u32(100),
        gpus: vec!["GPU-1".to_owned(), "GPU-2".to_owned()],
        ports: Vec::new(),
        network_mode: apportion::entity::NetworkMode::Host,
        env: vec![("COLOUR".to_owned(), "blue".to_owned())],
        ssh_key: None,
    }
}

fn sleeper() -> Spec {
    spec(&["sleep", "600"])
}

fn shell(script: &str) -> Spec {
    spec(&["sh", "-c", script])
}

fn log(keeper: &Keeper, found: &Found) -> String {
    std::fs::read_to_string(keeper.instances().join(&found.key).join("log")).unwrap()
}

fn stopped(keeper: &Keeper, key: &str) -> Found {
    eventually(|| {
        let all = keeper.list().unwrap();
        all.into_iter().find(|found| found.key == key && found.state == FoundState::Stopped)
    })
}

#[test]
fn an_instance_is_made_stopped_started_and_removed() {
    let place = Place::new();
    let keeper = place.open();
    assert_eq!(keeper.list().unwrap(), []);
    let found = keeper.create(sleeper()).unwrap();
    assert_eq!((found.instance, found.name.as_str()), (Some(sleeper().instance), "training"));
    assert_eq!((found.cpu_milli.get(), found.memory_mib.get(), found.storage_mib.get()), (2000, 512, 100));
    assert_eq!(found.state, FoundState::Running);
    assert_eq!(keeper.list().unwrap(), std::slice::from_ref(&found));

    assert_eq!(keeper.stop(&found.key, LONG).unwrap().state, FoundState::Stopped);
    assert_eq!(place.processes(), []);
    assert_eq!(keeper.stop(&found.key, LONG).unwrap().state, FoundState::Stopped);
    assert_eq!(keeper.start(&found.key).unwrap().state, FoundState::Running);
    assert_eq!(keeper.start(&found.key).unwrap().state, FoundState::Running);
    assert_eq!(place.processes().len(), 1);

    keeper.delete(&found.key, LONG).unwrap();
    assert_eq!((keeper.list().unwrap(), place.processes()), (vec![], vec![]));
    keeper.delete(&found.key, LONG).unwrap();
    assert!(matches!(keeper.start(&found.key), Err(Error::NotFound { .. })));
    assert!(matches!(keeper.stop(&found.key, LONG), Err(Error::NotFound { .. })));
}

#[test]
fn an_instance_that_is_there_is_answered_as_it_is() {
    let place = Place::new();
    let keeper = place.open();
    let found = keeper.create(sleeper()).unwrap();
    let first = place.processes();
    assert_eq!(keeper.create(spec(&["another"])).unwrap(), found);
    assert_eq!(place.processes(), first);
    keeper.stop(&found.key, LONG).unwrap();
    assert_eq!(keeper.create(sleeper()).unwrap().state, FoundState::Stopped);
    assert_eq!(place.processes(), []);
}

#[test]
fn an_instance_that_is_made_twice_at_once_runs_once() {
    let place = Place::new();
    let keeper = place.open();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(keeper.create(sleeper()).unwrap().state, FoundState::Running));
        }
    });
    assert_eq!(place.processes().len(), 1);
}

#[test]
fn an_instance_that_ends_by_itself_is_seen_to_have_stopped() {
    let place = Place::new();
    let keeper = place.open();
    let found = keeper.create(spec(&["true"])).unwrap();
    stopped(&keeper, &found.key);
    // A process that has ended stays in the machine's list until its parent hears of it. It may have ended behind the first half of
    // the look that saw it.
    keeper.list().unwrap();
    assert!(super::busy::lock(&keeper.children).is_empty());
}

#[test]
fn an_instance_gets_its_own_environment_and_nothing_of_the_agents() {
    let place = Place::new();
    let keeper = place.open();
    let mut spec = spec(&["env"]);
    spec.ports = vec![(apportion::ports::Family::Ipv4, apportion::ports::Protocol::Tcp, 8000)];
    keeper.images.load("example.org/training:1").unwrap();
    spec.image = Some("example.org/training:1".to_owned());
    let found = keeper.create(spec).unwrap();
    stopped(&keeper, &found.key);
    let log = log(&keeper, &found);
    let mut names =
        log.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect::<Vec<_>>();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "APPORTION_AGENT",
            "APPORTION_INSTANCE",
            "COLOUR",
            "CUDA_VISIBLE_DEVICES",
            "HOME",
            "IMAGE",
            "PATH",
            "PORT",
            "PORTS"
        ]
    );
    for line in ["COLOUR=blue", "CUDA_VISIBLE_DEVICES=GPU-1,GPU-2", "PORT=8000", "PORTS=ipv4/tcp/8000"] {
        assert!(log.lines().any(|one| one == line), "{line}: {log}");
    }
}

#[test]
fn words_of_a_command_are_not_read_by_a_shell() {
    let place = Place::new();
    let keeper = place.open();
    let found = keeper.create(spec(&["printf", "%s|", "$HOME; exit 1", "a b", "'"])).unwrap();
    stopped(&keeper, &found.key);
    assert_eq!(log(&keeper, &found), "$HOME; exit 1|a b|'|");
}

#[test]
fn what_does_not_end_when_it_is_asked_to_is_killed_with_all_that_it_started() {
    let place = Place::new();
    let keeper = place.open();
    // One child in its group, and one that has left it.
    let script = "trap '' TERM; sleep 600 & setsid sleep 600 & echo ready; while :; do sleep 1; done";
    let found = keeper.create(shell(script)).unwrap();
    eventually(|| log(&keeper, &found).contains("ready").then_some(()));
    eventually(|| (place.processes().len() >= 4).then_some(()));
    assert_eq!(keeper.stop(&found.key, SOON).unwrap().state, FoundState::Stopped);
    assert_eq!(place.processes(), []);
}

#[test]
fn an_instance_has_the_time_that_it_is_given_to_end() {
    let place = Place::new();
    let keeper = place.open();
    let found =
        keeper.create(shell("trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.01; done")).unwrap();
    eventually(|| log(&keeper, &found).contains("ready").then_some(()));
    keeper.stop(&found.key, LONG).unwrap();
    assert!(log(&keeper, &found).contains("bye"));
}

#[tokio::test]
async fn as_a_driver_it_does_the_same() {
    use crate::driver::Driver;
    let place = Place::new();
    let driver: Box<dyn Driver> = Box::new(super::ProcessDriver::open(place.path()).await.unwrap());
    let image = driver.load_image("example.org/training:1").await.unwrap();
    assert_eq!(driver.images().await.unwrap(), std::slice::from_ref(&image));
    let found = driver.create(&sleeper()).await.unwrap();
    assert_eq!(driver.stop(&found.key, LONG).await.unwrap().state, FoundState::Stopped);
    assert_eq!(driver.start(&found.key).await.unwrap().state, FoundState::Running);
    assert_eq!(driver.list().await.unwrap().len(), 1);
    driver.delete(&found.key).await.unwrap();
    driver.delete_image(&image.key).await.unwrap();
    assert_eq!((driver.list().await.unwrap(), driver.images().await.unwrap()), (vec![], vec![]));
}
