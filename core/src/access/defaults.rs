//! What the two roles allow that follow from a user's permission, until the host changes it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::entity::{Access, Action, EntityKind, PermissionId, UserPermission};
use crate::id::hashed;

/// A permission, as a value.
pub(crate) type Allows = (Action, EntityKind, Access);

/// What a user may do to their own things.
const USER: &[(EntityKind, &[Action])] = {
    use Action::{Create, Delete, Operate, Publish, Read, Share, Update, Use};
    &[
        (EntityKind::User, &[Read, Update, Delete]),
        (EntityKind::SshKey, &[Create, Read, Update, Delete]),
        (EntityKind::ApiKey, &[Create, Read, Update, Delete]),
        (EntityKind::Session, &[Read, Delete]),
        (EntityKind::Verification, &[Create, Read, Update, Delete]),
        (EntityKind::Connection, &[Create, Read, Delete]),
        (EntityKind::ComputeNode, &[Create, Read, Update, Delete, Operate, Use, Share]),
        (EntityKind::Gpu, &[Read, Update]),
        (EntityKind::Image, &[Create, Read, Update, Delete, Use, Publish, Share]),
        (EntityKind::Instance, &[Create, Read, Update, Delete, Operate, Share]),
        (EntityKind::PortMap, &[Create, Read, Delete]),
        (EntityKind::Quota, &[Read]),
        (EntityKind::Log, &[Read]),
        (EntityKind::Training, &[Create, Read, Update, Delete]),
        (EntityKind::TrainingRun, &[Create, Read, Operate]),
    ]
};

/// What the role that follows from this permission allows at first: an administrator everything to everything, a user what they
/// need for their own things.
pub(crate) fn default_permissions(of: UserPermission) -> Vec<Allows> {
    match of {
        UserPermission::Administrator => EntityKind::ALL
            .iter()
            .flat_map(|kind| Action::ALL.iter().map(|action| (*action, *kind, Access::Any)))
            .collect(),
        UserPermission::User => USER
            .iter()
            .flat_map(|(kind, actions)| actions.iter().map(|action| (*action, *kind, Access::Own)))
            .collect(),
    }
}

/// The id that a permission has where the SDK makes it: the same everywhere, so that it is made once.
pub(crate) fn permission_id((action, entity, access): Allows) -> PermissionId {
    hashed(format!("apportion permission {action}:{entity}:{access}").as_bytes()).into()
}

/// The permission of such an id, which saves reading it; none for one that a host made with an id of its own.
pub(crate) fn permission_of(id: PermissionId) -> Option<Allows> {
    static KNOWN: OnceLock<BTreeMap<PermissionId, Allows>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let mut known = BTreeMap::new();
        for action in Action::ALL {
            for kind in EntityKind::ALL {
                for access in Access::ALL {
                    let allows = (*action, *kind, *access);
                    known.insert(permission_id(allows), allows);
                }
            }
        }
        known
    });
    known.get(&id).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stands_for_one_permission() {
        let all = default_permissions(UserPermission::Administrator);
        assert_eq!(all.len(), Action::ALL.len() * EntityKind::ALL.len());
        assert!(all.iter().all(|allows| permission_of(permission_id(*allows)) == Some(*allows)));
        assert_eq!(permission_of(PermissionId::new(uuid::Uuid::nil())), None);
        // Kept in databases: it never changes.
        let first = permission_id((Action::Create, EntityKind::User, Access::Own));
        assert_eq!(first.to_string(), "d66ae6f5-2c67-8e10-9a1f-b2252e277b8e");
    }

    #[test]
    fn a_user_may_nothing_to_what_is_not_theirs() {
        assert!(
            default_permissions(UserPermission::User).iter().all(|(_, _, access)| *access == Access::Own)
        );
    }
}
