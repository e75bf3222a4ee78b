//! How often a login has failed: [`LoginRetries`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::user::UserId;
use crate::store::{Column, Fixed, Invariant, Reference, Table};

/// How often a user's login has failed since the last one that did not.
///
/// Strangers can drive this counter, so it has a row of its own: no guess at a password disturbs the user's work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRetries {
    /// The user.
    pub user_id: UserId,
    /// Failed logins since the last good one.
    pub retry_count: u32,
}

/// The table of [`LoginRetries`].
pub static LOGIN_RETRIES: Table = Table::new(
    "login_retries",
    &[Column::uuid("user_id"), Column::int("retry_count").counter().default(Fixed::Int(0))],
    &["user_id"],
)
.references(&[Reference::new("login_retries_user", &["user_id"], "users")])
.invariants(&[Invariant::at_least("login_retries_not_negative", "retry_count", 0)]);

entity!(LoginRetries, "login_retries", LOGIN_RETRIES {
    fixed: user_id;
    counters: retry_count;
});
