//! Who uses the cloud: [`User`].

use serde::Serialize;

use super::field::entity;
use super::text::{DisplayName, Email, SecretText, text_enum};
use crate::id::Id;
use crate::store::{Column, Fixed, Invariant, Table, Unique};
use crate::time::Timestamp;

/// The id of a [`User`].
pub type UserId = Id<User>;

/// A person or a program that uses the cloud.
///
/// What stands apart from it, each in a row of its own so that writers do not disturb one another: whether it may
/// act ([`UserAccess`](super::UserAccess)), failed logins ([`LoginRetries`](super::LoginRetries)), limits and use
/// ([`Quota`](super::Quota)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// The id, chosen by the caller.
    pub id: UserId,
    /// How the user is called.
    pub name: DisplayName,
    /// A phone number, at most 32 bytes.
    pub phone: Option<String>,
    /// What the user logs in with; no two users share one.
    pub email: Email,
    /// What the user may do.
    pub permission: UserPermission,
    /// Whether the e-mail address is confirmed.
    pub activated: bool,
    /// The hash of the token in a confirmation link, at most 128 bytes.
    #[serde(skip)]
    pub email_confirmation_hash: Option<SecretText>,
    /// When that link ends.
    pub email_confirmation_expires: Option<Timestamp>,
    /// The hash of a code that was sent to the user, at most 256 bytes.
    #[serde(skip)]
    pub code_confirmation: Option<SecretText>,
    /// When that code ends.
    pub code_confirmation_expires: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

text_enum!(
    /// What a user may do.
    UserPermission, "permission" {
        /// Everything, to everything.
        Administrator = "administrator",
        /// What an owner or a grant allows.
        User = "user",
    }
);

/// The table of [`User`].
pub static USERS: Table = Table::new(
    "users",
    &[
        Column::uuid("id"),
        Column::text("name", 256),
        Column::text("phone", 32).nullable(),
        Column::text("email", 100),
        Column::text("permission", 32),
        Column::bool("activated").default(Fixed::Bool(false)),
        Column::text("email_confirmation_hash", 128).nullable().secret(),
        Column::time("email_confirmation_expires").nullable(),
        Column::text("code_confirmation", 256).nullable().secret(),
        Column::time("code_confirmation_expires").nullable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.uniques(&[
    Unique::new("users_email", &["email"]),
    Unique::new("users_email_confirmation_hash", &["email_confirmation_hash"]),
])
.invariants(&[Invariant::one_of("users_permission", "permission", UserPermission::TEXTS)]);

entity!(User, "user", USERS {
    fixed: id, created_at;
    plain: name, phone, email, permission, activated, email_confirmation_hash, email_confirmation_expires,
        code_confirmation, code_confirmation_expires, updated_at;
});
