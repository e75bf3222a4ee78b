//! What is promised of limits, deletions and states that last too long, where something else happens between the look and the commit.

use super::{HOUR, Lab, World, wrong_state};
use crate::entity::{BindingState, Limits, RunCause, RunState, TrainingId, TrainingImageState};
use crate::error::Error;
use crate::plane::leases::Grant;
use crate::plane::{ControlPlane, NewRun, NewStatus, RunLease, RunPolicy};

pub(super) async fn check_meanwhile(world: &World) {
    the_last_place_is_given_once(world).await;
    a_run_is_not_submitted_to_what_is_gone_meanwhile(world).await;
    a_training_is_not_deleted_under_a_run(world).await;
    a_training_whose_run_was_aborted_goes_while_its_gpus_are_held(world).await;
    an_abort_and_a_grant_do_not_both_happen(world).await;
    what_goes_on_behind_the_look_is_not_too_late(world).await;
    what_was_told_is_answered_to_its_worker_alone(world).await;
}

/// Another run of the owner, of a training of its own.
async fn another(world: &World, lab: &Lab) -> NewRun {
    let training = TrainingId::new(world.id());
    lab.add_training(world, training).await;
    NewRun::of(training).queue(lab.queue)
}

async fn the_last_place_is_given_once(world: &World) {
    let lab = Lab::new(world).await;
    world.cloud.set_limits(lab.owner, Limits::default().runs(2)).await.unwrap();
    lab.submit(world).await;
    let (one, other) = (another(world, &lab).await, another(world, &lab).await);
    let cloud = world.behind(|cloud| async move { drop(cloud.submit_run(one).await.unwrap()) });
    let refused = cloud.submit_run(other).await;
    let limit = matches!(refused, Err(Error::QuotaExceeded { limit_name: "run_limit", limit: 2, .. }));
    assert!(limit, "{refused:?}");
    assert_eq!(lab.counted(world).await, 2);
}

async fn a_run_is_not_submitted_to_what_is_gone_meanwhile(world: &World) {
    for of_training in [true, false] {
        let lab = Lab::new(world).await;
        let (training, queue) = (lab.training, lab.queue);
        let cloud = world.behind(|cloud| async move {
            if of_training {
                cloud.delete_training(training).await.unwrap();
            } else {
                cloud.delete_queue(queue).await.unwrap();
            }
        });
        let nowhere = cloud.submit_run(lab.ask()).await;
        let kind = if of_training { "training" } else { "run_queue" };
        assert!(matches!(nowhere, Err(Error::NotFound { kind: of, .. }) if of == kind), "{nowhere:?}");
        assert_eq!(lab.counted(world).await, 0);
    }
}

async fn a_training_is_not_deleted_under_a_run(world: &World) {
    for aborted in [false, true] {
        let lab = Lab::new(world).await;
        lab.images(world, 1, TrainingImageState::Resized).await;
        let new = lab.ask().id(world.id().into());
        let run = new.id.unwrap();
        let cloud = world.behind(|cloud| async move {
            cloud.submit_run(new).await.unwrap();
            if aborted {
                cloud.abort_run(run, "").await.unwrap();
            }
        });
        let deleted = cloud.delete_training(lab.training).await;
        let trainings = world.cloud.repositories().trainings();
        let there = trainings.get(lab.training).await.unwrap().is_some();
        assert_eq!((deleted.is_ok(), there), (aborted, !aborted), "{deleted:?}");
        let used = matches!(deleted, Err(Error::StillUsed { kind: "training", by: "training_runs" }));
        assert!(aborted || used, "{deleted:?}");
        let expected = if aborted { RunState::Aborted } else { RunState::Queued };
        assert_eq!(world.run(run).await.state, expected);
        assert_eq!(world.copies(run).await.len(), 1);
    }
}

async fn a_training_whose_run_was_aborted_goes_while_its_gpus_are_held(world: &World) {
    let lab = Lab::new(world).await;
    let lease = lab.training(world).await;
    world.cloud.abort_run(lease.run, "the training goes").await.unwrap();
    world.cloud.delete_training(lab.training).await.unwrap();
    assert_eq!(world.lease(lease.lease).await.state, BindingState::Releasing);
    super::worker::every_word_is_refused(world, &lease).await;
    world.cloud.release_lease(&lease).await.unwrap();
    assert_eq!(world.lease(lease.lease).await.state, BindingState::Released);
    let history = world.run(lease.run).await;
    assert_eq!((history.of_training, history.state), (lab.training, RunState::Aborted));
}

async fn an_abort_and_a_grant_do_not_both_happen(world: &World) {
    let lab = Lab::new(world).await;
    let run = lab.ready(world).await;
    let grant = move |cloud: ControlPlane| async move {
        let granted = cloud.grant_runs(&[Grant { run, nodes: Vec::new(), rental: None }]).await;
        granted.into_iter().next().unwrap()
    };
    let cloud = world.behind(|cloud| async move { drop(cloud.abort_run(run, "").await.unwrap()) });
    let refused = grant(cloud).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!((world.run(run).await.state, world.run(run).await.attempt), (RunState::Aborted, 0));
    // What is given behind the abort is free again by it: no worker has it yet.
    let run = lab.ready(world).await;
    let cloud = world.behind(|cloud| async move {
        let granted = cloud.grant_runs(&[Grant { run, nodes: Vec::new(), rental: None }]).await;
        assert!(granted.iter().all(Result::is_ok), "{granted:?}");
    });
    let aborted = cloud.abort_run(run, "").await.unwrap();
    assert_eq!((aborted.state, aborted.attempt), (RunState::Aborted, 1));
    assert!(world.cloud.lease_of_run(run).await.unwrap().is_none());
    assert_eq!(lab.counted(world).await, 0);
}

async fn what_goes_on_behind_the_look_is_not_too_late(world: &World) {
    super::leases::quiet(world).await;
    // The last image of a run that waited too long for it.
    let lab = Lab::new(world).await;
    let images = lab.images(world, 1, TrainingImageState::Uploaded).await;
    let run = lab.submit(world).await;
    world.advance().await;
    world.clock.advance(RunPolicy::default().preparing);
    let cloud = world.behind(|cloud| async move { drop(cloud.resize_image(images[0]).await.unwrap()) });
    let swept = cloud.sweep_runs().await.unwrap();
    assert_eq!((swept.runs, swept.ended), (1, 0), "{swept:?}");
    assert_eq!(world.run(run).await.state, RunState::WaitingForGpu);
    world.cloud.abort_run(run, "").await.unwrap();
    // The GPUs of a run that waited too long for them.
    let policy = RunPolicy::default().waiting(Some(HOUR));
    let lab = Lab::new(world).await;
    let run = lab.submit(world).await;
    world.with_runs(policy).advance_runs(1000).await.unwrap();
    world.clock.advance(HOUR);
    let granted = world.behind(|cloud| async move {
        let granted = cloud.grant_runs(&[Grant { run, nodes: Vec::new(), rental: None }]).await;
        assert!(granted.iter().all(Result::is_ok), "{granted:?}");
    });
    let swept = ControlPlane { runs: policy, ..granted }.sweep_runs().await.unwrap();
    assert_eq!((swept.runs, swept.ended), (1, 0), "{swept:?}");
    let run = world.run(run).await;
    assert_eq!((run.state, run.cause), (RunState::Starting, None));
    world.cloud.abort_run(run.id, "").await.unwrap();
}

async fn what_was_told_is_answered_to_its_worker_alone(world: &World) {
    let lab = Lab::new(world).await;
    let lease = lab.training(world).await;
    let message = NewStatus::of("training").message_id("m-1");
    let kept = world.cloud.tell(&lease, message.clone()).await.unwrap();
    assert_eq!(world.cloud.tell(&lease, message.clone()).await.unwrap(), kept);
    for forged in
        [RunLease { token: 0, ..lease }, RunLease { token: 2, ..lease }, RunLease { attempt: 2, ..lease }]
    {
        wrong_state(world.cloud.tell(&forged, message.clone()).await);
    }
    let failed = world.cloud.fail_run(&lease, RunCause::Crashed, None).await.unwrap();
    wrong_state(world.cloud.tell(&lease, message.clone()).await);
    world.clock.advance(failed.not_before.unwrap().since(world.now().await));
    world.advance().await;
    let next = world.claim(lease.run).await;
    wrong_state(world.cloud.tell(&lease, message.clone()).await);
    // What the run was told counts once, whichever attempt says it.
    assert_eq!(world.cloud.tell(&next, message).await.unwrap(), kept);
}
