//! Creating and reading.

use std::fmt::Debug;

use super::{World, assert_invalid, assert_taken, key_of};
use crate::entity::samples::each_sample;
use crate::entity::{Entity, Entry, Image, Limits, Log, ManagedInstance, PortMap, TestA, TestB, User};
use crate::error::Error;

pub(super) async fn every_field_and_every_null_is_kept(world: &World) {
    async fn check<E: Entity + Clone + Debug>(world: &World, entity: &E) {
        assert_eq!(world.stored(entity).await, None);
        world.insert(&[entity]).await;
        let found = world.repositories.get_entry::<E>(key_of(entity)).await.unwrap();
        assert_eq!(found, Some(Entry::new(entity.clone(), 1)));
    }
    let full = world.full();
    each_sample!(full, entity => check(world, entity).await);
    let bare = world.bare();
    each_sample!(bare, entity => check(world, entity).await);
}

pub(super) async fn a_create_is_repeatable_and_never_overwrites(world: &World) {
    /// Creates one twice, then another under its id.
    macro_rules! check {
        ($one:expr, $other:expr, $create:expr) => {{
            let (one, other, create) = ($one, $other, $create);
            let created = Entry::new(one.clone(), 1);
            assert_eq!(create(one.clone()).await.unwrap(), created);
            assert_eq!(create(one.clone()).await.unwrap(), created, "the same one again");
            assert_taken(&create(other).await, "id");
            assert_eq!(world.stored(&one).await, Some(created), "it is as it was");
        }};
    }
    let repositories = &world.repositories;
    let parents = world.kept().await;
    let new = world.bare();
    let limits = Limits::default();

    let user = new.user;
    check!(user.clone(), User { activated: true, ..user.clone() }, |user| repositories
        .users()
        .create(user, limits));
    let test_a = new.test_a;
    let other = TestA { big_int: Some(1), ..test_a.clone() };
    check!(test_a, other, |value| repositories.test_as().create(value));
    let test_b = TestB { test_a_id: Some(parents.test_a.id), ..new.test_b };
    check!(test_b.clone(), TestB { test_a_id: None, ..test_b }, |value| repositories.test_bs().create(value));
    let image = Image { node_id: parents.node.id, ..new.image };
    check!(image.clone(), Image { published: true, ..image }, |value| repositories.images().create(value));
    let port = PortMap { node_id: parents.node.id, ..new.port };
    check!(port.clone(), PortMap { port: 1, ..port }, |value| repositories.port_maps().create(value));
    check!(new.log.clone(), Log { title: "other".into(), ..new.log }, |value| repositories
        .logs()
        .append(value));
    let grant = ManagedInstance {
        user_id: user.id,
        node_id: parents.node.id,
        instance_id: parents.instance.id,
        ..new.grant
    };
    let other = ManagedInstance { user_id: parents.user.id, ..grant.clone() };
    check!(grant, other, |value| repositories.managed_instances().create(value));
}

pub(super) async fn a_child_needs_its_parent(world: &World) {
    let orphan = TestB { test_a_id: Some(world.full().test_a.id), ..world.bare().test_b };
    let refused = world.repositories.test_bs().create(orphan.clone()).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    assert_eq!(world.stored(&orphan).await, None);
    let missing = world.repositories.test_bs().require(orphan.id).await;
    let Err(Error::NotFound { kind: "test_b", what }) = missing else {
        panic!("{missing:?}");
    };
    assert_eq!(what, orphan.id.to_string());
}

pub(super) async fn what_is_too_long_or_malformed_is_invalid(world: &World) {
    let repositories = &world.repositories;
    let new = world.bare();
    let long = TestA { title: Some("a".repeat(257)), ..new.test_a.clone() };
    assert_invalid(repositories.test_as().create(long).await, "title");
    let nul = TestA { description: Some("a\0".into()), ..new.test_a.clone() };
    assert_invalid(repositories.test_as().create(nul).await, "description");
    let large = TestA { big_int: Some(crate::store::MAX_INT + 1), ..new.test_a.clone() };
    assert_invalid(repositories.test_as().create(large).await, "big_int");
    let exact = TestA { title: Some("é".repeat(128)), ..new.test_a };
    repositories.test_as().create(exact).await.unwrap();

    let managed = PortMap { managed: true, ..new.port.clone() };
    assert_invalid(repositories.port_maps().create(managed).await, "managed");
    let of_instance = PortMap { instance_id: Some(new.instance.id), ..new.port };
    assert_invalid(repositories.port_maps().create(of_instance).await, "instance_id");
}
