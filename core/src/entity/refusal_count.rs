//! How often something was refused: [`RefusalCount`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::log::LogId;
use crate::store::{Column, Fixed, Invariant, Table};

/// How many refusals one line of the audit trail stands for: those of one actor and action within a minute. It
/// stays out of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalCount {
    /// The line.
    pub log_id: LogId,
    /// How many.
    pub refusals: u32,
}

/// The table of [`RefusalCount`].
pub static REFUSAL_COUNTS: Table = Table::new(
    "refusal_counts",
    &[Column::uuid("log_id"), Column::int("refusals").counter().default(Fixed::Int(0))],
    &["log_id"],
)
.invariants(&[Invariant::at_least("refusal_counts_not_negative", "refusals", 0)])
.quiet();

entity!(RefusalCount, "refusal_count", REFUSAL_COUNTS {
    fixed: log_id;
    counters: refusals;
});
