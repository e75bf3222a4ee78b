//! Users with what belongs to them.

use super::{World, assert_taken, assert_used};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    AccessState, Entry, GpuHealth, Limits, LoginRetries, QUOTAS, Quota, SecretText, User, UserAccess,
};
use crate::error::Error;
use crate::store::{Batch, Cause, StoreExt, Write};

pub(super) async fn a_user_comes_and_goes_with_its_companions(world: &World) {
    let repositories = &world.repositories;
    let user = world.bare().user;
    let user_id = user.id;
    let limits = Limits::default()
        .instances(2)
        .nodes(0)
        .gpu(GpuMilli::WHOLE)
        .cpu(CpuMilli::from_u32(4_000))
        .memory(MemoryMib::from_u32(8_192))
        .storage(StorageMib::from_u32(65_536));
    repositories.users().create(user.clone(), limits).await.unwrap();
    let access = UserAccess { user_id, state: AccessState::Active };
    let retries = LoginRetries { user_id, retry_count: 0 };
    assert_eq!(world.stored(&access).await, Some(Entry::new(access.clone(), 1)));
    assert_eq!(world.stored(&retries).await, Some(Entry::new(retries.clone(), 1)));
    let quota = repositories.quotas().require(user_id).await.unwrap();
    assert_eq!(quota.value, Quota::unused(user_id, limits));

    assert_taken(&repositories.users().create(user.clone(), Limits::default()).await, "id");
    assert_eq!(
        repositories.quotas().require(user_id).await.unwrap(),
        quota,
        "other limits are another request"
    );

    repositories.users().delete(user_id, 1).await.unwrap();
    assert_eq!(world.stored(&user).await, None);
    assert_eq!(world.stored(&access).await, None);
    assert_eq!(world.stored(&retries).await, None);
    let gone = repositories.quotas().require(user_id).await;
    assert!(matches!(gone, Err(Error::NotFound { kind: "quota", .. })), "{gone:?}");
    repositories.users().create(user, limits).await.unwrap();

    let terminal = world.bare();
    world.keep(&terminal).await;
    assert_used(repositories.users().delete(terminal.user.id, 1).await, "fair_shares");
}

pub(super) async fn an_address_belongs_to_one_user(world: &World) {
    let users = world.repositories.users();
    let (first, second) = (world.bare().user, world.bare().user);
    users.create(first.clone(), Limits::default()).await.unwrap();
    let shouted = format!(" {} ", first.email.as_str().to_uppercase());
    assert_eq!(users.find_by_email(&shouted).await.unwrap(), Some(Entry::new(first.clone(), 1)));
    assert_eq!(users.find_by_email(second.email.as_str()).await.unwrap(), None);
    assert_eq!(users.find_by_email("no address").await.unwrap(), None);

    let same = User { email: shouted.parse().unwrap(), ..second.clone() };
    assert_taken(&users.create(same.clone(), Limits::default()).await, "email");
    assert_eq!(world.repositories.quotas().get(second.id).await.unwrap(), None, "nothing of it was kept");
    users.create(second.clone(), Limits::default()).await.unwrap();
    assert_taken(&users.update(Entry::new(same, 1)).await, "email");
    let link = Some(SecretText::new(first.id.to_string()));
    let first = User { email_confirmation_hash: link.clone(), ..first };
    users.update(Entry::new(first, 1)).await.unwrap();
    let second = User { email_confirmation_hash: link, ..second };
    assert_taken(&users.update(Entry::new(second, 1)).await, "email_confirmation_hash");
}

pub(super) async fn limits_are_set_without_touching_use(world: &World) {
    let repositories = &world.repositories;
    let quotas = repositories.quotas();
    let user = world.bare().user;
    repositories.users().create(user.clone(), Limits::default()).await.unwrap();
    let charge = |count| {
        Batch::new(repositories.ids.next_id(), "charge").with(Write::admit(
            &QUOTAS,
            user.id,
            "instances",
            count,
        ))
    };
    repositories.store.commit(charge(5)).await.unwrap();
    // Use changes no revision.
    let lowered = Limits::default()
        .instances(3)
        .nodes(0)
        .gpu(GpuMilli::ZERO)
        .cpu(CpuMilli::ZERO)
        .memory(MemoryMib::from_u32(1))
        .storage(StorageMib::from_u32(2));
    quotas.set_limits(user.id, lowered, 1).await.unwrap();
    let quota = quotas.require(user.id).await.unwrap();
    assert_eq!((quota.limits(), quota.instances, quota.revision), (lowered, 5, 2));
    let refused = repositories.store.commit(charge(1)).await.unwrap_err();
    let Error::QuotaExceeded { limit_name, limit, used, asked } = Error::of_store("quota", refused) else {
        panic!("one more was admitted");
    };
    assert_eq!((limit_name, limit, used, asked), ("instance_limit", 3, 5, 1));
    quotas.set_limits(user.id, Limits::default(), 2).await.unwrap();
    repositories.store.commit(charge(5)).await.unwrap();
    assert_eq!(quotas.require(user.id).await.unwrap().instances, 10);
}

pub(super) async fn a_change_says_who_made_it(world: &World) {
    let kept = world.kept().await;
    let acting = world.repositories.acting_as(kept.user.id);
    let store = &world.repositories.store;
    let cursor = store.snapshot().await.unwrap().cursor();
    acting.gpus().set_health(kept.gpu.id, GpuHealth::Gone, kept.gpu.updated_at, 1).await.unwrap();
    acting.users().create(world.bare().user, Limits::default()).await.unwrap();
    world
        .repositories
        .gpus()
        .set_health(kept.gpu.id, GpuHealth::Healthy, kept.gpu.updated_at, 2)
        .await
        .unwrap();
    let records = store.changes(cursor, 10).await.unwrap().records;
    let told: Vec<_> = records.iter().map(|record| (record.operation.as_str(), record.actor)).collect();
    let actor = Some(kept.user.id.uuid());
    assert_eq!(told, [("gpus.update", actor), ("users.create", actor), ("gpus.update", None)]);
}

/// Why a write is refused.
async fn refused(world: &World, write: Write) -> Cause {
    let batch = Batch::new(world.repositories.ids.next_id(), "refused").with(write);
    world.repositories.store.commit(batch).await.unwrap_err().refusal().unwrap().cause.clone()
}

pub(super) async fn what_is_held_is_neither_negative_nor_above_its_limit(world: &World) {
    let user = world.bare().user;
    let limits = Limits::default()
        .gpu(GpuMilli::from_u32(1))
        .cpu(CpuMilli::from_u32(1))
        .memory(MemoryMib::from_u32(1))
        .storage(StorageMib::from_u32(1));
    world.repositories.users().create(user.clone(), limits).await.unwrap();
    for (column, limit) in [
        ("gpu_milli", "gpu_milli_limit"),
        ("cpu_milli", "cpu_milli_limit"),
        ("memory_mib", "memory_mib_limit"),
        ("storage_mib", "storage_mib_limit"),
    ] {
        let charge = |amount| Write::admit(&QUOTAS, user.id, column, amount);
        let batch = Batch::new(world.repositories.ids.next_id(), "charge").with(charge(1));
        world.repositories.store.commit(batch).await.unwrap();
        assert_eq!(
            refused(world, charge(1)).await,
            Cause::Ceiling { rule: limit, limit: 1, used: 1, asked: 1 }
        );
        let negative = [charge(-2), Write::update(&QUOTAS, user.id, 1, vec![(limit, (-1_i64).into())])];
        for (write, what) in negative.into_iter().zip([column, limit]) {
            let Cause::Invariant { rule } = refused(world, write).await else { panic!("{what} is negative") };
            assert_eq!(rule, format!("quotas_{what}_not_negative"));
        }
    }
}
