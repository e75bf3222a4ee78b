//! Limits on trainings and their images, which are exact however many ask at once.

use std::sync::Arc;

use futures_util::future::join_all;

use super::super::World;
use crate::entity::{Limits, QUOTAS, TRAININGS};
use crate::error::Error;
use crate::plane::NewTrainingImage;
use crate::store::Write;

/// How many ask at once.
const MANY: usize = 32;

pub(super) async fn check_training_limits(world: &World) {
    the_limit_of_trainings_is_exact(world).await;
    the_limits_of_images_and_their_bytes_are_exact(world).await;
    counters_that_drifted_are_found_and_mended(world).await;
}

async fn the_limit_of_trainings_is_exact(world: &World) {
    let owner = world.user().await;
    let limits = Limits { training_limit: 5, ..Limits::default() };
    world.cloud.set_limits(owner, limits).await.unwrap();
    let asked = (0..MANY).map(|_| {
        let (cloud, new) = (Arc::clone(&world.cloud), world.new_training(owner));
        tokio::spawn(async move { cloud.create_training(new).await })
    });
    let mut made = Vec::new();
    for answer in join_all(asked).await {
        match answer.unwrap() {
            Ok(one) => made.push(one.id),
            Err(Error::QuotaExceeded { limit_name: "training_limit", limit: 5, .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(made.len(), 5);
    world.cloud.delete_training(made[0]).await.unwrap();
    world.training(owner).await;
    let over = world.cloud.create_training(world.new_training(owner)).await;
    assert!(matches!(over, Err(Error::QuotaExceeded { .. })), "{over:?}");
}

async fn the_limits_of_images_and_their_bytes_are_exact(world: &World) {
    let owner = world.user().await;
    for (images, bytes, limit) in [(7, 1 << 20, "image_limit"), (1000, 75, "image_bytes_limit")] {
        let training = world.training(owner).await.id;
        world.cloud.set_training_limits(training, images, bytes).await.unwrap();
        let asked = (0..MANY).map(|_| {
            let (cloud, new) = (Arc::clone(&world.cloud), world.new_image(training));
            tokio::spawn(async move { cloud.announce_image(new).await })
        });
        let mut announced = Vec::new();
        for answer in join_all(asked).await {
            match answer.unwrap() {
                Ok(one) => announced.push(one),
                Err(Error::QuotaExceeded { limit_name, .. }) if limit_name == limit => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(announced.len(), 7, "{limit}");
        let kept = world.training_row(training).await.unwrap();
        assert_eq!((kept.images, kept.image_bytes), (7, 70));
        world.cloud.delete_training_image(announced[0].id).await.unwrap();
        world.cloud.announce_image(world.new_image(training)).await.unwrap();
        // A limit below what is there takes nothing away, and lets nothing in.
        world.cloud.set_training_limits(training, 3, 30).await.unwrap();
        let over =
            world.cloud.announce_image(NewTrainingImage { size_bytes: 1, ..world.new_image(training) }).await;
        assert!(matches!(over, Err(Error::QuotaExceeded { .. })), "{over:?}");
        assert_eq!(world.training_row(training).await.unwrap().images, 7);
    }
}

async fn counters_that_drifted_are_found_and_mended(world: &World) {
    let owner = world.user().await;
    let training = world.training(owner).await.id;
    world.uploaded(training).await;
    world
        .write(vec![
            Write::record(&QUOTAS, owner, "trainings", 2),
            Write::record(&TRAININGS, training, "images", 3),
            Write::record(&TRAININGS, training, "image_bytes", -4),
        ])
        .await;
    let report = world.cloud.audit().await.unwrap();
    let mut found: Vec<_> = report.drifts.iter().map(|of| (of.column, of.recorded, of.recounted)).collect();
    found.sort_unstable();
    assert_eq!(found, [("image_bytes", 6, 10), ("images", 4, 1), ("trainings", 3, 1)]);
    assert_eq!(world.cloud.repair(&report).await.unwrap().mended, 3);
    assert!(world.cloud.audit().await.unwrap().is_clean());
}
