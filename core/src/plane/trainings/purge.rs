//! Images that were announced and never uploaded.

use std::ops::Bound::{Included, Unbounded};

use super::super::ControlPlane;
use super::super::retry::lost_race;
use crate::entity::{Entity as _, TRAINING_IMAGES, TrainingImage, entry};
use crate::error::{Error, Result};
use crate::store::{MAX_PAGE, Scan, StoreExt as _};

impl ControlPlane {
    /// Deletes images that were announced and not uploaded in time, at most `limit` of them, and gives their training back what
    /// they counted; answers those that are gone, whose files the host removes where there are any. Any number of processes may
    /// do this at the same time.
    #[tracing::instrument(skip(self))]
    pub async fn purge_uploads(&self, limit: usize) -> Result<Vec<TrainingImage>> {
        let (mut purged, mut after) = (Vec::new(), None);
        while purged.len() < limit {
            let now = self.store.read(Vec::new()).await?.now;
            // An image that was uploaded has no end, and is none of them.
            let over = Scan::of(&TRAINING_IMAGES).by("training_images_upload_until");
            let over = over.range(Unbounded, Included(now.into())).after(after);
            let left = u32::try_from(limit - purged.len()).unwrap_or(MAX_PAGE).min(MAX_PAGE);
            let page = self.store.scan(over.limit(left)).await?.value;
            let (mut images, mut batches) = (Vec::new(), Vec::new());
            for row in &page.rows {
                let kept = entry::<TrainingImage>(row)?;
                batches.push(self.without_image("training_image.purge", &kept, now));
                images.push(kept.value);
            }
            for (image, answer) in images.into_iter().zip(self.store.commit_many(batches).await) {
                match answer {
                    Ok(_) => purged.push(image),
                    // It was uploaded or deleted meanwhile, or another process was faster.
                    Err(error) if lost_race(&error) => {}
                    Err(error) => return Err(Error::of_store(TrainingImage::KIND, error)),
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(purged)
    }
}
