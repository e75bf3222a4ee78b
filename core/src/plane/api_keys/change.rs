//! Listing, replacing, revoking and purging keys.

use std::time::Duration;

use super::{ControlPlane, ListedApiKey, MadeApiKey, Parts, same_lifetime};
use crate::entity::{API_KEY_USES, API_KEYS, ApiKey, ApiKeyId, ApiKeyUse, Entity as _, Entry, UserId};
use crate::error::{Error, Result};
use crate::plane::decided::Decided;
use crate::plane::security::next_epoch;
use crate::store::{Is, Key, MAX_EXAMINED, Scan, StoreExt as _, Test, Write};

/// How many keys one call purges at most: with their uses and lines they fit one batch.
const MAX_PURGED: u32 = 1000;

impl ControlPlane {
    /// The keys of a user, in the order of ids, with when each was last used.
    #[tracing::instrument(skip(self))]
    pub async fn list_api_keys(&self, user: UserId) -> Result<Vec<ListedApiKey>> {
        let keys = self.keys_of(user).await?.kept;
        let last_uses = keys.iter().map(|key| (&API_KEY_USES, Key::from(key.id))).collect();
        let last_uses = self.store.get_many(last_uses).await?.value;
        let listed = keys.into_iter().zip(last_uses).map(|(key, last_use)| {
            let last_use = last_use.as_ref().map(ApiKeyUse::from_row).transpose()?;
            Ok(ListedApiKey { key, last_used_at: last_use.and_then(|last_use| last_use.last_used_at) })
        });
        listed.collect()
    }

    /// Makes a key that replaces one of the user's, with its name, scopes, node and length of life. The old one goes on for
    /// `overlap`, so that whoever holds it can change over; it never lives longer than it would have.
    ///
    /// # Errors
    /// `NotFound` for a key that is not the user's; `WrongState` for one that has ended or was replaced before.
    #[tracing::instrument(skip(self))]
    pub async fn rotate_api_key(&self, user: UserId, id: ApiKeyId, overlap: Duration) -> Result<MadeApiKey> {
        self.decided("api_key.rotate", ApiKey::KIND, || async move {
            let rows = self.keys_of(user).await?;
            let old = own(&rows.kept, id)?;
            let ended = old.expires_at.is_some_and(|at| at <= rows.now);
            if ended || rows.kept.iter().any(|key| key.replaces_id == Some(id)) {
                return Err(Error::WrongState {
                    kind: "api_key",
                    state: if ended { "expired" } else { "replaced" },
                    event: "rotate",
                    allowed: vec!["revoke"],
                });
            }
            self.check_may_have_another(&rows)?;
            let mut batch = self.batch_for("api_key.rotate", user.uuid());
            if let Some(node) = old.node_id {
                batch.push(self.guard_node_of(user, node).await?);
            }
            let parts = Parts {
                user,
                name: old.name.clone(),
                kind: old.kind,
                scopes: old.scopes.clone(),
                node: old.node_id,
                replaces: Some(id),
                expires_at: same_lifetime(old, rows.now),
            };
            let made = self.add_key(&mut batch, parts, rows.now);
            let until = rows.now.plus(overlap);
            let until = old.expires_at.map_or(until, |at| at.min(until));
            let set = vec![("expires_at", until.into()), ("updated_at", rows.now.into())];
            batch.push(Write::update(&API_KEYS, id, old.revision, set));
            batch.push(next_epoch(&rows.access)?);
            batch.push(self.key_log("api_key.rotate", user, old, rows.now));
            Ok(Decided::Commit(made, batch))
        })
        .await
    }

    /// Ends a key of the user's at once. `NotFound` where the user has no such key, so also the second time.
    #[tracing::instrument(skip(self))]
    pub async fn revoke_api_key(&self, user: UserId, id: ApiKeyId) -> Result<()> {
        self.decided("api_key.revoke", ApiKey::KIND, || async move {
            let rows = self.keys_of(user).await?;
            let key = own(&rows.kept, id)?;
            let mut batch = self.batch_for("api_key.revoke", user.uuid());
            batch.writes.extend(gone(key));
            batch.push(next_epoch(&rows.access)?);
            batch.push(self.key_log("api_key.revoke", user, key, rows.now));
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    /// Throws away keys that have ended, at most `limit` (1 to 1,000) of them, and answers how many: where as many as the
    /// limit, call again.
    #[tracing::instrument(skip(self))]
    pub async fn purge_api_keys(&self, limit: u32) -> Result<u64> {
        if !(1..=MAX_PURGED).contains(&limit) {
            return Err(Error::invalid("limit", format!("must be from 1 to {MAX_PURGED}, got {limit}")));
        }
        self.decided("api_key.purge", ApiKey::KIND, || async move {
            let now = self.store.read(Vec::new()).await?.now;
            let ended = Test::new("expires_at", Is::Le(now.into()));
            let scan = Scan::of(&API_KEYS).test(ended).limit(limit).examine(MAX_EXAMINED);
            let mut after = None;
            let rows = loop {
                let page = self.store.scan(scan.clone().after(after)).await?.value;
                after = page.next;
                if !page.rows.is_empty() || after.is_none() {
                    break page.rows;
                }
            };
            if rows.is_empty() {
                return Ok(Decided::Done(0));
            }
            let mut batch = self.batch("api_key.purge");
            for row in &rows {
                let key = Entry::new(ApiKey::from_row(row)?, row.revision());
                batch.writes.extend(gone(&key));
                batch.push(self.key_log("api_key.purge", key.user_id, &key, now));
            }
            Ok(Decided::Commit(u64::try_from(rows.len()).unwrap_or(u64::MAX), batch))
        })
        .await
    }
}

fn own(keys: &[Entry<ApiKey>], id: ApiKeyId) -> Result<&Entry<ApiKey>> {
    keys.iter().find(|key| key.id == id).ok_or_else(|| Error::not_found("api_key", id))
}

/// The writes that take a key away.
fn gone(key: &Entry<ApiKey>) -> [Write; 2] {
    // The row of its use is only ever patched, so its revision is the first.
    [Write::delete(&API_KEY_USES, key.id, 1), Write::delete(&API_KEYS, key.id, key.revision)]
}
