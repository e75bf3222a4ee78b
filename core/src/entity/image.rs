//! A container image on a node: [`Image`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::command::CommandId;
use super::compute_node::NodeId;
use super::field::entity;
use super::text::{text_enum, transitions};
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Fixed, Index, Invariant, Reference, Scan, Table, Test, Unique};
use crate::time::Timestamp;

/// The id of an [`Image`].
pub type ImageId = Id<Image>;

/// A container image on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The id, chosen by the caller.
    pub id: ImageId,
    /// The node that it is on.
    pub node_id: NodeId,
    /// Its name and tag, at most 256 bytes.
    pub name: Option<String>,
    /// Whether it is there yet.
    pub status: ImageStatus,
    /// The command that it waits for, one that is parked too; of another one nothing becomes of it.
    pub command_id: Option<CommandId>,
    /// The container runtime's id for it, at most 128 bytes; `None` until it is there.
    pub key: Option<String>,
    /// Where it is pulled from, at most 1,024 bytes; none for one that was saved of an instance.
    pub url: Option<String>,
    /// The registry that it came from, at most 256 bytes.
    pub remote: Option<String>,
    /// Its size in MiB.
    pub size_mib: Option<u32>,
    /// The operating system in it, such as `ubuntu`; at most 64 bytes.
    pub os_hint: Option<String>,
    /// At most 4,096 bytes.
    pub description: Option<String>,
    /// Whether everybody may use it.
    pub published: bool,
    /// When it was built.
    pub native_timestamp: Timestamp,
    /// When it was made known.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

text_enum!(
    /// Whether an image is on its node.
    ImageStatus, "status" {
        /// It is being pulled, or saved of an instance.
        Fetching = "fetching",
        /// It can be used.
        Ready = "ready",
        /// It could not be pulled, or saved.
        Failed = "failed",
    }
);

text_enum!(
    /// What happens to an image.
    ImageEvent, "event" {
        /// Its node's agent is asked to pull or save it, or to do so again.
        Fetch = "fetch",
        /// The agent has pulled it, or saved it.
        Load = "load",
        /// The agent could not, or was asked too often.
        Fail = "fail",
        /// A report has it.
        SeenReady = "seen_ready",
        /// A report of all images does not have it.
        SeenGone = "seen_gone",
    }
);

transitions!(
    /// The status after an event, or `WrongState` where it cannot happen.
    ImageStatus, ImageEvent, "image"
);

impl ImageStatus {
    const fn after(self, event: ImageEvent) -> Option<Self> {
        match (self, event) {
            (_, ImageEvent::Fetch) => Some(Self::Fetching),
            (Self::Fetching, ImageEvent::Load) | (_, ImageEvent::SeenReady) => Some(Self::Ready),
            (Self::Fetching, ImageEvent::Fail) | (Self::Ready, ImageEvent::SeenGone) => Some(Self::Failed),
            _ => None,
        }
    }
}

impl Image {
    /// Whether an agent is asked to fetch it, or to save it.
    pub const fn is_being_fetched(&self) -> bool {
        matches!(self.status, ImageStatus::Fetching) && self.command_id.is_some()
    }
}

/// The table of [`Image`].
pub static IMAGES: Table = Table::new(
    "images",
    &[
        Column::uuid("id"),
        Column::uuid("node_id").immutable(),
        Column::text("name", 256).nullable(),
        Column::text("status", 32),
        Column::text("key", 128).nullable(),
        Column::text("url", 1024).nullable(),
        Column::text("remote", 256).nullable(),
        Column::int("size_mib").nullable(),
        Column::text("os_hint", 64).nullable(),
        Column::text("description", 4096).nullable(),
        Column::bool("published").default(Fixed::Bool(false)),
        Column::time("native_timestamp"),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
        Column::uuid("command_id").nullable(),
    ],
    &["id"],
)
.uniques(&[
    Unique::new("images_node_key", &["node_id", "key"]),
    Unique::new("images_node_url", &["node_id", "url"]),
])
// The unique keys begin with the node too, but a list of them goes by id.
.indexes(&[Index::new("images_node", &["node_id"])])
.references(&[Reference::new("images_node", &["node_id"], "compute_nodes")])
.invariants(&[
    Invariant::one_of("images_status", "status", ImageStatus::TEXTS),
    Invariant::at_least("images_size_not_negative", "size_mib", 0),
]);

entity!(Image, "image", IMAGES {
    fixed: id, node_id, created_at;
    plain: name, status, command_id, key, url, remote, size_mib, os_hint, description, published, native_timestamp, updated_at;
});

/// Which images a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFilter {
    /// Only those on this node.
    pub node_id: Option<NodeId>,
    /// Only those that everybody may use, or those that not everybody may.
    pub published: Option<bool>,
}

/// Where [`Image`]s are kept.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ImageRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: ImageId) -> Result<Option<Entry<Image>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: ImageId) -> Result<Entry<Image>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(Image::KIND, id))
    }

    /// Keeps a new one. The same one again is answered with the one that is there; another one under its id, or
    /// with the key or the URL of another one on the node, is `AlreadyExists`.
    async fn create(&self, value: Image) -> Result<Entry<Image>>;

    /// Changes all but id, node and creation time of the one that still has this revision.
    async fn update(&self, value: Entry<Image>) -> Result<Entry<Image>>;

    /// Deletes the one that still has this revision; `StillUsed` while a live instance was made from it.
    async fn delete(&self, id: ImageId, revision: i64) -> Result<()>;

    /// A page, in the order of ids.
    async fn list(&self, filter: ImageFilter, page: PageRequest) -> Result<ListPage<Image>>;
}

#[async_trait]
impl ImageRepository for Repositories {
    async fn get(&self, id: ImageId) -> Result<Option<Entry<Image>>> {
        self.get_entry(id).await
    }

    async fn create(&self, value: Image) -> Result<Entry<Image>> {
        self.create_entry(value.id.into(), value).await
    }

    async fn update(&self, value: Entry<Image>) -> Result<Entry<Image>> {
        self.update_entry(value.id.into(), value.value, value.revision).await
    }

    async fn delete(&self, id: ImageId, revision: i64) -> Result<()> {
        self.delete_entry::<Image>(id.into(), revision).await
    }

    async fn list(&self, filter: ImageFilter, page: PageRequest) -> Result<ListPage<Image>> {
        let mut scan = match filter.node_id {
            Some(node) => Scan::of(&IMAGES).by("images_node").with(node),
            None => Scan::of(&IMAGES),
        };
        if let Some(published) = filter.published {
            scan = scan.test(Test::eq("published", published));
        }
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`Image`]s.
    pub fn images(&self) -> &dyn ImageRepository {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_allows_exactly_the_events_of_the_table() {
        use ImageStatus::{Failed, Fetching, Ready};
        const NO: Option<ImageStatus> = None;
        // fetch, load, fail, seen_ready, seen_gone
        let table = [
            (Fetching, [Some(Fetching), Some(Ready), Some(Failed), Some(Ready), NO]),
            (Ready, [Some(Fetching), NO, NO, Some(Ready), Some(Failed)]),
            (Failed, [Some(Fetching), NO, NO, Some(Ready), NO]),
        ];
        assert_eq!(table.map(|(status, _)| status), ImageStatus::ALL);
        for (status, row) in table {
            for (event, to) in ImageEvent::ALL.iter().zip(row) {
                assert_eq!(status.on(*event).ok(), to, "{status} on {event}");
            }
        }
    }
}
