//! What the process driver does with what it does not expect.

use super::*;
use crate::driver::process::record::{self, Phase, Record};

#[test]
fn instances_outlive_their_agent_and_are_found_by_the_next_one() {
    let place = Place::new();
    let found = place.open().create(sleeper()).unwrap();
    let processes = place.processes();
    let next = place.open();
    assert_eq!(next.list().unwrap(), std::slice::from_ref(&found));
    assert_eq!(next.create(sleeper()).unwrap(), found);
    assert_eq!(place.processes(), processes);
    assert_eq!(next.stop(&found.key, LONG).unwrap().state, FoundState::Stopped);
    assert_eq!(place.processes(), []);
}

#[test]
fn two_agents_do_not_work_in_one_folder() {
    let place = Place::new();
    let _first = place.open();
    assert!(matches!(Keeper::open(place.path()), Err(Error::FolderInUse { .. })));
}

#[test]
fn a_process_that_got_the_number_of_one_that_ended_is_left_alone() {
    let place = Place::new();
    let keeper = place.open();
    let found = keeper.create(sleeper()).unwrap();
    keeper.stop(&found.key, LONG).unwrap();
    // This test's own process, as if it had been started one tick later.
    let this = keeper.watch.identity(&keeper.watch.one(std::process::id()).unwrap());
    let mut other = serde_json::to_value(this).unwrap();
    other["started"] = (other["started"].as_u64().unwrap() - 1).into();
    let process = Some(serde_json::from_value(other).unwrap());
    let record = Record { phase: Phase::Made, spec: sleeper(), process };
    record::write(&keeper.record(sleeper().instance), &record).unwrap();
    assert_eq!(keeper.list().unwrap()[0].state, FoundState::Stopped);
    keeper.delete(&found.key, SOON).unwrap();
}

#[test]
fn a_program_that_is_not_there_leaves_nothing_behind() {
    let place = Place::new();
    let keeper = place.open();
    let error = keeper.create(spec(&["/not/there"])).unwrap_err();
    assert_eq!(error.to_string(), "the program \"/not/there\" cannot be started");
    assert!(matches!(keeper.create(spec(&[])), Err(Error::InvalidSpec { .. })));
    assert_eq!(keeper.list().unwrap(), []);
    assert_eq!(keeper.create(sleeper()).unwrap().state, FoundState::Running);
}

#[test]
fn an_image_that_is_not_there_is_told_before_anything_is_made() {
    let place = Place::new();
    let keeper = place.open();
    let spec = Spec { image: Some("example.org/none:1".to_owned()), ..sleeper() };
    assert!(matches!(keeper.create(spec), Err(Error::NoSuchImage { .. })));
    assert_eq!(keeper.list().unwrap(), []);
}

#[test]
fn a_key_leads_to_nothing_but_an_instance() {
    let place = Place::new();
    let keeper = place.open();
    let found = keeper.create(sleeper()).unwrap();
    // The same id, but not the key.
    let upper = found.key.to_uppercase();
    for key in ["", ".", "..", "../images.json", "/etc", &upper] {
        keeper.delete(key, SOON).unwrap();
        assert!(matches!(keeper.start(key), Err(Error::NotFound { .. })), "{key}");
    }
    assert_eq!(keeper.list().unwrap(), [found]);
}

#[test]
fn what_somebody_else_put_there_is_told_and_not_touched() {
    let place = Place::new();
    let keeper = place.open();
    std::fs::create_dir(keeper.instances().join("theirs")).unwrap();
    let found = keeper.list().unwrap();
    assert_eq!((found[0].key.as_str(), found[0].instance), ("theirs", None));
    assert!(matches!(keeper.delete("theirs", SOON), Err(Error::NotOurs { .. })));
    assert!(matches!(keeper.stop("theirs", SOON), Err(Error::NotOurs { .. })));
}

#[test]
fn an_instance_whose_folder_was_removed_is_told_and_can_be_deleted() {
    let place = Place::new();
    let keeper = place.open();
    let found = keeper.create(sleeper()).unwrap();
    std::fs::remove_dir_all(keeper.instance(sleeper().instance)).unwrap();
    let told = keeper.list().unwrap();
    assert_eq!((told[0].instance, &told[0].state), (found.instance, &FoundState::Running));
    keeper.delete(&found.key, LONG).unwrap();
    assert_eq!((keeper.list().unwrap(), place.processes()), (vec![], vec![]));
}

#[test]
fn an_instance_whose_folder_was_removed_is_taken_on_when_it_is_made_again() {
    let place = Place::new();
    let keeper = place.open();
    keeper.create(sleeper()).unwrap();
    let processes = place.processes();
    std::fs::remove_dir_all(keeper.instance(sleeper().instance)).unwrap();
    assert_eq!(keeper.create(sleeper()).unwrap().state, FoundState::Running);
    assert_eq!(place.processes(), processes);
}

#[test]
fn an_instance_whose_record_is_broken_is_told_and_can_be_deleted() {
    let place = Place::new();
    let keeper = place.open();
    let found = keeper.create(sleeper()).unwrap();
    std::fs::write(keeper.record(sleeper().instance), "{").unwrap();
    let told = keeper.list().unwrap();
    assert_eq!(told[0].state, FoundState::Other("its record cannot be understood".to_owned()));
    assert!(matches!(keeper.create(sleeper()), Err(Error::BadRecord { .. })));
    keeper.delete(&found.key, LONG).unwrap();
    assert_eq!((keeper.list().unwrap(), place.processes()), (vec![], vec![]));
}

#[test]
fn what_the_agent_keeps_of_an_instance_is_for_the_agent_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let keeper = place.open();
    keeper.create(sleeper()).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&keeper.instance(sleeper().instance)), 0o700);
    assert_eq!(mode(&keeper.record(sleeper().instance)), 0o600);
}

#[test]
fn what_an_instance_started_without_its_environment_ends_with_it() {
    let place = Place::new();
    let keeper = place.open();
    // It hears of no wish to end, and outlives the process that started it. It ends by itself if the test does not get to it.
    let child = "trap '' TERM; echo child $$; for i in $(seq 60); do sleep 1; done";
    let script =
        format!("trap exit TERM; env -i PATH=\"$PATH\" sh -c \"{}\" & wait", child.replace('$', "\\$"));
    let found = keeper.create(shell(&script)).unwrap();
    let pid = eventually(|| {
        log(&keeper, &found).lines().find_map(|line| line.strip_prefix("child ")?.parse().ok())
    });
    assert_eq!(keeper.watch.one(pid).unwrap().instance(), None);
    assert_eq!(keeper.stop(&found.key, SOON).unwrap().state, FoundState::Stopped);
    assert_eq!(keeper.watch.one(pid), None);
}
