//! API keys: made, listed, replaced, revoked, and checked.

mod change;
mod check;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::ControlPlane;
use super::decided::Decided;
use super::security::next_epoch;
use super::users::Happened;
use crate::access::Scope;
use crate::entity::{
    API_KEY_USES, API_KEYS, AccessState, ApiKey, ApiKeyId, ApiKeyKind, COMPUTE_NODES, ComputeNode,
    DisplayName, Entity as _, Entry, NODE_LIFECYCLES, NodeId, NodeLifecycle, SecretText, USER_ACCESS,
    UserAccess, UserId,
};
use crate::error::{Error, Result};
use crate::identity::{hint, new_key, sha256_hex};
use crate::store::{Batch, Key, MAX_PAGE, NewRow, Row, Scan, StoreExt as _, Write};
use crate::time::Timestamp;

/// How many scopes a key may have.
const MAX_SCOPES: usize = 64;

/// An API key to be made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewApiKey {
    /// How its owner calls it.
    pub name: String,
    /// What it may be used for, each as `action:entity` with `*` for any: at least one and at most 64; none for the key of an
    /// agent.
    pub scopes: Vec<String>,
    /// When it ends; without that it ends when it is revoked.
    pub expires_at: Option<Timestamp>,
    /// The node whose agent is to hold it. Such a key is good for being that agent and for nothing else.
    pub node: Option<NodeId>,
}

impl NewApiKey {
    /// A key with these scopes that does not end by itself.
    pub fn new(name: impl Into<String>, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let scopes = scopes.into_iter().map(Into::into).collect();
        Self { name: name.into(), scopes, expires_at: None, node: None }
    }

    /// The key of the agent of a node.
    pub fn agent(name: impl Into<String>, node: NodeId) -> Self {
        Self { name: name.into(), scopes: Vec::new(), expires_at: None, node: Some(node) }
    }

    /// Says when it ends.
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }
}

/// An API key that was just made, with the key itself.
#[derive(Debug)]
#[non_exhaustive]
pub struct MadeApiKey {
    /// What is kept of it.
    pub key: Entry<ApiKey>,
    /// The key: to be shown once. Nobody can get it again.
    pub secret: SecretText,
}

/// An API key in the list of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedApiKey {
    /// The key.
    pub key: Entry<ApiKey>,
    /// When it was last used, about a minute exactly.
    pub last_used_at: Option<Timestamp>,
}

/// What a change of a user's keys is decided on.
struct Keys {
    access: Row,
    kept: Vec<Entry<ApiKey>>,
    now: Timestamp,
}

/// The parts of a new key that were checked.
struct Parts {
    user: UserId,
    name: DisplayName,
    kind: ApiKeyKind,
    scopes: Vec<String>,
    node: Option<NodeId>,
    replaces: Option<ApiKeyId>,
    expires_at: Option<Timestamp>,
}

impl ControlPlane {
    /// Makes an API key for a user who may act. Its scopes take away from what the user may do and never add to it.
    ///
    /// # Errors
    /// `Invalid` names what is wrong, such as `scopes[2]`; `QuotaExceeded` where the user has as many keys as
    /// [`ApiKeyPolicy`](crate::identity::ApiKeyPolicy) allows; `NotFound` for a node that is not the user's.
    #[tracing::instrument(skip_all)]
    pub async fn create_api_key(&self, user: UserId, request: NewApiKey) -> Result<MadeApiKey> {
        let name = DisplayName::try_from(request.name)?;
        let scopes = checked_scopes(&request.scopes, request.node.is_some())?;
        let kind = if request.node.is_some() { ApiKeyKind::NodeAgent } else { ApiKeyKind::User };
        let (name, scopes, node, expires_at) = (&name, &scopes, request.node, request.expires_at);
        self.decided("api_key.create", ApiKey::KIND, || async move {
            let rows = self.keys_of(user).await?;
            if expires_at.is_some_and(|at| at <= rows.now) {
                return Err(Error::invalid("expires_at", "it has to be in the future"));
            }
            self.check_may_have_another(&rows)?;
            let mut batch = self.batch_for("api_key.create", user.uuid());
            if let Some(node) = node {
                batch.push(self.guard_node_of(user, node).await?);
            }
            let (name, scopes) = (name.clone(), scopes.clone());
            let parts = Parts { user, name, kind, scopes, node, replaces: None, expires_at };
            let made = self.add_key(&mut batch, parts, rows.now);
            batch.push(next_epoch(&rows.access)?);
            batch.push(self.key_log("api_key.create", user, &made.key, rows.now));
            Ok(Decided::Commit(made, batch))
        })
        .await
    }

    /// The access row of a user, and then the keys. Every new key raises the epoch, so with that epoch these are all.
    async fn keys_of(&self, user: UserId) -> Result<Keys> {
        let read = self.store.get(&USER_ACCESS, user).await?;
        let access = read.value.ok_or_else(|| Error::not_found("user", user))?;
        let keys = Scan::of(&API_KEYS).by("api_keys_user").with(user).limit(MAX_PAGE);
        let page = self.store.scan(keys).await?;
        let keys: std::result::Result<Vec<_>, crate::store::StoreError> = page
            .value
            .rows
            .iter()
            .map(|row| Ok(Entry::new(ApiKey::from_row(row)?, row.revision())))
            .collect();
        let kept = keys?;
        Ok(Keys { access, kept, now: page.now })
    }

    /// Refuses where the user may not act, or has as many keys as the policy allows.
    fn check_may_have_another(&self, rows: &Keys) -> Result<()> {
        if UserAccess::from_row(&rows.access)?.state != AccessState::Active {
            return Err(Error::Denied { action: "make an api key while suspended" });
        }
        let limit = self.identity.api_keys.per_user;
        let live = rows.kept.iter().filter(|key| key.expires_at.is_none_or(|at| at > rows.now)).count();
        // What has ended counts, too, before there are more than a page: then it has to be purged first.
        let full = rows.kept.len() >= usize::try_from(MAX_PAGE).unwrap_or(usize::MAX);
        let used = if full { rows.kept.len() } else { live };
        if full || u32::try_from(live).unwrap_or(u32::MAX) >= limit {
            let used = i64::try_from(used).unwrap_or(i64::MAX);
            return Err(Error::QuotaExceeded { limit_name: "api_keys", limit: limit.into(), used, asked: 1 });
        }
        Ok(())
    }

    /// The guard of the state of a node that is the user's, so that its agent is not let in after the node is gone for good.
    async fn guard_node_of(&self, user: UserId, node: NodeId) -> Result<Write> {
        let keys = vec![(&COMPUTE_NODES, Key::from(node)), (&NODE_LIFECYCLES, Key::from(node))];
        let rows = self.store.get_many(keys).await?.value;
        let [Some(found), Some(lifecycle)] = rows.as_slice() else {
            return Err(Error::not_found("compute_node", node));
        };
        if ComputeNode::from_row(found)?.owner_id != user {
            return Err(Error::not_found("compute_node", node));
        }
        NodeLifecycle::from_row(lifecycle)?.state.must_live("make a key for its agent")?;
        Ok(Write::guard(&NODE_LIFECYCLES, node, lifecycle.revision()))
    }

    /// Adds the rows of a new key to a batch.
    fn add_key(&self, batch: &mut Batch, parts: Parts, now: Timestamp) -> MadeApiKey {
        let secret = new_key(parts.kind, &*self.identity.entropy);
        let key = ApiKey {
            id: self.new_id().into(),
            user_id: parts.user,
            name: parts.name,
            kind: parts.kind,
            hint: hint(secret.expose()),
            hash: SecretText::new(sha256_hex(secret.expose().as_bytes())),
            scopes: parts.scopes,
            node_id: parts.node,
            replaces_id: parts.replaces,
            expires_at: parts.expires_at,
            created_at: now,
            updated_at: now,
        };
        batch.push(Write::Insert(key.to_row()));
        batch.push(Write::Insert(NewRow::new(&API_KEY_USES).set("api_key_id", key.id)));
        MadeApiKey { key: Entry::new(key, 1), secret }
    }

    fn key_log(&self, operation: &'static str, user: UserId, key: &ApiKey, now: Timestamp) -> Write {
        let happened = Happened {
            operation,
            actor: Some(user.uuid()),
            kind: "api_key",
            subject: key.id.uuid(),
            description: key.name.as_str(),
        };
        self.log(happened, now)
    }
}

/// The scopes, each once; those of a key for an agent are none.
fn checked_scopes(texts: &[String], agent: bool) -> Result<Vec<String>> {
    if agent {
        return match texts {
            [] => Ok(Vec::new()),
            _ => Err(Error::invalid("scopes", "the key of an agent has none")),
        };
    }
    if texts.is_empty() || texts.len() > MAX_SCOPES {
        let reason = format!("from 1 to {MAX_SCOPES} are needed, got {}", texts.len());
        return Err(Error::invalid("scopes", reason));
    }
    let mut scopes: Vec<String> = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        let reason = "it is an action and a kind of thing such as read:instance, or * for any of them";
        let scope = text.parse::<Scope>().map_err(|_| Error::invalid(format!("scopes[{at}]"), reason))?;
        let scope = scope.to_string();
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

/// The end of a key that replaces one: as long after now as the old one's was after its making.
fn same_lifetime(old: &ApiKey, now: Timestamp) -> Option<Timestamp> {
    old.expires_at.map(|at| now.plus(at.since(old.created_at).max(Duration::from_secs(1))))
}
