//! What is promised of runs that end, or begin again.

use std::sync::Arc;
use std::time::Duration;

use super::worker::every_word_is_refused;
use super::{Lab, wrong_state};
use crate::entity::{
    BindingState, PageRequest, RunCause, RunId, RunState, TrainingImageState, TrainingRunFilter,
};
use crate::error::Error;
use crate::identity::Caller;
use crate::plane::checks::World;
use crate::plane::{NewRun, NewStatus};

pub(super) async fn check_ends(world: &World) {
    a_run_is_aborted_wherever_it_is(world).await;
    a_run_is_tried_again_as_often_as_it_may_fail(world).await;
    what_can_never_succeed_is_not_tried_again(world).await;
    a_run_that_is_given_back_has_not_failed_and_is_due_at_once(world).await;
    an_abort_and_the_end_of_the_worker_do_not_both_happen(world).await;
    what_is_anothers_is_not_there(world).await;
}

async fn a_run_is_aborted_wherever_it_is(world: &World) {
    let states = [
        RunState::Queued,
        RunState::Preparing,
        RunState::WaitingForGpu,
        RunState::Starting,
        RunState::Training,
        RunState::Uploading,
    ];
    for state in states {
        let lab = Lab::new(world).await;
        let images = lab.images(world, 1, TrainingImageState::Uploaded).await;
        let run = lab.submit(world).await;
        let mut lease = None;
        if state != RunState::Queued {
            world.advance().await;
        }
        if !matches!(state, RunState::Queued | RunState::Preparing) {
            world.cloud.resize_image(images[0]).await.unwrap();
        }
        if state.has_lease() {
            lease = Some(world.claim(run).await);
        }
        if let (RunState::Training | RunState::Uploading, Some(lease)) = (state, &lease) {
            world.cloud.begin_run(lease).await.unwrap();
        }
        if let (RunState::Uploading, Some(lease)) = (state, &lease) {
            world.cloud.uploading_run(lease).await.unwrap();
        }
        assert_eq!(world.run(run).await.state, state);
        let aborted = world.cloud.abort_run(run, "enough\0").await.unwrap();
        assert_eq!((aborted.state, aborted.cause), (RunState::Aborted, Some(RunCause::Requested)));
        assert_eq!(aborted.status_info.as_deref(), Some("enough "));
        assert_eq!(world.cloud.abort_run(run, "again").await.unwrap(), aborted);
        world.pins_nothing(run).await;
        assert_eq!(lab.counted(world).await, 0);
        if let Some(lease) = lease {
            // Nobody knows yet that nothing of it runs.
            let given_up = world.lease(lease.lease).await;
            assert_eq!((given_up.state, given_up.run_id), (BindingState::Releasing, None));
        }
    }
    let nowhere = world.cloud.abort_run(world.id().into(), "").await;
    assert!(matches!(nowhere, Err(Error::NotFound { .. })), "{nowhere:?}");
}

async fn a_run_is_tried_again_as_often_as_it_may_fail(world: &World) {
    let lab = Lab::new(world).await;
    lab.images(world, 1, TrainingImageState::Resized).await;
    let run = world.cloud.submit_run(lab.ask().max_failures(2)).await.unwrap().id;
    for attempt in 1..=3 {
        world.advance().await;
        let lease = world.claim(run).await;
        world.cloud.begin_run(&lease).await.unwrap();
        let failed = world.cloud.fail_run(&lease, RunCause::Crashed, Some("boom")).await.unwrap();
        assert_eq!((failed.failures, failed.status_info.as_deref()), (attempt, Some("boom")));
        assert_eq!(world.lease(lease.lease).await.state, BindingState::Released);
        if attempt == 3 {
            assert_eq!(failed.state, RunState::Failed);
            break;
        }
        assert_eq!(failed.state, RunState::Queued);
        let (now, until) = (world.now().await, failed.not_before.unwrap());
        assert!(until > now, "there is a pause");
        world.advance().await;
        assert_eq!(world.run(run).await.state, RunState::Queued, "it is not due yet");
        assert!(world.copies(run).await[0].image_id.is_some(), "it still needs its images");
        world.clock.advance(until.since(now));
    }
    world.pins_nothing(run).await;
    assert_eq!(lab.counted(world).await, 0);
}

async fn what_can_never_succeed_is_not_tried_again(world: &World) {
    let lab = Lab::new(world).await;
    let lease = lab.training(world).await;
    for cause in [RunCause::Requested, RunCause::Preempted, RunCause::WorkerLost, RunCause::NotUploaded] {
        let refused = world.cloud.fail_run(&lease, cause, None).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{cause}: {refused:?}");
    }
    let failed = world.cloud.fail_run(&lease, RunCause::Invalid, Some("no such optimiser")).await.unwrap();
    assert_eq!((failed.state, failed.cause), (RunState::Failed, Some(RunCause::Invalid)));
    assert_eq!(world.cloud.fail_run(&lease, RunCause::Invalid, None).await.unwrap(), failed);
    wrong_state(world.cloud.fail_run(&lease, RunCause::Crashed, None).await);
}

async fn a_run_that_is_given_back_has_not_failed_and_is_due_at_once(world: &World) {
    for state in [RunState::Starting, RunState::Training, RunState::Uploading] {
        let lab = Lab::new(world).await;
        lab.images(world, 1, TrainingImageState::Resized).await;
        // One that may not even fail once.
        let run = world.cloud.submit_run(lab.ask().max_failures(0)).await.unwrap().id;
        world.advance().await;
        let lease = world.claim(run).await;
        if state != RunState::Starting {
            world.cloud.begin_run(&lease).await.unwrap();
        }
        if state == RunState::Uploading {
            world.cloud.uploading_run(&lease).await.unwrap();
        }
        world.clock.advance(Duration::from_secs(5));
        let back = world.cloud.return_run(&lease, "the machine\0stops").await.unwrap();
        assert_eq!((back.state, back.cause), (RunState::Queued, None), "{state}");
        assert_eq!((back.failures, back.preemptions, back.attempt), (0, 0, 1), "{state}");
        assert_eq!((back.held_ms, back.status_info.as_deref()), (5000, Some("the machine stops")));
        assert_eq!(world.lease(lease.lease).await.state, BindingState::Released);
        assert_eq!(lab.counted(world).await, 1);
        assert!(world.copies(run).await[0].image_id.is_some(), "it still needs its images");
        assert_eq!(world.cloud.return_run(&lease, "again").await.unwrap(), back);
        assert_eq!(world.run(run).await, back);
        wrong_state(world.cloud.fail_run(&lease, RunCause::Crashed, None).await);
        world.cloud.release_lease(&lease).await.unwrap();
        world.advance().await;
        let due = world.run(run).await;
        assert_eq!(due.state, RunState::WaitingForGpu, "there is no pause");
        assert_eq!(world.cloud.return_run(&lease, "again").await.unwrap(), due);
        let next = world.claim(run).await;
        assert_eq!(next.attempt, 2);
        every_word_is_refused(world, &lease).await;
        world.cloud.begin_run(&next).await.unwrap();
        let failed = world.cloud.fail_run(&next, RunCause::Crashed, None).await.unwrap();
        assert_eq!((failed.state, failed.failures), (RunState::Failed, 1));
    }
}

async fn an_abort_and_the_end_of_the_worker_do_not_both_happen(world: &World) {
    for _ in 0..10 {
        let lab = Lab::new(world).await;
        let lease = lab.training(world).await;
        let cloud = Arc::clone(&world.cloud);
        let failing = tokio::spawn(async move { cloud.fail_run(&lease, RunCause::Invalid, None).await });
        let aborted = world.cloud.abort_run(lease.run, "").await;
        let failed = failing.await.unwrap();
        let state = world.run(lease.run).await.state;
        let expected = (state == RunState::Aborted, state == RunState::Failed);
        assert_eq!((aborted.is_ok(), failed.is_ok()), expected, "{aborted:?} and {failed:?}");
        assert_eq!(lab.counted(world).await, 0);
    }
}

async fn what_is_anothers_is_not_there(world: &World) {
    let (lab, other) = (Lab::new(world).await, Lab::new(world).await);
    let acting = |user| world.cloud.acting(Caller::trusted(user));
    let stranger = acting(other.owner);
    let nothing = stranger.submit_run(NewRun::of(lab.training)).await;
    assert!(matches!(nothing, Err(Error::NotFound { kind: "training", .. })), "{nothing:?}");
    let run = acting(lab.owner).submit_run(NewRun::of(lab.training)).await.unwrap().id;
    world.advance().await;
    let lease = world.claim(run).await;
    world.cloud.tell(&lease, NewStatus::of("training")).await.unwrap();
    let nowhere = RunId::new(world.id());
    for id in [run, nowhere] {
        let not_there = |error: Error| assert_eq!(error.to_string(), "there is no such training_run");
        not_there(stranger.training_run(id).await.unwrap_err());
        not_there(stranger.abort_run(id, "mine").await.unwrap_err());
        not_there(stranger.list_statuses(id, PageRequest::default()).await.unwrap_err());
        not_there(stranger.last_status(id).await.unwrap_err());
    }
    let own = acting(lab.owner);
    assert_eq!(own.training_run(run).await.unwrap().id, run);
    assert_eq!(own.list_statuses(run, PageRequest::default()).await.unwrap().entries.len(), 1);
    assert_eq!(own.last_status(run).await.unwrap().unwrap().sequence, 1);
    let listed = own.list_runs(TrainingRunFilter::default(), PageRequest::default()).await.unwrap();
    assert_eq!(listed.entries.iter().map(|run| run.id).collect::<Vec<_>>(), [run]);
    let listed = stranger.list_runs(TrainingRunFilter::default(), PageRequest::default()).await.unwrap();
    assert!(listed.entries.is_empty(), "{listed:?}");
    // Its owner is not its worker, whatever they show.
    let denied = own.tell(&lease, NewStatus::of("training")).await;
    assert!(matches!(denied, Err(Error::Denied { .. })), "{denied:?}");
    own.abort_run(run, "mine").await.unwrap();
}
