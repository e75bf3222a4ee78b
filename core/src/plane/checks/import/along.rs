//! Imports beside agents, other imports, and what happens to nodes meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::{Elsewhere, clean};
use crate::entity::{GPUS, InstanceState, LOGS};
use crate::error::Error;
use crate::machine::{FoundInstance, FoundState, Inventory};
use crate::plane::checks::World;
use crate::plane::checks::cut::Cut;
use crate::plane::{Imported, ImportedInstance};
use crate::store::{Scan, Store, StoreExt as _};

pub(super) async fn check_along(world: &World) {
    an_agent_finds_what_was_brought_in(world).await;
    cut_off_anywhere_it_is_simply_made_again(world).await;
    of_many_imports_at_once_one_brings_each(world).await;
    a_node_that_dies_meanwhile_gets_nothing(world).await;
}

async fn an_agent_finds_what_was_brought_in(world: &World) {
    let mut there = Elsewhere::new(world, 3).await;
    let later = there.instances.split_off(1);
    there.brought(world).await;
    let node = there.node.profile.id;
    let session = world.cloud.join_node(node).await.unwrap();
    let mut after = Elsewhere { instances: later, ..there.clone() };
    after.instances[1].key = None;
    let answers = world.cloud.import_instances(&after.instances).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let by_agent = async |at: &ImportedInstance| {
        world.cloud.repositories().instances().require(at.id).await.unwrap().by_agent
    };
    assert!(!by_agent(&there.instances[0]).await, "no agent had joined");
    assert!(by_agent(&after.instances[0]).await && !by_agent(&after.instances[1]).await);
    // Of the two that have a key the first is there, and the second has vanished.
    world.clock.advance(Duration::from_secs(1));
    let at = world.cloud.begin_report(node, session).await.unwrap();
    let key = there.instances[0].key.clone().unwrap();
    let found = vec![FoundInstance::new(key, FoundState::Stopped)];
    let report = Inventory::taken_at(at).instances(found);
    let reconciled = world.cloud.report(node, session, &report).await.unwrap();
    assert_eq!((reconciled.lost, reconciled.foreign), (vec![after.instances[0].id], 0));
    let first = world.cloud.repositories().instances().require(there.instances[0].id).await.unwrap();
    assert_eq!((first.state, first.by_agent), (InstanceState::Stopped, true));
    clean(world).await;
}

async fn cut_off_anywhere_it_is_simply_made_again(world: &World) {
    let there = Elsewhere::new(world, 600).await;
    let lines = async || world.cloud.store().scan_all(Scan::of(&LOGS).limit(1000)).await.unwrap().len();
    let mut brought = 0;
    for batches in [2, 2, 1] {
        let cut: Arc<dyn Store> = Arc::new(Cut::after(world.cloud.store(), batches));
        let answers = there.bring(&world.over(cut)).await;
        let there_now = answers.iter().filter(|it| it.is_ok()).count();
        assert!(there_now >= brought, "{there_now} after {brought}");
        for error in answers.iter().filter_map(|it| it.as_ref().err()) {
            assert!(matches!(error.why, Error::Store(_) | Error::NotFound { .. }), "{error:?}");
        }
        brought = there_now;
        clean(world).await;
    }
    let before = lines().await;
    let answers = there.bring(&world.cloud).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(lines().await - before, 1, "a line a batch, of which one was left");
    let again = there.bring(&world.cloud).await;
    assert!(again.iter().all(|it| matches!(it, Ok(Imported::WasThere))), "{again:?}");
    let quota = world.cloud.repositories().quotas().require(there.users[1].user.id).await.unwrap();
    assert_eq!((quota.instances, quota.cpu_milli.get()), (600, 300_000));
    let gpu = world.cloud.store().get(&GPUS, there.node.gpus[0].id).await.unwrap().value.unwrap();
    assert_eq!(gpu.int("used_milli").unwrap(), 600);
    clean(world).await;
}

async fn of_many_imports_at_once_one_brings_each(world: &World) {
    let there = Elsewhere::new(world, 50).await;
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (there, cloud) = (there.clone(), Arc::clone(&world.cloud));
            tokio::spawn(async move { there.bring(&cloud).await })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        let answers = task.await.unwrap();
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        new += answers.iter().filter(|it| matches!(it, Ok(Imported::New))).count();
    }
    assert_eq!(new, 54, "each once");
    clean(world).await;
}

async fn a_node_that_dies_meanwhile_gets_nothing(world: &World) {
    let there = Elsewhere::new(world, 2).await;
    let before = Elsewhere { instances: Vec::new(), ..there.clone() };
    before.brought(world).await;
    let (cloud, node) = (Arc::clone(&world.cloud), there.node.profile.id);
    let other = async move {
        cloud.mark_node_dead(node, "it burned").await.unwrap();
    };
    let raced = world.over(Arc::new(Cut::after(world.cloud.store(), 100).raced_by(other)));
    for answer in raced.import_instances(&there.instances).await {
        let dead = matches!(&answer, Err(it) if matches!(it.why, Error::WrongState { .. }));
        assert!(dead, "{answer:?}");
    }
    clean(world).await;
}
