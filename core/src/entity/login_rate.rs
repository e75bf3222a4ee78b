//! How often an account is tried: [`LoginRate`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::user::UserId;
use crate::store::{Column, Fixed, Invariant, Reference, Table};

/// How many guesses from sources that have never succeeded an account had in the current window. It stays out of
/// the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRate {
    /// The account.
    pub user_id: UserId,
    /// The window: the time divided by its length.
    pub window: i64,
    /// Guesses in it.
    pub tries: u32,
}

/// The table of [`LoginRate`].
pub static LOGIN_RATES: Table = Table::new(
    "login_rates",
    &[
        Column::uuid("user_id"),
        Column::int("window").counter().default(Fixed::Int(0)),
        Column::int("tries").counter().default(Fixed::Int(0)),
    ],
    &["user_id"],
)
.references(&[Reference::new("login_rates_user", &["user_id"], "users")])
.invariants(&[Invariant::at_least("login_rates_not_negative", "tries", 0)])
.quiet();

entity!(LoginRate, "login_rate", LOGIN_RATES {
    fixed: user_id;
    counters: window, tries;
});
