//! A container image on a node: [`Image`].

use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use super::text::text_enum;
use crate::id::Id;
use crate::store::{Column, Fixed, Index, Invariant, Reference, Table, Unique};
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
    /// The container runtime's id for it, at most 128 bytes; `None` until it is there.
    pub key: Option<String>,
    /// Where it is pulled from, at most 1,024 bytes.
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
        /// It is being pulled.
        Fetching = "fetching",
        /// It can be used.
        Ready = "ready",
        /// It could not be pulled.
        Failed = "failed",
    }
);

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
    plain: name, status, key, url, remote, size_mib, os_hint, description, published, native_timestamp, updated_at;
});
