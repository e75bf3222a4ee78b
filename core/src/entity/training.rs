//! What is to be trained: [`Training`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::{document, entity, json_document};
use super::user::UserId;
use super::{DisplayName, Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Ceiling, Column, Fixed, Invariant, Json, Reference, Scan, Table};
use crate::time::Timestamp;

/// The id of a [`Training`].
pub type TrainingId = Id<Training>;

/// The definition of a training: it may be edited at any time, and a run works on a copy of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Training {
    /// The id, chosen by the caller.
    pub id: TrainingId,
    /// Whose it is.
    pub owner_id: UserId,
    /// Its name.
    pub name: DisplayName,
    /// What the trainer is told, as a JSON object; at most 65,536 bytes. No secret belongs here: whoever may see the training
    /// may see it.
    #[serde(with = "json_document")]
    pub config: Json,
    /// The word that stands for what is learned, 1 to 64 bytes.
    pub trigger_word: String,
    /// What the training starts from.
    pub base_model: Option<BaseModel>,
    /// The most images that it may have.
    pub image_limit: u32,
    /// The most bytes that its images may have together.
    pub image_bytes_limit: u64,
    /// How many images it has, those that are still to be uploaded too. Changed by operations only.
    pub images: u32,
    /// How many bytes they have together. Changed by operations only.
    pub image_bytes: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub updated_at: Timestamp,
}

/// The model that a training starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseModel {
    /// Its id where it comes from, at most 128 bytes.
    pub id: String,
    /// Its name, at most 256 bytes.
    pub name: String,
    /// Where it is fetched from, at most 1,024 bytes.
    pub url: Option<String>,
    /// The name of its file, at most 256 bytes.
    pub filename: Option<String>,
    /// Its family, such as `SDXL`; at most 64 bytes.
    #[serde(rename = "type")]
    pub family: String,
}
document!(BaseModel);

/// The table of [`Training`].
pub static TRAININGS: Table = Table::new(
    "trainings",
    &[
        Column::uuid("id"),
        Column::uuid("owner_id").immutable(),
        Column::text("name", 256),
        Column::json("config", 65_536),
        Column::text("trigger_word", 64),
        Column::json("base_model", 4096).nullable(),
        Column::int("image_limit"),
        Column::int("image_bytes_limit"),
        Column::int("images").counter().default(Fixed::Int(0)),
        Column::int("image_bytes").counter().default(Fixed::Int(0)),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.references(&[Reference::new("trainings_owner", &["owner_id"], "users")])
.invariants(&[
    Invariant::at_least("trainings_image_limit_not_negative", "image_limit", 0),
    Invariant::at_least("trainings_image_bytes_limit_not_negative", "image_bytes_limit", 0),
    Invariant::at_least("trainings_images_not_negative", "images", 0),
    Invariant::at_least("trainings_image_bytes_not_negative", "image_bytes", 0),
])
.ceilings(&[
    Ceiling::column("image_limit", "images", "image_limit"),
    Ceiling::column("image_bytes_limit", "image_bytes", "image_bytes_limit"),
]);

entity!(Training, "training", TRAININGS {
    fixed: id, owner_id, created_at;
    plain: name, config, trigger_word, base_model, image_limit, image_bytes_limit, updated_at;
    counters: images, image_bytes;
});

/// Which trainings a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainingFilter {
    /// Only those of this user.
    pub owner_id: Option<UserId>,
}

/// Where [`Training`]s are kept. They are made, edited and deleted by operations.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TrainingRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: TrainingId) -> Result<Option<Entry<Training>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: TrainingId) -> Result<Entry<Training>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(Training::KIND, id))
    }

    /// A page, in the order of ids.
    async fn list(&self, filter: TrainingFilter, page: PageRequest) -> Result<ListPage<Training>>;
}

#[async_trait]
impl TrainingRepository for Repositories {
    async fn get(&self, id: TrainingId) -> Result<Option<Entry<Training>>> {
        self.get_entry(id).await
    }

    async fn list(&self, filter: TrainingFilter, page: PageRequest) -> Result<ListPage<Training>> {
        let scan = match filter.owner_id {
            Some(owner) => Scan::of(&TRAININGS).by("trainings_owner").with(owner),
            None => Scan::of(&TRAININGS),
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`Training`]s.
    pub fn trainings(&self) -> &dyn TrainingRepository {
        self
    }
}
