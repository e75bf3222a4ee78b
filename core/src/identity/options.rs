//! What the host decides about identity: [`IdentityOptions`].

use std::sync::Arc;

use super::api_key_text::ApiKeyPolicy;
use super::entropy::{Entropy, OsEntropy};
use super::hashing::PasswordPolicy;
use super::key_ring::KeyRing;

/// What the host decides about identity.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IdentityOptions {
    /// The keys under which secrets are kept. Without them there are no mailed codes and no authenticators.
    pub keys: Option<KeyRing>,
    /// Where secrets come from.
    pub entropy: Arc<dyn Entropy>,
    /// How passwords are hashed.
    pub passwords: PasswordPolicy,
    /// How many API keys there may be.
    pub api_keys: ApiKeyPolicy,
}

impl Default for IdentityOptions {
    fn default() -> Self {
        Self { keys: None, entropy: Arc::new(OsEntropy), passwords: PasswordPolicy::default(), api_keys: ApiKeyPolicy::default() }
    }
}

impl IdentityOptions {
    /// With the keys of the host.
    pub fn keys(mut self, keys: KeyRing) -> Self {
        self.keys = Some(keys);
        self
    }

    /// With another source of secrets.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// With another way to hash passwords.
    pub fn passwords(mut self, policy: PasswordPolicy) -> Self {
        self.passwords = policy;
        self
    }

    /// With another number of API keys.
    pub fn api_keys(mut self, policy: ApiKeyPolicy) -> Self {
        self.api_keys = policy;
        self
    }
}
