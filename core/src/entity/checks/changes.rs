//! Updating and deleting.

use super::{World, assert_conflict, assert_invalid, assert_taken, assert_used};
use crate::entity::{
    AccessState, ComputeNode, Email, Entry, Gpu, GpuHealth, Image, ImageStatus, Limits, PortMap, TestA,
    TestB, User, UserAccess,
};
use crate::error::Error;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_001);

pub(super) async fn an_update_changes_what_it_may(world: &World) {
    let repositories = &world.repositories;
    let (kept, new) = (world.kept().await, world.bare());

    // Every field of the profile becomes empty; owner and creation time stay what they are.
    let (id, owner_id) = (kept.node.id, kept.user.id);
    let asked = ComputeNode { id, owner_id: new.user.id, created_at: NOW, ..new.node.clone() };
    repositories.compute_nodes().update(Entry::new(asked, 1)).await.unwrap();
    world.holds(&ComputeNode { id, owner_id, ..new.node }, 2).await;

    let user = Entry::new(User { id: kept.user.id, ..new.user }, 1);
    let updated = repositories.users().update(user.clone()).await.unwrap();
    assert_eq!(updated, Entry::new(user.value, 2));
    // The permission is not changed by it.
    world.holds(&User { permission: kept.user.permission, ..updated.value }, 2).await;
    // An administrator is not suspended, which would leave none who may act; anybody else is.
    let suspended = |user_id| UserAccess { user_id, state: AccessState::Suspended };
    let refused = repositories.user_access().update(Entry::new(suspended(kept.user.id), 1)).await;
    assert!(matches!(refused, Err(Error::WrongState { .. })), "{refused:?}");
    world.holds(&kept.access, 1).await;
    let number = repositories.ids.next_id();
    let email = Email::new(format!("{number}@example.org")).unwrap();
    let plain = User::new(number.into(), email, kept.user.name.clone(), NOW);
    let plain = repositories.users().create(plain, Limits::default()).await.unwrap().value.id;
    repositories.user_access().update(Entry::new(suspended(plain), 1)).await.unwrap();
    assert_eq!(repositories.user_access().require(plain).await.unwrap(), Entry::new(suspended(plain), 2));

    let image = Image { status: ImageStatus::Failed, key: None, url: None, ..kept.image };
    repositories.images().update(Entry::new(image.clone(), 1)).await.unwrap();
    world.holds(&image, 2).await;
    let child = TestB { test_a_id: None, title: None, ..kept.test_b };
    repositories.test_bs().update(Entry::new(child.clone(), 1)).await.unwrap();
    world.holds(&child, 2).await;
}

pub(super) async fn a_narrow_update_changes_nothing_else(world: &World) {
    let (gpus, instances) = (world.repositories.gpus(), world.repositories.instances());
    let mut kept = world.kept().await;
    gpus.set_health(kept.gpu.id, GpuHealth::Gone, NOW, 1).await.unwrap();
    (kept.gpu.health, kept.gpu.updated_at) = (GpuHealth::Gone, NOW);
    world.holds(&kept.gpu, 2).await;
    let description = Some("new".to_owned());
    instances.set_description(kept.instance.id, description.clone(), NOW, 1).await.unwrap();
    (kept.instance.description, kept.instance.updated_at) = (description, NOW);
    world.holds(&kept.instance, 2).await;
    instances.set_description(kept.instance.id, None, NOW, 2).await.unwrap();
    kept.instance.description = None;
    world.holds(&kept.instance, 3).await;
}

pub(super) async fn a_stale_revision_is_a_conflict(world: &World) {
    /// What two updates under one revision do: the second one conflicts.
    macro_rules! second_update {
        ($repository:expr, $value:expr) => {{
            let value = $value.clone();
            $repository.update(Entry::new(value.clone(), 1)).await.unwrap();
            assert_conflict($repository.update(Entry::new(value.clone(), 1)).await);
            assert_conflict($repository.update(Entry::new(value.clone(), 3)).await);
            world.holds(&value, 2).await;
        }};
    }
    let repositories = &world.repositories;
    let kept = world.kept().await;
    second_update!(repositories.users(), kept.user);
    second_update!(repositories.user_access(), kept.access);
    second_update!(repositories.compute_nodes(), kept.node);
    second_update!(repositories.images(), kept.image);
    second_update!(repositories.test_as(), kept.test_a);
    second_update!(repositories.test_bs(), kept.test_b);

    assert_conflict(repositories.quotas().set_limits(kept.user.id, Limits::default(), 2).await);
    world.holds(&kept.quota, 1).await;
    assert_conflict(repositories.gpus().set_health(kept.gpu.id, GpuHealth::Gone, NOW, 2).await);
    world.holds(&kept.gpu, 1).await;
    assert_conflict(repositories.instances().set_description(kept.instance.id, None, NOW, 2).await);
    world.holds(&kept.instance, 1).await;
    // Nor is anything made by an update of what is not there.
    let absent = world.bare().test_a;
    assert_conflict(repositories.test_as().update(Entry::new(absent.clone(), 1)).await);
    assert_eq!(world.stored(&absent).await, None);
}

pub(super) async fn a_stale_revision_deletes_nothing(world: &World) {
    let repositories = &world.repositories;
    let kept = world.kept().await;
    assert_conflict(repositories.images().delete(kept.image.id, 2).await);
    world.holds(&kept.image, 1).await;
    assert_conflict(repositories.managed_instances().delete(kept.grant.id, 2).await);
    world.holds(&kept.grant, 1).await;
    assert_conflict(repositories.test_as().delete(kept.test_a.id, 2).await);
    world.holds(&kept.test_a, 1).await;
    assert_conflict(repositories.test_bs().delete(kept.test_b.id, 2).await);
    world.holds(&kept.test_b, 1).await;

    let user = world.bare().user;
    repositories.users().create(user.clone(), Limits::default()).await.unwrap();
    assert_conflict(repositories.users().delete(user.id, 2).await);
    world.holds(&user, 1).await;
    assert!(repositories.quotas().get(user.id).await.unwrap().is_some());
}

pub(super) async fn what_is_still_used_is_not_deleted(world: &World) {
    let repositories = &world.repositories;
    let kept = world.kept().await;
    assert_used(repositories.users().delete(kept.user.id, 1).await, "fair_shares");
    // What goes with a user has not gone either.
    world.holds(&kept.user, 1).await;
    world.holds(&kept.access, 1).await;
    world.holds(&kept.quota, 1).await;
    assert_used(repositories.images().delete(kept.image.id, 1).await, "instances");
    world.holds(&kept.image, 1).await;
    assert_used(repositories.test_as().delete(kept.test_a.id, 1).await, "test_bs");
    repositories.test_bs().delete(kept.test_b.id, 1).await.unwrap();
    repositories.test_as().delete(kept.test_a.id, 1).await.unwrap();
    assert_eq!(world.stored(&kept.test_a).await, None);
    let again = TestA { id: kept.test_a.id, ..world.bare().test_a };
    assert_eq!(repositories.test_as().create(again).await.unwrap().revision, 1, "its id is free");

    repositories.managed_instances().delete(kept.grant.id, 1).await.unwrap();
    assert_eq!(world.stored(&kept.grant).await, None);
    let unused = Image { node_id: kept.node.id, ..world.bare().image };
    repositories.images().create(unused.clone()).await.unwrap();
    repositories.images().delete(unused.id, 1).await.unwrap();
    assert_eq!(world.stored(&unused).await, None);
}

pub(super) async fn a_key_of_a_node_is_taken_once(world: &World) {
    let images = world.repositories.images();
    let (kept, other) = (world.kept().await, world.kept().await);
    let image = || Image { id: world.bare().image.id, ..kept.image.clone() };
    assert_taken(&images.create(Image { url: None, ..image() }).await, "node_key");
    assert_taken(&images.create(Image { key: None, ..image() }).await, "node_url");
    // Two without a key and a URL are no two of the same.
    for _ in 0..2 {
        images.create(Image { url: None, key: None, ..image() }).await.unwrap();
    }
    let gpu = || Gpu { id: world.bare().gpu.id, node_id: None, key: None, ..kept.gpu.clone() };
    let insert = async |gpu: Gpu| world.repositories.create_entry(gpu.id.into(), gpu).await;
    assert_taken(&insert(gpu()).await, "rental");
    insert(Gpu { provider: Some("another".into()), ..gpu() }).await.unwrap();
    let renamed = ComputeNode { owner_id: kept.user.id, ..world.bare().node };
    world.insert(&[&ComputeNode { name: "another".parse().unwrap(), ..renamed.clone() }]).await;
    let renamed = Entry::new(ComputeNode { name: kept.node.name.clone(), ..renamed }, 1);
    let refused = world.repositories.compute_nodes().update(renamed).await;
    assert_taken(&refused, "owner_name");
    assert_eq!(kept.node.name, other.node.name, "which another owner has too");
}

pub(super) async fn ports_of_instances_are_not_given_back_by_hand(world: &World) {
    let ports = world.repositories.port_maps();
    let kept = world.kept().await;
    assert_invalid(ports.delete(kept.port.id, 1).await, "managed");
    world.holds(&kept.port, 1).await;
    let attached =
        PortMap { node_id: kept.node.id, instance_id: Some(kept.instance.id), port: 1, ..world.bare().port };
    world.insert(&[&attached]).await;
    assert_invalid(ports.delete(attached.id, 1).await, "instance_id");
    world.holds(&attached, 1).await;

    let by_hand = PortMap { node_id: kept.node.id, ..world.bare().port };
    ports.create(by_hand.clone()).await.unwrap();
    let second = PortMap { id: world.bare().port.id, name: Some("second".into()), ..by_hand.clone() };
    assert_taken(&ports.create(second.clone()).await, "slot");
    assert_conflict(ports.delete(by_hand.id, 2).await);
    ports.delete(by_hand.id, 1).await.unwrap();
    ports.create(second.clone()).await.unwrap();
    world.holds(&second, 1).await;
}
