//! What is promised of runs that are prepared.

use std::sync::Arc;
use std::time::Duration;

use super::{DAY, Lab, wrong_state};
use crate::ControlPlane;
use crate::entity::{RunState, TrainingImageId, TrainingImageState};
use crate::error::Error;
use crate::plane::Advanced;
use crate::plane::checks::World;

pub(super) async fn check_prepare(world: &World) {
    a_run_goes_on_when_it_is_due(world).await;
    of_many_images_at_once_one_is_the_last(world).await;
    an_image_counts_once_and_only_what_is_uploaded_is_resized(world).await;
    the_last_image_and_the_start_never_miss_each_other(world).await;
    each_run_goes_on_once_whoever_looks(world).await;
}

async fn resize(cloud: &ControlPlane, image: TrainingImageId) {
    loop {
        match cloud.resize_image(image).await {
            Ok(_) => return,
            Err(error) if error.is_retryable() => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn a_run_goes_on_when_it_is_due(world: &World) {
    let lab = Lab::new(world).await;
    let from = world.now().await.plus(DAY);
    let run = world.cloud.submit_run(lab.ask().not_before(from)).await.unwrap();
    assert_eq!(run.state_deadline, Some(from));
    world.advance().await;
    assert_eq!(world.run(run.id).await, run, "it is not due");
    world.clock.advance(DAY);
    world.advance().await;
    assert_eq!(world.run(run.id).await.state, RunState::WaitingForGpu);
    let lab = Lab::new(world).await;
    let images = lab.images(world, 1, TrainingImageState::Uploaded).await;
    let run = lab.submit(world).await;
    world.advance().await;
    assert_eq!(world.run(run).await.state, RunState::Preparing);
    world.cloud.resize_image(images[0]).await.unwrap();
    assert_eq!(world.run(run).await.state, RunState::WaitingForGpu);
    for limit in [0, 1001] {
        assert!(matches!(world.cloud.advance_runs(limit).await, Err(Error::Invalid { .. })));
    }
}

async fn of_many_images_at_once_one_is_the_last(world: &World) {
    let lab = Lab::new(world).await;
    let images = lab.images(world, 200, TrainingImageState::Uploaded).await;
    let run = lab.submit(world).await;
    world.advance().await;
    resize(&world.cloud, images[0]).await;
    let run_of_many = world.run(run).await;
    assert_eq!(
        (run_of_many.state, run_of_many.images_left),
        (RunState::Preparing, 199),
        "it is not the last"
    );
    let workers: Vec<_> = (0..64)
        .map(|worker| {
            let cloud = Arc::clone(&world.cloud);
            // Each has its part, and some of them are said twice.
            let of = |at: &usize| at % 64 == worker || at % 50 == worker;
            let own: Vec<_> = images.iter().enumerate().filter(|(at, _)| of(at)).map(|(_, id)| *id).collect();
            tokio::spawn(async move {
                for image in own {
                    resize(&cloud, image).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let ready = world.run(run).await;
    assert_eq!((ready.state, ready.images_left), (RunState::WaitingForGpu, 0));
    assert_eq!(world.logged(run, "run.advance", "waiting_for_gpu").await, 1, "it went on once");
}

async fn an_image_counts_once_and_only_what_is_uploaded_is_resized(world: &World) {
    let lab = Lab::new(world).await;
    let images = lab.images(world, 2, TrainingImageState::Uploaded).await;
    let run = lab.submit(world).await;
    let first = world.cloud.resize_image(images[0]).await.unwrap();
    assert!(first.is_resized());
    assert_eq!(world.cloud.resize_image(images[0]).await.unwrap(), first);
    assert_eq!(world.run(run).await.images_left, 1);
    let nowhere = world.cloud.resize_image(world.id().into()).await;
    assert!(matches!(nowhere, Err(Error::NotFound { .. })), "{nowhere:?}");
    let other = Lab::new(world).await;
    let intended = other.images(world, 1, TrainingImageState::Intended).await;
    wrong_state(world.cloud.resize_image(intended[0]).await);
    // What a run that has ended waited for is nothing to it any more, and counts for the next one.
    world.cloud.abort_run(run, "").await.unwrap();
    let ended = world.run(run).await;
    let next = lab.submit(world).await;
    world.cloud.resize_image(images[1]).await.unwrap();
    assert_eq!(world.run(run).await, ended);
    assert_eq!(world.run(next).await.images_left, 0);
}

async fn the_last_image_and_the_start_never_miss_each_other(world: &World) {
    for _ in 0..25 {
        let lab = Lab::new(world).await;
        let images = lab.images(world, 2, TrainingImageState::Uploaded).await;
        let run = lab.submit(world).await;
        let mut tasks = Vec::new();
        for image in images {
            let cloud = Arc::clone(&world.cloud);
            tasks.push(tokio::spawn(async move { resize(&cloud, image).await }));
        }
        for _ in 0..3 {
            let cloud = Arc::clone(&world.cloud);
            tasks.push(tokio::spawn(async move { assert!(cloud.advance_runs(1000).await.is_ok()) }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        // Whatever was first: it prepares nothing that is prepared already.
        world.advance().await;
        let ready = world.run(run).await;
        assert_eq!((ready.state, ready.images_left), (RunState::WaitingForGpu, 0));
    }
}

async fn each_run_goes_on_once_whoever_looks(world: &World) {
    world.advance().await;
    let mut runs = Vec::new();
    for _ in 0..10 {
        runs.push(Lab::new(world).await.submit(world).await);
    }
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let cloud = Arc::clone(&world.cloud);
            tokio::spawn(async move { cloud.advance_runs(1000).await.unwrap() })
        })
        .collect();
    let mut ready = 0;
    for task in tasks {
        ready += task.await.unwrap().ready;
    }
    assert_eq!(ready, 10);
    for run in runs {
        assert_eq!(world.logged(run, "run.advance", "waiting_for_gpu").await, 1);
    }
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.cloud.advance_runs(1000).await.unwrap(), Advanced::default());
}
