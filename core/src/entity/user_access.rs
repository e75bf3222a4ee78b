//! Whether a user may act: [`UserAccess`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::text::text_enum;
use super::user::UserId;
use crate::store::{Column, Invariant, Reference, Table};

/// Whether a user may act: the row that every operation on the user's behalf guards.
///
/// It is apart from the profile, so that changing a name conflicts with no launch, and suspending conflicts with
/// all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserAccess {
    /// The user.
    pub user_id: UserId,
    /// Whether the user may act.
    pub state: AccessState,
}

text_enum!(
    /// Whether a user may act.
    AccessState, "state" {
        /// The user may act.
        Active = "active",
        /// The user may do nothing; what the user has stays.
        Suspended = "suspended",
    }
);

/// The table of [`UserAccess`].
pub static USER_ACCESS: Table =
    Table::new("user_access", &[Column::uuid("user_id"), Column::text("state", 32)], &["user_id"])
        .references(&[Reference::new("user_access_user", &["user_id"], "users")])
        .invariants(&[Invariant::one_of("user_access_state", "state", AccessState::TEXTS)]);

entity!(UserAccess, "user_access", USER_ACCESS {
    fixed: user_id;
    plain: state;
});
