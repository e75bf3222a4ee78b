//! Sessions: made by a login, checked on every request, ended.

use data_encoding::BASE64URL_NOPAD;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::ControlPlane;
use crate::entity::{Entity as _, SecretText, Session, SessionId, SessionState, SessionUse, UserId};
use crate::identity::sha256_hex;
use crate::store::Write;
use crate::time::Timestamp;

/// What every token of a session begins with, so that a leaked one is recognised.
const PREFIX: &str = "aps_";

/// A session that is about to be made.
///
/// The batch that makes it also guards the user's access row, or raises its epoch: that is left to the operation.
#[derive(Debug)]
pub(super) struct NewSession {
    pub(super) session: Session,
    /// What the user gets. It is kept nowhere.
    pub(super) token: SecretText,
    /// Its row, and that of its use.
    pub(super) writes: Vec<Write>,
}

impl ControlPlane {
    /// A new session of a user, who asked from where the caller is.
    ///
    /// One that awaits its second factor lasts as long as the policy waits for that, another one as long as a session may.
    pub(super) fn new_session(
        &self,
        user: UserId,
        state: SessionState,
        verified_at: Option<Timestamp>,
        now: Timestamp,
    ) -> NewSession {
        let lasts = match state {
            SessionState::AwaitingSecondFactor => self.identity.sessions.second_factor,
            SessionState::Full => self.identity.sessions.absolute,
        };
        let origin = self.caller.origin();
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
        let used = SessionUse { session_id: id, last_used_at: now };
        let writes = vec![Write::Insert(session.to_row()), Write::Insert(used.to_row())];
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
