//! What is promised of a run that is submitted.

use std::sync::Arc;

use super::{Lab, wrong_state};
use crate::amount::GpuMilli;
use crate::entity::{
    AccessState, Limits, QueueId, RunAsk, RunState, TrainingId, TrainingImageState, USER_ACCESS,
};
use crate::error::Error;
use crate::plane::checks::World;
use crate::plane::{NewRun, TrainingEdit};
use crate::store::{Json, StoreExt as _, Write};

pub(super) async fn check_submit(world: &World) {
    a_run_is_a_copy_that_no_edit_changes(world).await;
    the_same_request_is_answered_with_the_same_run(world).await;
    a_training_has_one_run_that_has_not_ended(world).await;
    an_account_has_as_many_live_runs_as_it_may(world).await;
    what_cannot_be_begun_is_refused(world).await;
    a_live_run_pins_what_it_needs_and_an_ended_one_nothing(world).await;
    a_run_without_a_queue_is_in_the_default_one(world).await;
}

async fn a_run_is_a_copy_that_no_edit_changes(world: &World) {
    let lab = Lab::new(world).await;
    let images = lab.images(world, 3, TrainingImageState::Uploaded).await;
    let resized = lab.images(world, 2, TrainingImageState::Resized).await;
    let run = world.cloud.submit_run(lab.ask()).await.unwrap();
    assert_eq!((run.state, run.images_left, run.attempt), (RunState::Queued, 3, 0));
    let copies = world.copies(run.id).await;
    assert_eq!(copies.len(), images.len() + resized.len());
    let kept = world.cloud.repositories().trainings().require(lab.training).await.unwrap();
    let other = Json::new(&serde_json::json!({ "steps": 1 })).unwrap();
    let edit = TrainingEdit::new().config(other).trigger_word("other");
    world.cloud.edit_training(lab.training, kept.revision, edit).await.unwrap();
    let image = world.cloud.repositories().training_images().require(images[0]).await.unwrap();
    world.cloud.caption_image(image.id, image.revision, "something else").await.unwrap();
    assert_eq!(world.run(run.id).await, run);
    assert_eq!(run.config.to_value(), serde_json::json!({ "steps": 100 }));
    assert_eq!(world.copies(run.id).await, copies);
    assert!(copies.iter().all(|copy| copy.text == "ohxw, portrait"));
}

async fn the_same_request_is_answered_with_the_same_run(world: &World) {
    let lab = Lab::new(world).await;
    let ask = lab.ask().id(world.id().into());
    let first = world.cloud.submit_run(ask.clone()).await.unwrap();
    assert_eq!(world.cloud.submit_run(ask.clone()).await.unwrap(), first);
    let other = world.cloud.submit_run(ask.clone().priority(5)).await;
    assert!(matches!(other, Err(Error::AlreadyExists { key: "id", .. })), "{other:?}");
    let ended = world.cloud.abort_run(first.id, "no longer").await.unwrap();
    assert_eq!(world.cloud.submit_run(ask).await.unwrap(), ended, "it is not submitted again");
    assert_eq!(lab.counted(world).await, 0);
    // Of many that ask the same at once there is one run, and each is answered with it.
    let ask = lab.ask().id(world.id().into());
    let asking: Vec<_> = (0..16)
        .map(|_| {
            let (cloud, ask) = (Arc::clone(&world.cloud), ask.clone());
            tokio::spawn(async move { cloud.submit_run(ask).await })
        })
        .collect();
    for answer in asking {
        assert_eq!(Some(answer.await.unwrap().unwrap().id), ask.id);
    }
    assert_eq!(lab.counted(world).await, 1);
}

async fn a_training_has_one_run_that_has_not_ended(world: &World) {
    let lab = Lab::new(world).await;
    lab.images(world, 2, TrainingImageState::Resized).await;
    let asking: Vec<_> = (0..64)
        .map(|_| {
            let (cloud, ask) = (Arc::clone(&world.cloud), lab.ask());
            tokio::spawn(async move { cloud.submit_run(ask).await })
        })
        .collect();
    let mut submitted = Vec::new();
    for answer in asking {
        match answer.await.unwrap() {
            Ok(run) => submitted.push(run.id),
            Err(Error::AlreadyExists { kind: "training_run", key: "live" } | Error::Conflict { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    let [run] = submitted[..] else { panic!("{submitted:?}") };
    assert_eq!(lab.counted(world).await, 1);
    world.cloud.abort_run(run, "another one").await.unwrap();
    lab.submit(world).await;
}

async fn an_account_has_as_many_live_runs_as_it_may(world: &World) {
    let lab = Lab::new(world).await;
    world.cloud.set_limits(lab.owner, Limits::default().runs(1)).await.unwrap();
    let first = lab.submit(world).await;
    let other = TrainingId::new(world.id());
    lab.add_training(world, other).await;
    let refused = world.cloud.submit_run(NewRun::of(other).queue(lab.queue)).await;
    let limit = matches!(refused, Err(Error::QuotaExceeded { limit_name: "run_limit", limit: 1, .. }));
    assert!(limit, "{refused:?}");
    world.cloud.abort_run(first, "").await.unwrap();
    world.cloud.submit_run(NewRun::of(other).queue(lab.queue)).await.unwrap();
    assert_eq!(lab.counted(world).await, 1);
}

async fn what_cannot_be_begun_is_refused(world: &World) {
    let lab = Lab::new(world).await;
    let bad = [
        RunAsk { members: 0, ..RunAsk::default() },
        RunAsk { members: 1025, ..RunAsk::default() },
        RunAsk { gpus: 17, ..RunAsk::default() },
        RunAsk { gpus: 2, gpu_milli: GpuMilli::from_u32(500), ..RunAsk::default() },
        RunAsk { gpu_milli: GpuMilli::ZERO, ..RunAsk::default() },
        RunAsk { models: vec![String::new()], ..RunAsk::default() },
        RunAsk { rent_micros: Some(u64::MAX), ..RunAsk::default() },
    ];
    for ask in bad {
        let refused = world.cloud.submit_run(lab.ask().ask(ask.clone())).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{ask:?}: {refused:?}");
    }
    for too_long in [lab.ask().estimate_ms(u64::MAX), lab.ask().min_runtime_ms(u64::MAX)] {
        assert!(matches!(world.cloud.submit_run(too_long).await, Err(Error::Invalid { .. })));
    }
    let nowhere = NewRun::of(world.id().into()).queue(lab.queue);
    let nowhere = world.cloud.submit_run(nowhere).await;
    assert!(matches!(nowhere, Err(Error::NotFound { kind: "training", .. })), "{nowhere:?}");
    let unqueued = world.cloud.submit_run(lab.ask().queue(QueueId::new(world.id()))).await;
    assert!(matches!(unqueued, Err(Error::NotFound { kind: "run_queue", .. })), "{unqueued:?}");
    lab.images(world, 1, TrainingImageState::Intended).await;
    wrong_state(world.cloud.submit_run(lab.ask()).await);
    let lab = Lab::new(world).await;
    let row = world.cloud.store.get(&USER_ACCESS, lab.owner).await.unwrap().value.unwrap();
    let suspend = vec![("state", AccessState::Suspended.as_str().into())];
    world.put(vec![Write::update(&USER_ACCESS, lab.owner, row.revision(), suspend)]).await;
    let denied = world.cloud.submit_run(lab.ask()).await;
    assert!(matches!(denied, Err(Error::Denied { .. })), "{denied:?}");
    assert_eq!(lab.counted(world).await, 0);
}

async fn a_live_run_pins_what_it_needs_and_an_ended_one_nothing(world: &World) {
    let lab = Lab::new(world).await;
    let images = lab.images(world, 2, TrainingImageState::Resized).await;
    let run = lab.submit(world).await;
    let used = world.cloud.delete_training(lab.training).await;
    assert!(matches!(used, Err(Error::StillUsed { .. })), "{used:?}");
    let used = world.cloud.delete_queue(lab.queue).await;
    assert!(matches!(used, Err(Error::StillUsed { .. })), "{used:?}");
    let used = world.cloud.delete_training_image(images[0]).await;
    assert!(matches!(used, Err(Error::StillUsed { .. })), "{used:?}");
    world.cloud.abort_run(run, "").await.unwrap();
    world.pins_nothing(run).await;
    world.cloud.delete_training_image(images[0]).await.unwrap();
    world.cloud.delete_training(lab.training).await.unwrap();
    world.cloud.delete_queue(lab.queue).await.unwrap();
    let history = world.run(run).await;
    assert_eq!((history.of_training, history.state), (lab.training, RunState::Aborted));
    assert_eq!(world.copies(run).await.len(), 2, "what it was of is still known");
}

async fn a_run_without_a_queue_is_in_the_default_one(world: &World) {
    let mut queues = Vec::new();
    for _ in 0..2 {
        let lab = Lab::new(world).await;
        let run = world.cloud.submit_run(NewRun::of(lab.training)).await.unwrap();
        queues.push(run.queue_id.unwrap());
    }
    assert_eq!(queues[0], queues[1]);
}
