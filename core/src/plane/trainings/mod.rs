//! Trainings: made, edited and deleted. What a run works on is a copy, so nothing here changes a run.

mod images;
mod purge;
mod request;

pub use request::{NewTraining, NewTrainingImage, TrainingEdit};

use super::ControlPlane;
use super::decided::Decided;
use super::retry::Retry;
use super::users::Happened;
use crate::entity::{
    AccessState, DisplayName, Entity as _, Entry, QUOTAS, TRAINING_IMAGES, TRAINING_RUN_IMAGES,
    TRAINING_RUNS, TRAININGS, Training, TrainingId, USER_ACCESS, UserAccess, UserId, entry,
};
use crate::error::{Error, Result};
use crate::store::{Query, Row, Scan, StoreExt as _, Write};
use crate::time::Timestamp;
use crate::training::MAX_IMAGES;
use request::check_content;

impl ControlPlane {
    /// Makes a training, which counts against its owner's limit. The same request again, with its id, is answered with the
    /// training that is there.
    ///
    /// # Errors
    /// `NotFound` for the owner; `Invalid` for what a training cannot be made of; `QuotaExceeded`; `AlreadyExists` where
    /// another training has the id, or this one was edited since; `Denied` where the owner is suspended.
    #[tracing::instrument(skip_all)]
    pub async fn create_training(&self, request: NewTraining) -> Result<Entry<Training>> {
        let name = DisplayName::new(request.name.as_str())?;
        check_content(&request.config, &request.trigger_word, request.base_model.as_ref())?;
        let id = request.id.unwrap_or_else(|| self.new_id().into());
        let (name, request) = (&name, &request);
        self.decided("training.create", Training::KIND, || async move {
            let keys = vec![(&USER_ACCESS, request.owner.into()), (&TRAININGS, id.into())];
            let read = self.store.get_many(keys).await?;
            let [access, kept] = read.value.as_slice() else { return Err(no_user(request.owner)) };
            let wanted = self.new_training(id, name, request, read.now);
            if let Some(kept) = kept {
                let kept = entry::<Training>(kept)?;
                let same = is_same(&kept, &wanted);
                let taken = Error::AlreadyExists { kind: Training::KIND, key: "id" };
                return if same { Ok(Decided::Done(kept)) } else { Err(taken) };
            }
            let access = access.as_ref().ok_or_else(|| no_user(request.owner))?;
            if UserAccess::from_row(access)?.state != AccessState::Active {
                return Err(Error::Denied { action: "make a training while suspended" });
            }
            let batch = self
                .batch_for("training.create", request.owner.uuid())
                .with(Write::Insert(wanted.to_row()))
                .with(Write::guard(&USER_ACCESS, request.owner, access.revision()))
                .with(Write::admit(&QUOTAS, request.owner, "trainings", 1))
                .with(self.log(of_training("training.create", &wanted, name.as_str()), read.now));
            Ok(Decided::Commit(Entry::new(wanted, 1), batch))
        })
        .await
    }

    fn new_training(&self, id: TrainingId, name: &DisplayName, of: &NewTraining, now: Timestamp) -> Training {
        Training {
            id,
            owner_id: of.owner,
            name: name.clone(),
            config: of.config.clone(),
            trigger_word: of.trigger_word.clone(),
            base_model: of.base_model.clone(),
            image_limit: self.trainings.images.min(MAX_IMAGES),
            image_bytes_limit: self.trainings.image_bytes,
            images: 0,
            image_bytes: 0,
            created_at: now,
            updated_at: now,
        }
    }

    /// Edits the training that still has this revision. No run is changed by it.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where somebody else has edited it since; `Invalid` for what a training cannot be made of.
    #[tracing::instrument(skip_all)]
    pub async fn edit_training(
        &self,
        id: TrainingId,
        revision: i64,
        edit: TrainingEdit,
    ) -> Result<Entry<Training>> {
        let name = edit.name.as_deref().map(DisplayName::new).transpose()?;
        let (name, edit) = (&name, &edit);
        self.change_training("training.edit", id, Some(revision), |training| {
            if let Some(name) = name {
                training.name = name.clone();
            }
            if let Some(config) = &edit.config {
                training.config = config.clone();
            }
            if let Some(word) = &edit.trigger_word {
                training.trigger_word.clone_from(word);
            }
            if let Some(model) = &edit.base_model {
                training.base_model.clone_from(model);
            }
            check_content(&training.config, &training.trigger_word, training.base_model.as_ref())
        })
        .await
    }

    /// Sets how many images a training may have, at most [`MAX_IMAGES`], and how many bytes they may have together; also below
    /// what is there, which stays.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`.
    #[tracing::instrument(skip(self))]
    pub async fn set_training_limits(
        &self,
        id: TrainingId,
        images: u32,
        image_bytes: u64,
    ) -> Result<Entry<Training>> {
        if images > MAX_IMAGES {
            return Err(Error::invalid("image_limit", format!("at most {MAX_IMAGES} are allowed")));
        }
        if image_bytes > crate::store::MAX_INT.unsigned_abs() {
            return Err(Error::invalid("image_bytes_limit", "at most 2^53 bytes are allowed"));
        }
        self.change_training("training.set_limits", id, None, |training| {
            (training.image_limit, training.image_bytes_limit) = (images, image_bytes);
            Ok(())
        })
        .await
    }

    async fn change_training(
        &self,
        operation: &'static str,
        id: TrainingId,
        revision: Option<i64>,
        change: impl Fn(&mut Training) -> Result<()> + Sync,
    ) -> Result<Entry<Training>> {
        let change = &change;
        self.decided(operation, Training::KIND, || async move {
            let (kept, now) = self.training_of(id).await?;
            if revision.is_some_and(|revision| revision != kept.revision) {
                return Err(Error::Conflict { what: Training::KIND.into() });
            }
            let mut changed = kept.value.clone();
            change(&mut changed)?;
            if changed == kept.value {
                return Ok(Decided::Done(kept));
            }
            changed.updated_at = now;
            let batch = self
                .batch_for(operation, changed.owner_id.uuid())
                .with(Write::update(&TRAININGS, id, kept.revision, changed.plain()))
                .with(self.log(of_training(operation, &changed, changed.name.as_str()), now));
            Ok(Decided::Commit(Entry::new(changed, kept.revision + 1), batch))
        })
        .await
    }

    /// Deletes a training with its images; the host removes their files. The history of its runs stays.
    ///
    /// # Errors
    /// `NotFound`, so also the second time; `StillUsed` while a run of it has not ended.
    #[tracing::instrument(skip(self))]
    pub async fn delete_training(&self, id: TrainingId) -> Result<()> {
        let mut retry = Retry::new("training.delete", &*self.ids, &*self.metrics);
        loop {
            match self.decided("training.delete", Training::KIND, || self.decide_deletion(id)).await {
                // An image was announced, or a run was submitted, between the look and the commit: look again.
                Err(Error::StillUsed { by, .. })
                    if [TRAINING_IMAGES.name, TRAINING_RUN_IMAGES.name].contains(&by) =>
                {
                    retry.again().await?;
                }
                answer => return answer,
            }
        }
    }

    async fn decide_deletion(&self, id: TrainingId) -> Result<Decided<()>> {
        let live = Scan::of(&TRAINING_RUNS).by("training_runs_live").with(id).limit(1);
        let queries = vec![Query::Get { table: &TRAININGS, key: id.into() }, Query::Scan(live)];
        let reads = self.store.read(queries).await?;
        let mut answers = reads.answers.into_iter().map(crate::store::Answer::into_row);
        let row = answers.next().flatten().ok_or_else(|| Error::not_found(Training::KIND, id))?;
        if answers.next().flatten().is_some() {
            return Err(Error::StillUsed { kind: Training::KIND, by: TRAINING_RUNS.name });
        }
        let training = Training::from_row(&row)?;
        let mut batch = self.batch_for("training.delete", training.owner_id.uuid());
        // So few that they always fit: no training ever has more than `MAX_IMAGES`.
        let images = Scan::of(&TRAINING_IMAGES).by("training_images_training").with(id);
        for image in self.store.scan_all(images.limit(crate::store::MAX_PAGE)).await? {
            batch.push(Write::delete(&TRAINING_IMAGES, image.key(), image.revision()));
        }
        batch.push(Write::delete(&TRAININGS, id, row.revision()));
        batch.push(Write::record(&QUOTAS, training.owner_id, "trainings", -1));
        batch.push(self.log(of_training("training.delete", &training, training.name.as_str()), reads.now));
        Ok(Decided::Commit((), batch))
    }

    async fn training_of(&self, id: TrainingId) -> Result<(Entry<Training>, Timestamp)> {
        let read = self.store.get(&TRAININGS, id).await?;
        let row: Row = read.value.ok_or_else(|| Error::not_found(Training::KIND, id))?;
        Ok((entry::<Training>(&row)?, read.now))
    }
}

fn no_user(id: UserId) -> Error {
    Error::not_found("user", id)
}

/// Whether both were made of the same request: limits and counts are not the caller's.
fn is_same(kept: &Training, wanted: &Training) -> bool {
    let of = |of: &Training| {
        (of.owner_id, of.name.clone(), of.config.clone(), of.trigger_word.clone(), of.base_model.clone())
    };
    of(kept) == of(wanted)
}

fn of_training<'h>(operation: &'static str, training: &Training, description: &'h str) -> Happened<'h> {
    Happened {
        operation,
        actor: Some(training.owner_id.uuid()),
        kind: Training::KIND,
        subject: training.id.uuid(),
        description,
    }
}
