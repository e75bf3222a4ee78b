//! Trainings with images, and runs that are written as they are.

use uuid::Uuid;

use super::super::World;
use crate::entity::{
    Entity as _, Entry, MediaType, QUOTAS, QueueId, RunAsk, RunCause, RunId, RunState, TRAINING_RUN_IMAGES,
    TRAINING_RUNS, Training, TrainingId, TrainingImage, TrainingImageId, TrainingRun, TrainingRunImage,
    UserId,
};
use crate::plane::{NewTraining, NewTrainingImage};
use crate::store::{Batch, Fingerprint, Scan, StoreExt as _, Write};
use crate::time::{Clock as _, Timestamp};

/// A run that waits for its GPUs.
pub(crate) fn waiting_run(
    (id, owner_id): (RunId, UserId),
    training: TrainingId,
    queue: QueueId,
    now: Timestamp,
) -> TrainingRun {
    TrainingRun {
        id,
        owner_id,
        training_id: Some(training),
        of_training: training,
        queue_id: Some(queue),
        config: crate::store::Json::empty(),
        trigger_word: "ohwx".into(),
        base_model: None,
        ask: RunAsk::default(),
        request_fingerprint: Fingerprint::of(b"a run"),
        priority: 0,
        estimate_ms: None,
        min_runtime_ms: 0,
        due: None,
        not_before: None,
        state: RunState::WaitingForGpu,
        state_deadline: Some(now),
        images_left: 0,
        attempt: 0,
        max_failures: 3,
        failures: 0,
        preemptions: 0,
        cause: None,
        status_info: None,
        kept_ms: 0,
        held_ms: 0,
        artifact_key: None,
        artifact_bytes: None,
        artifact_sha256: None,
        created_at: now,
        updated_at: now,
        ended_at: None,
    }
}

impl World {
    /// Writes rows as they are.
    pub(super) async fn write(&self, writes: Vec<Write>) {
        let mut batch = Batch::new(self.id(), "check");
        batch.writes = writes;
        self.cloud.store().commit(batch).await.unwrap();
    }

    pub(super) fn new_training(&self, owner: UserId) -> NewTraining {
        NewTraining::new(owner, format!("training {}", self.fresh()), "ohwx")
    }

    pub(super) async fn training(&self, owner: UserId) -> Entry<Training> {
        self.cloud.create_training(self.new_training(owner)).await.unwrap()
    }

    pub(super) fn new_image(&self, training: TrainingId) -> NewTrainingImage {
        NewTrainingImage::new(training, format!("{}.png", self.fresh()), MediaType::Png, 10)
    }

    /// An image that is uploaded.
    pub(super) async fn uploaded(&self, training: TrainingId) -> Entry<TrainingImage> {
        let announced = self.cloud.announce_image(self.new_image(training)).await.unwrap();
        self.cloud.confirm_upload(announced.id, &announced.url, announced.size_bytes).await.unwrap()
    }

    /// A run that has not ended, with a copy of these images.
    pub(super) async fn live_run(&self, training: &Training, images: &[Entry<TrainingImage>]) -> RunId {
        let id = self.id().into();
        let queue = self.cloud.default_queue().await.unwrap().id;
        let run = waiting_run((id, training.owner_id), training.id, queue, self.clock.now());
        let mut writes = vec![Write::Insert(run.to_row()), Write::record(&QUOTAS, run.owner_id, "runs", 1)];
        for (position, image) in (0..).zip(images) {
            let copy = TrainingRunImage {
                run_id: id,
                position,
                image_id: Some(image.id),
                of_image: image.id,
                name: image.name.clone(),
                url: image.url.clone(),
                media_type: image.media_type,
                text: image.text.clone(),
            };
            writes.push(Write::Insert(copy.to_row()));
        }
        self.write(writes).await;
        id
    }

    /// Ends a run: it gives up what it refers to.
    pub(super) async fn end_run(&self, id: RunId) {
        let kept = self.cloud.repositories().training_runs().require(id).await.unwrap();
        let mut run = kept.value;
        (run.training_id, run.queue_id, run.state_deadline) = (None, None, None);
        (run.state, run.cause, run.ended_at) =
            (RunState::Aborted, Some(RunCause::Requested), Some(self.clock.now()));
        let mut writes = vec![Write::update(&TRAINING_RUNS, id, kept.revision, run.plain())];
        writes.push(Write::record(&QUOTAS, run.owner_id, "runs", -1));
        let copies = self.cloud.store().scan_all(Scan::of(&TRAINING_RUN_IMAGES).with(id)).await.unwrap();
        for row in copies {
            let set = vec![("image_id", None::<Uuid>.into())];
            writes.push(Write::update(&TRAINING_RUN_IMAGES, row.key(), row.revision(), set));
        }
        self.write(writes).await;
    }

    pub(super) async fn training_row(&self, id: TrainingId) -> Option<Entry<Training>> {
        self.cloud.repositories().trainings().get(id).await.unwrap()
    }

    pub(super) async fn image_row(&self, id: TrainingImageId) -> Option<Entry<TrainingImage>> {
        self.cloud.repositories().training_images().get(id).await.unwrap()
    }
}
