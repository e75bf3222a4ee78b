//! What can be asked of trainings and their images.

use crate::entity::{BaseModel, MediaType, TrainingId, TrainingImageId, UserId};
use crate::error::Result;
use crate::store::Json;
use crate::training::{check_base_model, check_config, check_trigger_word};

/// A training to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewTraining {
    /// The id, where the caller chooses it so that the request can be repeated.
    pub id: Option<TrainingId>,
    /// Whose training it is, and whose limit it counts against.
    pub owner: UserId,
    /// The name, 1 to 256 bytes.
    pub name: String,
    /// What the trainer is told: a JSON object of at most 65,536 bytes, nested at most 32 deep. No secret belongs here.
    pub config: Json,
    /// The word that stands for what is learned: one word of 1 to 64 bytes.
    pub trigger_word: String,
    /// What the training starts from.
    pub base_model: Option<BaseModel>,
}

impl NewTraining {
    /// A training of this name and trigger word, with an empty configuration.
    pub fn new(owner: UserId, name: impl Into<String>, trigger_word: impl Into<String>) -> Self {
        Self {
            id: None,
            owner,
            name: name.into(),
            config: Json::empty(),
            trigger_word: trigger_word.into(),
            base_model: None,
        }
    }

    /// Chooses the id.
    pub fn id(mut self, id: TrainingId) -> Self {
        self.id = Some(id);
        self
    }

    /// Says what the trainer is told.
    pub fn config(mut self, config: Json) -> Self {
        self.config = config;
        self
    }

    /// Says what it starts from.
    pub fn base_model(mut self, model: BaseModel) -> Self {
        self.base_model = Some(model);
        self
    }
}

/// What is to be changed of a training; what is not given stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrainingEdit {
    /// The name.
    pub name: Option<String>,
    /// What the trainer is told.
    pub config: Option<Json>,
    /// The word that stands for what is learned. Captions that are there stay as they are.
    pub trigger_word: Option<String>,
    /// What the training starts from; `Some(None)` for nothing.
    pub base_model: Option<Option<BaseModel>>,
}

impl TrainingEdit {
    /// Changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Changes what the trainer is told.
    pub fn config(mut self, config: Json) -> Self {
        self.config = Some(config);
        self
    }

    /// Changes the trigger word.
    pub fn trigger_word(mut self, word: impl Into<String>) -> Self {
        self.trigger_word = Some(word.into());
        self
    }

    /// Changes what it starts from.
    pub fn base_model(mut self, model: impl Into<Option<BaseModel>>) -> Self {
        self.base_model = Some(model.into());
        self
    }
}

/// An image that somebody wants to upload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewTrainingImage {
    /// The id, where the caller chooses it so that the request can be repeated.
    pub id: Option<TrainingImageId>,
    /// The training.
    pub training: TrainingId,
    /// The name of the file: 1 to 255 bytes, no path; no two images of a training share one.
    pub name: String,
    /// What kind of file it is.
    pub media_type: MediaType,
    /// How large it is.
    pub size_bytes: u64,
}

impl NewTrainingImage {
    /// An image of a training.
    pub fn new(
        training: TrainingId,
        name: impl Into<String>,
        media_type: MediaType,
        size_bytes: u64,
    ) -> Self {
        Self { id: None, training, name: name.into(), media_type, size_bytes }
    }

    /// Chooses the id.
    pub fn id(mut self, id: TrainingImageId) -> Self {
        self.id = Some(id);
        self
    }
}

/// Refuses what a training cannot be made of; its name is a [`DisplayName`](crate::entity::DisplayName) already.
pub(super) fn check_content(config: &Json, trigger_word: &str, base_model: Option<&BaseModel>) -> Result<()> {
    check_config(config)?;
    check_trigger_word(trigger_word)?;
    base_model.map_or(Ok(()), check_base_model)
}
