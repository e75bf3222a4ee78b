//! A run is submitted: what is trained is copied, so that no later edit of the training changes it.

use super::{ControlPlane, MAX_IMAGES, NewRun, of_run};
use crate::entity::{
    AccessState, Entity as _, Entry, QUOTAS, QueueId, RUN_QUEUES, RunId, RunPulse, RunQueue, RunState,
    TRAINING_IMAGES, TRAINING_RUNS, TRAININGS, Training, TrainingImage, TrainingImageState, TrainingRun,
    TrainingRunImage, USER_ACCESS, UserAccess,
};
use crate::error::{Error, Result};
use crate::plane::decided::Decided;
use crate::store::{Answer, Batch, Query, Row, Scan, StoreExt as _, Write};
use crate::time::Timestamp;

/// What a run is copied from, with the guards of it.
struct Copied {
    training: Training,
    images: Vec<TrainingImage>,
    guards: Vec<Write>,
}

impl ControlPlane {
    /// Submits a run of a training: a copy of it as it is now, with its images. The same request under the same id is answered with
    /// the same run.
    ///
    /// # Errors
    /// `NotFound` for the training or queue; `AlreadyExists` with the key `live` while another run of the training has not ended, or
    /// with `id` where it is another request's; `WrongState` where an image is not uploaded yet; `QuotaExceeded`; `Denied` for an
    /// owner who is suspended; `Invalid`.
    #[tracing::instrument(skip_all)]
    pub async fn submit_run(&self, request: NewRun) -> Result<Entry<TrainingRun>> {
        request.check()?;
        let queue = match request.queue {
            Some(queue) => queue,
            None => self.default_queue().await?.id,
        };
        let request = &request;
        self.decided("run.submit", TrainingRun::KIND, || async move {
            if let Some(before) = self.submitted_before(request).await? {
                return Ok(Decided::Done(before));
            }
            let (copied, now) = self.copied(request, queue).await?;
            let run = self.new_run(request, queue, &copied, now)?;
            let mut batch = self.batch_for("run.submit", run.owner_id.uuid());
            // That this very run is there already is seen before that there is no room for another one.
            batch.push(Write::Insert(run.to_row()));
            batch.writes.extend(copied.guards);
            batch.push(Write::admit(&QUOTAS, run.owner_id, "runs", 1));
            push_copies(&mut batch, &run, &copied.images, now)?;
            let told = format!("of training {}, {} images", request.training, copied.images.len());
            batch.push(self.log(of_run("run.submit", &run, &told), now));
            Ok(Decided::Commit(Entry::new(run, 1), batch))
        })
        .await
    }

    /// The run that an earlier call has submitted, where it is the same; the refusal where another one is not ended.
    async fn submitted_before(&self, request: &NewRun) -> Result<Option<Entry<TrainingRun>>> {
        let live = Scan::of(&TRAINING_RUNS).by("training_runs_live").with(request.training).limit(1);
        let mut queries = vec![Query::Scan(live)];
        queries.extend(request.id.map(|id| Query::Get { table: &TRAINING_RUNS, key: id.into() }));
        let mut rows = self.store.read(queries).await?.answers.into_iter().map(Answer::into_rows);
        let live = !rows.next().unwrap_or_default().is_empty();
        if let Some(row) = rows.next().unwrap_or_default().pop() {
            let kept = TrainingRun::from_row(&row)?;
            if kept.request_fingerprint != request.fingerprint()? {
                return Err(Error::AlreadyExists { kind: TrainingRun::KIND, key: "id" });
            }
            return Ok(Some(Entry::new(kept, row.revision())));
        }
        if live { Err(Error::AlreadyExists { kind: TrainingRun::KIND, key: "live" }) } else { Ok(None) }
    }

    /// Reads what is copied, and who pays for it.
    async fn copied(&self, request: &NewRun, queue: QueueId) -> Result<(Copied, Timestamp)> {
        let keys = vec![(&TRAININGS, request.training.into()), (&RUN_QUEUES, queue.into())];
        let read = self.store.get_many(keys).await?;
        let now = read.now;
        let mut rows = read.value.into_iter();
        let training = rows.next().flatten();
        let training = training.ok_or_else(|| Error::not_found(Training::KIND, request.training))?;
        let queue = rows.next().flatten().ok_or_else(|| Error::not_found(RunQueue::KIND, queue))?;
        let guard = |row: &Row| Write::guard(row.table(), row.key(), row.revision());
        let mut guards = vec![guard(&training), guard(&queue)];
        let training = Training::from_row(&training)?;
        let access = self.store.get(&USER_ACCESS, training.owner_id).await?.value;
        let access = access.ok_or_else(|| Error::not_found("user", training.owner_id))?;
        if UserAccess::from_row(&access)?.state != AccessState::Active {
            return Err(Error::Denied { action: "submit a run while suspended" });
        }
        guards.push(guard(&access));
        let of_training = Scan::of(&TRAINING_IMAGES).by("training_images_training").with(request.training);
        let rows = self.store.scan_all(of_training).await?;
        if rows.len() > MAX_IMAGES {
            return Err(Error::invalid("images", format!("at most {MAX_IMAGES} can be trained with")));
        }
        let mut images = Vec::with_capacity(rows.len());
        for row in &rows {
            let image = TrainingImage::from_row(row)?;
            if image.state == TrainingImageState::Intended {
                return Err(Error::WrongState {
                    kind: TrainingImage::KIND,
                    state: image.state.as_str(),
                    event: "training with it",
                    allowed: vec!["upload"],
                });
            }
            guards.push(if image.is_resized() {
                guard(row)
            } else {
                // Whoever resizes it has seen that no run counts it. So the row is written, and they look again.
                let same = vec![("state", image.state.as_str().into())];
                Write::update(&TRAINING_IMAGES, image.id, row.revision(), same)
            });
            images.push(image);
        }
        Ok((Copied { training, images, guards }, now))
    }

    fn new_run(
        &self,
        request: &NewRun,
        queue: QueueId,
        copied: &Copied,
        now: Timestamp,
    ) -> Result<TrainingRun> {
        let left = copied.images.iter().filter(|image| !image.is_resized()).count();
        let training = &copied.training;
        let id = request.id.unwrap_or_else(|| RunId::new(self.new_id()));
        Ok(TrainingRun {
            id,
            owner_id: training.owner_id,
            training_id: Some(training.id),
            of_training: training.id,
            queue_id: Some(queue),
            config: training.config.clone(),
            trigger_word: training.trigger_word.clone(),
            base_model: training.base_model.clone(),
            ask: request.ask.clone(),
            request_fingerprint: request.fingerprint()?,
            priority: request.priority,
            estimate_ms: request.estimate_ms,
            min_runtime_ms: request.min_runtime_ms,
            due: request.due,
            not_before: request.not_before,
            state: RunState::Queued,
            state_deadline: self.runs.deadline(RunState::Queued, request.not_before, now),
            images_left: counted(left)?,
            attempt: 0,
            max_failures: request.max_failures,
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
        })
    }
}

/// Adds the images as the run sees them, and what it counts its messages on.
fn push_copies(batch: &mut Batch, run: &TrainingRun, images: &[TrainingImage], now: Timestamp) -> Result<()> {
    for (position, image) in images.iter().enumerate() {
        let copy = TrainingRunImage {
            run_id: run.id,
            position: counted(position)?,
            image_id: Some(image.id),
            of_image: image.id,
            name: image.name.clone(),
            url: image.url.clone(),
            media_type: image.media_type,
            text: image.text.clone(),
        };
        batch.push(Write::Insert(copy.to_row()));
    }
    batch.push(Write::Insert(RunPulse { run_id: run.id, sequence: 0, heard_at: now }.to_row()));
    Ok(())
}

fn counted(number: usize) -> Result<u32> {
    u32::try_from(number).map_err(|_| Error::invalid("images", "there are too many"))
}
