//! What every change of who may do what has in common.
//!
//! The revision of a user's access row is the epoch of their security: whatever lets somebody in, or lets them do something,
//! guards it, and whatever takes something away raises it. So a login that was decided before a password was changed, or a
//! role taken, is refused by the store and decided again.

use crate::entity::{
    SESSION_USES, SESSIONS, SecretText, SessionId, USER_ACCESS, UserId, VERIFICATION_TRIES, VERIFICATIONS,
    VerificationKind,
};
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

/// The writes that end every session but one, and raise the epoch.
pub(super) fn shut(sessions: &[Row], keep: Option<SessionId>, access: &Row) -> Result<Vec<Write>> {
    let is_kept = |session: &&Row| keep.is_some_and(|keep| session.key() == keep.into());
    let mut writes: Vec<Write> = ended(sessions.iter().filter(|session| !is_kept(session))).collect();
    writes.push(next_epoch(access)?);
    Ok(writes)
}

/// The verification of a target for a purpose.
pub(super) fn verification_of(target: &str, kind: VerificationKind) -> Query {
    Query::Scan(Scan::of(&VERIFICATIONS).by("verifications_target").with(target).with(kind.as_str()).limit(1))
}

/// The writes that forget a verification with its tries, whose row is only ever patched.
pub(super) fn forgotten(verification: &Row) -> [Write; 2] {
    let tries = Write::delete(&VERIFICATION_TRIES, verification.key(), 1);
    [tries, Write::delete(&VERIFICATIONS, verification.key(), verification.revision())]
}

/// A code as it was made, from what somebody has typed: capitals, spaces and hyphens do not matter.
pub(super) fn tidy(code: &SecretText) -> SecretText {
    let plain = |c: &char| !c.is_whitespace() && *c != '-';
    SecretText::new(
        code.expose().chars().filter(plain).map(|c| c.to_ascii_uppercase()).take(64).collect::<String>(),
    )
}

/// The write that raises the epoch: what was authorized under the old one is decided again.
pub(super) fn next_epoch(access: &Row) -> Result<Write> {
    let state = access.text("state")?.to_owned();
    Ok(Write::update(&USER_ACCESS, access.key(), access.revision(), vec![("state", state.into())]))
}
