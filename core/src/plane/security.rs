//! What every change of who may do what has in common.
//!
//! The revision of a user's access row is the epoch of their security: whatever lets somebody in, or lets them do something,
//! guards it, and whatever takes something away raises it. So a login that was decided before a password was changed, or a
//! role taken, is refused by the store and decided again.

use crate::entity::{SESSION_USES, SESSIONS, USER_ACCESS, UserId};
use crate::error::Result;
use crate::store::{MAX_PAGE, Query, Row, Scan, Write};

/// The sessions of a user. There are never more than a page of them.
pub(super) fn sessions_of(user: UserId) -> Query {
    Query::Scan(Scan::of(&SESSIONS).by("sessions_user").with(user).limit(MAX_PAGE))
}

/// The writes that end sessions.
pub(super) fn ended<'r>(sessions: impl IntoIterator<Item = &'r Row>) -> impl Iterator<Item = Write> {
    sessions.into_iter().flat_map(|session| {
        // The row of its use is only ever patched, so its revision is the first.
        let used = Write::delete(&SESSION_USES, session.key(), 1);
        [used, Write::delete(&SESSIONS, session.key(), session.revision())]
    })
}

/// The write that raises the epoch: what was authorized under the old one is decided again.
pub(super) fn next_epoch(access: &Row) -> Result<Write> {
    let state = access.text("state")?.to_owned();
    Ok(Write::update(&USER_ACCESS, access.key(), access.revision(), vec![("state", state.into())]))
}
