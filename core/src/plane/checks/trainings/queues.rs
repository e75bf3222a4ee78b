//! Queues that are made, moved and deleted.

use std::sync::Arc;

use futures_util::future::join_all;

use super::super::World;
use super::super::cut::Cut;
use crate::ControlPlane;
use crate::amount::GpuMilli;
use crate::entity::{
    Entry, FAIR_SHARES, Limits, PageRequest, QueueId, RUN_QUEUE_USES, RunQueue, TRAINING_RUNS,
};
use crate::error::Error;
use crate::identity::Caller;
use crate::plane::{NewQueue, NewUser, QueueQuota, QueueTerms};
use crate::store::{StoreExt as _, Write};

pub(super) async fn check_queues(world: &World) {
    the_default_queue_is_made_once(world).await;
    a_queue_is_made_once_and_its_name_is_nobody_elses(world).await;
    queues_make_no_ring(world).await;
    a_queue_that_is_used_stays(world).await;
    an_account_has_one_weight(world).await;
    only_administrators_make_queues(world).await;
}

fn named(world: &World) -> QueueTerms {
    QueueTerms::new(format!("queue {}", world.fresh()))
}

async fn queue(world: &World, terms: QueueTerms) -> Entry<RunQueue> {
    world.cloud.create_queue(NewQueue::new("").terms(terms)).await.unwrap()
}

async fn the_default_queue_is_made_once(world: &World) {
    let kept = world.cloud.delete_queue(ControlPlane::DEFAULT_QUEUE).await;
    assert!(matches!(kept, Err(Error::StillUsed { .. })), "{kept:?}");
    let asked = (0..16).map(|_| {
        let cloud = world.over(Arc::clone(world.cloud.store()));
        tokio::spawn(async move { cloud.default_queue().await.unwrap() })
    });
    let mut made = Vec::new();
    for answer in join_all(asked).await {
        made.push(answer.unwrap());
    }
    assert!(made.iter().all(|one| *one == made[0]), "{made:?}");
    assert_eq!((made[0].id, made[0].name.as_str()), (ControlPlane::DEFAULT_QUEUE, "default"));
    assert_eq!((made[0].gpu_milli, made[0].parent_id, made[0].weight_milli), (None, None, 1000));
    let used = world.cloud.store().get(&RUN_QUEUE_USES, made[0].id).await.unwrap().value.unwrap();
    assert_eq!(used.int("gpu_milli").unwrap(), 0);
    let taken = world.cloud.create_queue(NewQueue::new("default")).await;
    assert!(matches!(&taken, Err(Error::Invalid { field, .. }) if field == "name"), "{taken:?}");
    let renamed = world.cloud.change_queue(made[0].id, made[0].revision, named(world)).await;
    assert!(matches!(renamed, Err(Error::Invalid { .. })), "{renamed:?}");
    let limited = QueueTerms::of(&made[0]).gpu(QueueQuota::of(GpuMilli::from_u32(1000)));
    world.cloud.change_queue(made[0].id, made[0].revision, limited).await.unwrap();
    assert_eq!(world.cloud.default_queue().await.unwrap().gpu_milli, Some(GpuMilli::from_u32(1000)));
    let back = QueueTerms::of(&made[0]);
    world.cloud.change_queue(made[0].id, made[0].revision + 1, back).await.unwrap();
}

async fn a_queue_is_made_once_and_its_name_is_nobody_elses(world: &World) {
    let id: QueueId = world.id().into();
    let terms = named(world).gpu(QueueQuota::of(GpuMilli::from_u32(8000)));
    let new = NewQueue::new("").id(id).terms(terms.clone());
    let made = world.cloud.create_queue(new.clone()).await.unwrap();
    assert_eq!(world.cloud.create_queue(new.clone()).await.unwrap(), made, "asked again");
    let other = world.cloud.create_queue(new.terms(terms.clone().weight_milli(1))).await;
    assert!(matches!(other, Err(Error::AlreadyExists { key: "id", .. })), "{other:?}");
    let same_name = world.cloud.create_queue(NewQueue::new("").terms(terms.clone())).await;
    assert!(matches!(same_name, Err(Error::AlreadyExists { key: "name", .. })), "{same_name:?}");
    let late = world.cloud.change_queue(id, made.revision + 1, terms.clone().weight_milli(7)).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    let changed = world.cloud.change_queue(id, made.revision, terms.clone().weight_milli(7)).await.unwrap();
    assert_eq!((changed.weight_milli, changed.created_at), (7, made.created_at));
    let orphan =
        world.cloud.create_queue(NewQueue::new("").terms(named(world).parent(world.id().into()))).await;
    assert!(matches!(orphan, Err(Error::NotFound { kind: "run_queue", .. })), "{orphan:?}");
}

async fn queues_make_no_ring(world: &World) {
    let top = queue(world, named(world)).await;
    let middle = queue(world, named(world).parent(top.id)).await;
    let bottom = queue(world, named(world).parent(middle.id)).await;
    for (moved, under) in [(&top, &top), (&top, &middle), (&top, &bottom), (&middle, &bottom)] {
        let terms = QueueTerms::of(moved).parent(under.id);
        let answer = world.cloud.change_queue(moved.id, moved.revision, terms).await;
        assert!(matches!(&answer, Err(Error::Invalid { field, .. }) if field == "parent"), "{answer:?}");
    }
    let mut above = bottom.id;
    for _ in 0..6 {
        above = queue(world, named(world).parent(above)).await.id;
    }
    let deep = world.cloud.create_queue(NewQueue::new("").terms(named(world).parent(above))).await;
    assert!(matches!(&deep, Err(Error::Invalid { field, .. }) if field == "parent"), "{deep:?}");
    // One is moved under another, and that one under it between the decision and its commit.
    let (one, other) = (queue(world, named(world)).await, queue(world, named(world)).await);
    let (cloud, moved, under) = (Arc::clone(&world.cloud), other.clone(), one.id);
    let cut = Cut::after(world.cloud.store(), 100).raced_by(async move {
        let terms = QueueTerms::of(&moved).parent(under);
        cloud.change_queue(moved.id, moved.revision, terms).await.unwrap();
    });
    let terms = QueueTerms::of(&one).parent(other.id);
    let answer = world.over(Arc::new(cut)).change_queue(one.id, one.revision, terms).await;
    assert!(matches!(&answer, Err(Error::Invalid { field, .. }) if field == "parent"), "{answer:?}");
    // Three are moved under each other at once: never all of them.
    for _ in 0..10 {
        let three = [
            queue(world, named(world)).await,
            queue(world, named(world)).await,
            queue(world, named(world)).await,
        ];
        let ring = (0..3).map(|at| {
            let (cloud, moved) = (Arc::clone(&world.cloud), three[at].clone());
            let terms = QueueTerms::of(&moved).parent(three[(at + 1) % 3].id);
            tokio::spawn(async move { cloud.change_queue(moved.id, moved.revision, terms).await })
        });
        for answer in join_all(ring).await {
            match answer.unwrap() {
                Ok(_) => {}
                Err(Error::Invalid { field, .. }) => assert_eq!(field, "parent"),
                Err(other) => panic!("{other:?}"),
            }
        }
        let mut parts = 0;
        for queue in &three {
            let kept = world.cloud.repositories().run_queues().require(queue.id).await.unwrap();
            parts += usize::from(kept.parent_id.is_some());
        }
        assert_eq!(parts, 2, "a ring, or somebody was refused for nothing");
    }
}

async fn a_queue_that_is_used_stays(world: &World) {
    let top = queue(world, named(world)).await;
    let part = queue(world, named(world).parent(top.id)).await;
    let used = world.cloud.delete_queue(top.id).await;
    assert!(matches!(used, Err(Error::StillUsed { by: "run_queues", .. })), "{used:?}");
    world.cloud.delete_queue(part.id).await.unwrap();
    world.cloud.delete_queue(top.id).await.unwrap();
    assert!(world.cloud.store().get(&RUN_QUEUE_USES, top.id).await.unwrap().value.is_none());
    let again = world.cloud.delete_queue(top.id).await;
    assert!(matches!(again, Err(Error::NotFound { .. })), "{again:?}");
    let training = world.training(world.user().await).await;
    let run = world.live_run(&training, &[]).await;
    let own = queue(world, named(world)).await.id;
    world.write(vec![Write::update(&TRAINING_RUNS, run, 1, vec![("queue_id", own.into())])]).await;
    let waits = world.cloud.delete_queue(own).await;
    assert!(matches!(waits, Err(Error::StillUsed { by: "training_runs", .. })), "{waits:?}");
    world.end_run(run).await;
    world.cloud.delete_queue(own).await.unwrap();
}

async fn an_account_has_one_weight(world: &World) {
    let account = world.user().await;
    for weight in [0, 1_000_001] {
        let answer = world.cloud.set_fair_share(account, weight).await;
        assert!(matches!(answer, Err(Error::Invalid { .. })), "{answer:?}");
    }
    for weight in [1, 2000, 2000] {
        assert_eq!(world.cloud.set_fair_share(account, weight).await.unwrap().weight_milli, weight);
    }
    let row = world.cloud.store().get(&FAIR_SHARES, account).await.unwrap().value.unwrap();
    assert_eq!((row.int("weight_milli").unwrap(), row.revision()), (2000, 2));
    let nobody = world.cloud.set_fair_share(world.id().into(), 1).await;
    assert!(matches!(nobody, Err(Error::NotFound { kind: "quota", .. })), "{nobody:?}");
    let own = world.cloud.acting(Caller::trusted(account)).set_fair_share(account, 5).await;
    assert!(matches!(own, Err(Error::Denied { .. })), "{own:?}");
}

async fn only_administrators_make_queues(world: &World) {
    let user = world.cloud.acting(Caller::trusted(world.user().await));
    let kept = queue(world, named(world)).await;
    let new = NewQueue::new("").terms(named(world));
    let terms = QueueTerms::of(&kept).weight_milli(5);
    assert!(matches!(user.create_queue(new.clone()).await, Err(Error::Denied { .. })));
    assert!(matches!(
        user.change_queue(kept.id, kept.revision, terms.clone()).await,
        Err(Error::Denied { .. })
    ));
    assert!(matches!(user.delete_queue(kept.id).await, Err(Error::Denied { .. })));
    assert!(matches!(user.queue(kept.id).await, Err(Error::Denied { .. })));
    assert!(matches!(user.list_queues(PageRequest::default()).await, Err(Error::Denied { .. })));
    let address = format!("user-{}@example.org", world.fresh());
    let root = NewUser::new(address, "Root").limits(Limits::default()).administrator();
    let root = world.cloud.create_user(root).await.unwrap().id;
    let root = world.cloud.acting(Caller::trusted(root));
    assert_eq!(root.queue(kept.id).await.unwrap(), kept);
    let changed = root.change_queue(kept.id, kept.revision, terms).await.unwrap();
    assert!(root.list_queues(PageRequest::default().limit(1000)).await.unwrap().entries.contains(&changed));
    let made = root.create_queue(new).await.unwrap();
    root.delete_queue(made.id).await.unwrap();
}
