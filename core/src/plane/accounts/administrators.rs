//! Administrators: there is one from the first on.
//!
//! [`User::permission`] is the one truth about who is one. How many there are is counted in the one row of `administrations`,
//! whose invariant keeps the last of them: it is changed in the batch that changes the permission.

use super::super::ControlPlane;
use super::super::decided::Decided;
use super::super::security::next_epoch;
use super::super::users::Happened;
use super::password_writes;
use crate::entity::{
    ADMINISTRATIONS, Administration, DisplayName, Email, Entity as _, Entry, Limits, SecretText, USER_ACCESS,
    USERS, User, UserId, UserPermission,
};
use crate::error::{Error, Result};
use crate::store::{Answer, Query, Write};

/// The first administrator of a cloud.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewAdministrator {
    /// The login address.
    pub email: String,
    /// The display name.
    pub name: String,
    /// The password.
    pub password: SecretText,
    /// What they may have at most themselves.
    pub limits: Limits,
}

impl NewAdministrator {
    /// An administrator with the default limits.
    pub fn new(email: impl Into<String>, name: impl Into<String>, password: SecretText) -> Self {
        Self { email: email.into(), name: name.into(), password, limits: Limits::default() }
    }
}

/// The question for the row that counts administrators.
pub(in crate::plane) fn administrators() -> Query {
    Query::Get { table: &ADMINISTRATIONS, key: Administration::ID.into() }
}

impl ControlPlane {
    /// Makes the first administrator, who is confirmed and can log in at once. However many ask at the same time, it happens once.
    ///
    /// # Errors
    /// `AlreadyExists` where there is, or ever was, an administrator; `Invalid` for a name, address or password that is none.
    #[tracing::instrument(skip_all)]
    pub async fn create_first_administrator(&self, request: NewAdministrator) -> Result<Entry<User>> {
        let (email, name) = (Email::new(request.email)?, DisplayName::new(request.name)?);
        let hash = self.identity.hashing.hash(request.password).await?;
        let (email, name, hash) = (&email, &name, &hash);
        self.decided("user.create_first_administrator", User::KIND, || async move {
            let reads = self.store.read(vec![administrators()]).await?;
            if let [Answer::Row(Some(_))] = reads.answers.as_slice() {
                return Err(Error::AlreadyExists { kind: "administrator", key: "first" });
            }
            let mut user = User::new(self.new_id().into(), email.clone(), name.clone(), reads.now);
            (user.permission, user.activated) = (UserPermission::Administrator, true);
            let mut batch = self.batch_for("user.create_first_administrator", user.id.uuid());
            batch.push(Administration::one_more(false));
            batch.writes.extend(user.creation(request.limits));
            batch.writes.extend(password_writes(user.id, hash, None, reads.now));
            batch
                .push(self.log(Happened::of_user("user.create_first_administrator", user.id, ""), reads.now));
            Ok(Decided::Commit(Entry::new(user, 1), batch))
        })
        .await
    }

    /// Makes a user an administrator, from their next request on.
    #[tracing::instrument(skip_all)]
    pub async fn promote(&self, user: UserId) -> Result<Entry<User>> {
        self.turn_permission("user.promote", user, UserPermission::Administrator).await
    }

    /// Makes an administrator a user. What they were allowed before and is not yet committed is decided again.
    ///
    /// # Errors
    /// `WrongState` for the last administrator.
    #[tracing::instrument(skip_all)]
    pub async fn demote(&self, user: UserId) -> Result<Entry<User>> {
        self.turn_permission("user.demote", user, UserPermission::User).await
    }

    async fn turn_permission(
        &self,
        operation: &'static str,
        id: UserId,
        permission: UserPermission,
    ) -> Result<Entry<User>> {
        self.decided(operation, User::KIND, || async move {
            let queries = vec![
                Query::Get { table: &USERS, key: id.into() },
                Query::Get { table: &USER_ACCESS, key: id.into() },
                administrators(),
            ];
            let reads = self.store.read(queries).await?;
            let now = reads.now;
            let mut rows = reads.answers.into_iter().map(Answer::into_row);
            let none = || Error::not_found(User::KIND, id);
            let kept = rows.next().flatten().ok_or_else(none)?;
            let access = rows.next().flatten().ok_or_else(none)?;
            let counted = rows.next().flatten().is_some();
            let mut user = User::from_row(&kept)?;
            if user.permission == permission {
                return Ok(Decided::Done(Entry::new(user, kept.revision())));
            }
            if access.text("state")? == "suspended" {
                let allowed = vec!["activating it"];
                return Err(Error::WrongState {
                    kind: "user",
                    state: "suspended",
                    event: operation,
                    allowed,
                });
            }
            (user.permission, user.updated_at) = (permission, now);
            let count = match permission {
                UserPermission::Administrator => Administration::one_more(counted),
                UserPermission::User => Administration::one_less(),
            };
            let set = vec![("permission", permission.as_str().into()), ("updated_at", now.into())];
            let batch = self
                .batch(operation)
                .with(Write::update(&USERS, id, kept.revision(), set))
                .with(count)
                .with(next_epoch(&access)?)
                .with(self.log(Happened::of_user(operation, id, ""), now));
            Ok(Decided::Commit(Entry::new(user, kept.revision() + 1), batch))
        })
        .await
    }
}
