//! When an API key was last used: [`ApiKeyUse`].

use serde::{Deserialize, Serialize};

use super::api_key::ApiKeyId;
use super::field::entity;
use crate::store::{Column, Reference, Table};
use crate::time::Timestamp;

/// When an API key was last used, coarsely. It stays out of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyUse {
    /// The key.
    pub api_key_id: ApiKeyId,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

/// The table of [`ApiKeyUse`].
pub static API_KEY_USES: Table = Table::new(
    "api_key_uses",
    &[Column::uuid("api_key_id"), Column::time("last_used_at").nullable().counter()],
    &["api_key_id"],
)
.references(&[Reference::new("api_key_uses_api_key", &["api_key_id"], "api_keys")])
.quiet();

entity!(ApiKeyUse, "api_key_use", API_KEY_USES {
    fixed: api_key_id;
    counters: last_used_at;
});
