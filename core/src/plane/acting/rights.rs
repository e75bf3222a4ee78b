//! Reading what a decision is made on.

use std::collections::BTreeSet;

use super::merged::is_live;
use super::{Acting, Thing};
use crate::access::{
    Decision, Object, Operation, Reach, Rights, authorize, default_permissions, permission_of, reach,
};
use crate::entity::{
    API_KEYS, Access, AccessState, Action, ApiKey, ApiKeyKind, COMPUTE_NODES, Entity as _, EntityKind, GPUS,
    IMAGES, INSTANCES, Image, Instance, MANAGED_COMPUTE_NODES, MANAGED_IMAGES, MANAGED_INSTANCES, NodeId,
    PERMISSIONS, PORT_MAPS, Permission, PermissionId, ROLE_PERMISSIONS, ROLES, RoleId, SESSION_USES,
    SESSIONS, Session, SessionState, TRAINING_IMAGES, TRAINING_RUNS, TRAININGS, Training, USER_ACCESS,
    USER_ROLES, USERS, User, UserAccess, UserId, UserPermission,
};
use crate::error::{Error, Result};
use crate::identity::Via;
use crate::plane::roles::{ADMIN, USER};
use crate::store::{Answer, MAX_PAGE, Query, Row, Scan, StoreExt as _, Table, Write};
use crate::time::Timestamp;

/// A decision, and the guards of the grant that it stands on.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) decision: Decision,
    pub(super) grounds: Vec<Write>,
}

/// What was read of who asks.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) rights: Rights,
    /// The guards of the epoch, and of the session or key, where there is somebody to guard.
    pub(crate) guards: Vec<Write>,
    pub(crate) now: Timestamp,
}

/// What was read of the session or key that the caller was authenticated by.
#[derive(Debug, Default)]
struct Credential {
    /// What a key may be used for now.
    scopes: Option<Vec<String>>,
    is_agent: bool,
    guard: Option<Write>,
}

/// What was read of a thing.
#[derive(Debug, Default)]
struct Seen {
    object: Object,
    /// What a grant stands on: guarded where the decision stands on it.
    grounds: Vec<Write>,
}

impl Acting {
    /// Decides for who is known, over what is read of the thing now.
    pub(super) async fn judged(&self, known: &Known, operation: Operation, thing: Thing) -> Result<Judged> {
        let seen = self.seen(thing, known.rights.user, known.now).await?;
        let decision = authorize(&known.rights, operation, seen.as_ref().map(|seen| &seen.object));
        let grounds = match (decision, seen) {
            (Decision::Granted, Some(seen)) => seen.grounds,
            _ => Vec::new(),
        };
        Ok(Judged { decision, grounds })
    }

    /// What is decided on an operation, as it is now.
    #[cfg(feature = "conformance")]
    pub(crate) async fn decision(&self, operation: Operation, thing: Thing) -> Result<Decision> {
        Ok(self.judged(&self.known().await?, operation, thing).await?.decision)
    }

    /// What the caller may do, as it is now.
    pub(crate) async fn known(&self) -> Result<Known> {
        let user = match self.caller().via() {
            Via::System => {
                let now = self.plane.store.read(Vec::new()).await?.now;
                return Ok(Known { rights: Rights::system(), guards: Vec::new(), now });
            }
            Via::Trusted { user } | Via::Session { user, .. } | Via::ApiKey { user, .. } => *user,
            Via::NodeAgent { owner, .. } => *owner,
        };
        let credential = self.credential(user).await?;
        let (scopes, is_agent) = (credential.scopes, credential.is_agent);
        let named = |name: &str| Query::Scan(Scan::of(&ROLES).by("roles_name").with(name).limit(1));
        let queries = vec![
            Query::Get { table: &USER_ACCESS, key: user.into() },
            Query::Get { table: &USERS, key: user.into() },
            Query::Scan(Scan::of(&USER_ROLES).with(user).limit(MAX_PAGE)),
            named(ADMIN),
            named(USER),
        ];
        let reads = self.plane.store.read(queries).await?;
        let now = reads.now;
        let mut answers = reads.answers.into_iter().map(Answer::into_rows);
        let mut next = || answers.next().unwrap_or_default();
        let (access, named, given, admin, plain) =
            (next().pop(), next().pop(), next(), next().pop(), next().pop());
        let mut rights = Rights { user: Some(user), scopes, is_agent, ..Rights::default() };
        let (Some(access), Some(named)) = (access, named) else {
            // Somebody who was deleted may nothing.
            return Ok(Known { rights, guards: Vec::new(), now });
        };
        let mut guards = vec![Write::guard(&USER_ACCESS, user, access.revision())];
        guards.extend(credential.guard);
        let (access, named) = (UserAccess::from_row(&access)?, User::from_row(&named)?);
        // Who was made by an administrator and never confirmed an address is let in by the host alone.
        let trusted = matches!(self.caller().via(), Via::Trusted { .. });
        rights.may_act = access.state == AccessState::Active && (named.activated || trusted);
        if rights.may_act && !is_agent {
            let implied = if named.permission == UserPermission::Administrator { admin } else { plain };
            let mut roles = Vec::with_capacity(given.len() + 1);
            match implied {
                Some(role) => roles.push(role.id("id")?),
                None => rights.permissions.extend(default_permissions(named.permission)),
            }
            for link in &given {
                roles.push(link.id("role_id")?);
            }
            self.permissions_of(&roles, &mut rights.permissions).await?;
        }
        Ok(Known { rights, guards, now })
    }

    /// What the caller was authenticated by, as it is now: a session that has ended, or a key that was revoked, lets nobody do
    /// anything any more, whenever it was checked.
    async fn credential(&self, user: UserId) -> Result<Credential> {
        match self.caller().via() {
            Via::System | Via::Trusted { .. } => Ok(Credential::default()),
            Via::Session { session, .. } => {
                let keys = vec![(&SESSIONS, (*session).into()), (&SESSION_USES, (*session).into())];
                let read = self.plane.store.get_many(keys).await?;
                let [Some(row), Some(last_use)] = read.value.as_slice() else {
                    return Err(Error::Unauthenticated);
                };
                let kept = Session::from_row(row)?;
                let last_used_at = last_use.time("last_used_at")?;
                let over = self.plane.identity.sessions.is_over(kept.expires_at, last_used_at, read.now);
                if over || kept.user_id != user || kept.state != SessionState::Full {
                    return Err(Error::Unauthenticated);
                }
                let guard = Some(Write::guard(&SESSIONS, row.key(), row.revision()));
                Ok(Credential { guard, ..Credential::default() })
            }
            Via::ApiKey { key, .. } | Via::NodeAgent { key, .. } => {
                let read = self.plane.store.get(&API_KEYS, *key).await?;
                let row = read.value.ok_or(Error::Unauthenticated)?;
                let kept = ApiKey::from_row(&row)?;
                if kept.user_id != user || kept.expires_at.is_some_and(|end| end <= read.now) {
                    return Err(Error::Unauthenticated);
                }
                Ok(Credential {
                    scopes: Some(kept.scopes),
                    is_agent: kept.kind == ApiKeyKind::NodeAgent,
                    guard: Some(Write::guard(&API_KEYS, row.key(), row.revision())),
                })
            }
        }
    }

    /// Whether the caller may do this to any thing of a kind.
    pub(super) async fn may_anywhere(&self, action: Action, kind: EntityKind) -> Result<bool> {
        Ok(reach(&self.known().await?.rights, action, kind) == Reach::Any)
    }

    /// The nodes that a user may create on, by owning them or by a grant.
    pub(super) async fn usable_nodes(&self) -> Result<Vec<NodeId>> {
        let Some(user) = self.caller().user() else { return Ok(Vec::new()) };
        let known = self.known().await?;
        let mut nodes = self.own_nodes(user).await?;
        nodes.extend(self.granted_nodes(user, &known).await?);
        Ok(nodes)
    }

    async fn permissions_of(
        &self,
        roles: &[RoleId],
        permissions: &mut BTreeSet<(Action, EntityKind, Access)>,
    ) -> Result<()> {
        let scans =
            roles.iter().map(|role| Scan::of(&ROLE_PERMISSIONS).with(*role).limit(MAX_PAGE)).collect();
        let mut unknown = Vec::new();
        for page in self.plane.store.scan_many(scans).await?.value {
            for link in page.rows {
                let id: PermissionId = link.id("permission_id")?;
                match permission_of(id) {
                    Some(allows) => drop(permissions.insert(allows)),
                    None => unknown.push((&PERMISSIONS as &'static Table, id.into())),
                }
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        for row in self.plane.store.get_many(unknown).await?.value.into_iter().flatten() {
            let permission = Permission::from_row(&row)?;
            permissions.insert((permission.action, permission.entity, permission.access));
        }
        Ok(())
    }

    /// A thing as this user sees it; none where it is not there.
    async fn seen(&self, thing: Thing, user: Option<UserId>, now: Timestamp) -> Result<Option<Seen>> {
        match thing {
            Thing::Cloud => Ok(Some(Seen { object: Object::open(), grounds: Vec::new() })),
            Thing::Account(id) => {
                let there = self.plane.store.get(&USERS, id).await?.value.is_some();
                Ok(there.then(|| Seen { object: Object::of(id), grounds: Vec::new() }))
            }
            Thing::Node(node) => self.seen_node(node, user, now).await,
            Thing::Gpu(gpu) => {
                let Some(row) = self.plane.store.get(&GPUS, gpu).await?.value else { return Ok(None) };
                match row.opt_id("node_id")? {
                    Some(node) => self.seen_node(node, user, now).await,
                    None => Ok(Some(Seen::default())),
                }
            }
            Thing::Image(image) => {
                let by = ("managed_images_user_image", image.uuid());
                let (Some(row), grant) = self.with_grant(&IMAGES, &MANAGED_IMAGES, by, user, now).await?
                else {
                    return Ok(None);
                };
                let kept = Image::from_row(&row)?;
                let mut seen = self.seen_node(kept.node_id, user, now).await?.unwrap_or_default();
                seen.object.published = kept.published;
                if let Some(grant) = grant {
                    seen.object.granted = true;
                    seen.grounds = vec![grant];
                } else {
                    seen.grounds.push(Write::guard(&IMAGES, image, row.revision()));
                }
                Ok(Some(seen))
            }
            Thing::Instance(instance) => {
                let by = ("managed_instances_user_instance", instance.uuid());
                let (row, grant) = self.with_grant(&INSTANCES, &MANAGED_INSTANCES, by, user, now).await?;
                match row {
                    Some(row) => Ok(Some(self.seen_instance(&row, grant).await?)),
                    None => Ok(None),
                }
            }
            Thing::Training(id) => self.seen_owned(&TRAININGS, id).await,
            Thing::TrainingImage(id) => {
                let row = self.plane.store.get(&TRAINING_IMAGES, id).await?.value;
                match row.map(|row| row.id::<Training>("training_id")).transpose()? {
                    Some(training) => self.seen_owned(&TRAININGS, training).await,
                    None => Ok(None),
                }
            }
            Thing::Run(id) => self.seen_owned(&TRAINING_RUNS, id).await,
            Thing::Port(port) => {
                let Some(row) = self.plane.store.get(&PORT_MAPS, port).await?.value else { return Ok(None) };
                let node = row.id("node_id")?;
                let mut seen = self.seen_node(node, None, now).await?.unwrap_or_default();
                if let Some(instance) = row.opt_id::<Instance>("instance_id")? {
                    let by = ("managed_instances_user_instance", instance.uuid());
                    let (row, grant) = self.with_grant(&INSTANCES, &MANAGED_INSTANCES, by, user, now).await?;
                    if let Some(row) = row {
                        seen.object.owners.push(Instance::from_row(&row)?.owner_id);
                        seen.object.granted = grant.is_some();
                        seen.grounds = grant.into_iter().collect();
                    }
                }
                Ok(Some(seen))
            }
        }
    }

    /// What is its owner's alone: the owner of a row never changes.
    async fn seen_owned(
        &self,
        table: &'static Table,
        id: impl Into<crate::store::Key> + Send,
    ) -> Result<Option<Seen>> {
        let row = self.plane.store.get(table, id).await?.value;
        let owner = row.map(|row| row.id("owner_id")).transpose()?;
        Ok(owner.map(|owner| Seen { object: Object::of(owner), grounds: Vec::new() }))
    }

    async fn seen_instance(&self, row: &Row, grant: Option<Write>) -> Result<Seen> {
        let instance = Instance::from_row(row)?;
        let mut owners = vec![instance.owner_id];
        if let Some(node) = instance.node_id {
            owners.extend(self.node_owner(node).await?);
        }
        let object = Object { owners, granted: grant.is_some(), ..Object::default() };
        Ok(Seen { object, grounds: grant.into_iter().collect() })
    }

    async fn seen_node(&self, node: NodeId, user: Option<UserId>, now: Timestamp) -> Result<Option<Seen>> {
        let by = ("managed_compute_nodes_user_node", node.uuid());
        let (row, grant) = self.with_grant(&COMPUTE_NODES, &MANAGED_COMPUTE_NODES, by, user, now).await?;
        let Some(row) = row else { return Ok(None) };
        let object =
            Object { owners: vec![row.id("owner_id")?], node_granted: grant.is_some(), ..Object::default() };
        Ok(Some(Seen { object, grounds: grant.into_iter().collect() }))
    }

    async fn node_owner(&self, node: NodeId) -> Result<Option<UserId>> {
        let row = self.plane.store.get(&COMPUTE_NODES, node).await?.value;
        Ok(row.map(|row| row.id("owner_id")).transpose()?)
    }

    /// A row, and the guard of the user's grant of it, where there is one that has not ended.
    async fn with_grant(
        &self,
        table: &'static Table,
        grants: &'static Table,
        (unique, id): (&'static str, uuid::Uuid),
        user: Option<UserId>,
        now: Timestamp,
    ) -> Result<(Option<Row>, Option<Write>)> {
        let mut queries = vec![Query::Get { table, key: id.into() }];
        if let Some(user) = user {
            queries.push(Query::Scan(Scan::of(grants).by(unique).with(user).with(id).limit(1)));
        }
        let reads = self.plane.store.read(queries).await?;
        let mut answers = reads.answers.into_iter().map(Answer::into_rows);
        let row = answers.next().unwrap_or_default().pop();
        let grant = answers.next().unwrap_or_default().pop();
        let grant = match grant {
            Some(grant) if is_live(&grant, now)? => Some(Write::guard(grants, grant.key(), grant.revision())),
            _ => None,
        };
        Ok((row, grant))
    }
}
