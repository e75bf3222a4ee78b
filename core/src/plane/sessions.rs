//! Sessions: made by a login, checked on every request. `session_ends.rs` is how they end.

use data_encoding::BASE64URL_NOPAD;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::ControlPlane;
use super::security::ended;
use crate::entity::{
    AccessState, Entity as _, SESSION_USES, SESSIONS, SecretText, Session, SessionId, SessionState,
    SessionUse, USER_ACCESS, USERS, UserId,
};
use crate::error::{Error, Result};
use crate::identity::{Caller, Origin, Via, same, sha256_hex};
use crate::store::{Change, Is, Row, StoreError, StoreExt as _, Test, Write};
use crate::time::Timestamp;

/// What every token of a session begins with, so that a leaked one is recognised.
const PREFIX: &str = "aps_";

/// A session that is about to be made.
///
/// The batch that makes it raises the epoch of the user's access row as well, which is left to the operation. A guard is
/// enough only where the batch also ends a session that was there before, as that of a second factor does: whoever ends every
/// session looks for them before the commit, and a new one that came after the look has to be in conflict with that.
#[derive(Debug)]
pub(super) struct NewSession {
    pub(super) session: Session,
    /// What the user gets. It is kept nowhere.
    pub(super) token: SecretText,
    /// Its row, and that of its use.
    pub(super) writes: Vec<Write>,
}

/// A session as it was found by its token, of a user who may act.
#[derive(Debug)]
pub(super) struct LiveSession {
    pub(super) session: Session,
    /// Its row, to be guarded or ended.
    pub(super) row: Row,
    /// The user's access row: a batch that is decided on the session guards it, or raises its epoch.
    pub(super) access: Row,
    /// When it was last used, as far as that was recorded.
    last_used_at: Timestamp,
    /// The store's time at which it was live.
    pub(super) now: Timestamp,
}

impl LiveSession {
    /// The writes that end it.
    pub(super) fn end(&self) -> impl Iterator<Item = Write> {
        ended([&self.row])
    }
}

impl ControlPlane {
    /// Who holds this token, for a request from there.
    ///
    /// Two reads of rows by their keys, and no write but one now and then which records that the session is used, as coarsely
    /// as [`SessionPolicy`](crate::identity::SessionPolicy) says. Whether the user may act is read each time, so a user who is
    /// suspended is out at once, on every process.
    ///
    /// # Errors
    /// `Unauthenticated` where the token is unknown, the session has ended or awaits its second factor, or the user is suspended
    /// or not activated; which of them is not said.
    #[tracing::instrument(skip_all)]
    pub async fn check_session(&self, token: &SecretText, origin: Origin) -> Result<Caller> {
        let live = self.live(token, SessionState::Full).await?;
        self.used(&live).await;
        let Session { id: session, user_id: user, verified_at, .. } = live.session;
        Ok(Caller::of(Via::Session { user, session, verified_at }, origin))
    }

    /// Who shows this, the token of a session or an API key, for a request from there: what comes behind
    /// `Authorization: Bearer`.
    ///
    /// # Errors
    /// As [`ControlPlane::check_session`] and [`ControlPlane::check_api_key`]: `Unauthenticated`.
    pub async fn authenticate(&self, bearer: &SecretText, origin: Origin) -> Result<Caller> {
        if bearer.expose().starts_with(PREFIX) {
            return self.check_session(bearer, origin).await;
        }
        self.check_api_key(bearer, origin).await
    }

    /// The login that waits for its second factor under this token; `Unauthenticated` where there is none.
    ///
    /// It becomes a session by one batch that guards or raises the epoch of `access`, ends this one ([`LiveSession::end`]),
    /// and makes a full one ([`ControlPlane::new_session_from`]), so that the token from before the second factor is worth nothing.
    pub(super) async fn awaiting(&self, token: &SecretText) -> Result<LiveSession> {
        self.live(token, SessionState::AwaitingSecondFactor).await
    }

    /// The session in this state that a token is of.
    pub(super) async fn live(&self, token: &SecretText, state: SessionState) -> Result<LiveSession> {
        let id = named_by(token).ok_or(Error::Unauthenticated)?;
        let keys = vec![(&SESSIONS, id.into()), (&SESSION_USES, id.into())];
        let found = self.store.get_many(keys).await?.value;
        let [Some(row), Some(used)] = found.as_slice() else {
            return Err(Error::Unauthenticated);
        };
        if !same(row.text("token_hash")?, &sha256_hex(token.expose().as_bytes())) {
            return Err(Error::Unauthenticated);
        }
        let session = Session::from_row(row)?;
        let last_used_at = used.time("last_used_at")?;
        let keys = vec![(&USER_ACCESS, session.user_id.into()), (&USERS, session.user_id.into())];
        let read = self.store.get_many(keys).await?;
        let mut rows = read.value.into_iter().flatten();
        let (Some(access), Some(account)) = (rows.next(), rows.next()) else {
            return Err(Error::Unauthenticated);
        };
        let over = self.identity.sessions.is_over(session.expires_at, last_used_at, read.now);
        if session.state != state || over || !may_act(&access, &account)? {
            return Err(Error::Unauthenticated);
        }
        Ok(LiveSession { session, row: row.clone(), access, last_used_at, now: read.now })
    }

    /// Records that a session was used, unless that was recorded a short while ago. Where it can't be recorded the session is
    /// still good: it may only end earlier.
    async fn used(&self, live: &LiveSession) {
        let recorded = live.now.minus(self.identity.sessions.coarse_use);
        if live.last_used_at > recorded {
            return;
        }
        // Of many who use it at this moment one records it.
        let stale = vec![Test::new("last_used_at", Is::Le(recorded.into()))];
        let set = vec![("last_used_at", Change::Max(live.now.into()))];
        let batch = self.batch("session.use").with(Write::patch(&SESSION_USES, live.session.id, stale, set));
        if let Err(error) = self.store.commit(batch).await {
            tracing::debug!(code = error.code(), "the use of a session was not recorded");
        }
    }

    /// A new session of a user who asked from there.
    ///
    /// One that awaits its second factor lasts as long as the policy waits for that, another one as long as a session may.
    pub(super) fn new_session_from(
        &self,
        origin: &Origin,
        user: UserId,
        state: SessionState,
        verified_at: Option<Timestamp>,
        now: Timestamp,
    ) -> NewSession {
        let lasts = match state {
            SessionState::AwaitingSecondFactor => self.identity.sessions.second_factor,
            SessionState::Full => self.identity.sessions.absolute,
        };
        let id: SessionId = self.new_id().into();
        let token = self.new_token(id);
        let session = Session {
            id,
            user_id: user,
            state,
            token_hash: SecretText::new(sha256_hex(token.expose().as_bytes())),
            expires_at: now.plus(lasts),
            verified_at,
            ip: origin.ip,
            agent: origin.agent.clone(),
            created_at: now,
            updated_at: now,
        };
        let first_use = SessionUse { session_id: id, last_used_at: now };
        let writes = vec![Write::Insert(session.to_row()), Write::Insert(first_use.to_row())];
        NewSession { session, token, writes }
    }

    /// A token: the id of its session, by which it is found, and 256 random bits. The id is no secret.
    fn new_token(&self, id: SessionId) -> SecretText {
        let secret: Zeroizing<[u8; 32]> = Zeroizing::new(self.identity.entropy.bytes());
        let mut bytes = Zeroizing::new(Vec::with_capacity(48));
        bytes.extend_from_slice(id.uuid().as_bytes());
        bytes.extend_from_slice(&*secret);
        let text = Zeroizing::new(BASE64URL_NOPAD.encode(&bytes));
        SecretText::new(format!("{PREFIX}{}", *text))
    }
}

/// Whether a user is active and not suspended.
pub(super) fn may_act(access: &Row, account: &Row) -> std::result::Result<bool, StoreError> {
    Ok(account.bool("activated")? && access.text("state")? == AccessState::Active.as_str())
}

/// The session that a token names, where it is one.
fn named_by(token: &SecretText) -> Option<SessionId> {
    let text = token.expose().strip_prefix(PREFIX)?;
    // A text of another length is not decoded, however long it is.
    if text.len() != 64 {
        return None;
    }
    let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?);
    let (id, _) = bytes.split_first_chunk::<16>()?;
    Some(Uuid::from_bytes(*id).into())
}
