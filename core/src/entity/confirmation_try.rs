//! How often a confirmation code was tried: [`ConfirmationTry`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::user::UserId;
use crate::store::{Column, Fixed, Invariant, Reference, Table};

/// How often the code that confirms a user's address was tried. Strangers can drive it, so it has a row of its own,
/// out of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmationTry {
    /// The user.
    pub user_id: UserId,
    /// Wrong codes since the code was made.
    pub attempts: u32,
}

/// The table of [`ConfirmationTry`].
pub static CONFIRMATION_TRIES: Table = Table::new(
    "confirmation_tries",
    &[Column::uuid("user_id"), Column::int("attempts").counter().default(Fixed::Int(0))],
    &["user_id"],
)
.references(&[Reference::new("confirmation_tries_user", &["user_id"], "users")])
.invariants(&[Invariant::at_least("confirmation_tries_not_negative", "attempts", 0)])
.quiet();

entity!(ConfirmationTry, "confirmation_try", CONFIRMATION_TRIES {
    fixed: user_id;
    counters: attempts;
});
