//! Images that are announced, uploaded, captioned and deleted.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::super::World;
use super::super::cut::Cut;
use crate::entity::{MediaType, TrainingImageState};
use crate::error::Error;
use crate::plane::{NewTrainingImage, TrainingEdit};
use crate::time::Clock as _;
use crate::training::check_key;

pub(super) async fn check_training_images(world: &World) {
    an_image_has_a_key_of_its_own_and_its_name_in_its_training_once(world).await;
    what_an_image_cannot_be_is_refused(world).await;
    only_what_was_handed_out_is_confirmed_and_only_in_time(world).await;
    a_caption_has_one_form_and_is_of_the_revision_that_was_read(world).await;
    an_image_in_the_copy_of_a_live_run_stays(world).await;
    what_was_not_uploaded_is_purged_once_and_what_was_is_not(world).await;
    of_an_upload_and_a_purge_one_happens(world).await;
}

async fn an_image_has_a_key_of_its_own_and_its_name_in_its_training_once(world: &World) {
    let owner = world.user().await;
    let (one, other) = (world.training(owner).await.id, world.training(owner).await.id);
    let new = NewTrainingImage::new(one, "me & you.JPG", MediaType::Jpeg, 10);
    let named = new.clone().id(world.id().into());
    let announced = world.cloud.announce_image(named.clone()).await.unwrap();
    assert_eq!(announced.url, format!("trainings/{one}/images/{}.jpg", announced.id));
    check_key(&announced.url).unwrap();
    let until = announced.created_at.plus(Duration::from_hours(1));
    assert_eq!((announced.state, announced.upload_until), (TrainingImageState::Intended, Some(until)));
    assert_eq!(world.cloud.announce_image(named.clone()).await.unwrap(), announced, "asked again");
    for changed in [
        NewTrainingImage { name: "other.jpg".into(), ..named.clone() },
        NewTrainingImage { size_bytes: 11, ..named.clone() },
        NewTrainingImage { media_type: MediaType::Png, ..named.clone() },
        NewTrainingImage { training: other, ..named },
    ] {
        let answer = world.cloud.announce_image(changed).await;
        assert!(matches!(answer, Err(Error::AlreadyExists { key: "id", .. })), "{answer:?}");
    }
    let again = (0..8).map(|_| {
        let (cloud, new) =
            (Arc::clone(&world.cloud), NewTrainingImage { name: "raced".into(), ..new.clone() });
        tokio::spawn(async move { cloud.announce_image(new).await })
    });
    let mut made = 0;
    for answer in join_all(again).await {
        match answer.unwrap() {
            Ok(_) => made += 1,
            Err(Error::AlreadyExists { kind: "training_image", key: "training_name" }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((made, world.training_row(one).await.unwrap().images), (1, 2));
    world.cloud.announce_image(NewTrainingImage { training: other, ..new }).await.unwrap();
    let nowhere = world.cloud.announce_image(world.new_image(world.id().into())).await;
    assert!(matches!(nowhere, Err(Error::NotFound { kind: "training", .. })), "{nowhere:?}");
}

async fn what_an_image_cannot_be_is_refused(world: &World) {
    let training = world.training(world.user().await).await;
    let new = world.new_image(training.id);
    for name in ["", "..", "a/b.png", "a\\b.png", "a\0.png", &"x".repeat(256)] {
        let answer = world.cloud.announce_image(NewTrainingImage { name: name.into(), ..new.clone() }).await;
        assert!(matches!(&answer, Err(Error::Invalid { field, .. }) if field == "name"), "{answer:?}");
    }
    for size_bytes in [0, (1 << 53) + 1, u64::MAX] {
        let answer = world.cloud.announce_image(NewTrainingImage { size_bytes, ..new.clone() }).await;
        assert!(matches!(&answer, Err(Error::Invalid { field, .. }) if field == "size_bytes"), "{answer:?}");
    }
    assert_eq!(world.training_row(training.id).await.unwrap(), training);
}

async fn only_what_was_handed_out_is_confirmed_and_only_in_time(world: &World) {
    let training = world.training(world.user().await).await.id;
    let announced = world.cloud.announce_image(world.new_image(training)).await.unwrap();
    let other = world.cloud.announce_image(world.new_image(training)).await.unwrap();
    let (id, key, size) = (announced.id, announced.url.as_str(), announced.size_bytes);
    for (key, size, field) in [
        (other.url.as_str(), size, "key"),
        ("trainings/../secrets", size, "key"),
        ("", size, "key"),
        (key, size + 1, "size_bytes"),
        (key, 0, "size_bytes"),
    ] {
        let answer = world.cloud.confirm_upload(id, key, size).await;
        assert!(matches!(&answer, Err(Error::Invalid { field: of, .. }) if of == field), "{answer:?}");
    }
    assert_eq!(world.image_row(id).await.unwrap(), announced);
    let confirmed = world.cloud.confirm_upload(id, key, size).await.unwrap();
    assert_eq!((confirmed.state, confirmed.upload_until), (TrainingImageState::Uploaded, None));
    world.clock.advance(Duration::from_hours(2));
    assert_eq!(
        world.cloud.confirm_upload(id, key, size).await.unwrap(),
        confirmed,
        "confirmed again, and late"
    );
    let wrong = world.cloud.confirm_upload(id, key, size + 1).await;
    assert!(matches!(wrong, Err(Error::Invalid { .. })), "{wrong:?}");
    let late = world.cloud.confirm_upload(other.id, &other.url, other.size_bytes).await;
    assert!(matches!(late, Err(Error::WrongState { state: "overdue", .. })), "{late:?}");
    assert_eq!(world.image_row(other.id).await.unwrap(), other);
    world.cloud.purge_uploads(1000).await.unwrap();
    let gone = world.cloud.confirm_upload(other.id, &other.url, other.size_bytes).await;
    assert!(matches!(gone, Err(Error::NotFound { kind: "training_image", .. })), "{gone:?}");
}

async fn a_caption_has_one_form_and_is_of_the_revision_that_was_read(world: &World) {
    let training = world.training(world.user().await).await;
    let image = world.uploaded(training.id).await;
    let caption = |revision, text: &'static str| world.cloud.caption_image(image.id, revision, text);
    let captioned = caption(image.revision, " a cat,Ohwx , on a mat,A CAT,,").await.unwrap();
    assert_eq!(captioned.text, "a cat, on a mat");
    let late = caption(image.revision, "a dog").await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    assert_eq!(caption(captioned.revision, "a cat, on a mat").await.unwrap(), captioned, "nothing to do");
    world.cloud.edit_training(training.id, 1, TrainingEdit::new().trigger_word("cat")).await.unwrap();
    let second = caption(captioned.revision, "cat, ohwx").await.unwrap();
    assert_eq!(second.text, "ohwx", "it is the word of now that is put out");
    // The word is another one between the decision and its commit.
    let cloud = Arc::clone(&world.cloud);
    let cut = Cut::after(world.cloud.store(), 100).raced_by(async move {
        let edit = TrainingEdit::new().trigger_word("dog");
        cloud.edit_training(training.id, 2, edit).await.unwrap();
    });
    let raced = world.over(Arc::new(cut)).caption_image(image.id, second.revision, "cat, dog").await.unwrap();
    assert_eq!(raced.text, "cat");
    let second = raced;
    let long = "x".repeat(4097);
    let long = world.cloud.caption_image(image.id, second.revision, &long).await;
    assert!(matches!(&long, Err(Error::Invalid { field, .. }) if field == "text"), "{long:?}");
    assert_eq!(world.image_row(image.id).await.unwrap(), second);
}

async fn an_image_in_the_copy_of_a_live_run_stays(world: &World) {
    let training = world.training(world.user().await).await;
    let images = [world.uploaded(training.id).await, world.uploaded(training.id).await];
    let run = world.live_run(&training, &images[..1]).await;
    let used = world.cloud.delete_training_image(images[0].id).await;
    assert!(matches!(used, Err(Error::StillUsed { by: "training_run_images", .. })), "{used:?}");
    world.cloud.delete_training_image(images[1].id).await.unwrap();
    let again = world.cloud.delete_training_image(images[1].id).await;
    assert!(matches!(again, Err(Error::NotFound { .. })), "{again:?}");
    let kept = world.training_row(training.id).await.unwrap();
    assert_eq!((kept.images, kept.image_bytes), (1, 10));
    world.end_run(run).await;
    world.cloud.delete_training_image(images[0].id).await.unwrap();
    assert_eq!(world.training_row(training.id).await.unwrap().images, 0);
}

async fn what_was_not_uploaded_is_purged_once_and_what_was_is_not(world: &World) {
    let training = world.training(world.user().await).await.id;
    let uploaded = world.uploaded(training).await;
    let mut overdue = Vec::new();
    for _ in 0..6 {
        overdue.push(world.cloud.announce_image(world.new_image(training)).await.unwrap().id);
    }
    world.clock.advance(Duration::from_hours(1));
    let intended = world.cloud.announce_image(world.new_image(training)).await.unwrap();
    let processes = (0..4).map(|_| {
        let cloud = Arc::clone(&world.cloud);
        tokio::spawn(async move { cloud.purge_uploads(100).await.unwrap() })
    });
    let mut purged = Vec::new();
    for some in join_all(processes).await {
        purged.extend(
            some.unwrap().into_iter().filter(|image| image.training_id == training).map(|image| image.id),
        );
    }
    purged.sort_unstable();
    overdue.sort_unstable();
    assert_eq!(purged, overdue);
    let kept = world.training_row(training).await.unwrap();
    assert_eq!((kept.images, kept.image_bytes), (2, 20));
    assert_eq!(world.image_row(uploaded.id).await.unwrap(), uploaded);
    assert_eq!(world.image_row(intended.id).await.unwrap(), intended);
    world.clock.advance(Duration::from_hours(1));
    world.cloud.announce_image(world.new_image(training)).await.unwrap();
    // Another process purges it between the look and the commit.
    let cloud = Arc::clone(&world.cloud);
    let cut = Cut::after(world.cloud.store(), 100);
    let cut = cut.raced_by(async move { drop(cloud.purge_uploads(1).await.unwrap()) });
    world.cloud.announce_image(world.new_image(training)).await.unwrap();
    assert_eq!(world.over(Arc::new(cut)).purge_uploads(1).await.unwrap(), []);
    world.clock.advance(Duration::from_hours(1));
    world.cloud.announce_image(world.new_image(training)).await.unwrap();
    assert_eq!(world.cloud.purge_uploads(0).await.unwrap(), []);
    assert_eq!(world.cloud.purge_uploads(1).await.unwrap().len(), 1);
    assert_eq!(world.cloud.purge_uploads(100).await.unwrap().len(), 1);
    assert_eq!(world.cloud.purge_uploads(100).await.unwrap(), []);
}

async fn of_an_upload_and_a_purge_one_happens(world: &World) {
    let training = world.training(world.user().await).await.id;
    for _ in 0..10 {
        let image = world.cloud.announce_image(world.new_image(training)).await.unwrap();
        // One microsecond before the end: the clock is moved on beside the upload.
        let left = image.upload_until.unwrap().since(world.clock.now());
        world.clock.advance(left.saturating_sub(Duration::from_micros(1)));
        let cloud = Arc::clone(&world.cloud);
        let (id, key, size) = (image.id, image.url.clone(), image.size_bytes);
        let upload = tokio::spawn(async move { cloud.confirm_upload(id, &key, size).await });
        world.clock.advance(Duration::from_micros(1));
        let purged = world.cloud.purge_uploads(100).await.unwrap();
        let purged = purged.iter().filter(|one| one.id == id).count();
        let answer = upload.await.unwrap();
        let there = world.image_row(image.id).await;
        match answer {
            Ok(confirmed) => assert_eq!((purged, there), (0, Some(confirmed))),
            Err(Error::NotFound { .. } | Error::WrongState { .. }) => assert_eq!((purged, there), (1, None)),
            Err(other) => panic!("{other:?}"),
        }
    }
}
