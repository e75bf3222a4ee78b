//! Roles: what they allow, and who has them.

use std::collections::BTreeMap;

use super::ControlPlane;
use super::decided::Decided;
use super::security::next_epoch;
use super::users::Happened;
use crate::access::{default_permissions, permission_id};
use crate::entity::{
    Access, Action, Entity as _, EntityKind, Entry, PERMISSIONS, Permission, PermissionId, ROLE_PERMISSIONS,
    ROLES, Role, RoleId, RolePermission, USER_ACCESS, USER_ROLES, UserId, UserPermission, UserRole,
};
use crate::error::{Error, Result};
use crate::store::{Answer, MAX_PAGE, Query, Reads, Row, Scan, Write};
use crate::time::Timestamp;

/// The role that follows from being an administrator.
pub(crate) const ADMIN: &str = "admin";
/// The role that follows from being a user.
pub(crate) const USER: &str = "user";

/// A role to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewRole {
    /// The id, where the caller chooses it so that the request can be repeated.
    pub id: Option<RoleId>,
    /// The name: 1 to 64 lower-case letters, digits, `-` and `_`; not `admin` and not `user`.
    pub name: String,
    /// What it is for, at most 1,024 bytes.
    pub description: Option<String>,
}

impl NewRole {
    /// A role of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { id: None, name: name.into(), description: None }
    }

    /// Chooses the id.
    pub fn id(mut self, id: RoleId) -> Self {
        self.id = Some(id);
        self
    }

    /// Says what it is for.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }
}

impl ControlPlane {
    /// Keeps the two roles that follow from a user's permission, `admin` and `user`, as rows, so that a host can change what
    /// they allow. A role that is there is left as it is; where there is none, what is decided is the same.
    ///
    /// Any number of processes may do this at their start.
    #[tracing::instrument(skip_all)]
    pub async fn seed_roles(&self) -> Result<()> {
        for permission in UserPermission::ALL {
            self.decided("role.seed", "role", || self.decide_seed(*permission)).await?;
        }
        Ok(())
    }

    async fn decide_seed(&self, permission: UserPermission) -> Result<Decided<()>> {
        let name = if permission == UserPermission::Administrator { ADMIN } else { USER };
        let named = Scan::of(&ROLES).by("roles_name").with(name).limit(1);
        let queries = vec![Query::Scan(named), Query::Scan(Scan::of(&PERMISSIONS).limit(MAX_PAGE))];
        let reads = self.store.read(queries).await?;
        let now = reads.now;
        let mut pages = reads.answers.into_iter().map(Answer::into_rows);
        if pages.next().is_some_and(|roles| !roles.is_empty()) {
            return Ok(Decided::Done(()));
        }
        let mut kept = BTreeMap::new();
        for row in pages.next().unwrap_or_default() {
            let permission = Permission::from_row(&row)?;
            kept.insert((permission.action, permission.entity, permission.access), permission.id);
        }
        let (created_at, updated_at) = (now, now);
        let id: RoleId = self.new_id().into();
        let description = Some(format!("follows from the permission {permission}"));
        let role = Role { id, name: name.into(), description, created_at, updated_at };
        let mut batch = self.batch("role.seed").with(Write::Insert(role.to_row()));
        for allows in default_permissions(permission) {
            let (action, entity, access) = allows;
            let permission_id = kept.get(&allows).copied().unwrap_or_else(|| {
                let id = permission_id(allows);
                let new =
                    Permission { id, action, entity, access, description: None, created_at, updated_at };
                batch.push(Write::Insert(new.to_row()));
                id
            });
            batch.push(Write::Insert(RolePermission { role_id: id, permission_id, created_at }.to_row()));
        }
        batch.push(self.log(of_role("role.seed", id, name), now));
        Ok(Decided::Commit((), batch))
    }

    /// Makes a role that allows nothing yet. The same request again, with its id, is answered with the role that is there.
    ///
    /// # Errors
    /// `Invalid` for a name that is none, or that follows from [`User::permission`](crate::entity::User::permission);
    /// `AlreadyExists` where another role has it.
    #[tracing::instrument(skip_all)]
    pub async fn create_role(&self, request: NewRole) -> Result<Entry<Role>> {
        check_name(&request.name)?;
        let id = request.id.unwrap_or_else(|| self.new_id().into());
        let request = &request;
        self.decided("role.create", "role", || async move {
            let reads = self.store.read(vec![Query::Get { table: &ROLES, key: id.into() }]).await?;
            let role = Role {
                id,
                name: request.name.clone(),
                description: request.description.clone(),
                created_at: reads.now,
                updated_at: reads.now,
            };
            let now = reads.now;
            if let [Some(kept)] = rows(reads).as_slice() {
                let kept = Entry::new(Role::from_row(kept)?, kept.revision());
                let same = (&kept.name, &kept.description) == (&role.name, &role.description);
                return if same { Ok(Decided::Done(kept)) } else { Err(taken()) };
            }
            let batch = self
                .batch("role.create")
                .with(Write::Insert(role.to_row()))
                .with(self.log(of_role("role.create", id, &role.name), now));
            Ok(Decided::Commit(Entry::new(role, 1), batch))
        })
        .await
    }

    /// Deletes a role with what it allows.
    ///
    /// # Errors
    /// `StillUsed` while somebody has it; `Invalid` for the two that follow from a user's permission.
    #[tracing::instrument(skip_all)]
    pub async fn delete_role(&self, id: RoleId) -> Result<()> {
        self.decided("role.delete", "role", || async move {
            let allowed = Query::Scan(Scan::of(&ROLE_PERMISSIONS).with(id).limit(MAX_PAGE));
            let reads = self.store.read(vec![Query::Get { table: &ROLES, key: id.into() }, allowed]).await?;
            let now = reads.now;
            let mut answers = reads.answers.into_iter();
            let Some(Answer::Row(Some(role))) = answers.next() else {
                return Err(Error::not_found("role", id));
            };
            let name = role.text("name")?.to_owned();
            check_name(&name)?;
            let mut batch = self.batch("role.delete");
            if let Some(Answer::Page(page)) = answers.next() {
                for link in page.rows {
                    batch.push(Write::delete(&ROLE_PERMISSIONS, link.key(), link.revision()));
                }
            }
            batch.push(Write::delete(&ROLES, id, role.revision()));
            batch.push(self.log(of_role("role.delete", id, &name), now));
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    /// Lets those who have a role do something, from their next request on.
    #[tracing::instrument(skip_all)]
    pub async fn allow(
        &self,
        role: RoleId,
        action: Action,
        entity: EntityKind,
        access: Access,
    ) -> Result<()> {
        self.decided("role.allow", "role", || async move {
            let found = self.found(role, action, entity, access).await?;
            if found.link.is_some() {
                return Ok(Decided::Done(()));
            }
            let mut batch = self.batch("role.allow");
            let permission = if let Some(kept) = &found.permission {
                kept.id("id")?
            } else {
                let id: PermissionId = permission_id((action, entity, access));
                let (created_at, updated_at) = (found.now, found.now);
                let new =
                    Permission { id, action, entity, access, description: None, created_at, updated_at };
                batch.push(Write::Insert(new.to_row()));
                id
            };
            let link = RolePermission { role_id: role, permission_id: permission, created_at: found.now };
            batch.push(Write::Insert(link.to_row()));
            let what = format!("{action}:{entity}:{access}");
            batch.push(self.log(of_role("role.allow", role, &what), found.now));
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    /// No longer lets those who have a role do something, from their next request on. What was not allowed stays so.
    #[tracing::instrument(skip_all)]
    pub async fn disallow(
        &self,
        role: RoleId,
        action: Action,
        entity: EntityKind,
        access: Access,
    ) -> Result<()> {
        self.decided("role.disallow", "role", || async move {
            let found = self.found(role, action, entity, access).await?;
            let Some(link) = &found.link else {
                return Ok(Decided::Done(()));
            };
            let what = format!("{action}:{entity}:{access}");
            let batch = self
                .batch("role.disallow")
                .with(Write::delete(&ROLE_PERMISSIONS, link.key(), link.revision()))
                .with(self.log(of_role("role.disallow", role, &what), found.now));
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    /// Gives a user a role, beside the one that follows from their permission.
    ///
    /// # Errors
    /// `NotFound` for a user or role that is not there; `Invalid` for the two that follow from a user's permission.
    #[tracing::instrument(skip_all)]
    pub async fn give_role(&self, user: UserId, role: RoleId) -> Result<()> {
        self.turn_role("role.give", user, role, true).await
    }

    /// Takes a role from a user. What was authorized by it and not yet committed is decided again.
    #[tracing::instrument(skip_all)]
    pub async fn take_role(&self, user: UserId, role: RoleId) -> Result<()> {
        self.turn_role("role.take", user, role, false).await
    }

    async fn turn_role(&self, operation: &'static str, user: UserId, role: RoleId, has: bool) -> Result<()> {
        self.decided(operation, "role", || async move {
            let get = |table, key| Query::Get { table, key };
            let queries = vec![
                get(&USER_ACCESS, user.into()),
                get(&ROLES, role.into()),
                get(&USER_ROLES, (user, role).into()),
            ];
            let reads = self.store.read(queries).await?;
            let now = reads.now;
            let mut found = rows(reads).into_iter();
            let access = found.next().flatten().ok_or_else(|| Error::not_found("user", user))?;
            let named = found.next().flatten().ok_or_else(|| Error::not_found("role", role))?;
            let name = named.text("name")?;
            check_name(name)?;
            let write = match found.next().flatten() {
                Some(_) if has => return Ok(Decided::Done(())),
                None if !has => return Ok(Decided::Done(())),
                Some(kept) => Write::delete(&USER_ROLES, kept.key(), kept.revision()),
                None => Write::Insert(UserRole { user_id: user, role_id: role, created_at: now }.to_row()),
            };
            let happened =
                Happened { operation, actor: None, kind: "user", subject: user.uuid(), description: name };
            let batch =
                self.batch(operation).with(write).with(next_epoch(&access)?).with(self.log(happened, now));
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    async fn found(
        &self,
        role: RoleId,
        action: Action,
        entity: EntityKind,
        access: Access,
    ) -> Result<Allowance> {
        let what = Scan::of(&PERMISSIONS).by("permissions_what");
        let what = what.with(action.as_str()).with(entity.as_str()).with(access.as_str()).limit(1);
        let queries = vec![Query::Get { table: &ROLES, key: role.into() }, Query::Scan(what)];
        let reads = self.store.read(queries).await?;
        let now = reads.now;
        let mut answers = reads.answers.into_iter();
        let Some(Answer::Row(Some(_))) = answers.next() else {
            return Err(Error::not_found("role", role));
        };
        let permission = answers.next().and_then(Answer::into_row);
        let Some(permission) = permission else {
            return Ok(Allowance { permission: None, link: None, now });
        };
        let key = (role, permission.id::<Permission>("id")?).into();
        let reads = self.store.read(vec![Query::Get { table: &ROLE_PERMISSIONS, key }]).await?;
        let link = rows(reads).into_iter().next().flatten();
        Ok(Allowance { permission: Some(permission), link, now })
    }
}

/// A permission, and that a role has it, as far as either is there.
struct Allowance {
    permission: Option<Row>,
    link: Option<Row>,
    now: Timestamp,
}

fn rows(reads: Reads) -> Vec<Option<Row>> {
    reads.answers.into_iter().map(Answer::into_row).collect()
}

fn taken() -> Error {
    Error::AlreadyExists { kind: "role", key: "id" }
}

fn of_role<'h>(operation: &'static str, role: RoleId, what: &'h str) -> Happened<'h> {
    Happened { operation, actor: None, kind: "role", subject: role.uuid(), description: what }
}

fn check_name(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        let rule = "1 to 64 lower-case letters, digits, - and _ are allowed";
        return Err(Error::invalid("name", rule));
    }
    if name == ADMIN || name == USER {
        let rule = "the roles admin and user follow from a user's permission";
        return Err(Error::invalid("name", rule));
    }
    Ok(())
}
