//! What seals a line of the audit trail: [`LogSeal`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::log::LogId;
use crate::store::{Column, Invariant, Table, Unique};

/// A link of the hash chain over the audit trail, in the order of the feed. It refers to nothing: it must outlive
/// what it seals, to show that it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSeal {
    /// Its place in the chain, from 1.
    pub sequence: i64,
    /// The line that it seals.
    pub log_id: LogId,
    /// The position in the feed of the record that wrote the line.
    pub position: i64,
    /// SHA-256 of the hash before it and of the line, in hexadecimal.
    pub hash: String,
}

/// The table of [`LogSeal`].
pub static LOG_SEALS: Table = Table::new(
    "log_seals",
    &[
        Column::int("sequence"),
        Column::uuid("log_id").immutable(),
        Column::int("position").immutable(),
        Column::text("hash", 64).immutable(),
    ],
    &["sequence"],
)
.uniques(&[Unique::new("log_seals_log", &["log_id"])])
.invariants(&[Invariant::at_least("log_seals_sequence_positive", "sequence", 1)])
.quiet();

entity!(LogSeal, "log_seal", LOG_SEALS {
    fixed: sequence, log_id, position, hash;
});
