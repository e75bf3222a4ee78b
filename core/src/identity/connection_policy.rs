//! What logins through others may do: [`ConnectionPolicy`].

use std::collections::BTreeSet;

/// What logins through others may do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionPolicy {
    /// The providers whose word on an address counts: by default none. An account there is linked by itself to the user who has
    /// confirmed the same address, and somebody who has none may sign up with it.
    ///
    /// Whoever can make such a provider vouch for an address can log in as its owner. Name here only those that let nobody keep
    /// an address which is not, or no longer, theirs.
    pub vouching: BTreeSet<String>,
    /// How many connections a user may have: at most 100, by default 10.
    pub per_user: u32,
}

impl Default for ConnectionPolicy {
    fn default() -> Self {
        Self { vouching: BTreeSet::new(), per_user: 10 }
    }
}

impl ConnectionPolicy {
    /// Takes the word of this provider, too.
    pub fn vouching(mut self, provider: impl Into<String>) -> Self {
        self.vouching.insert(provider.into());
        self
    }

    /// With another number of connections for each user, at most 100.
    pub fn per_user(mut self, connections: u32) -> Self {
        self.per_user = connections.min(100);
        self
    }
}
