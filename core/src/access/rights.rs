//! The decision: [`authorize`].

use std::collections::BTreeSet;

use super::defaults::Allows;
use super::operation::Operation;
use super::scope::covered;
use crate::entity::{Access, Action, EntityKind, UserId};

/// What is known of who asks; by default nothing, so that nothing is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rights {
    /// Whether it is the application itself, which may do everything.
    pub is_system: bool,
    /// The user, where one asks.
    pub user: Option<UserId>,
    /// Whether the user may act at all: confirmed, and not suspended.
    pub may_act: bool,
    /// What their roles allow, to their own things or to any.
    pub permissions: BTreeSet<Allows>,
    /// What the API key may be used for that they ask by, each as `action:entity`; none where they ask by none.
    pub scopes: Option<Vec<String>>,
    /// Whether it is a node's agent, who may do none of this.
    pub is_agent: bool,
}

impl Rights {
    /// Those of the application itself.
    pub fn system() -> Self {
        Self { is_system: true, ..Self::default() }
    }
}

/// What is known of the thing that it is asked of.
///
/// Where something is to be made, it is what will own it: the account, or the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them may hold with any other"
)]
#[non_exhaustive]
pub struct Object {
    /// Whose it is: its owner, and the owner of the node that it is on.
    pub owners: Vec<UserId>,
    /// Whether the user has a grant of the thing itself that has not ended.
    pub granted: bool,
    /// Whether the user has a grant of the node that it is on that has not ended.
    pub node_granted: bool,
    /// Whether it is an image that those may use who may use its node.
    pub published: bool,
    /// Whether it is no secret that it is there: so of what is nobody's.
    pub open: bool,
}

impl Object {
    /// A thing of a user.
    pub fn of(owner: UserId) -> Self {
        Self { owners: vec![owner], ..Self::default() }
    }

    /// What is nobody's, and known to everybody.
    pub fn open() -> Self {
        Self { open: true, ..Self::default() }
    }
}

/// Whether it may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// By a permission, or because the application itself asks.
    Permitted,
    /// By a grant, which the batch has to guard.
    Granted,
    /// It may be seen, but this may not be done.
    Denied,
    /// It may not be seen, which is the same as if it were not there.
    NotFound,
}

impl Decision {
    /// Whether it may be done.
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Permitted | Self::Granted)
    }
}

/// Decides whether an operation may be done to a thing; none is one that is not there.
///
/// - A permission with access `any` allows it on everything, one with `own` on what the user owns; `any` implies `own`.
/// - A grant of a node lets one see the node and its GPUs, create on it, fetch images to it, and see and use those on it that are
///   published.
/// - A grant of an image lets one see it, start from it, publish and delete it.
/// - A grant of an instance lets one see, start and stop it, and see its ports; with one of its node, save an image of it.
/// - What lets one be somebody ([`Operation::is_personal`]) is done to oneself alone.
/// - The scopes of an API key only narrow. A node's agent, and a user who is suspended or not confirmed, may do nothing.
/// - What may not be seen is the same as what is not there; what is one's own, and what is nobody's, is never that.
pub fn authorize(rights: &Rights, operation: Operation, object: Option<&Object>) -> Decision {
    let Some(object) = object else {
        return Decision::NotFound;
    };
    let (action, kind) = (operation.action(), operation.kind());
    let own = rights.user.is_some_and(|user| object.owners.contains(&user));
    let personal = operation.is_personal() && !own && !rights.is_system;
    match allowed(rights, action, kind, object) {
        Some(decision) if !personal => decision,
        _ if object.open || own => Decision::Denied,
        _ if allowed(rights, Action::Read, kind, object).is_some() => Decision::Denied,
        _ => Decision::NotFound,
    }
}

/// How far the rights of somebody reach among the things of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To nothing, whatever was granted.
    Nothing,
    /// To what was granted.
    Granted,
    /// To what is theirs and what was granted.
    Own,
    /// To everything.
    Any,
}

/// How far rights reach: for lists, which have no thing yet.
pub(crate) fn reach(rights: &Rights, action: Action, kind: EntityKind) -> Reach {
    if rights.is_system {
        return Reach::Any;
    }
    let covered = rights.scopes.as_deref().is_none_or(|scopes| covered(scopes, action, kind));
    if rights.user.is_none() || !rights.may_act || rights.is_agent || !covered {
        return Reach::Nothing;
    }
    let has = |access| rights.permissions.contains(&(action, kind, access));
    match (has(Access::Any), has(Access::Own)) {
        (true, _) => Reach::Any,
        (false, true) => Reach::Own,
        (false, false) => Reach::Granted,
    }
}

fn allowed(rights: &Rights, action: Action, kind: EntityKind, object: &Object) -> Option<Decision> {
    if rights.is_system {
        return Some(Decision::Permitted);
    }
    let user = rights.user.filter(|_| !rights.is_agent)?;
    let covered = rights.scopes.as_deref().is_none_or(|scopes| covered(scopes, action, kind));
    if !rights.may_act || !covered {
        return None;
    }
    let has = |access| rights.permissions.contains(&(action, kind, access));
    if has(Access::Any) || (has(Access::Own) && object.owners.contains(&user)) {
        return Some(Decision::Permitted);
    }
    by_grant(action, kind, object).then_some(Decision::Granted)
}

/// What a grant allows.
fn by_grant(action: Action, kind: EntityKind, object: &Object) -> bool {
    match (kind, action) {
        (EntityKind::ComputeNode, Action::Read | Action::Use)
        | (EntityKind::Gpu, Action::Read)
        | (EntityKind::Image, Action::Create) => object.node_granted,
        (EntityKind::Image, Action::Read | Action::Use) => {
            object.granted || (object.node_granted && object.published)
        }
        (EntityKind::Image, Action::Publish | Action::Delete)
        | (EntityKind::Instance, Action::Read | Action::Operate)
        | (EntityKind::PortMap, Action::Read) => object.granted,
        _ => false,
    }
}
