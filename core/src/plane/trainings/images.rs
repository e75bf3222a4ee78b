//! Images of a training: announced, uploaded, captioned and deleted. The files are the host's.

use super::super::ControlPlane;
use super::super::decided::Decided;
use super::super::users::Happened;
use super::NewTrainingImage;
use crate::entity::{
    Entity as _, Entry, TRAINING_IMAGES, TRAININGS, Training, TrainingImage, TrainingImageEvent,
    TrainingImageId, TrainingImageState, entry,
};
use crate::error::{Error, Result};
use crate::store::{Batch, StoreExt as _, Write};
use crate::time::Timestamp;
use crate::training::{caption, check_file_name, check_key, image_key};

impl ControlPlane {
    /// Announces an image, and hands out the key that its file is to be uploaded under until
    /// [`TrainingImage::upload_until`]. It counts against the limits of its training from now on. The same request again, with
    /// its id, is answered with the image that is there.
    ///
    /// # Errors
    /// `NotFound` for the training; `Invalid` for a name that is none, or a size of nothing; `QuotaExceeded` where the training
    /// has as many images or bytes as it may; `AlreadyExists` where an image of the training has this name, or another one the
    /// id.
    #[tracing::instrument(skip_all)]
    pub async fn announce_image(&self, request: NewTrainingImage) -> Result<Entry<TrainingImage>> {
        check_file_name(&request.name)?;
        let size = i64::try_from(request.size_bytes).unwrap_or(i64::MAX);
        if !(1..=crate::store::MAX_INT).contains(&size) {
            return Err(Error::invalid("size_bytes", "1 to 2^53 bytes are expected"));
        }
        let id: TrainingImageId = request.id.unwrap_or_else(|| self.new_id().into());
        let request = &request;
        self.decided("training_image.announce", TrainingImage::KIND, || async move {
            let training = request.training;
            let keys = vec![(&TRAINING_IMAGES, id.into()), (&TRAININGS, training.into())];
            let read = self.store.get_many(keys).await?;
            let mut rows = read.value.into_iter();
            let (kept, of) = (rows.next().flatten(), rows.next().flatten());
            if let Some(kept) = kept {
                let kept = entry::<TrainingImage>(&kept)?;
                let taken = Error::AlreadyExists { kind: TrainingImage::KIND, key: "id" };
                return if is_same(&kept, request) { Ok(Decided::Done(kept)) } else { Err(taken) };
            }
            let of = of.ok_or_else(|| Error::not_found(Training::KIND, training))?;
            let owner = of.id::<crate::entity::User>("owner_id")?;
            let image = self.new_image_of(id, request, read.now);
            let batch = self
                .batch_for("training_image.announce", owner.uuid())
                .with(Write::Insert(image.to_row()))
                .with(Write::guard(&TRAININGS, training, of.revision()))
                .with(Write::admit(&TRAININGS, training, "images", 1))
                .with(Write::admit(&TRAININGS, training, "image_bytes", size))
                .with(self.log(of_image("training_image.announce", &image), read.now));
            Ok(Decided::Commit(Entry::new(image, 1), batch))
        })
        .await
    }

    fn new_image_of(&self, id: TrainingImageId, of: &NewTrainingImage, now: Timestamp) -> TrainingImage {
        TrainingImage {
            id,
            training_id: of.training,
            name: of.name.clone(),
            url: image_key(of.training, id, of.media_type),
            media_type: of.media_type,
            size_bytes: of.size_bytes,
            text: String::new(),
            state: TrainingImageState::Intended,
            upload_until: Some(now.plus(self.trainings.upload)),
            created_at: now,
            updated_at: now,
        }
    }

    /// Confirms that the file of an image is there, under the key that was handed out for it and as large as it was announced.
    /// Whoever asks this has looked: what a browser says of its upload is no evidence. Confirmed again, it is answered the same.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for another key or size; `WrongState` where the time for the upload is over.
    #[tracing::instrument(skip_all)]
    pub async fn confirm_upload(
        &self,
        id: TrainingImageId,
        key: &str,
        size_bytes: u64,
    ) -> Result<Entry<TrainingImage>> {
        check_key(key)?;
        self.decided("training_image.confirm", TrainingImage::KIND, || async move {
            let (kept, now) = self.training_image_of(id).await?;
            if kept.url != key {
                return Err(Error::invalid("key", "it is not the one that was handed out for this image"));
            }
            if kept.size_bytes != size_bytes {
                let announced =
                    format!("{} bytes were announced, and {size_bytes} are there", kept.size_bytes);
                return Err(Error::invalid("size_bytes", announced));
            }
            if kept.state != TrainingImageState::Intended {
                return Ok(Decided::Done(kept));
            }
            if kept.upload_until.is_none_or(|until| until <= now) {
                let (kind, state, event) =
                    (TrainingImage::KIND, "overdue", TrainingImageEvent::Upload.as_str());
                return Err(Error::WrongState { kind, state, event, allowed: vec!["delete"] });
            }
            let mut image = kept.value.clone();
            image.state = image.state.on(TrainingImageEvent::Upload)?;
            (image.upload_until, image.updated_at) = (None, now);
            Ok(self.image_changed("training_image.confirm", &kept, image, Vec::new(), now))
        })
        .await
    }

    /// Says what is to be seen on the image that still has this revision; see [`caption`](fn@crate::training::caption) for the form
    /// that it is brought into. No run is changed by it.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it was changed since; `Invalid` for a caption that is too long.
    #[tracing::instrument(skip_all)]
    pub async fn caption_image(
        &self,
        id: TrainingImageId,
        revision: i64,
        text: &str,
    ) -> Result<Entry<TrainingImage>> {
        self.decided("training_image.caption", TrainingImage::KIND, || async move {
            let (kept, _) = self.training_image_of(id).await?;
            if kept.revision != revision {
                return Err(Error::Conflict { what: TrainingImage::KIND.into() });
            }
            let (training, now) = self.training_of(kept.training_id).await?;
            let mut image = kept.value.clone();
            image.text = caption(text, &training.trigger_word)?;
            if image.text == kept.text {
                return Ok(Decided::Done(kept));
            }
            image.updated_at = now;
            // The trigger word was looked at.
            let guard = Write::guard(&TRAININGS, training.id, training.revision);
            Ok(self.image_changed("training_image.caption", &kept, image, vec![guard], now))
        })
        .await
    }

    /// Deletes an image; the host removes its file.
    ///
    /// # Errors
    /// `NotFound`, so also the second time; `StillUsed` while a run that has not ended works on a copy of it.
    #[tracing::instrument(skip(self))]
    pub async fn delete_training_image(&self, id: TrainingImageId) -> Result<()> {
        self.decided("training_image.delete", TrainingImage::KIND, || async move {
            let (kept, now) = self.training_image_of(id).await?;
            Ok(Decided::Commit((), self.without_image("training_image.delete", &kept, now)))
        })
        .await
    }

    /// The batch that deletes an image and gives back what it counted.
    pub(super) fn without_image(
        &self,
        operation: &'static str,
        kept: &Entry<TrainingImage>,
        now: Timestamp,
    ) -> Batch {
        let bytes = i64::try_from(kept.size_bytes).unwrap_or(i64::MAX);
        self.batch(operation)
            .with(Write::delete(&TRAINING_IMAGES, kept.id, kept.revision))
            .with(Write::record(&TRAININGS, kept.training_id, "images", -1))
            .with(Write::record(&TRAININGS, kept.training_id, "image_bytes", -bytes))
            .with(self.log(of_image(operation, kept), now))
    }

    fn image_changed(
        &self,
        operation: &'static str,
        kept: &Entry<TrainingImage>,
        image: TrainingImage,
        guards: Vec<Write>,
        now: Timestamp,
    ) -> Decided<Entry<TrainingImage>> {
        let mut batch = self.batch(operation);
        batch.push(Write::update(&TRAINING_IMAGES, image.id, kept.revision, image.plain()));
        batch.writes.extend(guards);
        batch.push(self.log(of_image(operation, &image), now));
        Decided::Commit(Entry::new(image, kept.revision + 1), batch)
    }

    async fn training_image_of(&self, id: TrainingImageId) -> Result<(Entry<TrainingImage>, Timestamp)> {
        let read = self.store.get(&TRAINING_IMAGES, id).await?;
        let row = read.value.ok_or_else(|| Error::not_found(TrainingImage::KIND, id))?;
        Ok((entry::<TrainingImage>(&row)?, read.now))
    }
}

/// Whether an image was announced by this request.
fn is_same(kept: &TrainingImage, request: &NewTrainingImage) -> bool {
    (kept.training_id, kept.name.as_str(), kept.media_type, kept.size_bytes)
        == (request.training, request.name.as_str(), request.media_type, request.size_bytes)
}

fn of_image<'h>(operation: &'static str, image: &'h TrainingImage) -> Happened<'h> {
    Happened {
        operation,
        actor: None,
        kind: TrainingImage::KIND,
        subject: image.id.uuid(),
        description: &image.name,
    }
}
