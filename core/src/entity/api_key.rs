//! What a program logs in with: [`ApiKey`].

use async_trait::async_trait;
use serde::Serialize;

use super::api_key_use::API_KEY_USES;
use super::compute_node::NodeId;
use super::field::entity;
use super::text::{DisplayName, SecretText, text_enum};
use super::user::UserId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Invariant, Reference, Scan, Table, Test, Unique, Write};
use crate::time::Timestamp;

/// The id of an [`ApiKey`].
pub type ApiKeyId = Id<ApiKey>;

/// What a program holds to act for a user, or a node's agent for its node: the hash of a key, which was shown once.
///
/// The key has 256 random bits, so its hash needs no salt and no slow function; the diagram's `salt` has no place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// The id, chosen by the caller.
    pub id: ApiKeyId,
    /// Whose it is.
    pub user_id: UserId,
    /// How its owner calls it.
    pub name: DisplayName,
    /// What it is for.
    pub kind: ApiKeyKind,
    /// The first characters of the key, to recognise it by; at most 16 bytes.
    pub hint: String,
    /// The SHA-256 of the key, in hexadecimal.
    #[serde(skip)]
    pub hash: SecretText,
    /// What it may be used for, each as `action:entity` with `*` for any; never more than its owner may.
    pub scopes: Vec<String>,
    /// The node whose agent holds it.
    pub node_id: Option<NodeId>,
    /// The key that it was made to replace. No reference: that one may be gone.
    pub replaces_id: Option<ApiKeyId>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

text_enum!(
    /// What an API key is for.
    ApiKeyKind, "kind" {
        /// Acting for a user, within its scopes.
        User = "user",
        /// Being the agent of one node, and nothing else.
        NodeAgent = "node_agent",
    }
);

/// The table of [`ApiKey`].
pub static API_KEYS: Table = Table::new(
    "api_keys",
    &[
        Column::uuid("id"),
        Column::uuid("user_id").immutable(),
        Column::text("name", 256),
        Column::text("kind", 32).immutable(),
        Column::text("hint", 16).immutable(),
        Column::text("hash", 64).secret(),
        Column::json("scopes", 4096),
        Column::uuid("node_id").nullable().immutable(),
        Column::uuid("replaces_id").nullable().immutable(),
        Column::time("expires_at").nullable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.uniques(&[Unique::new("api_keys_hash", &["hash"])])
.references(&[
    Reference::new("api_keys_user", &["user_id"], "users"),
    Reference::new("api_keys_node", &["node_id"], "compute_nodes"),
])
.invariants(&[Invariant::one_of("api_keys_kind", "kind", ApiKeyKind::TEXTS)]);

entity!(ApiKey, "api_key", API_KEYS {
    fixed: id, user_id, kind, hint, node_id, replaces_id, created_at;
    plain: name, hash, scopes, expires_at, updated_at;
});

/// Which keys a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeyFilter {
    /// Only those of this user.
    pub user_id: Option<UserId>,
    /// Only those of the agent of this node.
    pub node_id: Option<NodeId>,
}

/// Where [`ApiKey`]s are kept: made, and checked, by the operations.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ApiKeyRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: ApiKeyId) -> Result<Option<Entry<ApiKey>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: ApiKeyId) -> Result<Entry<ApiKey>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(ApiKey::KIND, id))
    }

    /// Revokes the one that still has this revision.
    async fn delete(&self, id: ApiKeyId, revision: i64) -> Result<()>;

    /// A page, in the order of ids.
    async fn list(&self, filter: ApiKeyFilter, page: PageRequest) -> Result<ListPage<ApiKey>>;
}

#[async_trait]
impl ApiKeyRepository for Repositories {
    async fn get(&self, id: ApiKeyId) -> Result<Option<Entry<ApiKey>>> {
        self.get_entry(id).await
    }

    async fn delete(&self, id: ApiKeyId, revision: i64) -> Result<()> {
        let batch = self.batch(&API_KEYS, "delete").with(Write::delete(&API_KEY_USES, id, 1));
        self.commit::<ApiKey>(batch.with(Write::delete(&API_KEYS, id, revision))).await
    }

    async fn list(&self, filter: ApiKeyFilter, page: PageRequest) -> Result<ListPage<ApiKey>> {
        let scan = Scan::of(&API_KEYS);
        let scan = match (filter.user_id, filter.node_id) {
            (Some(user), None) => scan.by("api_keys_user").with(user),
            (user, Some(node)) => {
                let scan = scan.by("api_keys_node").with(node);
                user.into_iter().fold(scan, |scan, user| scan.test(Test::eq("user_id", user)))
            }
            (None, None) => scan,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`ApiKey`]s.
    pub fn api_keys(&self) -> &dyn ApiKeyRepository {
        self
    }
}
