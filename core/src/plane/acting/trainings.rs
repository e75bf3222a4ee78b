//! Trainings and their images on behalf of a caller.

use super::views::View;
use super::{Acting, Thing};
use crate::access::Operation;
use crate::entity::{
    Entry, ListPage, PageRequest, Training, TrainingFilter, TrainingId, TrainingImage, TrainingImageFilter,
    TrainingImageId,
};
use crate::error::Result;
use crate::plane::{NewTraining, NewTrainingImage, TrainingEdit};
use crate::store::Count;

impl Acting {
    /// See [`ControlPlane::create_training`](crate::ControlPlane::create_training): for oneself, or for another account where
    /// that is allowed.
    pub async fn create_training(&self, request: NewTraining) -> Result<Entry<Training>> {
        let request = &request;
        self.run(Operation::CreateTraining, Thing::Account(request.owner), |plane| async move {
            plane.create_training(request.clone()).await
        })
        .await
    }

    /// See [`ControlPlane::edit_training`](crate::ControlPlane::edit_training).
    pub async fn edit_training(
        &self,
        training: TrainingId,
        revision: i64,
        edit: TrainingEdit,
    ) -> Result<Entry<Training>> {
        let edit = &edit;
        self.run(Operation::UpdateTraining, Thing::Training(training), |plane| async move {
            plane.edit_training(training, revision, edit.clone()).await
        })
        .await
    }

    /// See [`ControlPlane::set_training_limits`](crate::ControlPlane::set_training_limits). Its owner may not.
    pub async fn set_training_limits(
        &self,
        training: TrainingId,
        images: u32,
        image_bytes: u64,
    ) -> Result<Entry<Training>> {
        self.run(Operation::LimitTraining, Thing::Training(training), |plane| async move {
            plane.set_training_limits(training, images, image_bytes).await
        })
        .await
    }

    /// See [`ControlPlane::delete_training`](crate::ControlPlane::delete_training).
    pub async fn delete_training(&self, training: TrainingId) -> Result<()> {
        self.run(Operation::DeleteTraining, Thing::Training(training), |plane| async move {
            plane.delete_training(training).await
        })
        .await
    }

    /// See [`ControlPlane::announce_image`](crate::ControlPlane::announce_image).
    pub async fn announce_image(&self, request: NewTrainingImage) -> Result<Entry<TrainingImage>> {
        let request = &request;
        let training = Thing::Training(request.training);
        self.run(Operation::AnnounceTrainingImage, training, |plane| async move {
            plane.announce_image(request.clone()).await
        })
        .await
    }

    /// See [`ControlPlane::confirm_upload`](crate::ControlPlane::confirm_upload): the host has looked at what is in its storage,
    /// and does this for whoever says that they have uploaded it.
    pub async fn confirm_upload(
        &self,
        image: TrainingImageId,
        key: &str,
        size_bytes: u64,
    ) -> Result<Entry<TrainingImage>> {
        self.run(Operation::ConfirmTrainingImage, Thing::TrainingImage(image), |plane| async move {
            plane.confirm_upload(image, key, size_bytes).await
        })
        .await
    }

    /// See [`ControlPlane::caption_image`](crate::ControlPlane::caption_image).
    pub async fn caption_image(
        &self,
        image: TrainingImageId,
        revision: i64,
        text: &str,
    ) -> Result<Entry<TrainingImage>> {
        self.run(Operation::CaptionTrainingImage, Thing::TrainingImage(image), |plane| async move {
            plane.caption_image(image, revision, text).await
        })
        .await
    }

    /// See [`ControlPlane::delete_training_image`](crate::ControlPlane::delete_training_image).
    pub async fn delete_training_image(&self, image: TrainingImageId) -> Result<()> {
        self.run(Operation::DeleteTrainingImage, Thing::TrainingImage(image), |plane| async move {
            plane.delete_training_image(image).await
        })
        .await
    }

    /// A training.
    pub async fn training(&self, training: TrainingId) -> Result<Entry<Training>> {
        self.one(Operation::ReadTraining, Thing::Training(training), training).await
    }

    /// An image of a training.
    pub async fn training_image(&self, image: TrainingImageId) -> Result<Entry<TrainingImage>> {
        self.one(Operation::ReadTrainingImage, Thing::TrainingImage(image), image).await
    }

    /// The trainings that the caller may see: their own, or all. In the order of ids.
    pub async fn list_trainings(
        &self,
        filter: TrainingFilter,
        page: PageRequest,
    ) -> Result<ListPage<Training>> {
        self.list(self.trainings_seen(filter).await?, page).await
    }

    /// How many those are.
    pub async fn count_trainings(&self, filter: TrainingFilter) -> Result<Count> {
        self.count(self.trainings_seen(filter).await?).await
    }

    /// The images of a training, in the order of ids.
    pub async fn list_training_images(
        &self,
        training: TrainingId,
        page: PageRequest,
    ) -> Result<ListPage<TrainingImage>> {
        let page = &page;
        self.run(Operation::ReadTrainingImage, Thing::Training(training), |plane| async move {
            let filter = TrainingImageFilter { training_id: Some(training) };
            plane.repositories().training_images().list(filter, page.clone()).await
        })
        .await
    }

    async fn trainings_seen(&self, filter: TrainingFilter) -> Result<View> {
        self.owned_seen(
            Operation::ReadTraining,
            ("trainings_owner", &crate::entity::TRAININGS),
            filter.owner_id,
        )
        .await
    }
}
