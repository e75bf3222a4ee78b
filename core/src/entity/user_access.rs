//! Whether a user may act: [`UserAccess`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::text::text_enum;
use super::user::{User, UserId};
use super::{Entity, Entry, Repositories};
use crate::error::{Error, Result};
use crate::store::{Column, Invariant, Reference, Table};

/// Whether a user may act: the row that every operation on the user's behalf guards.
///
/// It is apart from the profile, so that changing a name conflicts with no launch, and suspending conflicts with
/// all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserAccess {
    /// The user.
    pub user_id: UserId,
    /// Whether the user may act.
    pub state: AccessState,
}

text_enum!(
    /// Whether a user may act.
    AccessState, "state" {
        /// The user may act.
        Active = "active",
        /// The user may do nothing; what the user has stays.
        Suspended = "suspended",
    }
);

/// The table of [`UserAccess`].
pub static USER_ACCESS: Table =
    Table::new("user_access", &[Column::uuid("user_id"), Column::text("state", 32)], &["user_id"])
        .references(&[Reference::new("user_access_user", &["user_id"], "users")])
        .invariants(&[Invariant::one_of("user_access_state", "state", AccessState::TEXTS)]);

entity!(UserAccess, "user_access", USER_ACCESS {
    fixed: user_id;
    plain: state;
});

/// Where [`UserAccess`] rows are kept. They are made and deleted with their users.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait UserAccessRepository: Send + Sync {
    /// That of a user.
    async fn get(&self, user: UserId) -> Result<Option<Entry<UserAccess>>>;

    /// That of a user, or `NotFound`.
    async fn require(&self, user: UserId) -> Result<Entry<UserAccess>> {
        self.get(user).await?.ok_or_else(|| Error::not_found(UserAccess::KIND, user))
    }

    /// Changes the state of the one that still has this revision. Whatever the user is doing at that moment is
    /// decided again, and refused where the user may no longer act. [`ControlPlane::deactivate`](crate::ControlPlane::deactivate)
    /// ends their sessions as well.
    ///
    /// # Errors
    /// `WrongState` for an administrator who would be suspended: they have to be demoted first.
    async fn update(&self, value: Entry<UserAccess>) -> Result<Entry<UserAccess>>;
}

#[async_trait]
impl UserAccessRepository for Repositories {
    async fn get(&self, user: UserId) -> Result<Option<Entry<UserAccess>>> {
        self.get_entry(user).await
    }

    async fn update(&self, value: Entry<UserAccess>) -> Result<Entry<UserAccess>> {
        // A promotion raises the revision that this needs, so it is seen here or is a conflict.
        if value.state == AccessState::Suspended
            && let Some(user) = self.get_entry::<User>(value.user_id).await?
        {
            user.may_be_suspended()?;
        }
        self.update_entry(value.user_id.into(), value.value, value.revision).await
    }
}

impl Repositories {
    /// The repository of [`UserAccess`] rows.
    pub fn user_access(&self) -> &dyn UserAccessRepository {
        self
    }
}
