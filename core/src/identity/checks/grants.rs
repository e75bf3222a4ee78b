//! Grants.

use std::time::Duration;

use super::World;
use crate::error::Error;
use crate::plane::Shared;
use crate::time::Clock as _;

pub(super) async fn a_thing_is_shared_once_and_again_until_it_is_taken_back(world: &World) {
    let cloud = &world.cloud;
    let (owner, guest) = (world.user().await.id, world.user().await.id);
    let node = world.node(owner).await;
    let instance = world.instance(owner, node).await;
    for what in [Shared::Node(node), Shared::Instance(instance)] {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let cloud = std::sync::Arc::clone(cloud);
                tokio::spawn(async move { cloud.share(guest, what, None).await })
            })
            .collect();
        let mut grants = Vec::new();
        for task in tasks {
            grants.push(task.await.unwrap().unwrap());
        }
        let grant = &grants[0];
        assert!(grants.iter().all(|other| other == grant), "all were answered with the one grant");
        assert_eq!((grant.user, grant.what, grant.node, grant.expires_at), (guest, what, node, None));
        let end = Some(world.clock.now().plus(Duration::from_hours(1)));
        let shorter = cloud.share(guest, what, end).await.unwrap();
        assert_eq!((shorter.id, shorter.expires_at), (grant.id, end));
        let of_others = |grants: Vec<crate::plane::Grant>| {
            grants.into_iter().filter(|grant| grant.user == guest).collect::<Vec<_>>()
        };
        assert_eq!(of_others(cloud.grants_of(what).await.unwrap()), [shorter]);
        cloud.revoke(guest, what).await.unwrap();
        assert_eq!(of_others(cloud.grants_of(what).await.unwrap()), []);
        let again = cloud.revoke(guest, what).await;
        assert!(matches!(again, Err(Error::NotFound { kind: "grant", .. })), "{again:?}");
    }
}

pub(super) async fn what_cannot_be_shared_is_refused(world: &World) {
    let cloud = &world.cloud;
    let (owner, guest) = (world.user().await.id, world.user().await.id);
    let node = world.node(owner).await;
    let instance = world.instance(owner, node).await;
    let past = cloud.share(guest, Shared::Node(node), Some(world.clock.now())).await;
    assert!(matches!(past, Err(Error::Invalid { ref field, .. }) if field == "expires_at"), "{past:?}");
    let own = cloud.share(owner, Shared::Node(node), None).await;
    assert!(matches!(own, Err(Error::WrongState { .. })), "{own:?}");
    let missing = cloud.share(guest, Shared::Node(crate::id::Id::new(guest.uuid())), None).await;
    assert!(matches!(missing, Err(Error::NotFound { kind: "compute_node", .. })), "{missing:?}");
    let nobody = cloud.share(crate::id::Id::new(node.uuid()), Shared::Node(node), None).await;
    assert!(matches!(nobody, Err(Error::NotFound { kind: "user", .. })), "{nobody:?}");
    cloud.share(guest, Shared::Instance(instance), None).await.unwrap();
    cloud.delete(instance).await.unwrap();
    assert_eq!(cloud.grants_of(Shared::Instance(instance)).await.unwrap(), [], "it went with the instance");
    let over = cloud.share(guest, Shared::Instance(instance), None).await;
    assert!(matches!(over, Err(Error::NotFound { kind: "instance", .. })), "{over:?}");
}

pub(super) async fn a_grant_that_has_ended_is_purged_and_a_prolonged_one_is_not(world: &World) {
    let cloud = &world.cloud;
    let (owner, first, second) = (world.user().await.id, world.user().await.id, world.user().await.id);
    let what = Shared::Node(world.node(owner).await);
    let end = world.clock.now().plus(Duration::from_mins(1));
    cloud.share(first, what, Some(end)).await.unwrap();
    cloud.share(second, what, Some(end)).await.unwrap();
    let longer = cloud.share(second, what, Some(end.plus(Duration::from_hours(1)))).await.unwrap();
    world.clock.advance(Duration::from_mins(2));
    assert_eq!(cloud.purge_expired_grants(100).await.unwrap(), 1);
    assert_eq!(cloud.grants_of(what).await.unwrap(), [longer]);
}
