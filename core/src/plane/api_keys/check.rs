//! Checking a key: who holds it.

use std::time::Duration;

use super::ControlPlane;
use crate::entity::{
    API_KEY_USES, API_KEYS, AccessState, ApiKey, ApiKeyKind, ApiKeyUse, Entity as _, SecretText, USER_ACCESS,
    USERS, User, UserAccess,
};
use crate::error::{Error, Result};
use crate::identity::{Caller, Origin, Via, kind_of, sha256_hex};
use crate::plane::refusals::Refusal;
use crate::store::{Change, Is, Key, Row, Scan, StoreExt as _, Test, Value, Write};
use crate::time::Timestamp;

/// Within this long, further uses of a key are not written.
const COARSE: Duration = Duration::from_mins(1);

impl ControlPlane {
    /// Says who holds a key: a user within the key's scopes, or the agent of a node. What is no key by its checksum is refused
    /// without asking the store; everything else takes two reads, and a write at most once a minute for each key, which may
    /// fail without any effect on the answer.
    ///
    /// The answer holds for one request: a key that is revoked later is not refused before it is checked again.
    ///
    /// # Errors
    /// `Unauthenticated`, whatever was wrong: no such key, one that has ended or was revoked, or a user who is suspended or
    /// not activated.
    #[tracing::instrument(skip_all)]
    pub async fn check_api_key(&self, key: &SecretText, origin: Origin) -> Result<Caller> {
        let Some(kind) = kind_of(key.expose()) else {
            return Err(Error::Unauthenticated);
        };
        let hash = sha256_hex(key.expose().as_bytes());
        let found = self.store.scan(Scan::of(&API_KEYS).by("api_keys_hash").with(hash).limit(1)).await?.value;
        let found = found.rows.first().map(ApiKey::from_row).transpose()?.filter(|found| found.kind == kind);
        let Some(found) = found else {
            return self.refuse_key(None, &origin).await;
        };
        let user = found.user_id;
        let rows = self
            .store
            .get_many(vec![
                (&USERS, Key::from(user)),
                (&USER_ACCESS, Key::from(user)),
                (&API_KEY_USES, Key::from(found.id)),
            ])
            .await?;
        let [Some(profile), Some(access), Some(last_use)] = rows.value.as_slice() else {
            // Deleted between the two reads.
            return self.refuse_key(Some(&found), &origin).await;
        };
        if !may_enter(&found, profile, access, rows.now)? {
            return self.refuse_key(Some(&found), &origin).await;
        }
        self.note_use(&ApiKeyUse::from_row(last_use)?, rows.now).await;
        let via = match (found.kind, found.node_id) {
            (ApiKeyKind::User, _) => Via::ApiKey { user, key: found.id, scopes: found.scopes },
            (ApiKeyKind::NodeAgent, Some(node)) => Via::NodeAgent { owner: user, key: found.id, node },
            (ApiKeyKind::NodeAgent, None) => return Err(Error::Unauthenticated),
        };
        Ok(Caller::of(via, origin))
    }

    async fn refuse_key(&self, key: Option<&ApiKey>, origin: &Origin) -> Result<Caller> {
        let refused = Refusal {
            operation: "api_key.check",
            subject: key.map(|key| ("api_key", key.id.uuid())),
            user: key.map(|key| key.user_id),
        };
        self.note_refusal_from(refused, origin).await;
        Err(Error::Unauthenticated)
    }

    /// Notes that a key was used, at most once a minute: of those who see the same old time, one writes.
    async fn note_use(&self, used: &ApiKeyUse, now: Timestamp) {
        let is = match used.last_used_at {
            Some(before) if now.since(before) < COARSE => return,
            Some(before) => Is::Eq(Value::from(before)),
            None => Is::Null,
        };
        let set = vec![("last_used_at", Change::Max(now.into()))];
        let write = Write::patch(&API_KEY_USES, used.api_key_id, vec![Test::new("last_used_at", is)], set);
        if let Err(error) = self.store.commit(self.batch("api_key.use").with(write)).await {
            tracing::debug!(code = error.code(), "the use of a key was not noted");
        }
    }
}

/// Whether a key lets its user in now.
fn may_enter(key: &ApiKey, profile: &Row, access: &Row, now: Timestamp) -> Result<bool> {
    let active = UserAccess::from_row(access)?.state == AccessState::Active;
    let live = key.expires_at.is_none_or(|at| now < at);
    Ok(active && live && User::from_row(profile)?.activated)
}
