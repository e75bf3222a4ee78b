//! Updating and deleting.

use super::{World, assert_conflict, assert_invalid, assert_taken, assert_used};
use crate::entity::{
    AccessState, ComputeNode, Entry, GpuHealth, Image, ImageStatus, Limits, NodeName, PortMap, TestA, TestB,
    User, UserAccess,
};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_001);

pub(super) async fn an_update_changes_what_it_may(world: &World) {
    let repositories = &world.repositories;
    let (kept, new) = (world.kept().await, world.bare());

    // Every field of the profile becomes empty; owner and creation time stay what they are.
    let profile = ComputeNode {
        id: kept.node.id,
        owner_id: new.user.id,
        created_at: NOW,
        ..new.node.clone()
    };
    repositories
        .compute_nodes()
        .update(Entry::new(profile, 1))
        .await
        .unwrap();
    let expected = ComputeNode {
        id: kept.node.id,
        owner_id: kept.user.id,
        ..new.node
    };
    assert_eq!(world.stored(&kept.node).await, Some(Entry::new(expected, 2)));

    let user = User {
        id: kept.user.id,
        ..new.user
    };
    let updated = repositories
        .users()
        .update(Entry::new(user.clone(), 1))
        .await
        .unwrap();
    assert_eq!(updated, Entry::new(user, 2));
    assert_eq!(world.stored(&kept.user).await, Some(updated));
    let suspended = UserAccess {
        state: AccessState::Suspended,
        ..kept.access.clone()
    };
    repositories
        .user_access()
        .update(Entry::new(suspended.clone(), 1))
        .await
        .unwrap();
    assert_eq!(
        repositories.user_access().require(kept.user.id).await.unwrap(),
        Entry::new(suspended, 2)
    );

    let image = Image {
        status: ImageStatus::Failed,
        key: None,
        url: None,
        ..kept.image.clone()
    };
    repositories
        .images()
        .update(Entry::new(image.clone(), 1))
        .await
        .unwrap();
    assert_eq!(world.stored(&kept.image).await, Some(Entry::new(image, 2)));
    let fixture = TestB {
        test_a_id: None,
        title: None,
        ..kept.test_b.clone()
    };
    repositories
        .test_bs()
        .update(Entry::new(fixture.clone(), 1))
        .await
        .unwrap();
    assert_eq!(world.stored(&kept.test_b).await, Some(Entry::new(fixture, 2)));

    repositories
        .gpus()
        .set_health(kept.gpu.id, GpuHealth::Gone, NOW, 1)
        .await
        .unwrap();
    let gpu = repositories.gpus().require(kept.gpu.id).await.unwrap();
    assert_eq!(
        (gpu.health, gpu.updated_at, gpu.used_milli),
        (GpuHealth::Gone, NOW, kept.gpu.used_milli)
    );
    repositories
        .instances()
        .set_description(kept.instance.id, None, NOW, 1)
        .await
        .unwrap();
    let instance = repositories.instances().require(kept.instance.id).await.unwrap();
    assert_eq!(
        (&instance.description, instance.updated_at, &instance.key),
        (&None, NOW, &kept.instance.key)
    );
}

pub(super) async fn a_stale_revision_is_a_conflict(world: &World) {
    let repositories = &world.repositories;
    let kept = world.kept().await;
    let id = kept.user.id;
    repositories
        .users()
        .update(Entry::new(kept.user.clone(), 1))
        .await
        .unwrap();
    assert_conflict(
        repositories
            .users()
            .update(Entry::new(kept.user.clone(), 1))
            .await,
    );
    assert_conflict(repositories.users().delete(id, 1).await);
    assert_conflict(
        repositories
            .user_access()
            .update(Entry::new(kept.access.clone(), 2))
            .await,
    );
    assert_conflict(repositories.quotas().set_limits(id, Limits::default(), 2).await);
    assert_conflict(
        repositories
            .compute_nodes()
            .update(Entry::new(kept.node.clone(), 2))
            .await,
    );
    assert_conflict(
        repositories
            .gpus()
            .set_health(kept.gpu.id, GpuHealth::Gone, NOW, 2)
            .await,
    );
    assert_conflict(
        repositories
            .images()
            .update(Entry::new(kept.image.clone(), 2))
            .await,
    );
    assert_conflict(repositories.images().delete(kept.image.id, 2).await);
    assert_conflict(
        repositories
            .instances()
            .set_description(kept.instance.id, None, NOW, 2)
            .await,
    );
    assert_conflict(repositories.managed_instances().delete(kept.grant.id, 2).await);
    assert_conflict(
        repositories
            .test_as()
            .update(Entry::new(kept.test_a.clone(), 2))
            .await,
    );
    assert_conflict(repositories.test_as().delete(kept.test_a.id, 2).await);
    assert_conflict(
        repositories
            .test_bs()
            .update(Entry::new(kept.test_b.clone(), 2))
            .await,
    );
    assert_conflict(repositories.test_bs().delete(kept.test_b.id, 2).await);
    // Nor is anything made by an update of what is not there.
    assert_conflict(
        repositories
            .test_as()
            .update(Entry::new(world.bare().test_a, 1))
            .await,
    );
    assert_eq!(
        world.stored(&kept.user).await,
        Some(Entry::new(kept.user.clone(), 2))
    );
    assert_eq!(
        world.stored(&kept.quota).await,
        Some(Entry::new(kept.quota.clone(), 1))
    );
    assert_eq!(
        world.stored(&kept.gpu).await,
        Some(Entry::new(kept.gpu.clone(), 1))
    );
    assert_eq!(
        world.stored(&kept.instance).await,
        Some(Entry::new(kept.instance.clone(), 1))
    );
    assert_eq!(
        world.stored(&kept.test_a).await,
        Some(Entry::new(kept.test_a.clone(), 1))
    );
}

pub(super) async fn what_is_still_used_is_not_deleted(world: &World) {
    let repositories = &world.repositories;
    let kept = world.kept().await;
    assert_used(
        repositories.users().delete(kept.user.id, 1).await,
        "compute_nodes",
    );
    assert_eq!(
        world.stored(&kept.quota).await,
        Some(Entry::new(kept.quota.clone(), 1)),
        "nothing went"
    );
    assert_used(repositories.images().delete(kept.image.id, 1).await, "instances");
    assert_used(repositories.test_as().delete(kept.test_a.id, 1).await, "test_bs");
    repositories.test_bs().delete(kept.test_b.id, 1).await.unwrap();
    repositories.test_as().delete(kept.test_a.id, 1).await.unwrap();
    assert_eq!(world.stored(&kept.test_a).await, None);
    repositories
        .managed_instances()
        .delete(kept.grant.id, 1)
        .await
        .unwrap();
    assert_eq!(world.stored(&kept.grant).await, None);

    // Nor can another one take a unique key that is in use.
    let node = ComputeNode {
        id: world.bare().node.id,
        ..kept.node.clone()
    };
    let named = repositories
        .compute_nodes()
        .find_by_name(kept.user.id, &node.name)
        .await
        .unwrap();
    assert_eq!(named, Some(Entry::new(kept.node.clone(), 1)));
    let elsewhere = NodeName::new("elsewhere").unwrap();
    assert_eq!(
        repositories
            .compute_nodes()
            .find_by_name(kept.user.id, &elsewhere)
            .await
            .unwrap(),
        None
    );
    let image = Image {
        id: world.bare().image.id,
        url: None,
        ..kept.image.clone()
    };
    assert_taken(&repositories.images().create(image).await, "images_node_key");
    let image = Image {
        id: world.bare().image.id,
        key: None,
        ..kept.image
    };
    assert_taken(&repositories.images().create(image).await, "images_node_url");
    let fixture = TestA {
        id: kept.test_a.id,
        ..world.bare().test_a
    };
    assert_eq!(
        repositories.test_as().create(fixture).await.unwrap().revision,
        1,
        "its id is free again"
    );
}

pub(super) async fn ports_of_instances_are_not_given_back_by_hand(world: &World) {
    let repositories = &world.repositories;
    let kept = world.kept().await;
    assert_invalid(repositories.port_maps().delete(kept.port.id, 1).await, "managed");
    let by_hand = PortMap {
        node_id: kept.node.id,
        ..world.bare().port
    };
    repositories.port_maps().create(by_hand.clone()).await.unwrap();
    let second = PortMap {
        id: world.bare().port.id,
        name: Some("second".into()),
        ..by_hand.clone()
    };
    assert_taken(
        &repositories.port_maps().create(second.clone()).await,
        "port_maps_slot",
    );
    assert_conflict(repositories.port_maps().delete(by_hand.id, 2).await);
    repositories.port_maps().delete(by_hand.id, 1).await.unwrap();
    repositories.port_maps().create(second).await.unwrap();
    assert_eq!(
        world.stored(&kept.port).await,
        Some(Entry::new(kept.port.clone(), 1))
    );
}
