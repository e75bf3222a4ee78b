//! Who may use an image: [`ManagedImage`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use super::image::ImageId;
use super::user::UserId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Reference, Scan, Table, Test, Unique};
use crate::time::Timestamp;

/// The id of a [`ManagedImage`].
pub type ManagedImageId = Id<ManagedImage>;

/// A grant: that a user may use, publish and delete an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedImage {
    /// The id, chosen by the caller.
    pub id: ManagedImageId,
    /// Who may use it.
    pub user_id: UserId,
    /// The node that the image is on.
    pub node_id: NodeId,
    /// The image.
    pub image_id: ImageId,
    /// Who granted it. No reference: the grant outlives them.
    pub granted_by: Option<UserId>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The table of [`ManagedImage`].
pub static MANAGED_IMAGES: Table = Table::new(
    "managed_images",
    &[
        Column::uuid("id"),
        Column::uuid("user_id").immutable(),
        Column::uuid("node_id").immutable(),
        Column::uuid("image_id").immutable(),
        Column::uuid("granted_by").nullable().immutable(),
        Column::time("expires_at").nullable(),
        Column::time("created_at").immutable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("managed_images_user_image", &["user_id", "image_id"])])
.references(&[
    Reference::new("managed_images_user", &["user_id"], "users"),
    Reference::new("managed_images_node", &["node_id"], "compute_nodes"),
    Reference::new("managed_images_image", &["image_id"], "images"),
]);

entity!(ManagedImage, "managed_image", MANAGED_IMAGES {
    fixed: id, user_id, node_id, image_id, granted_by, created_at;
    plain: expires_at;
});

/// Which grants a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagedImageFilter {
    /// Only those to this user.
    pub user_id: Option<UserId>,
    /// Only those on this image.
    pub image_id: Option<ImageId>,
}

/// Where [`ManagedImage`]s are kept.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ManagedImageRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: ManagedImageId) -> Result<Option<Entry<ManagedImage>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: ManagedImageId) -> Result<Entry<ManagedImage>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(ManagedImage::KIND, id))
    }

    /// The grant that lets a user use an image.
    async fn find(&self, user: UserId, image: ImageId) -> Result<Option<Entry<ManagedImage>>>;

    /// Keeps a new one. The same one again is answered with the one that is there; a second grant of one image to
    /// one user is `AlreadyExists`. Whether the image is on that node is for the caller to know.
    async fn create(&self, value: ManagedImage) -> Result<Entry<ManagedImage>>;

    /// Deletes the one that still has this revision.
    async fn delete(&self, id: ManagedImageId, revision: i64) -> Result<()>;

    /// A page: a user's in the order of images, otherwise in the order of ids.
    async fn list(&self, filter: ManagedImageFilter, page: PageRequest) -> Result<ListPage<ManagedImage>>;
}

#[async_trait]
impl ManagedImageRepository for Repositories {
    async fn get(&self, id: ManagedImageId) -> Result<Option<Entry<ManagedImage>>> {
        self.get_entry(id).await
    }

    async fn find(&self, user: UserId, image: ImageId) -> Result<Option<Entry<ManagedImage>>> {
        let scan = Scan::of(&MANAGED_IMAGES).by("managed_images_user_image");
        self.find_entry(scan.with(user).with(image)).await
    }

    async fn create(&self, value: ManagedImage) -> Result<Entry<ManagedImage>> {
        self.create_entry(value.id.into(), value).await
    }

    async fn delete(&self, id: ManagedImageId, revision: i64) -> Result<()> {
        self.delete_entry::<ManagedImage>(id.into(), revision).await
    }

    async fn list(&self, filter: ManagedImageFilter, page: PageRequest) -> Result<ListPage<ManagedImage>> {
        let scan = Scan::of(&MANAGED_IMAGES);
        let scan = match (filter.user_id, filter.image_id) {
            (Some(user), None) => scan.by("managed_images_user_image").with(user),
            (None, Some(image)) => scan.by("managed_images_image").with(image),
            (Some(user), Some(image)) => {
                scan.by("managed_images_image").with(image).test(Test::eq("user_id", user))
            }
            (None, None) => scan,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`ManagedImage`]s.
    pub fn managed_images(&self) -> &dyn ManagedImageRepository {
        self
    }
}
