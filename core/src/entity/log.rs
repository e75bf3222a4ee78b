//! Who did what: [`Log`].

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::field::entity;
use super::user::UserId;
use crate::id::Id;
use crate::store::{Column, Index, Table};
use crate::time::Timestamp;

/// The id of a [`Log`].
pub type LogId = Id<Log>;

/// One line of the audit trail: who did what to what.
///
/// It refers to nothing, so that it outlives what it tells of, and is never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The id, chosen by the caller.
    pub id: LogId,
    /// The operation, at most 64 bytes.
    pub title: String,
    /// What it did, at most 4,096 bytes.
    pub description: Option<String>,
    /// The machine that it came from, at most 256 bytes.
    pub host: Option<String>,
    /// The address that it came from.
    pub ip: Option<IpAddr>,
    /// The user who did it.
    pub actor_id: Option<UserId>,
    /// The kind of thing that it was done to, such as `instance`; at most 32 bytes.
    pub subject_kind: Option<String>,
    /// The id of that thing.
    pub subject_id: Option<Uuid>,
    /// When it was done.
    pub timestamp: Timestamp,
}

/// The table of [`Log`].
pub static LOGS: Table = Table::new(
    "logs",
    &[
        Column::uuid("id"),
        Column::text("title", 64).immutable(),
        Column::text("description", 4096).nullable().immutable(),
        Column::text("host", 256).nullable().immutable(),
        Column::text("ip", 45).nullable().immutable(),
        Column::uuid("actor_id").nullable().immutable(),
        Column::text("subject_kind", 32).nullable().immutable(),
        Column::uuid("subject_id").nullable().immutable(),
        Column::time("timestamp").immutable(),
    ],
    &["id"],
)
.indexes(&[Index::new("logs_timestamp", &["timestamp"]), Index::new("logs_subject", &["subject_id"])]);

entity!(Log, "log", LOGS {
    fixed: id, title, description, host, ip, actor_id, subject_kind, subject_id, timestamp;
});
