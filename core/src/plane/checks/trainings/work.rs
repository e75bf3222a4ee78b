//! Trainings that are made, edited and deleted.

use std::sync::Arc;

use futures_util::future::join_all;

use super::super::World;
use super::super::cut::Cut;
use crate::entity::{
    BaseModel, LogFilter, PageRequest, TRAINING_IMAGES, TrainingFilter, TrainingId, TrainingRunFilter, UserId,
};
use crate::error::{Error, Result};
use crate::identity::Caller;
use crate::plane::{Acting, NewTraining, TrainingEdit, UsagePages};
use crate::store::{Json, Scan, StoreExt as _};

pub(super) async fn check_work(world: &World) {
    a_training_is_made_once_however_often_it_is_asked_for(world).await;
    what_a_training_cannot_be_is_refused(world).await;
    an_edit_is_of_the_revision_that_was_read(world).await;
    a_training_with_a_live_run_is_not_deleted_and_its_history_stays(world).await;
    what_is_announced_while_a_training_is_deleted_is_not_left_behind(world).await;
    what_is_anothers_is_as_what_is_not_there(world).await;
    usage_shows_trainings_and_live_runs(world).await;
}

async fn of_user(world: &World, owner: UserId) -> Vec<TrainingId> {
    let filter = TrainingFilter { owner_id: Some(owner) };
    let page = world.cloud.repositories().trainings().list(filter, PageRequest::default()).await.unwrap();
    page.entries.iter().map(|training| training.id).collect()
}

async fn a_training_is_made_once_however_often_it_is_asked_for(world: &World) {
    let owner = world.user().await;
    let model =
        BaseModel { id: "1".into(), name: "base".into(), family: "SDXL".into(), ..BaseModel::default() };
    let config = Json::parse("{\"epoch\": 20, \"unet_lr\": 4e-4}").unwrap();
    let new =
        world.new_training(owner).id(world.id().into()).config(config.clone()).base_model(model.clone());
    let asked = (0..8).map(|_| {
        let (cloud, new) = (Arc::clone(&world.cloud), new.clone());
        tokio::spawn(async move { cloud.create_training(new).await })
    });
    let mut made = Vec::new();
    for answer in join_all(asked).await {
        made.push(answer.unwrap().unwrap());
    }
    assert!(made.iter().all(|one| *one == made[0]), "{made:?}");
    let kept = world.training_row(made[0].id).await.unwrap();
    assert_eq!((kept.config.clone(), kept.base_model.clone()), (config, Some(model)));
    assert_eq!((kept.image_limit, kept.image_bytes_limit), (200, 4 << 30));
    assert_eq!(world.cloud.repositories().quotas().require(owner).await.unwrap().trainings, 1);
    let lines = LogFilter { subject_id: Some(kept.id.uuid()), ..LogFilter::default() };
    let lines = world.cloud.repositories().logs().list(lines, PageRequest::default()).await.unwrap().entries;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let stranger = world.user().await;
    for other in [
        NewTraining { owner: stranger, ..new.clone() },
        NewTraining { name: "another".into(), ..new.clone() },
        NewTraining { base_model: None, ..new.clone() },
        new.clone().config(Json::empty()),
        NewTraining { trigger_word: "other".into(), ..new },
    ] {
        let answer = world.cloud.create_training(other).await;
        assert!(matches!(answer, Err(Error::AlreadyExists { kind: "training", key: "id" })), "{answer:?}");
    }
    let suspended = world.user().await;
    world.cloud.deactivate(suspended).await.unwrap();
    let answer = world.cloud.create_training(world.new_training(suspended)).await;
    assert!(matches!(answer, Err(Error::Denied { .. })), "{answer:?}");
    // Suspended between the decision and its commit.
    let (racing, cloud) = (world.user().await, Arc::clone(&world.cloud));
    let cut = Cut::after(world.cloud.store(), 100);
    let cut = cut.raced_by(async move { cloud.deactivate(racing).await.unwrap() });
    let answer = world.over(Arc::new(cut)).create_training(world.new_training(racing)).await;
    assert!(matches!(answer, Err(Error::Denied { .. })), "{answer:?}");
    let nobody = world.cloud.create_training(world.new_training(world.id().into())).await;
    assert!(matches!(nobody, Err(Error::NotFound { kind: "user", .. })), "{nobody:?}");
}

async fn what_a_training_cannot_be_is_refused(world: &World) {
    let owner = world.user().await;
    let good = world.new_training(owner);
    let model =
        |id: &str| BaseModel { id: id.into(), name: "n".into(), family: "f".into(), ..BaseModel::default() };
    let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
    let bad = [
        ("name", NewTraining { name: String::new(), ..good.clone() }),
        ("config", good.clone().config(Json::parse("[]").unwrap())),
        ("config", good.clone().config(Json::parse(&deep).unwrap())),
        ("trigger_word", NewTraining { trigger_word: "two words".into(), ..good.clone() }),
        ("base_model.id", good.clone().base_model(model(&"x".repeat(129)))),
    ];
    let kept = world.cloud.create_training(good).await.unwrap();
    for (field, new) in bad {
        let edit = TrainingEdit::new().name(new.name.clone()).config(new.config.clone());
        let edit = edit.trigger_word(new.trigger_word.clone()).base_model(new.base_model.clone());
        let made = world.cloud.create_training(new).await;
        assert!(matches!(&made, Err(Error::Invalid { field: of, .. }) if of == field), "{made:?}");
        let edited = world.cloud.edit_training(kept.id, kept.revision, edit).await;
        assert!(matches!(&edited, Err(Error::Invalid { field: of, .. }) if of == field), "{edited:?}");
    }
    assert_eq!(of_user(world, owner).await, [kept.id]);
    assert_eq!(world.training_row(kept.id).await.unwrap(), kept);
}

async fn an_edit_is_of_the_revision_that_was_read(world: &World) {
    let training = world.training(world.user().await).await;
    let edits = (0..8).map(|at| {
        let (cloud, id, revision) = (Arc::clone(&world.cloud), training.id, training.revision);
        tokio::spawn(async move {
            cloud.edit_training(id, revision, TrainingEdit::new().name(format!("e{at}"))).await
        })
    });
    let mut edited = Vec::new();
    for answer in join_all(edits).await {
        match answer.unwrap() {
            Ok(one) => edited.push(one),
            Err(Error::Conflict { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    let [edited] = edited.as_slice() else { panic!("one of them: {edited:?}") };
    let kept = world.training_row(training.id).await.unwrap();
    assert_eq!((&kept, kept.owner_id), (edited, training.owner_id));
    assert_eq!(
        (&kept.config, &kept.trigger_word),
        (&training.config, &training.trigger_word),
        "they were not said"
    );
    let same = TrainingEdit::new().name(kept.name.as_str());
    assert_eq!(world.cloud.edit_training(kept.id, kept.revision, same).await.unwrap(), kept, "nothing to do");
    let limited = world.cloud.set_training_limits(kept.id, 1000, 5).await.unwrap();
    assert_eq!((limited.image_limit, limited.image_bytes_limit), (1000, 5));
    for (images, bytes) in [(1001, 5), (1, u64::MAX)] {
        let answer = world.cloud.set_training_limits(kept.id, images, bytes).await;
        assert!(matches!(answer, Err(Error::Invalid { .. })), "{answer:?}");
    }
}

async fn a_training_with_a_live_run_is_not_deleted_and_its_history_stays(world: &World) {
    let owner = world.user().await;
    let training = world.training(owner).await;
    let images = [world.uploaded(training.id).await, world.uploaded(training.id).await];
    let run = world.live_run(&training, &images[..1]).await;
    let refused = world.cloud.delete_training(training.id).await;
    assert!(
        matches!(refused, Err(Error::StillUsed { kind: "training", by: "training_runs" })),
        "{refused:?}"
    );
    assert_eq!(world.training_row(training.id).await.unwrap().images, 2);
    world.end_run(run).await;
    world.cloud.delete_training(training.id).await.unwrap();
    assert_eq!(world.training_row(training.id).await, None);
    for image in &images {
        assert_eq!(world.image_row(image.id).await, None);
    }
    assert_eq!(world.cloud.repositories().quotas().require(owner).await.unwrap().trainings, 0);
    let of = TrainingRunFilter { training_id: Some(training.id), ..TrainingRunFilter::default() };
    let runs = world.cloud.repositories().training_runs().list(of, PageRequest::default()).await.unwrap();
    assert_eq!(runs.entries.iter().map(|run| run.id).collect::<Vec<_>>(), [run], "the history stays");
    let again = world.cloud.delete_training(training.id).await;
    assert!(matches!(again, Err(Error::NotFound { kind: "training", .. })), "{again:?}");
}

async fn what_is_announced_while_a_training_is_deleted_is_not_left_behind(world: &World) {
    let owner = world.user().await;
    let (training, cloud) = (world.training(owner).await.id, Arc::clone(&world.cloud));
    let new = world.new_image(training);
    let cut = Cut::after(world.cloud.store(), 100);
    let cut = cut.raced_by(async move { drop(cloud.announce_image(new).await.unwrap()) });
    world.over(Arc::new(cut)).delete_training(training).await.unwrap();
    let left = Scan::of(&TRAINING_IMAGES).by("training_images_training").with(training);
    assert!(world.cloud.store().scan(left).await.unwrap().value.rows.is_empty());
    for _ in 0..10 {
        let training = world.training(owner).await.id;
        world.uploaded(training).await;
        let announced = (0..4).map(|_| {
            let (cloud, new) = (Arc::clone(&world.cloud), world.new_image(training));
            tokio::spawn(async move { cloud.announce_image(new).await })
        });
        let announced: Vec<_> = announced.collect();
        world.cloud.delete_training(training).await.unwrap();
        for answer in join_all(announced).await {
            match answer.unwrap() {
                Ok(_) | Err(Error::NotFound { kind: "training", .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        let left = Scan::of(&TRAINING_IMAGES).by("training_images_training").with(training);
        assert!(world.cloud.store().scan(left).await.unwrap().value.rows.is_empty());
    }
    assert_eq!(world.cloud.repositories().quotas().require(owner).await.unwrap().trainings, 0);
}

/// What somebody is told who asks for everything that can be asked of a training, an image of it and a run of it.
async fn told(acting: &Acting, world: &World, ids: [uuid::Uuid; 3]) -> Vec<(&'static str, String)> {
    fn told<T>(answer: Result<T>, ids: [uuid::Uuid; 3]) -> String {
        let error = answer.map(drop).unwrap_err();
        ids.iter().fold(format!("{error:?} {error}"), |text, id| text.replace(&id.to_string(), "it"))
    }
    let [training, image, _] = ids;
    let new = world.new_image(training.into());
    let page = PageRequest::default();
    vec![
        ("training", told(acting.training(training.into()).await, ids)),
        ("edit", told(acting.edit_training(training.into(), 1, TrainingEdit::new().name("mine")).await, ids)),
        ("limits", told(acting.set_training_limits(training.into(), 1, 1).await, ids)),
        ("delete", told(acting.delete_training(training.into()).await, ids)),
        ("announce", told(acting.announce_image(new).await, ids)),
        ("images", told(acting.list_training_images(training.into(), page).await, ids)),
        ("image", told(acting.training_image(image.into()).await, ids)),
        ("confirm", told(acting.confirm_upload(image.into(), "a/b", 10).await, ids)),
        ("caption", told(acting.caption_image(image.into(), 1, "mine").await, ids)),
        ("delete image", told(acting.delete_training_image(image.into()).await, ids)),
    ]
}

async fn what_is_anothers_is_as_what_is_not_there(world: &World) {
    let (owner, stranger) = (world.user().await, world.user().await);
    let training = world.training(owner).await;
    let image = world.uploaded(training.id).await;
    let acting = world.cloud.acting(Caller::trusted(stranger));
    let theirs = told(&acting, world, [training.id.uuid(), image.id.uuid(), world.id()]).await;
    let nothing = told(&acting, world, [world.id(), world.id(), world.id()]).await;
    assert_eq!(theirs, nothing);
    assert!(theirs.iter().all(|(_, answer)| answer.starts_with("NotFound")), "{theirs:?}");
    let for_owner = acting.create_training(world.new_training(owner)).await;
    assert!(matches!(for_owner, Err(Error::NotFound { kind: "user", .. })), "{for_owner:?}");
    let listed = acting.list_trainings(TrainingFilter::default(), PageRequest::default()).await.unwrap();
    assert!(listed.entries.is_empty());
    let theirs = TrainingFilter { owner_id: Some(owner) };
    let listed = acting.list_trainings(theirs.clone(), PageRequest::default()).await.unwrap();
    assert!(listed.entries.is_empty());
    assert_eq!(world.training_row(training.id).await.unwrap(), {
        let mut now = training.clone();
        (now.value.images, now.value.image_bytes) = (1, 10);
        now
    });
    assert_eq!(world.image_row(image.id).await.unwrap(), image);
    let own = world.cloud.acting(Caller::trusted(owner));
    assert_eq!(own.list_trainings(theirs, PageRequest::default()).await.unwrap().entries.len(), 1);
    own.caption_image(image.id, image.revision, "mine").await.unwrap();
    let limits = own.set_training_limits(training.id, 1000, 1 << 40).await;
    assert!(matches!(limits, Err(Error::Denied { .. })), "nobody raises their own limits: {limits:?}");
    own.delete_training(training.id).await.unwrap();
}

async fn usage_shows_trainings_and_live_runs(world: &World) {
    let owner = world.user().await;
    let (first, second) = (world.training(owner).await, world.training(owner).await);
    let ended = world.live_run(&first, &[]).await;
    world.end_run(ended).await;
    let mut live = [world.live_run(&first, &[]).await, world.live_run(&second, &[]).await];
    live.sort_unstable();
    let usage = world.cloud.usage(owner, UsagePages::default()).await.unwrap();
    let trainings: Vec<_> = usage.trainings.entries.iter().map(|training| training.id).collect();
    let runs: Vec<_> = usage.runs.entries.iter().map(|run| run.id).collect();
    let mut both = [first.id, second.id];
    both.sort_unstable();
    assert_eq!((trainings, runs), (both.to_vec(), live.to_vec()));
    assert_eq!((usage.quota.trainings, usage.quota.runs), (2, 2));
    let page = world.cloud.usage(owner, UsagePages::limit(1)).await.unwrap();
    assert_eq!((page.trainings.entries.len(), page.trainings.next.is_some()), (1, true));
    for run in live {
        world.end_run(run).await;
    }
}
