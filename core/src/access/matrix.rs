//! The golden matrix: who may do what, as a text that people read and a test compares.

use std::fmt::Write as _;

use super::{Decision, Operation};
use crate::entity::EntityKind;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A user.
    User,
    /// An administrator.
    Administrator,
    /// A user whose own role allows everything on one's own instances, and nothing else; who is a user beside it.
    UserWithRole,
    /// A user with a role that lets one see and operate any instance.
    Operator,
    /// A user who is suspended.
    Suspended,
    /// A user who has not confirmed their address.
    NotActivated,
    /// An administrator who asks by an API key that may only see.
    ReadingKey,
    /// A user who asks by an API key that may make and see instances, and create on nodes.
    LaunchingKey,
    /// The agent of a node.
    NodeAgent,
    /// The application itself.
    System,
}

impl Actor {
    pub(crate) const ALL: &'static [Self] = &[
        Self::User,
        Self::Administrator,
        Self::UserWithRole,
        Self::Operator,
        Self::Suspended,
        Self::NotActivated,
        Self::ReadingKey,
        Self::LaunchingKey,
        Self::NodeAgent,
        Self::System,
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::User => "a user",
            Self::Administrator => "an administrator",
            Self::UserWithRole => "a user with a role: share:port_map own, share:role own",
            Self::Operator => "a user with a role: read:instance any, operate:instance any",
            Self::Suspended => "a suspended user",
            Self::NotActivated => "a user who has not confirmed an address",
            Self::ReadingKey => "an administrator by an api key with the scope read:*",
            Self::LaunchingKey => "a user by an api key with the scopes *:instance, use:compute_node",
            Self::NodeAgent => "a node's agent",
            Self::System => "the application itself",
        }
    }
}

/// What the thing is to who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It is theirs.
    Own,
    /// It is somebody else's.
    Foreign,
    /// It is somebody else's, and granted to them.
    Granted,
    /// It is somebody else's, and was granted until a moment ago.
    Expired,
    /// It is on somebody else's node, which is granted to them.
    NodeGranted,
    /// It is a published image on such a node; anything else there.
    Published,
    /// It is on a node that was granted until a moment ago.
    NodeExpired,
    /// It is not there.
    Missing,
}

impl Relation {
    pub(crate) const ALL: &'static [Self] = &[
        Self::Own,
        Self::Foreign,
        Self::Granted,
        Self::Expired,
        Self::NodeGranted,
        Self::Published,
        Self::NodeExpired,
        Self::Missing,
    ];
}

/// Whether an operation is asked of what is nobody's.
pub(crate) const fn asked_of_the_cloud(operation: Operation) -> bool {
    match operation.kind() {
        EntityKind::Role | EntityKind::Permission => {
            !matches!(operation, Operation::GiveRole | Operation::TakeRole)
        }
        EntityKind::RunQueue => true,
        _ => matches!(operation, Operation::CreateUser | Operation::Invite),
    }
}

/// Whether an operation is asked of a node: one on the node, or one that makes something on it.
pub(crate) const fn asked_of_a_node(operation: Operation) -> bool {
    match operation.kind() {
        EntityKind::ComputeNode => !matches!(operation, Operation::RegisterNode),
        _ => matches!(operation, Operation::CreateImage | Operation::CreatePort),
    }
}

/// Whether an operation is asked of an account.
pub(crate) const fn asked_of_an_account(operation: Operation) -> bool {
    match operation.kind() {
        EntityKind::Gpu | EntityKind::Image | EntityKind::PortMap | EntityKind::TrainingRun => false,
        EntityKind::Instance => matches!(operation, Operation::Launch),
        EntityKind::Training => matches!(operation, Operation::CreateTraining),
        _ => !asked_of_the_cloud(operation) && !asked_of_a_node(operation),
    }
}

/// The matrix as it was agreed on.
pub(crate) const GOLDEN: &str = include_str!("golden/matrix.txt");

const LEGEND: &str = "\
Who may do what. One table for each kind of actor, one line for each operation; the columns are what the thing is to the actor:
own, somebody else's, granted, granted until a moment ago, on a granted node, published on a granted node, on a node that was
granted until a moment ago, not there. `+` it may be done, `-` it may be seen but not done, `.` it is not there for the actor.
";

/// The decisions as a text.
pub(crate) fn rendered(decisions: &[(Actor, Operation, Relation, Decision)]) -> String {
    let mut text = LEGEND.to_owned();
    for actor in Actor::ALL {
        // Writing to a string does not fail.
        let _ = write!(text, "\n{}\n", actor.title());
        let heads = ["own", "foreign", "granted", "ended", "node", "publ.", "n.ended", "missing"];
        let heads: String = heads.iter().fold(String::new(), |line, head| format!("{line} {head:>7}"));
        let _ = writeln!(text, "  {:<28}{heads}", "");
        for operation in Operation::ALL {
            let _ = write!(text, "  {:<28}", operation.as_str());
            for relation in Relation::ALL {
                let found = decisions.iter().find(|(a, o, r, _)| (a, o, r) == (actor, operation, relation));
                let sign = match found.map(|(.., decision)| *decision) {
                    Some(Decision::Permitted | Decision::Granted) => "+",
                    Some(Decision::Denied) => "-",
                    Some(Decision::NotFound) => ".",
                    None => "?",
                };
                let _ = write!(text, " {sign:>7}");
            }
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Object, Rights, authorize, default_permissions};
    use crate::entity::{Access, Action, UserId, UserPermission};
    use uuid::Uuid;

    fn rights(actor: Actor, user: UserId) -> Rights {
        let of = |permission| default_permissions(permission).into_iter().collect();
        let mut rights = Rights {
            user: Some(user),
            may_act: true,
            permissions: of(UserPermission::User),
            ..Rights::default()
        };
        match actor {
            Actor::User => {}
            Actor::Administrator => rights.permissions = of(UserPermission::Administrator),
            Actor::UserWithRole => {
                rights.permissions.insert((Action::Share, EntityKind::PortMap, Access::Own));
                rights.permissions.insert((Action::Share, EntityKind::Role, Access::Own));
            }
            Actor::Operator => {
                rights.permissions.insert((Action::Read, EntityKind::Instance, Access::Any));
                rights.permissions.insert((Action::Operate, EntityKind::Instance, Access::Any));
            }
            Actor::Suspended | Actor::NotActivated => rights.may_act = false,
            Actor::ReadingKey => {
                rights.permissions = of(UserPermission::Administrator);
                rights.scopes = Some(vec!["read:*".into()]);
            }
            Actor::LaunchingKey => {
                rights.scopes = Some(vec!["*:instance".into(), "use:compute_node".into()]);
            }
            Actor::NodeAgent => rights.is_agent = true,
            Actor::System => rights = Rights::system(),
        }
        rights
    }

    fn object(operation: Operation, relation: Relation, own: UserId, other: UserId) -> Option<Object> {
        // A node is a node that is granted, however one looks at it.
        let of_node = asked_of_a_node(operation) || operation.kind() == EntityKind::Gpu;
        let image = operation.kind() == EntityKind::Image && !of_node;
        let granted = relation == Relation::Granted;
        let node = matches!(relation, Relation::NodeGranted | Relation::Published);
        if asked_of_the_cloud(operation) {
            return Some(Object::open());
        }
        let owner = if relation == Relation::Own { own } else { other };
        let mut object = Object::of(owner);
        object.granted = granted && !of_node && !asked_of_an_account(operation);
        object.node_granted = (node && (of_node || image)) || (granted && of_node);
        object.published = relation == Relation::Published && image;
        (relation != Relation::Missing).then_some(object)
    }

    #[test]
    fn the_matrix_is_the_one_that_was_agreed_on() {
        let (own, other) = (UserId::new(Uuid::from_u128(1)), UserId::new(Uuid::from_u128(2)));
        let mut decisions = Vec::new();
        for actor in Actor::ALL {
            for operation in Operation::ALL {
                for relation in Relation::ALL {
                    let object = object(*operation, *relation, own, other);
                    let decision = authorize(&rights(*actor, own), *operation, object.as_ref());
                    decisions.push((*actor, *operation, *relation, decision));
                }
            }
        }
        let text = rendered(&decisions);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/access/golden/matrix.txt");
            std::fs::write(path, &text).unwrap();
            return;
        }
        assert!(
            text == GOLDEN,
            "the matrix is another one: see it with UPDATE_GOLDEN=1 and git diff\n{text}"
        );
    }
}
