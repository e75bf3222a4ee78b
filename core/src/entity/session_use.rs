//! When a session was last used: [`SessionUse`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::session::SessionId;
use crate::store::{Column, Reference, Table};
use crate::time::Timestamp;

/// When a session was last used, as coarsely as [`SessionPolicy`](crate::identity::SessionPolicy) says. It stays out
/// of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionUse {
    /// The session.
    pub session_id: SessionId,
    /// When it was last used.
    pub last_used_at: Timestamp,
}

/// The table of [`SessionUse`].
pub static SESSION_USES: Table = Table::new(
    "session_uses",
    &[Column::uuid("session_id"), Column::time("last_used_at").counter()],
    &["session_id"],
)
.references(&[Reference::new("session_uses_session", &["session_id"], "sessions")])
.quiet();

entity!(SessionUse, "session_use", SESSION_USES {
    fixed: session_id;
    counters: last_used_at;
});
