//! How a source has done at an account: [`LoginThrottle`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::user::UserId;
use crate::store::{Column, Fixed, Index, Invariant, Reference, Table};
use crate::time::Timestamp;

/// How logins to an account from one source have gone. Strangers can drive it, so it stays out of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginThrottle {
    /// The account.
    pub user_id: UserId,
    /// The source: an IPv4 address, an IPv6 network of 64 bits, or `unknown`; at most 64 bytes.
    pub source: String,
    /// Wrong passwords from there since the last right one.
    pub failures: u32,
    /// When the last one was given.
    pub failed_at: Option<Timestamp>,
    /// When a login from there last succeeded.
    pub succeeded_at: Option<Timestamp>,
}

/// The table of [`LoginThrottle`].
pub static LOGIN_THROTTLES: Table = Table::new(
    "login_throttles",
    &[
        Column::uuid("user_id"),
        Column::text("source", 64),
        Column::int("failures").counter().default(Fixed::Int(0)),
        Column::time("failed_at").nullable().counter(),
        Column::time("succeeded_at").nullable().counter(),
    ],
    &["user_id", "source"],
)
.indexes(&[Index::new("login_throttles_failed_at", &["failed_at"])])
.references(&[Reference::new("login_throttles_user", &["user_id"], "users")])
.invariants(&[Invariant::at_least("login_throttles_not_negative", "failures", 0)])
.quiet();

entity!(LoginThrottle, "login_throttle", LOGIN_THROTTLES {
    fixed: user_id, source;
    counters: failures, failed_at, succeeded_at;
});
