//! A login through somebody else: [`Connection`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::text::Email;
use super::user::UserId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Reference, Scan, Table, Unique};
use crate::time::Timestamp;

/// The id of a [`Connection`].
pub type ConnectionId = Id<Connection>;

/// That a user may log in through an account at a provider.
///
/// Whoever makes or deletes one counts it in [`LoginWays`](super::LoginWays), in the same batch:
/// [`ControlPlane::link`](crate::ControlPlane::link) and [`unlink`](crate::ControlPlane::unlink). Here it can only be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The id, chosen by the caller.
    pub id: ConnectionId,
    /// Whose it is.
    pub user_id: UserId,
    /// The provider, such as `github`; 1 to 64 lower-case letters, digits, `-` and `_`.
    pub provider_name: String,
    /// The account there, at most 256 bytes.
    pub provider_id: String,
    /// The address that the provider gave, when it was linked.
    pub email: Option<Email>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The table of [`Connection`].
pub static CONNECTIONS: Table = Table::new(
    "connections",
    &[
        Column::uuid("id"),
        Column::uuid("user_id").immutable(),
        Column::text("provider_name", 64).immutable(),
        Column::text("provider_id", 256).immutable(),
        Column::text("email", 100).nullable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.uniques(&[Unique::new("connections_provider", &["provider_name", "provider_id"])])
.references(&[Reference::new("connections_user", &["user_id"], "users")]);

entity!(Connection, "connection", CONNECTIONS {
    fixed: id, user_id, provider_name, provider_id, created_at;
    plain: email, updated_at;
});

/// Which connections a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionFilter {
    /// Only those of this user.
    pub user_id: Option<UserId>,
}

/// Where [`Connection`]s are kept.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ConnectionRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: ConnectionId) -> Result<Option<Entry<Connection>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: ConnectionId) -> Result<Entry<Connection>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(Connection::KIND, id))
    }

    /// The one of an account at a provider.
    async fn find(&self, provider_name: &str, provider_id: &str) -> Result<Option<Entry<Connection>>>;

    /// A page, in the order of ids.
    async fn list(&self, filter: ConnectionFilter, page: PageRequest) -> Result<ListPage<Connection>>;
}

#[async_trait]
impl ConnectionRepository for Repositories {
    async fn get(&self, id: ConnectionId) -> Result<Option<Entry<Connection>>> {
        self.get_entry(id).await
    }

    async fn find(&self, provider_name: &str, provider_id: &str) -> Result<Option<Entry<Connection>>> {
        let scan = Scan::of(&CONNECTIONS).by("connections_provider");
        self.find_entry(scan.with(provider_name).with(provider_id)).await
    }

    async fn list(&self, filter: ConnectionFilter, page: PageRequest) -> Result<ListPage<Connection>> {
        let scan = Scan::of(&CONNECTIONS);
        let scan = match filter.user_id {
            Some(user) => scan.by("connections_user").with(user),
            None => scan,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`Connection`]s.
    pub fn connections(&self) -> &dyn ConnectionRepository {
        self
    }
}
