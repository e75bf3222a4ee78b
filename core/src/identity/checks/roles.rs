//! Roles.

use super::World;
use crate::entity::{Access, Action, EntityKind, PageRequest, RolePermissionFilter, UserRoleFilter};
use crate::error::Error;
use crate::plane::NewRole;

pub(super) async fn a_role_is_given_and_taken_and_its_name_is_nobody_elses(world: &World) {
    let cloud = &world.cloud;
    let user = world.user().await.id;
    let request =
        NewRole::new("operators").description("they are on call").id(crate::id::Id::new(user.uuid()));
    let role = cloud.create_role(request.clone()).await.unwrap();
    assert_eq!(cloud.create_role(request).await.unwrap(), role, "the same request again");
    let other = cloud.create_role(NewRole::new("operators")).await;
    assert!(matches!(other, Err(Error::AlreadyExists { kind: "role", key: "name" })), "{other:?}");
    for name in ["", "Operators", "a b", "admin", "user", &"a".repeat(65)] {
        let refused = cloud.create_role(NewRole::new(name)).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{name:?} gave {refused:?}");
    }

    let access = cloud.repositories().user_access();
    let before = access.require(user).await.unwrap().revision;
    cloud.give_role(user, role.id).await.unwrap();
    cloud.give_role(user, role.id).await.unwrap();
    let filter = UserRoleFilter { user_id: Some(user), role_id: Some(role.id) };
    let has = || cloud.repositories().user_roles().list(filter.clone(), PageRequest::default());
    assert_eq!(has().await.unwrap().entries.len(), 1);
    assert_eq!(access.require(user).await.unwrap().revision, before + 1, "the epoch was raised once");
    cloud.take_role(user, role.id).await.unwrap();
    cloud.take_role(user, role.id).await.unwrap();
    assert!(has().await.unwrap().entries.is_empty());
    assert_eq!(access.require(user).await.unwrap().revision, before + 2);
    let nobody = cloud.give_role(crate::id::Id::new(role.id.uuid()), role.id).await;
    assert!(nobody.is_ok(), "this id is the user's, by the request above");
    cloud.take_role(user, role.id).await.unwrap();
    let missing = cloud.give_role(user, crate::id::Id::new(uuid::Uuid::from_u128(7))).await;
    assert!(matches!(missing, Err(Error::NotFound { kind: "role", .. })), "{missing:?}");
    cloud.delete_role(role.id).await.unwrap();
}

pub(super) async fn what_a_role_allows_is_there_once_however_many_say_so(world: &World) {
    let cloud = &world.cloud;
    let role = cloud.create_role(NewRole::new("viewers")).await.unwrap().id;
    let what = (Action::Share, EntityKind::PortMap, Access::Any);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let cloud = std::sync::Arc::clone(cloud);
            tokio::spawn(async move { cloud.allow(role, what.0, what.1, what.2).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let filter = RolePermissionFilter { role_id: Some(role), permission_id: None };
    let allowed = || cloud.repositories().role_permissions().list(filter.clone(), PageRequest::default());
    let links = allowed().await.unwrap().entries;
    assert_eq!(links.len(), 1);
    let permission = cloud.repositories().permissions().require(links[0].permission_id).await.unwrap();
    assert_eq!((permission.action, permission.entity, permission.access), what);
    cloud.disallow(role, what.0, what.1, what.2).await.unwrap();
    cloud.disallow(role, what.0, what.1, what.2).await.unwrap();
    assert!(allowed().await.unwrap().entries.is_empty());
}

pub(super) async fn a_role_that_somebody_has_is_not_deleted(world: &World) {
    let cloud = &world.cloud;
    let user = world.user().await.id;
    let role = cloud.create_role(NewRole::new("builders")).await.unwrap().id;
    cloud.allow(role, Action::Create, EntityKind::Instance, Access::Own).await.unwrap();
    cloud.give_role(user, role).await.unwrap();
    let held = cloud.delete_role(role).await;
    assert!(matches!(held, Err(Error::StillUsed { by: "user_roles", .. })), "{held:?}");
    cloud.take_role(user, role).await.unwrap();
    cloud.delete_role(role).await.unwrap();
    let gone = cloud.delete_role(role).await;
    assert!(matches!(gone, Err(Error::NotFound { kind: "role", .. })), "{gone:?}");
}
