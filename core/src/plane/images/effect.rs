//! What becomes of an image by the command for it.

use serde::{Deserialize, Serialize};

use super::ControlPlane;
use crate::entity::{Command, CommandEvent, Entity as _, IMAGES, Image, ImageEvent, ImageId, ImageStatus};
use crate::error::{Error, Result};
use crate::plane::CommandOutcome;
use crate::plane::commands::superseded;
use crate::store::{Batch, Scan, StoreExt as _, Write};
use crate::time::Timestamp;

/// What an agent says of an image that it has fetched, or saved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LoadedImage {
    /// The container runtime's id for it, 1 to 128 bytes.
    pub key: String,
    /// Its size in MiB.
    #[serde(default)]
    pub size_mib: Option<u32>,
    /// The operating system in it, such as `ubuntu`; at most 64 bytes.
    #[serde(default)]
    pub os_hint: Option<String>,
}

impl LoadedImage {
    /// An image that the container runtime calls so.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    /// Says how large it is.
    pub const fn size_mib(mut self, size: u32) -> Self {
        self.size_mib = Some(size);
        self
    }

    fn parse(text: &str) -> Result<Self> {
        let loaded: Self = serde_json::from_str(text)
            .map_err(|error| Error::invalid("result", format!("it is not what was loaded: {error}")))?;
        if loaded.key.is_empty() || loaded.key.len() > 128 {
            return Err(Error::invalid("result.key", "1 to 128 bytes are expected"));
        }
        Ok(loaded)
    }
}

impl CommandOutcome {
    /// That an image was loaded, or saved: the answer to [`CommandKind::LoadImage`](crate::entity::CommandKind::LoadImage) and
    /// [`CommandKind::SaveImage`](crate::entity::CommandKind::SaveImage).
    ///
    /// # Errors
    /// `Invalid` where it cannot be written down.
    pub fn loaded(image: &LoadedImage) -> Result<Self> {
        serde_json::to_string(image)
            .map(Self::Done)
            .map_err(|error| Error::invalid("result", error.to_string()))
    }
}

impl ControlPlane {
    /// Adds what becomes of an image by the command that it waits for. An image that is gone is left alone, and nothing is tried
    /// again for it.
    pub(in crate::plane) async fn image_effect(
        &self,
        batch: &mut Batch,
        command: &Command,
        event: CommandEvent,
        now: Timestamp,
    ) -> Result<()> {
        let Some(id) = command.subject_id.map(ImageId::new) else { return Ok(()) };
        if matches!(event, CommandEvent::Lease | CommandEvent::GiveBack) {
            return Ok(());
        }
        let loaded = match event {
            CommandEvent::Complete => Some(LoadedImage::parse(command.result.as_deref().unwrap_or(""))?),
            _ => None,
        };
        let Some(row) = self.store.get(&IMAGES, id).await?.value else {
            return if event == CommandEvent::Retry { Err(superseded()) } else { Ok(()) };
        };
        let mut image = Image::from_row(&row)?;
        if event == CommandEvent::Retry {
            if image.command_id.is_some() || image.status != ImageStatus::Failed {
                return Err(superseded());
            }
            (image.status, image.command_id) = (image.status.on(ImageEvent::Fetch)?, Some(command.id));
        } else if image.command_id == Some(command.id) {
            image.command_id = None;
            match loaded {
                Some(loaded) => self.become_ready(&mut image, loaded).await?,
                None => image.status = image.status.on(ImageEvent::Fail)?,
            }
        } else {
            return Ok(());
        }
        image.updated_at = now;
        batch.push(Write::update(&IMAGES, id, row.revision(), image.plain()));
        Ok(())
    }

    /// Makes an image what was loaded; where another image of the node is just that, this one has failed.
    async fn become_ready(&self, image: &mut Image, loaded: LoadedImage) -> Result<()> {
        let of_key = Scan::of(&IMAGES).by("images_node_key").with(image.node_id).with(loaded.key.as_str());
        let same = self.store.scan(of_key.limit(1)).await?.value.rows;
        if same.iter().any(|other| other.key() != image.id.into()) {
            image.status = image.status.on(ImageEvent::Fail)?;
            return Ok(());
        }
        image.status = image.status.on(ImageEvent::Load)?;
        image.key = Some(loaded.key);
        image.size_mib = loaded.size_mib.or(image.size_mib);
        image.os_hint = loaded.os_hint.or_else(|| image.os_hint.take());
        Ok(())
    }
}
