//! Agents that are killed between two steps, and what the next one makes of it.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::driver::process::keeper::{Step, There};
use crate::driver::process::record::Phase;

const CREATE: [Step; 4] = [Step::FolderMade, Step::StartIntended, Step::Started, Step::StartRecorded];
const DELETE: [Step; 3] = [Step::DeleteIntended, Step::Ended, Step::Discarded];

/// What an agent tells that comes after one which was killed at a step; `None` where there is nothing.
fn told_after(step: Step) -> Option<FoundState> {
    let other = |state: &str| Some(FoundState::Other(state.to_owned()));
    match step {
        Step::FolderMade | Step::StartIntended => other("creating"),
        Step::Started | Step::StartRecorded => Some(FoundState::Running),
        Step::DeleteIntended | Step::Ended => other("deleting"),
        Step::Discarded => None,
        Step::Copied | Step::Kept => Some(FoundState::Running),
    }
}

fn told(keeper: &Keeper) -> Option<FoundState> {
    let mut all = keeper.list().unwrap();
    assert!(all.len() <= 1, "{all:?}");
    all.pop().map(|found| found.state)
}

const FOLDER: &str = "NODE_AGENT_TEST_FOLDER";
const STEP: &str = "NODE_AGENT_TEST_STEP";
const REACHED: &str = "reached";

/// The agent that is killed: this test program, run once more. It goes as far as a step, says so, and does no more. Whether it is
/// that one.
fn is_an_agent_that_stops_at_a_step() -> bool {
    let (Ok(folder), Ok(step)) = (std::env::var(FOLDER), std::env::var(STEP)) else { return false };
    let folder = Path::new(&folder);
    let reached = folder.join(REACHED);
    let mut keeper = eventually(|| Keeper::open(folder).ok());
    let deletes = DELETE.iter().any(|one| format!("{one:?}") == step);
    keeper.on_step = Box::new(move |at| {
        while format!("{at:?}") == step {
            std::fs::write(&reached, "").unwrap();
            sleep(LONG);
        }
        Ok(())
    });
    let key = keeper.create(sleeper()).unwrap().key;
    if deletes {
        keeper.delete(&key, LONG).unwrap();
    }
    true
}

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        // SIGKILL: it has no chance to put anything in order.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn kill_an_agent_at(place: &Place, step: Step) {
    let program = std::env::current_exe().unwrap();
    let test = "what_an_agent_was_making_when_it_was_killed_is_told_and_finished_by_the_next_one";
    let test = format!("{}::{test}", module_path!()).split_once("::").unwrap().1.to_owned();
    let agent = Command::new(program)
        .args(["--exact", &test])
        .env(FOLDER, place.path())
        .env(STEP, format!("{step:?}"))
        .stdout(Stdio::null())
        .spawn();
    let mut agent = Agent(agent.unwrap());
    let reached = place.path().join(REACHED);
    eventually(|| {
        assert!(agent.0.try_wait().unwrap().is_none(), "it ended before {step:?}");
        reached.exists().then_some(())
    });
    drop(agent);
    std::fs::remove_file(reached).unwrap();
}

fn nothing_is_left(place: &Place, keeper: &Keeper) {
    assert_eq!((told(keeper), place.processes()), (None, vec![]));
    for folder in [keeper.instances(), keeper.discarded()] {
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
    }
}

#[test]
fn what_an_agent_was_making_when_it_was_killed_is_told_and_finished_by_the_next_one() {
    if is_an_agent_that_stops_at_a_step() {
        return;
    }
    for step in CREATE {
        let place = Place::new();
        kill_an_agent_at(&place, step);
        let before = place.processes();
        let keeper = place.open();
        assert_eq!(told(&keeper), told_after(step), "{step:?}");
        assert_eq!(keeper.create(sleeper()).unwrap().state, FoundState::Running, "{step:?}");
        let after = place.processes();
        assert_eq!(after.len(), 1, "{step:?}");
        assert!(before.is_empty() || before == after, "{step:?}: it was started a second time");
        let There::Record(record) = keeper.there(sleeper().instance).unwrap() else { panic!("{step:?}") };
        assert_eq!((record.phase, record.process.is_some()), (Phase::Made, true), "{step:?}");
        keeper.delete(&sleeper().instance.to_string(), LONG).unwrap();
        nothing_is_left(&place, &keeper);
    }
}

#[test]
fn what_an_agent_was_making_when_it_was_killed_can_be_deleted_by_the_next_one() {
    for step in CREATE {
        let place = Place::new();
        kill_an_agent_at(&place, step);
        let keeper = place.open();
        keeper.delete(&sleeper().instance.to_string(), LONG).unwrap();
        nothing_is_left(&place, &keeper);
    }
}

#[test]
fn what_an_agent_was_deleting_when_it_was_killed_is_told_and_finished_by_the_next_one() {
    for step in DELETE {
        let place = Place::new();
        kill_an_agent_at(&place, step);
        let keeper = place.open();
        assert_eq!(told(&keeper), told_after(step), "{step:?}");
        // What was out of sight already is removed before anybody asks.
        assert_eq!(std::fs::read_dir(keeper.discarded()).unwrap().count(), 0, "{step:?}");
        if told_after(step).is_some() {
            assert!(matches!(keeper.create(sleeper()), Err(Error::BeingDeleted { .. })), "{step:?}");
        }
        keeper.delete(&sleeper().instance.to_string(), LONG).unwrap();
        nothing_is_left(&place, &keeper);
    }
}

#[test]
fn an_operation_that_failed_half_way_is_finished_by_the_same_agent() {
    for step in CREATE.into_iter().chain(DELETE) {
        let place = Place::new();
        let mut keeper = place.open();
        keeper.on_step = Box::new(move |at| if at == step { Err(Error::failed("no more")) } else { Ok(()) });
        let key = sleeper().instance.to_string();
        let made = keeper.create(sleeper()).and_then(|_| keeper.delete(&key, LONG));
        assert!(matches!(made, Err(Error::Failed { .. })), "{step:?}");
        assert_eq!(told(&keeper), told_after(step), "{step:?}");
        keeper.on_step = Box::new(|_| Ok(()));
        if CREATE.contains(&step) {
            assert_eq!(keeper.create(sleeper()).unwrap().state, FoundState::Running, "{step:?}");
            assert_eq!(place.processes().len(), 1, "{step:?}");
        }
        keeper.delete(&key, LONG).unwrap();
        nothing_is_left(&place, &keeper);
    }
}
