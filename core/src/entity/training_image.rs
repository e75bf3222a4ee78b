//! A picture that a training learns from: [`TrainingImage`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::text::{text_enum, transitions};
use super::training::TrainingId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Fixed, Index, Invariant, Reference, Scan, Table, Unique};
use crate::time::Timestamp;

/// The id of a [`TrainingImage`].
pub type TrainingImageId = Id<TrainingImage>;

/// A picture of a training. The file is the host's to keep, under the key that is handed out here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingImage {
    /// The id, chosen by the caller.
    pub id: TrainingImageId,
    /// The training.
    pub training_id: TrainingId,
    /// The name of the file, as the user knows it: 1 to 255 bytes, no path; no two of a training share one.
    pub name: String,
    /// The key of the file in the host's storage. It is made of ids only, and another one for each image.
    pub url: String,
    /// What kind of file it is.
    pub media_type: MediaType,
    /// The size of the file, as announced and then confirmed.
    pub size_bytes: u64,
    /// What is to be seen on it: tags, each once, separated by `, `; at most 4,096 bytes.
    pub text: String,
    /// How far it is.
    pub state: TrainingImageState,
    /// Until when it may be uploaded, while it is not.
    pub upload_until: Option<Timestamp>,
    /// When it was announced.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl TrainingImage {
    /// Whether the copy of the size that is trained with is there.
    pub const fn is_resized(&self) -> bool {
        matches!(self.state, TrainingImageState::Resized)
    }
}

text_enum!(
    /// What kind of file an image is.
    MediaType, "media_type" {
        /// PNG.
        Png = "image/png",
        /// JPEG.
        Jpeg = "image/jpeg",
        /// WebP.
        Webp = "image/webp",
    }
);

text_enum!(
    /// How far an image is.
    TrainingImageState, "state" {
        /// It is announced, and the file may be uploaded.
        Intended = "intended",
        /// The file is there.
        Uploaded = "uploaded",
        /// A copy of the size that is trained with is there too. Final.
        Resized = "resized",
    }
);

text_enum!(
    /// What happens to an image.
    TrainingImageEvent, "event" {
        /// Its file is confirmed to be there.
        Upload = "upload",
        /// Its copy is confirmed to be there.
        Resize = "resize",
    }
);

transitions!(
    /// The state after an event, or `WrongState` where it cannot happen.
    TrainingImageState, TrainingImageEvent, "training_image"
);

impl TrainingImageState {
    const fn after(self, event: TrainingImageEvent) -> Option<Self> {
        match (self, event) {
            (Self::Intended, TrainingImageEvent::Upload) => Some(Self::Uploaded),
            (Self::Uploaded, TrainingImageEvent::Resize) => Some(Self::Resized),
            _ => None,
        }
    }
}

/// The table of [`TrainingImage`].
pub static TRAINING_IMAGES: Table = Table::new(
    "training_images",
    &[
        Column::uuid("id"),
        Column::uuid("training_id").immutable(),
        Column::text("name", 255).immutable(),
        Column::text("url", 512).immutable(),
        Column::text("media_type", 32).immutable(),
        Column::int("size_bytes").immutable(),
        Column::text("text", 4096).default(Fixed::Text("")),
        Column::text("state", 16),
        Column::time("upload_until").nullable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.uniques(&[Unique::new("training_images_training_name", &["training_id", "name"])])
.indexes(&[
    // The unique key begins with the training too, but a list of them goes by id.
    Index::new("training_images_training", &["training_id"]),
    Index::new("training_images_upload_until", &["upload_until"]),
])
.references(&[Reference::new("training_images_training", &["training_id"], "trainings")])
.invariants(&[
    Invariant::one_of("training_images_media_type", "media_type", MediaType::TEXTS),
    Invariant::at_least("training_images_size_positive", "size_bytes", 1),
    Invariant::one_of("training_images_state", "state", TrainingImageState::TEXTS),
]);

entity!(TrainingImage, "training_image", TRAINING_IMAGES {
    fixed: id, training_id, name, url, media_type, size_bytes, created_at;
    plain: text, state, upload_until, updated_at;
});

/// Which images a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainingImageFilter {
    /// Only those of this training.
    pub training_id: Option<TrainingId>,
}

/// Where [`TrainingImage`]s are kept. They are announced, confirmed and deleted by operations.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TrainingImageRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: TrainingImageId) -> Result<Option<Entry<TrainingImage>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: TrainingImageId) -> Result<Entry<TrainingImage>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(TrainingImage::KIND, id))
    }

    /// A page, in the order of ids.
    async fn list(&self, filter: TrainingImageFilter, page: PageRequest) -> Result<ListPage<TrainingImage>>;
}

#[async_trait]
impl TrainingImageRepository for Repositories {
    async fn get(&self, id: TrainingImageId) -> Result<Option<Entry<TrainingImage>>> {
        self.get_entry(id).await
    }

    async fn list(&self, filter: TrainingImageFilter, page: PageRequest) -> Result<ListPage<TrainingImage>> {
        let scan = match filter.training_id {
            Some(training) => Scan::of(&TRAINING_IMAGES).by("training_images_training").with(training),
            None => Scan::of(&TRAINING_IMAGES),
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`TrainingImage`]s.
    pub fn training_images(&self) -> &dyn TrainingImageRepository {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_allows_exactly_the_events_of_the_table() {
        use TrainingImageState::{Intended, Resized, Uploaded};
        const NO: Option<TrainingImageState> = None;
        // upload, resize
        let table = [(Intended, [Some(Uploaded), NO]), (Uploaded, [NO, Some(Resized)]), (Resized, [NO, NO])];
        assert_eq!(table.map(|(state, _)| state), TrainingImageState::ALL);
        for (state, row) in table {
            for (event, to) in TrainingImageEvent::ALL.iter().zip(row) {
                assert_eq!(state.on(*event).ok(), to, "{state} on {event}");
            }
        }
    }
}
