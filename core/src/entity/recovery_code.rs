//! A second factor on paper: [`RecoveryCode`].

use serde::Serialize;

use super::field::entity;
use super::text::SecretText;
use super::user::UserId;
use crate::id::Id;
use crate::store::{Column, Reference, Table, Unique};
use crate::time::Timestamp;

/// The id of a [`RecoveryCode`].
pub type RecoveryCodeId = Id<RecoveryCode>;

/// A code that stands in for an authenticator once: its row is deleted when it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecoveryCode {
    /// The id, chosen by the caller.
    pub id: RecoveryCodeId,
    /// Whose it is.
    pub user_id: UserId,
    /// A keyed hash of the code, in hexadecimal.
    #[serde(skip)]
    pub hash: SecretText,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The table of [`RecoveryCode`].
pub static RECOVERY_CODES: Table = Table::new(
    "recovery_codes",
    &[
        Column::uuid("id"),
        Column::uuid("user_id").immutable(),
        Column::text("hash", 64).secret(),
        Column::time("created_at").immutable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("recovery_codes_hash", &["hash"])])
.references(&[Reference::new("recovery_codes_user", &["user_id"], "users")]);

entity!(RecoveryCode, "recovery_code", RECOVERY_CODES {
    fixed: id, user_id, created_at;
    plain: hash;
});
