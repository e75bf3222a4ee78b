//! What the host decides about identity: [`IdentityOptions`].

use std::sync::Arc;

use super::api_key_text::ApiKeyPolicy;
use super::code_policy::CodePolicy;
use super::connection_policy::ConnectionPolicy;
use super::entropy::{Entropy, OsEntropy};
use super::hashing::PasswordPolicy;
use super::key_ring::KeyRing;
use super::login_policy::LoginPolicy;
use super::session_policy::SessionPolicy;
use super::ssh_public_key::SshKeyPolicy;
use super::totp_policy::TotpPolicy;

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
    /// How long sessions last.
    pub sessions: SessionPolicy,
    /// How guessing of passwords is slowed down.
    pub logins: LoginPolicy,
    /// How second factors are set up and checked.
    pub totp: TotpPolicy,
    /// How mailed codes and links are made.
    pub codes: CodePolicy,
    /// How many API keys there may be.
    pub api_keys: ApiKeyPolicy,
    /// How many SSH keys there may be.
    pub ssh_keys: SshKeyPolicy,
    /// What logins through others may do.
    pub connections: ConnectionPolicy,
}

impl Default for IdentityOptions {
    fn default() -> Self {
        Self {
            keys: None,
            entropy: Arc::new(OsEntropy),
            passwords: PasswordPolicy::default(),
            sessions: SessionPolicy::default(),
            logins: LoginPolicy::default(),
            totp: TotpPolicy::default(),
            codes: CodePolicy::default(),
            api_keys: ApiKeyPolicy::default(),
            ssh_keys: SshKeyPolicy::default(),
            connections: ConnectionPolicy::default(),
        }
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

    /// With sessions that last as long as this says.
    pub fn sessions(mut self, policy: SessionPolicy) -> Self {
        self.sessions = policy;
        self
    }

    /// With another way to slow down guessing.
    pub fn logins(mut self, policy: LoginPolicy) -> Self {
        self.logins = policy;
        self
    }

    /// With second factors that are set up and checked as this says.
    pub fn totp(mut self, policy: TotpPolicy) -> Self {
        self.totp = policy;
        self
    }

    /// With mailed codes and links that are made as this says.
    pub fn codes(mut self, policy: CodePolicy) -> Self {
        self.codes = policy;
        self
    }

    /// With so many API keys at most.
    pub fn api_keys(mut self, policy: ApiKeyPolicy) -> Self {
        self.api_keys = policy;
        self
    }

    /// With so many SSH keys at most.
    pub fn ssh_keys(mut self, policy: SshKeyPolicy) -> Self {
        self.ssh_keys = policy;
        self
    }

    /// With logins through others that may do what this says.
    pub fn connections(mut self, policy: ConnectionPolicy) -> Self {
        self.connections = policy;
        self
    }
}
