//! How far the audit trail is sealed: [`AuditHead`].

use serde::{Deserialize, Serialize};

use uuid::Uuid;

use super::field::entity;
use crate::store::{Column, Table};
use crate::time::Timestamp;

/// How far the audit trail is sealed, in the one row of its table. Count and hash are what is anchored outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// Always [`AuditHead::ID`].
    pub id: String,
    /// How many lines are sealed.
    pub count: i64,
    /// The hash of the last one, in hexadecimal; zeros before the first.
    pub hash: String,
    /// The position in the feed up to which lines are sealed.
    pub position: i64,
    /// The batch at that position.
    pub batch: Uuid,
    /// When it was last moved.
    pub sealed_at: Timestamp,
}

impl AuditHead {
    /// The key of the one row.
    pub const ID: &str = "audit";
}

/// The table of [`AuditHead`].
pub static AUDIT_HEADS: Table = Table::new(
    "audit_heads",
    &[
        Column::text("id", 16),
        Column::int("count"),
        Column::text("hash", 64),
        Column::int("position"),
        Column::uuid("batch"),
        Column::time("sealed_at"),
    ],
    &["id"],
)
.quiet();

entity!(AuditHead, "audit_head", AUDIT_HEADS {
    fixed: id;
    plain: count, hash, position, batch, sealed_at;
});
