//! A worker and its programs.

mod world;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use apportion::entity::{RunCause, RunId, RunState};
use apportion::time::SystemClock;
use rustix::process::{Pid, Signal, kill_process, test_kill_process_group};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trainer::worker::{Error, Settings, Storage, Worker};
use world::World;

/// A worker of this program that works until it is told to stop.
fn works(world: &World, program: &[&str]) -> (JoinHandle<Result<(), Error>>, oneshot::Sender<()>) {
    let folder = world.folder.path();
    let program = program.iter().map(|&word| word.to_owned()).collect();
    let mut settings = Settings::new("worker", folder.join("state"), folder.join("storage"), program);
    settings.lease = Duration::from_secs(20);
    settings.poll = Duration::from_millis(20);
    settings.grace = Duration::from_millis(500);
    let worker = Worker::open(world.remote(), settings).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let until = async move { drop(stopped.await) };
    (tokio::spawn(async move { worker.run(until).await }), stop)
}

async fn until(world: &World, run: RunId, state: RunState) {
    while world.run(run).await.state != state {
        world.turn().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn world() -> World {
    World::new(Arc::new(SystemClock::new())).await
}

#[tokio::test]
async fn a_run_is_trained_and_its_artefact_is_kept() {
    let world = world().await;
    let run = world.submit(json!({ "epochs": 3, "steps": 5 })).await;
    let (worker, stop) = works(&world, &[env!("CARGO_BIN_EXE_trainer"), "train"]);
    until(&world, run, RunState::Completed).await;
    let run = world.run(run).await;
    let kept = Storage::new(world.folder.path().join("storage")).path(run.artifact_key.as_ref().unwrap());
    assert_eq!(std::fs::metadata(kept.unwrap()).unwrap().len(), run.artifact_bytes.unwrap());
    let done: Vec<_> = world.told(run.id).await.iter().map(|status| status.told.done).collect();
    assert_eq!(done, [Some(1), Some(2), Some(3)]);
    drop(stop);
    worker.await.unwrap().unwrap();
    assert!(world.is_back_to_zero().await);
}

#[tokio::test]
async fn what_can_never_succeed_is_not_tried_again() {
    let world = world().await;
    let run = world.submit(json!({ "widht": 3 })).await;
    let (worker, stop) = works(&world, &[env!("CARGO_BIN_EXE_trainer"), "train"]);
    until(&world, run, RunState::Failed).await;
    let run = world.run(run).await;
    assert_eq!((run.cause, run.attempt), (Some(RunCause::Invalid), 1));
    assert!(run.status_info.as_ref().unwrap().contains("widht"), "{:?}", run.status_info);
    drop(stop);
    worker.await.unwrap().unwrap();
    assert!(world.is_back_to_zero().await);
}

#[tokio::test]
async fn what_crashes_is_tried_again_until_it_was_enough() {
    let world = world().await;
    let run = world.submit(json!({})).await;
    let (worker, stop) = works(&world, &["false"]);
    until(&world, run, RunState::Failed).await;
    let run = world.run(run).await;
    assert_eq!((run.cause, run.attempt), (Some(RunCause::Crashed), 4));
    drop(stop);
    worker.await.unwrap().unwrap();
    assert!(world.is_back_to_zero().await);
}

#[tokio::test]
async fn a_run_that_is_aborted_is_stopped_although_it_does_not_listen() {
    let world = world().await;
    let run = world.submit(json!({})).await;
    // It ignores that it is asked to end, and so does what it starts.
    let (worker, stop) = works(&world, &["sh", "-c", "trap '' TERM; sleep 1000; sleep 1000"]);
    until(&world, run, RunState::Training).await;
    world.plane.abort_run(run, "not wanted any more").await.unwrap();
    assert!(!world.is_back_to_zero().await, "its gpu is held until it has stopped");
    while !world.is_back_to_zero().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.run(run).await.state, RunState::Aborted);
    drop(stop);
    worker.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_that_is_stopped_ends_its_runs_and_gives_them_back() {
    let world = world().await;
    let run = world.submit(json!({})).await;
    let (worker, stop) = works(&world, &["sleep", "1000"]);
    until(&world, run, RunState::Training).await;
    drop(stop);
    worker.await.unwrap().unwrap();
    let back = world.run(run).await;
    assert_eq!((back.state, back.failures, back.cause), (RunState::Queued, 0, None));
    assert!(world.is_back_to_zero().await);
    // The next one takes it up at once.
    let (worker, stop) = works(&world, &["sleep", "1000"]);
    until(&world, run, RunState::Training).await;
    assert_eq!(world.run(run).await.attempt, 2);
    drop(stop);
    worker.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_ends_what_a_killed_one_has_left() {
    let world = world().await;
    let run = world.submit(json!({})).await;
    let state = world.folder.path().join("state");
    let key = world.folder.path().join("key");
    std::fs::write(&key, world.key.expose()).unwrap();
    // Killed also where the test fails, so that nobody waits for what it prints.
    let start = || {
        let mut worker = tokio::process::Command::new(env!("CARGO_BIN_EXE_trainer"));
        worker.args(["work", "--poll-ms", "20", "--control", &world.address]).arg("--key").arg(&key);
        worker.arg("--state").arg(&state).arg("--storage").arg(world.folder.path().join("storage"));
        worker
            .args(["--grace-ms", "500", "--", "sleep", "1000"])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    let mut worker = start();
    until(&world, run, RunState::Training).await;
    let record = std::fs::read_dir(state.join("running")).unwrap().next().unwrap().unwrap().path();
    let record: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    let left = i32::try_from(record["process"]["pid"].as_i64().unwrap()).unwrap();
    let left = Pid::from_raw(left).unwrap();
    worker.kill().await.unwrap();
    test_kill_process_group(left).unwrap();

    let mut worker = start();
    while world.run(run).await.attempt < 2 {
        world.turn().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until(&world, run, RunState::Training).await;
    let runs = |stat: String| !stat.contains(") Z ");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", left.as_raw_nonzero()));
    assert!(!stat.is_ok_and(runs), "it runs on, on a gpu that another one has");
    let pid = Pid::from_raw(i32::try_from(worker.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(worker.wait().await.unwrap().success());
    let back = world.run(run).await;
    assert_eq!(
        (back.state, back.failures),
        (RunState::Queued, 1),
        "the killed one has failed it, and this one has not"
    );
}

#[tokio::test]
async fn only_one_worker_works_in_a_folder() {
    let world = world().await;
    let settings =
        || Settings::new("one", world.folder.path().to_owned(), "s".into(), vec!["true".to_owned()]);
    let _one = Worker::open(world.remote(), settings()).unwrap();
    assert!(matches!(Worker::open(world.remote(), settings()), Err(Error::FolderInUse { .. })));
}
