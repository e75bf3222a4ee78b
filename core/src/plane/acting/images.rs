//! What is done to images on behalf of a caller.

use super::{Acting, Thing};
use crate::access::Operation;
use crate::entity::{Entry, Image, ImageId};
use crate::error::Result;
use crate::plane::{NewImage, SaveImageRequest};

impl Acting {
    /// See [`ControlPlane::fetch_image`](crate::ControlPlane::fetch_image): for who owns the node or has a grant of it. It is the
    /// caller who fetches it.
    pub async fn fetch_image(&self, request: NewImage) -> Result<Entry<Image>> {
        let request = &NewImage { user: self.caller().user().or(request.user), ..request };
        self.run(Operation::CreateImage, Thing::Node(request.node), |plane| async move {
            plane.fetch_image(request.clone()).await
        })
        .await
    }

    /// See [`ControlPlane::save_image`](crate::ControlPlane::save_image): for who may operate the instance, and create images on its
    /// node.
    pub async fn save_image(&self, request: SaveImageRequest) -> Result<Entry<Image>> {
        let instance = Thing::Instance(request.instance);
        let mut asked = vec![(Operation::SaveImage, instance)];
        let Some(kept) = self.plane.repositories.instances().get(request.instance).await? else {
            // Refused, and noted, in the order in which one that may not be seen is.
            return self.run_all(&asked, |_| async { Err(instance.not_found()) }).await;
        };
        asked.push((Operation::CreateImage, Thing::Node(kept.last_node_id)));
        let request = &request;
        self.run_all(&asked, |plane| async move { plane.save_image(request.clone()).await }).await
    }

    /// See [`ControlPlane::publish_image`](crate::ControlPlane::publish_image).
    pub async fn publish_image(&self, image: ImageId) -> Result<Entry<Image>> {
        self.run(Operation::PublishImage, Thing::Image(image), |plane| async move {
            plane.publish_image(image).await
        })
        .await
    }

    /// See [`ControlPlane::unpublish_image`](crate::ControlPlane::unpublish_image). Who has a grant of it may not, since others
    /// use it.
    pub async fn unpublish_image(&self, image: ImageId) -> Result<Entry<Image>> {
        self.run(Operation::UnpublishImage, Thing::Image(image), |plane| async move {
            plane.unpublish_image(image).await
        })
        .await
    }

    /// See [`ControlPlane::delete_image`](crate::ControlPlane::delete_image).
    pub async fn delete_image(&self, image: ImageId) -> Result<()> {
        self.run(Operation::DeleteImage, Thing::Image(image), |plane| async move {
            plane.delete_image(image).await
        })
        .await
    }
}
