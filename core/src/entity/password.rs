//! How a user proves who they are by a word: [`Password`].

use async_trait::async_trait;
use serde::Serialize;

use super::field::entity;
use super::text::SecretText;
use super::user::UserId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::store::{Column, Reference, Scan, Table};
use crate::time::Timestamp;

/// The password of a user, as one PHC string: algorithm, parameters, salt and hash.
///
/// It is set and checked by the operations of [`ControlPlane`](crate::ControlPlane), which also count the ways in
/// that a user has; here it can only be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Password {
    /// Whose it is.
    pub user_id: UserId,
    /// The PHC string, at most 256 bytes.
    #[serde(skip)]
    pub hash: SecretText,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The table of [`Password`].
pub static PASSWORDS: Table = Table::new(
    "passwords",
    &[Column::uuid("user_id"), Column::text("hash", 256).secret(), Column::time("updated_at")],
    &["user_id"],
)
.references(&[Reference::new("passwords_user", &["user_id"], "users")]);

entity!(Password, "password", PASSWORDS {
    fixed: user_id;
    plain: hash, updated_at;
});

/// Where [`Password`]s are kept.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait PasswordRepository: Send + Sync {
    /// The one of this user.
    async fn get(&self, user_id: UserId) -> Result<Option<Entry<Password>>>;

    /// The one of this user, or `NotFound`.
    async fn require(&self, user_id: UserId) -> Result<Entry<Password>> {
        self.get(user_id).await?.ok_or_else(|| Error::not_found(Password::KIND, user_id))
    }

    /// A page, in the order of users.
    async fn list(&self, page: PageRequest) -> Result<ListPage<Password>>;
}

#[async_trait]
impl PasswordRepository for Repositories {
    async fn get(&self, user_id: UserId) -> Result<Option<Entry<Password>>> {
        self.get_entry(user_id).await
    }

    async fn list(&self, page: PageRequest) -> Result<ListPage<Password>> {
        self.list_entries(Scan::of(&PASSWORDS), page).await
    }
}

impl Repositories {
    /// The repository of [`Password`]s.
    pub fn passwords(&self) -> &dyn PasswordRepository {
        self
    }
}
