//! A login that lasts: [`Session`].

use std::net::IpAddr;

use async_trait::async_trait;
use serde::Serialize;

use super::field::entity;
use super::session_use::SESSION_USES;
use super::text::{SecretText, text_enum};
use super::user::UserId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Index, Invariant, Reference, Scan, Table, Unique, Write};
use crate::time::Timestamp;

/// The id of a [`Session`].
pub type SessionId = Id<Session>;

/// What a user who has logged in holds: the hash of a token, which was given out once.
///
/// A session is good until `expires_at`, or until it has not been used for some time
/// ([`SessionUse`](super::SessionUse)), or until its row is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// The id, chosen by the caller.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// Whether the second factor has been given.
    pub state: SessionState,
    /// The SHA-256 of the token, in hexadecimal.
    #[serde(skip)]
    pub token_hash: SecretText,
    /// When it ends in any case: `expirationDate` in the diagram.
    pub expires_at: Timestamp,
    /// When the user last proved a second factor in it.
    pub verified_at: Option<Timestamp>,
    /// The address that it was made from.
    pub ip: Option<IpAddr>,
    /// What the user logged in with, such as a browser; at most 256 bytes.
    pub agent: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

text_enum!(
    /// Whether a session is one.
    SessionState, "state" {
        /// The password was right, and the second factor has not been given: good for giving it, and for nothing else.
        AwaitingSecondFactor = "awaiting_second_factor",
        /// The user is logged in.
        Full = "full",
    }
);

/// The table of [`Session`].
pub static SESSIONS: Table = Table::new(
    "sessions",
    &[
        Column::uuid("id"),
        Column::uuid("user_id").immutable(),
        Column::text("state", 32),
        Column::text("token_hash", 64).secret(),
        Column::time("expires_at"),
        Column::time("verified_at").nullable(),
        Column::text("ip", 45).nullable().immutable(),
        Column::text("agent", 256).nullable().immutable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.uniques(&[Unique::new("sessions_token_hash", &["token_hash"])])
.indexes(&[Index::new("sessions_expires_at", &["expires_at"])])
.references(&[Reference::new("sessions_user", &["user_id"], "users")])
.invariants(&[Invariant::one_of("sessions_state", "state", SessionState::TEXTS)]);

entity!(Session, "session", SESSIONS {
    fixed: id, user_id, ip, agent, created_at;
    plain: state, token_hash, expires_at, verified_at, updated_at;
});

/// Which sessions a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Only those of this user.
    pub user_id: Option<UserId>,
}

/// Where [`Session`]s are kept: made, and checked, by the operations.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SessionRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: SessionId) -> Result<Option<Entry<Session>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: SessionId) -> Result<Entry<Session>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(Session::KIND, id))
    }

    /// Ends the one that still has this revision.
    async fn delete(&self, id: SessionId, revision: i64) -> Result<()>;

    /// A page, in the order of ids.
    async fn list(&self, filter: SessionFilter, page: PageRequest) -> Result<ListPage<Session>>;
}

#[async_trait]
impl SessionRepository for Repositories {
    async fn get(&self, id: SessionId) -> Result<Option<Entry<Session>>> {
        self.get_entry(id).await
    }

    async fn delete(&self, id: SessionId, revision: i64) -> Result<()> {
        let batch = self.batch(&SESSIONS, "delete").with(Write::delete(&SESSION_USES, id, 1));
        self.commit::<Session>(batch.with(Write::delete(&SESSIONS, id, revision))).await
    }

    async fn list(&self, filter: SessionFilter, page: PageRequest) -> Result<ListPage<Session>> {
        let scan = Scan::of(&SESSIONS);
        let scan = match filter.user_id {
            Some(user) => scan.by("sessions_user").with(user),
            None => scan,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`Session`]s.
    pub fn sessions(&self) -> &dyn SessionRepository {
        self
    }
}
