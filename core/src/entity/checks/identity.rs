//! The repositories of identity and access.

use super::{World, assert_conflict, assert_taken, assert_used, listed};
use crate::entity::{
    Access, Action, ApiKeyFilter, ConnectionFilter, EntityKind, Entry, ManagedComputeNode,
    ManagedComputeNodeFilter, ManagedImage, ManagedImageFilter, Permission, Role, RolePermission,
    RolePermissionFilter, SessionFilter, SshKeyFilter, UserRoleFilter, VerificationFilter, VerificationKind,
};

pub(super) async fn what_a_user_holds_is_found_by_the_user(world: &World) {
    let repositories = &world.repositories;
    let (one, other) = (world.kept().await, world.kept().await);
    let user_id = Some(one.user.id);
    assert_eq!(
        listed!(repositories.sessions(), SessionFilter { user_id }),
        std::slice::from_ref(&one.session)
    );
    let ssh_keys = repositories.ssh_keys();
    assert_eq!(listed!(ssh_keys, SshKeyFilter { user_id }), std::slice::from_ref(&one.ssh_key));
    let found = ssh_keys.find_by_fingerprint(one.user.id, &one.ssh_key.fingerprint).await.unwrap();
    assert_eq!(found, Some(Entry::new(one.ssh_key.clone(), 1)));
    assert_eq!(ssh_keys.find_by_fingerprint(other.user.id, &one.ssh_key.fingerprint).await.unwrap(), None);

    let keys = repositories.api_keys();
    let node_id = Some(one.node.id);
    for filter in [(user_id, None), (None, node_id), (user_id, node_id)] {
        let filter = ApiKeyFilter { user_id: filter.0, node_id: filter.1 };
        assert_eq!(listed!(keys, filter), std::slice::from_ref(&one.api_key));
    }
    let crossed = ApiKeyFilter { user_id: Some(other.user.id), node_id };
    assert_eq!(listed!(keys, crossed), []);
    assert!(listed!(keys, ApiKeyFilter::default()).contains(&other.api_key));

    let connections = repositories.connections();
    let mine = listed!(connections, ConnectionFilter { user_id });
    assert_eq!(mine, std::slice::from_ref(&one.connection));
    let account = (&one.connection.provider_name, &one.connection.provider_id);
    let found = connections.find(account.0, account.1).await.unwrap();
    assert_eq!(found, Some(Entry::new(one.connection.clone(), 1)));
    assert_eq!(connections.find(account.0, "nobody").await.unwrap(), None);

    let verifications = repositories.verifications();
    let mine = listed!(verifications, VerificationFilter { user_id });
    assert_eq!(mine, std::slice::from_ref(&one.verification));
    let (target, kind) = (one.verification.target.as_str(), one.verification.kind);
    assert_eq!(verifications.find(target, kind).await.unwrap().unwrap().value, one.verification);
    assert_eq!(verifications.find(target, VerificationKind::Onboarding).await.unwrap(), None);
    assert_eq!(repositories.passwords().require(one.user.id).await.unwrap().value, one.password);
    let user_roles = repositories.user_roles();
    for filter in [(user_id, None), (None, Some(one.role.id)), (user_id, Some(one.role.id))] {
        let filter = UserRoleFilter { user_id: filter.0, role_id: filter.1 };
        assert_eq!(listed!(user_roles, filter), std::slice::from_ref(&one.user_role));
    }
}

pub(super) async fn what_ends_goes_with_its_companion(world: &World) {
    let repositories = &world.repositories;
    let kept = world.kept().await;
    assert_conflict(repositories.sessions().delete(kept.session.id, 2).await);
    world.holds(&kept.session_use, 1).await;
    repositories.sessions().delete(kept.session.id, 1).await.unwrap();
    assert_eq!(world.stored(&kept.session).await, None);
    assert_eq!(world.stored(&kept.session_use).await, None);
    repositories.api_keys().delete(kept.api_key.id, 1).await.unwrap();
    assert_eq!(world.stored(&kept.api_key).await, None);
    assert_eq!(world.stored(&kept.api_key_use).await, None);
    repositories.verifications().delete(kept.verification.id, 1).await.unwrap();
    assert_eq!(world.stored(&kept.verification_try).await, None);
    repositories.ssh_keys().delete(kept.ssh_key.id, 1).await.unwrap();
    assert_eq!(world.stored(&kept.ssh_key).await, None);
}

pub(super) async fn roles_have_permissions_and_each_is_there_once(world: &World) {
    let repositories = &world.repositories;
    let (roles, permissions, links) =
        (repositories.roles(), repositories.permissions(), repositories.role_permissions());
    let new = world.bare();
    let role = roles.create(new.role.clone()).await.unwrap();
    assert_eq!(roles.create(new.role.clone()).await.unwrap(), role, "the same one again");
    assert_eq!(roles.find_by_name(&role.name).await.unwrap(), Some(role.clone()));
    let same_name = Role { id: world.bare().role.id, ..new.role.clone() };
    assert_taken(&roles.create(same_name).await, "name");
    let renamed = Role { description: Some("operators".into()), ..role.value.clone() };
    let role = roles.update(Entry::new(renamed, 1)).await.unwrap();
    world.holds(&role.value, 2).await;

    let permission = permissions.create(new.permission.clone()).await.unwrap().value;
    let (action, entity, access) = (permission.action, permission.entity, permission.access);
    assert_eq!(permissions.find(action, entity, access).await.unwrap().unwrap().value, permission);
    let same = Permission { id: world.bare().permission.id, ..permission.clone() };
    assert_taken(&permissions.create(same).await, "what");
    let absent = permissions.find(Action::Share, EntityKind::Log, Access::Any).await.unwrap();
    assert_eq!(absent, None);

    let link = RolePermission { role_id: role.id, permission_id: permission.id, created_at: role.created_at };
    links.create(link.clone()).await.unwrap();
    for filter in [(Some(role.id), None), (None, Some(permission.id)), (Some(role.id), Some(permission.id))] {
        let filter = RolePermissionFilter { role_id: filter.0, permission_id: filter.1 };
        assert_eq!(listed!(links, filter), std::slice::from_ref(&link));
    }
    assert_used(roles.delete(role.id, 2).await, "role_permissions");
    assert_used(permissions.delete(permission.id, 1).await, "role_permissions");
    links.delete(role.id, permission.id, 1).await.unwrap();
    roles.delete(role.id, 2).await.unwrap();
    permissions.delete(permission.id, 1).await.unwrap();
}

pub(super) async fn a_grant_of_a_node_or_image_is_given_once(world: &World) {
    let repositories = &world.repositories;
    let (nodes, images) = (repositories.managed_compute_nodes(), repositories.managed_images());
    let (one, other) = (world.kept().await, world.kept().await);
    let (user_id, node_id) = (Some(one.user.id), Some(one.node.id));
    for filter in [(user_id, None), (None, node_id), (user_id, node_id)] {
        let filter = ManagedComputeNodeFilter { user_id: filter.0, node_id: filter.1 };
        assert_eq!(listed!(nodes, filter), std::slice::from_ref(&one.node_grant));
    }
    let image_id = Some(one.image.id);
    for filter in [(user_id, None), (None, image_id), (user_id, image_id)] {
        let filter = ManagedImageFilter { user_id: filter.0, image_id: filter.1 };
        assert_eq!(listed!(images, filter), std::slice::from_ref(&one.image_grant));
    }
    assert_eq!(nodes.find(one.user.id, other.node.id).await.unwrap(), None);
    assert_eq!(images.find(one.user.id, one.image.id).await.unwrap().unwrap().value, one.image_grant);

    let node = ManagedComputeNode {
        user_id: other.user.id,
        id: world.bare().node_grant.id,
        ..one.node_grant.clone()
    };
    nodes.create(node.clone()).await.unwrap();
    let again = ManagedComputeNode { id: world.bare().node_grant.id, ..node.clone() };
    assert_taken(&nodes.create(again).await, "user_node");
    nodes.delete(node.id, 1).await.unwrap();
    assert_eq!(world.stored(&node).await, None);
    let image =
        ManagedImage { user_id: other.user.id, id: world.bare().image_grant.id, ..one.image_grant.clone() };
    images.create(image.clone()).await.unwrap();
    let again = ManagedImage { id: world.bare().image_grant.id, ..image.clone() };
    assert_taken(&images.create(again).await, "user_image");
    images.delete(image.id, 1).await.unwrap();
    assert_used(repositories.images().delete(one.image.id, 1).await, "instances");
}
