//! Who asks: [`Caller`].

use std::time::Duration;

use uuid::Uuid;

use super::origin::Origin;
use crate::entity::{ApiKeyId, NodeId, SessionId, UserId};
use crate::time::Timestamp;

/// Who asks for something, and from where.
///
/// One is made by checking a session or an API key, or by a host that has authenticated somebody in its own way. It says who
/// somebody is, never what they may do: that is read again whenever something is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub(crate) via: Via,
    pub(crate) origin: Origin,
}

/// How a caller was authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Via {
    /// The application itself: may do everything.
    System,
    /// The application has authenticated the user in a way of its own.
    Trusted {
        /// The user.
        user: UserId,
    },
    /// A session.
    Session {
        /// The user.
        user: UserId,
        /// The session.
        session: SessionId,
        /// When the user last proved a second factor in it.
        verified_at: Option<Timestamp>,
    },
    /// An API key of a user.
    ApiKey {
        /// The user.
        user: UserId,
        /// The key.
        key: ApiKeyId,
        /// What it may be used for, each as `action:entity`.
        scopes: Vec<String>,
    },
    /// The key of a node's agent, which may do nothing but be that.
    NodeAgent {
        /// The owner of the node.
        owner: UserId,
        /// The key.
        key: ApiKeyId,
        /// The node.
        node: NodeId,
    },
}

impl Caller {
    /// The application itself.
    pub const fn system() -> Self {
        Self::of(Via::System, Origin::unknown())
    }

    /// A user whom the application has authenticated in a way of its own.
    pub const fn trusted(user: UserId) -> Self {
        Self::of(Via::Trusted { user }, Origin::unknown())
    }

    pub(crate) const fn of(via: Via, origin: Origin) -> Self {
        Self { via, origin }
    }

    /// Says where the request came from.
    pub fn from(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// How the caller was authenticated.
    pub const fn via(&self) -> &Via {
        &self.via
    }

    /// Where the request came from.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The user who acts; none where the application itself does.
    pub const fn user(&self) -> Option<UserId> {
        match &self.via {
            Via::System => None,
            Via::Trusted { user } | Via::Session { user, .. } | Via::ApiKey { user, .. } => Some(*user),
            Via::NodeAgent { owner, .. } => Some(*owner),
        }
    }

    /// The session that the caller was authenticated by.
    pub const fn session(&self) -> Option<SessionId> {
        match &self.via {
            Via::Session { session, .. } => Some(*session),
            _ => None,
        }
    }

    /// Whether the caller has proved a second factor within `within` before `now`, in the session that they were authenticated
    /// by. The application itself, and whom it trusts, needs no proof.
    pub fn proved_within(&self, within: Duration, now: Timestamp) -> bool {
        match &self.via {
            Via::System | Via::Trusted { .. } => true,
            Via::Session { verified_at, .. } => verified_at.is_some_and(|at| at.plus(within) > now),
            Via::ApiKey { .. } | Via::NodeAgent { .. } => false,
        }
    }

    pub(crate) fn actor(&self) -> Option<Uuid> {
        self.user().map(UserId::uuid)
    }
}
