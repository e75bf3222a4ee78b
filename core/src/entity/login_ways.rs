//! How many ways in a user has: [`LoginWays`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::user::UserId;
use crate::store::{Column, Fixed, Invariant, Reference, Table};

/// How many ways in a user has: a password, and each connection. The last one is not taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginWays {
    /// The user.
    pub user_id: UserId,
    /// How many.
    pub ways: u32,
}

/// The table of [`LoginWays`].
pub static LOGIN_WAYS: Table = Table::new(
    "login_ways",
    &[Column::uuid("user_id"), Column::int("ways").counter().default(Fixed::Int(0))],
    &["user_id"],
)
.references(&[Reference::new("login_ways_user", &["user_id"], "users")])
.invariants(&[Invariant::at_least("login_ways_not_negative", "ways", 0)]);

entity!(LoginWays, "login_ways", LOGIN_WAYS {
    fixed: user_id;
    counters: ways;
});
