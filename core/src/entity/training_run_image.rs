//! An image as a run saw it: [`TrainingRunImage`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::training_image::{MediaType, TrainingImageId};
use super::training_run::RunId;
use crate::store::{Column, Invariant, Reference, Table};

/// An image of the copy that a run works on, as it was when the run was asked for.
///
/// While the run has not ended, its image cannot be deleted: the file is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingRunImage {
    /// The run.
    pub run_id: RunId,
    /// Its place among the images of the run, from 0.
    pub position: u32,
    /// The image; `None` when the run has ended.
    pub image_id: Option<TrainingImageId>,
    /// The image that it is a copy of.
    pub of_image: TrainingImageId,
    /// Its name.
    pub name: String,
    /// The key of its file in the host's storage.
    pub url: String,
    /// What kind of file it is.
    pub media_type: MediaType,
    /// What is to be seen on it.
    pub text: String,
}

/// The table of [`TrainingRunImage`].
pub static TRAINING_RUN_IMAGES: Table = Table::new(
    "training_run_images",
    &[
        Column::uuid("run_id"),
        Column::int("position"),
        Column::uuid("image_id").nullable(),
        Column::uuid("of_image").immutable(),
        Column::text("name", 255).immutable(),
        Column::text("url", 512).immutable(),
        Column::text("media_type", 32).immutable(),
        Column::text("text", 4096).immutable(),
    ],
    &["run_id", "position"],
)
.references(&[
    Reference::new("training_run_images_run", &["run_id"], "training_runs"),
    Reference::new("training_run_images_image", &["image_id"], "training_images"),
])
.invariants(&[
    Invariant::at_least("training_run_images_position_not_negative", "position", 0),
    Invariant::one_of("training_run_images_media_type", "media_type", MediaType::TEXTS),
]);

entity!(TrainingRunImage, "training_run_image", TRAINING_RUN_IMAGES {
    fixed: run_id, position, of_image, name, url, media_type, text;
    plain: image_id;
});
