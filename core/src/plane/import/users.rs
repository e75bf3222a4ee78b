//! Users that are brought in.

use uuid::Uuid;

use super::answer::not_in_the_future;
use super::parts::Parts;
use super::{Decision, Item, Known};
use crate::entity::{
    ADMINISTRATIONS, AccessState, Administration, Entity as _, Limits, QUOTAS, Quota, USERS, User,
    UserAccess, UserPermission,
};
use crate::error::{Error, Result};
use crate::plane::ControlPlane;
use crate::store::{Key, Refusal, Table, Write};
use crate::time::Timestamp;

/// A user that exists elsewhere. What holds for their nodes and instances follows from those.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedUser {
    /// The user, with their own id and times. Confirmations that are under way are not brought in.
    pub user: User,
    /// What they may use. They may use more already.
    pub limits: Limits,
    /// Whether they may act.
    pub access: AccessState,
}

impl ImportedUser {
    /// A user who may act, within the default limits.
    pub fn new(user: User) -> Self {
        Self { user, limits: Limits::default(), access: AccessState::Active }
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Says that they may not act.
    pub fn suspended(mut self) -> Self {
        self.access = AccessState::Suspended;
        self
    }

    fn check(&self, now: Timestamp) -> Result<()> {
        let user = &self.user;
        let confirming = user.email_confirmation_hash.is_some()
            || user.email_confirmation_expires.is_some()
            || user.code_confirmation.is_some()
            || user.code_confirmation_expires.is_some();
        if confirming {
            return Err(Error::invalid("email_confirmation_hash", "a confirmation is asked for anew"));
        }
        if self.access == AccessState::Suspended {
            user.may_be_suspended()?;
        }
        not_in_the_future("created_at", user.created_at, now)?;
        not_in_the_future("updated_at", user.updated_at, now)
    }
}

impl Item for ImportedUser {
    const OPERATION: &'static str = "user.import";
    type Entity = User;

    fn id(&self) -> Uuid {
        self.user.id.uuid()
    }

    fn needs(&self) -> Vec<(&'static Table, Key)> {
        let id = self.user.id;
        let mut needs: Vec<(&'static Table, Key)> = vec![(&USERS, id.into()), (&QUOTAS, id.into())];
        if self.user.permission == UserPermission::Administrator {
            needs.push((&ADMINISTRATIONS, Administration::ID.into()));
        }
        needs
    }

    fn decide(&self, _: &ControlPlane, known: &Known, now: Timestamp) -> Result<Decision> {
        self.check(now)?;
        if let Some(row) = known.row(&USERS, self.user.id) {
            let limits = known.row(&QUOTAS, self.user.id).map(Quota::from_row).transpose()?;
            let same = User::from_row(row)? == self.user
                && limits.is_some_and(|quota| quota.limits() == self.limits);
            return if same { Ok(Decision::WasThere) } else { Err(already_there(User::KIND)) };
        }
        let mut parts = Parts::default();
        for write in self.user.creation(self.limits) {
            match write {
                Write::Insert(row) if row.table.name == UserAccess::TABLE.name => {
                    let access = UserAccess { user_id: self.user.id, state: self.access };
                    parts.insert(access.to_row());
                }
                Write::Insert(row) => parts.insert(row),
                _ => {}
            }
        }
        if self.user.permission == UserPermission::Administrator {
            parts.administrator();
        }
        Ok(Decision::Make(parts))
    }

    fn refused(&self, _: &Refusal) -> Option<(Option<String>, Error)> {
        None
    }
}

/// The answer to another content under an id that is there.
pub(super) fn already_there(kind: &'static str) -> Error {
    Error::AlreadyExists { kind, key: "id" }
}
