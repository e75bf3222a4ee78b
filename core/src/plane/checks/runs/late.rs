//! What is promised of runs that come no further.

use std::sync::Arc;
use std::time::Duration;

use super::{DAY, HOUR, Lab, World};
use crate::entity::{BindingState, RunCause, RunState, TrainingImageState};
use crate::error::{Error, Result};
use crate::plane::{NewStatus, RunLease, RunPolicy, SweptRuns};
use crate::store::StoreExt as _;

const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn check_late(world: &World) {
    settle(world).await;
    what_waits_too_long_has_stalled(world).await;
    what_nobody_begins_or_tells_of_begins_again(world).await;
    what_tells_something_is_not_silent(world).await;
    what_is_too_often_late_has_stalled(world).await;
    each_late_run_is_decided_once(world).await;
    what_no_worker_took_is_free_at_once(world).await;
    a_run_whose_worker_is_lost_begins_again(world).await;
    who_is_late_lets_go_of_what_it_held(world).await;
    a_refusal_says_what_the_lease_is_and_what_is_to_be_done(world).await;
    what_is_heard_behind_the_look_is_not_late(world).await;
}

/// Lets everything that other checks have left come to its end.
async fn settle(world: &World) {
    world.clock.advance(DAY);
    world.cloud.sweep_runs().await.unwrap();
    assert_eq!(world.cloud.sweep_runs().await.unwrap(), SweptRuns::default());
}

/// Moves the clock on, and sweeps just before and just after.
async fn pass(world: &World, limit: Duration) -> SweptRuns {
    world.clock.advance(limit - SECOND);
    assert_eq!(world.cloud.sweep_runs().await.unwrap(), SweptRuns::default(), "it is not late yet");
    world.clock.advance(SECOND);
    world.cloud.sweep_runs().await.unwrap()
}

async fn what_waits_too_long_has_stalled(world: &World) {
    let lab = Lab::new(world).await;
    lab.images(world, 1, TrainingImageState::Uploaded).await;
    let run = lab.submit(world).await;
    world.advance().await;
    let swept = pass(world, RunPolicy::default().preparing).await;
    assert_eq!(swept, SweptRuns { runs: 1, ended: 1, ..SweptRuns::default() });
    let stalled = world.run(run).await;
    let why = (stalled.state, stalled.cause, stalled.failures);
    assert_eq!(why, (RunState::Stalled, Some(RunCause::NotPrepared), 0));
    world.pins_nothing(run).await;
    assert_eq!(lab.counted(world).await, 0);
    // For GPUs it waits for ever, unless the host says how long.
    let patient = Lab::new(world).await.ready(world).await;
    let hasty = world.with_runs(RunPolicy::default().waiting(Some(SECOND)));
    let lab = Lab::new(world).await;
    let run = lab.submit(world).await;
    hasty.advance_runs(1000).await.unwrap();
    world.clock.advance(DAY);
    assert_eq!(world.cloud.sweep_runs().await.unwrap().ended, 1);
    let stalled = world.run(run).await;
    assert_eq!((stalled.state, stalled.cause), (RunState::Stalled, Some(RunCause::NoGpus)));
    assert_eq!(world.run(patient).await.state, RunState::WaitingForGpu);
    world.cloud.abort_run(patient, "").await.unwrap();
}

async fn what_nobody_begins_or_tells_of_begins_again(world: &World) {
    let policy = RunPolicy::default();
    let lab = Lab::new(world).await;
    for (state, limit, cause) in [
        (RunState::Starting, policy.starting, RunCause::NotBegun),
        // Not one message has come: it is silent all the same.
        (RunState::Training, policy.silence, RunCause::NoProgress),
        (RunState::Uploading, policy.uploading, RunCause::NotUploaded),
    ] {
        let lease = lab.held(world).await;
        if state != RunState::Starting {
            world.cloud.begin_run(&lease).await.unwrap();
        }
        if state == RunState::Uploading {
            world.cloud.uploading_run(&lease).await.unwrap();
        }
        let swept = pass(world, limit).await;
        assert_eq!(swept, SweptRuns { runs: 1, requeued: 1, ..SweptRuns::default() }, "{state}");
        let late = world.run(lease.run).await;
        assert_eq!((late.state, late.cause, late.failures), (RunState::Queued, Some(cause), 1));
        assert!(late.not_before > Some(world.now().await));
        super::worker::every_word_is_refused(world, &lease).await;
        // Silence is no evidence: what its worker holds is held until it is known that nothing runs there.
        let given_up = world.lease(lease.lease).await;
        assert_eq!((given_up.state, given_up.run_id), (BindingState::Releasing, None));
        assert_eq!(given_up.reason.as_deref(), Some(cause.as_str()));
        world.cloud.abort_run(lease.run, "").await.unwrap();
    }
}

async fn what_tells_something_is_not_silent(world: &World) {
    let silence = RunPolicy::default().silence;
    let lab = Lab::new(world).await;
    let lease = lab.training(world).await;
    for _ in 0..4 {
        world.clock.advance(silence / 2);
        world.cloud.tell(&lease, NewStatus::of("training")).await.unwrap();
        world.cloud.renew_lease(&lease, HOUR).await.unwrap();
    }
    let swept = world.cloud.sweep_runs().await.unwrap();
    assert_eq!(swept, SweptRuns { runs: 1, heard: 1, ..SweptRuns::default() });
    let run = world.run(lease.run).await;
    assert_eq!(run.state_deadline, Some(world.now().await.plus(silence)));
    assert_eq!(run.state, RunState::Training);
    assert_eq!(pass(world, silence).await.requeued, 1);
    world.cloud.abort_run(lease.run, "").await.unwrap();
}

async fn what_is_too_often_late_has_stalled(world: &World) {
    let lab = Lab::new(world).await;
    let run = world.cloud.submit_run(lab.ask().max_failures(1)).await.unwrap().id;
    for failures in 1..=2 {
        world.advance().await;
        world.claim(run).await;
        world.clock.advance(RunPolicy::default().starting);
        world.cloud.sweep_runs().await.unwrap();
        let late = world.run(run).await;
        assert_eq!(late.failures, failures);
        assert_eq!(late.state, if failures == 2 { RunState::Stalled } else { RunState::Queued });
        world.clock.advance(RunPolicy::default().longest_backoff);
    }
    world.pins_nothing(run).await;
    assert_eq!(lab.counted(world).await, 0);
}

async fn each_late_run_is_decided_once(world: &World) {
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(Lab::new(world).await.held(world).await);
    }
    world.clock.advance(RunPolicy::default().starting);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let cloud = Arc::clone(&world.cloud);
            tokio::spawn(async move { cloud.sweep_runs().await.unwrap() })
        })
        .collect();
    let mut requeued = 0;
    for task in tasks {
        requeued += task.await.unwrap().requeued;
    }
    assert_eq!(requeued, 10);
    for lease in held {
        assert_eq!(world.run(lease.run).await.failures, 1);
        world.cloud.abort_run(lease.run, "").await.unwrap();
    }
}

async fn what_no_worker_took_is_free_at_once(world: &World) {
    let lab = Lab::new(world).await;
    let run = lab.ready(world).await;
    let lease = world.grant(run).await;
    assert_eq!(pass(world, RunPolicy::default().starting).await.requeued, 1);
    let (late, released) = (world.run(run).await, world.lease(lease).await);
    assert_eq!((late.cause, released.state), (Some(RunCause::NotBegun), BindingState::Released));
    assert_eq!(late.held_ms, 15 * 60_000);
    world.cloud.abort_run(run, "").await.unwrap();
}

async fn a_run_whose_worker_is_lost_begins_again(world: &World) {
    let lab = Lab::new(world).await;
    let lease = lab.training(world).await;
    world.clock.advance(HOUR);
    assert_eq!(world.cloud.sweep_leases().await.unwrap().expired, 1);
    let lost = world.run(lease.run).await;
    let why = (lost.state, lost.cause, lost.failures);
    assert_eq!(why, (RunState::Queued, Some(RunCause::WorkerLost), 1));
    super::worker::every_word_is_refused(world, &lease).await;
    world.cloud.release_lease(&lease).await.unwrap();
    let held = world.run(lease.run).await;
    assert_eq!((held.state, held.held_ms), (RunState::Queued, 3_600_000));
    super::worker::every_word_is_refused(world, &lease).await;
    world.cloud.abort_run(lease.run, "").await.unwrap();
}

async fn who_is_late_lets_go_of_what_it_held(world: &World) {
    for noticed_meanwhile in [false, true] {
        let lab = Lab::new(world).await;
        let lease = lab.training(world).await;
        world.clock.advance(HOUR);
        super::wrong_state(world.cloud.renew_lease(&lease, HOUR).await);
        let cloud = world.behind(|cloud| async move {
            if noticed_meanwhile {
                assert_eq!(cloud.sweep_leases().await.unwrap().expired, 1);
            }
        });
        cloud.release_lease(&lease).await.unwrap();
        cloud.release_lease(&lease).await.unwrap();
        let lost = world.run(lease.run).await;
        let why = (lost.state, lost.cause, lost.failures);
        assert_eq!(why, (RunState::Queued, Some(RunCause::WorkerLost), 1), "{noticed_meanwhile}");
        assert_eq!((lost.held_ms, lost.attempt), (3_600_000, 1));
        let released = world.lease(lease.lease).await;
        assert_eq!(released.state, BindingState::Released);
        assert_eq!(released.reason.as_deref(), Some("not renewed in time"));
        assert_eq!(world.cloud.sweep_leases().await.unwrap().expired, 0);
        super::worker::every_word_is_refused(world, &lease).await;
        world.cloud.abort_run(lease.run, "").await.unwrap();
    }
}

async fn a_refusal_says_what_the_lease_is_and_what_is_to_be_done(world: &World) {
    fn says<T: std::fmt::Debug>(answer: Result<T>, text: &str, next: &[&str]) {
        let error = answer.unwrap_err();
        assert_eq!(error.to_string(), text);
        let Error::WrongState { allowed, .. } = error else { panic!("{error:?}") };
        assert_eq!(allowed, next);
    }
    const RELEASE: [&str; 1] = ["releasing it"];
    let cloud = &world.cloud;
    let lab = Lab::new(world).await;
    let run = lab.ready(world).await;
    let reserved = RunLease::new(run, world.grant(run).await, 1, 0);
    let text = "releasing it is not possible while the gpu_lease is reserved";
    says(cloud.release_lease(&reserved).await, text, &["taking it"]);
    cloud.abort_run(run, "").await.unwrap();

    let lease = lab.training(world).await;
    let text = "releasing it is not possible while the gpu_lease is bound";
    says(cloud.release_lease(&lease).await, text, &["completing its run", "failing it", "giving it back"]);
    let forged = RunLease { token: 7, ..lease };
    let text = "working on its run is not possible while the gpu_lease is taken by another worker";
    says(cloud.begin_run(&forged).await, text, &[]);
    let text = "renewing it is not possible while the gpu_lease is taken by another worker";
    says(cloud.renew_lease(&forged, HOUR).await, text, &[]);
    let text = "releasing it is not possible while the gpu_lease is taken by another worker";
    says(cloud.release_lease(&forged).await, text, &[]);

    world.clock.advance(HOUR);
    let expired = "expired, until its worker has stopped and releases it";
    let text = format!("working on its run is not possible while the gpu_lease is {expired}");
    says(cloud.tell(&lease, NewStatus::of("training")).await, &text, &RELEASE);
    let text = format!("renewing it is not possible while the gpu_lease is {expired}");
    says(cloud.renew_lease(&lease, HOUR).await, &text, &RELEASE);

    cloud.abort_run(lease.run, "enough").await.unwrap();
    let releasing = "releasing, until its worker has stopped and releases it";
    let text = format!("working on its run is not possible while the gpu_lease is {releasing}");
    says(cloud.return_run(&lease, "").await, &text, &RELEASE);

    cloud.release_lease(&lease).await.unwrap();
    let text = "working on its run is not possible while the gpu_lease is released";
    says(cloud.fail_run(&lease, RunCause::Crashed, None).await, text, &[]);
    let text = "renewing it is not possible while the gpu_lease is released";
    says(cloud.renew_lease(&lease, HOUR).await, text, &[]);
    let text = "abandoning it is not possible while the gpu_lease is released";
    says(cloud.abandon_lease(lease.lease, "it burned").await, text, &[]);
}

async fn what_is_heard_behind_the_look_is_not_late(world: &World) {
    let lab = Lab::new(world).await;
    let lease = lab.training(world).await;
    world.clock.advance(RunPolicy::default().silence);
    let now = world.now().await;
    let row = world.cloud.store.get(&crate::entity::TRAINING_RUNS, lease.run).await.unwrap().value.unwrap();
    let (state, batch) = world.cloud.decide_late(&row, now).await.unwrap().unwrap();
    assert_eq!(state, RunState::Queued);
    world.cloud.tell(&lease, NewStatus::of("training")).await.unwrap();
    let refused = world.cloud.store.commit(batch).await.unwrap_err();
    assert!(crate::plane::retry::lost_race(&refused), "{refused:?}");
    assert_eq!(world.run(lease.run).await.state, RunState::Training);
    assert_eq!(world.cloud.sweep_runs().await.unwrap().heard, 1);
}
