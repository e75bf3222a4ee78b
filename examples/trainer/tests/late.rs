//! What a worker says that was killed, or only believed to be, changes nothing.

mod world;

use std::sync::Arc;
use std::time::Duration;

use apportion::entity::{RunCause, RunState};
use apportion::plane::{Artifact, LeaseStanding, NewStatus, RunLease};
use apportion::time::{ManualClock, SystemClock, Timestamp};
use serde_json::json;
use trainer::control::{Refused, Remote};
use world::World;

const LEASE: Duration = Duration::from_secs(60);

fn message(id: &str) -> NewStatus {
    NewStatus::of("training").message_id(id)
}

/// Says all that a worker can say of a run, and answers how much of it was heard.
async fn heard(worker: &Remote, held: &RunLease, key: &str) -> usize {
    let artifact = Artifact::new(key, 3, "a".repeat(64));
    let answers = [
        worker.renew(held, LEASE).await.and_then(|standing| match standing {
            LeaseStanding::Stop(reason) => Err(Refused::Over { reason }),
            LeaseStanding::Held(_) => Ok(()),
        }),
        worker.begin(held).await,
        worker.tell(held, message("late")).await.map(drop),
        worker.uploading(held).await.map(drop),
        worker.complete(held, artifact).await,
        worker.fail(held, RunCause::Crashed, None).await,
        worker.give_back(held, "late").await,
    ];
    let over = |answer: &&Result<(), Refused>| !matches!(answer, Err(Refused::Over { .. }));
    answers.iter().filter(over).count()
}

#[tokio::test]
async fn a_late_write_of_a_killed_worker_is_refused() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let world = World::new(clock.clone()).await;
    let run = world.submit(json!({})).await;
    assert_eq!(world.turn().await, 1);
    let dead = world.remote();
    let session = dead.join().await.unwrap();
    let first = dead.claim(session, "first", LEASE).await.unwrap().unwrap().lease;
    dead.begin(&first).await.unwrap();
    dead.tell(&first, message("1")).await.unwrap();
    let key = format!("runs/{run}/1/artifact");

    clock.advance(LEASE);
    assert_eq!(heard(&dead, &first, &key).await, 0, "before anybody has noticed");
    world.turn().await;
    assert_eq!(world.run(run).await.state, RunState::Queued);
    assert_eq!(heard(&dead, &first, &key).await, 0, "once it was noticed");
    clock.advance(Duration::from_secs(1));
    assert_eq!(world.turn().await, 0, "the only gpu is held until somebody knows that it is free");

    let next = world.remote();
    let session = next.join().await.unwrap();
    assert_eq!(next.report(session, Vec::new()).await.unwrap(), 1);
    assert_eq!(world.turn().await, 1);
    let second = next.claim(session, "second", LEASE).await.unwrap().unwrap().lease;
    assert_eq!((second.run, second.attempt), (run, 2));
    next.begin(&second).await.unwrap();
    let second_key = format!("runs/{run}/2/artifact");
    for key in [&key, &second_key] {
        assert_eq!(heard(&dead, &first, key).await, 0, "while another attempt trains");
    }
    // Nor does the number of the new attempt help who does not have its lease.
    let guessed = RunLease::new(run, first.lease, second.attempt, second.token);
    assert_eq!(heard(&dead, &guessed, &second_key).await, 0);

    next.tell(&second, message("1")).await.unwrap();
    next.tell(&second, message("2")).await.unwrap();
    assert_eq!(next.uploading(&second).await.unwrap(), second_key);
    next.complete(&second, Artifact::new(&second_key, 3, "b".repeat(64))).await.unwrap();
    assert_eq!(heard(&dead, &first, &key).await, 0, "once it is complete");

    let run = world.run(run).await;
    assert_eq!((run.state, run.failures), (RunState::Completed, 1));
    assert_eq!(run.artifact_key.as_deref(), Some(second_key.as_str()));
    assert_eq!(run.artifact_sha256.as_deref(), Some("b".repeat(64).as_str()));
    let told = world.told(run.id).await;
    let told: Vec<_> = told.iter().map(|status| (status.sequence, status.message_id.as_deref())).collect();
    assert_eq!(told, [(1, Some("1")), (2, Some("2"))], "what was told twice is there once");
    assert!(world.is_back_to_zero().await);
}

#[tokio::test]
async fn the_agent_of_another_machine_is_not_heard_whatever_it_knows() {
    let world = World::new(Arc::new(SystemClock::new())).await;
    let run = world.submit(json!({})).await;
    world.turn().await;
    let (worker, other) = (world.remote(), world.other().await);
    let (session, others) = (worker.join().await.unwrap(), other.join().await.unwrap());
    assert_eq!(other.claim(others, "other", LEASE).await.unwrap(), None);
    let held = worker.claim(session, "worker", LEASE).await.unwrap().unwrap().lease;
    let none = |answer: Result<(), Refused>| matches!(answer, Err(Refused::Denied { code, .. }) if code == "not_found");
    assert!(none(other.begin(&held).await));
    assert!(none(other.renew(&held, LEASE).await.map(drop)));
    world.plane.abort_run(run, "not wanted").await.unwrap();
    assert!(none(other.release(&held).await));
    assert_eq!(other.report(others, Vec::new()).await.unwrap(), 0);
    assert!(!world.is_back_to_zero().await);
    worker.release(&held).await.unwrap();
    assert!(world.is_back_to_zero().await);
}
