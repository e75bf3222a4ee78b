//! The images of a machine.

use super::{ControlPlane, Reconciled, Report};
use crate::entity::{Entity as _, IMAGES, Image, ImageEvent, ImageStatus};
use crate::error::Result;
use crate::machine::{FoundImage, ImageChange, KnownImage, match_images};
use crate::store::{Scan, Write};
use crate::time::Timestamp;

impl ControlPlane {
    pub(super) async fn take_images(
        &self,
        report: Report<'_>,
        found: &[FoundImage],
        reconciled: &mut Reconciled,
    ) -> Result<()> {
        let mut retry = self.report_retry();
        loop {
            let now = self.still_speaks(report.node, report.session).await?;
            let of_node = Scan::of(&IMAGES).by("images_node").with(report.node);
            let known = self.known::<Image>(of_node).await?;
            let judged: Vec<KnownImage<'_>> = known
                .iter()
                .map(|(_, image)| KnownImage {
                    key: image.key.as_deref(),
                    url: image.url.as_deref(),
                    status: image.status,
                    open: image.command_id.is_some(),
                    newer: image.updated_at >= report.inventory.taken_at,
                })
                .collect();
            let (changes, new) = match_images(&judged, found);
            let mut batches = Vec::new();
            for ((row, image), change) in known.iter().zip(changes) {
                let after = match change {
                    ImageChange::Nothing => continue,
                    ImageChange::Gone => {
                        Image { status: image.status.on(ImageEvent::SeenGone)?, ..image.clone() }
                    }
                    ImageChange::Is(at) => match found.get(at) {
                        Some(found) => there(image, found)?,
                        None => continue,
                    },
                };
                if after != *image {
                    let after = Image { updated_at: now, ..after };
                    let write = Write::update(&IMAGES, image.id, row.revision(), after.plain());
                    batches.push(self.report_batch(report, now).with(write));
                }
            }
            for found in new.iter().filter_map(|at| found.get(*at)) {
                let taken = |url: &String| known.iter().any(|(_, image)| image.url.as_ref() == Some(url));
                let image = self.found_image(report, found, now);
                // What has its URL is another image by now.
                let image = Image { url: image.url.filter(|url| !taken(url)), ..image };
                batches.push(self.report_batch(report, now).with(Write::Insert(image.to_row())));
            }
            let count = batches.len();
            let lost = self.commit_all(batches).await?;
            reconciled.changed += count - lost;
            if lost == 0 {
                return Ok(());
            }
            retry.again().await?;
        }
    }

    fn found_image(&self, report: Report<'_>, found: &FoundImage, now: Timestamp) -> Image {
        Image {
            id: self.new_id().into(),
            node_id: report.node,
            name: found.name.clone(),
            status: ImageStatus::Ready,
            command_id: None,
            key: Some(found.key.clone()),
            url: found.url.clone(),
            remote: None,
            size_mib: found.size_mib,
            os_hint: None,
            description: None,
            published: false,
            native_timestamp: now,
            created_at: now,
            updated_at: now,
        }
    }
}

/// An image that was found: whoever published it has published it.
fn there(image: &Image, found: &FoundImage) -> Result<Image> {
    Ok(Image {
        status: image.status.on(ImageEvent::SeenReady)?,
        key: Some(found.key.clone()),
        size_mib: found.size_mib.or(image.size_mib),
        ..image.clone()
    })
}
