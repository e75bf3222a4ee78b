//! Instances that are given more, or less.

use std::sync::Arc;

use super::World;
use super::machine::{Machine, instance};
use crate::amount::{CpuMilli, MemoryMib, StorageMib};
use crate::entity::{InstanceState, Limits, NodeId, UserId};
use crate::error::Error;
use crate::machine::{InstanceRef, InstanceSize};
use crate::plane::{LaunchRequest, NewNode};

pub(super) async fn check_resize(world: &World) {
    what_grows_or_shrinks_is_charged_all_or_nothing(world).await;
    what_an_agent_has_made_is_resized_while_it_is_stopped(world).await;
    many_who_grow_at_once_never_pass_what_there_is(world).await;
}

const fn size(cpu: u32, memory: u32, storage: u32) -> InstanceSize {
    InstanceSize {
        cpu_milli: CpuMilli::from_u32(cpu),
        memory_mib: MemoryMib::from_u32(memory),
        storage_mib: StorageMib::from_u32(storage),
    }
}

async fn node_of(world: &World, owner: UserId) -> NodeId {
    let new = NewNode::new(owner, format!("node-{}", world.fresh()))
        .cpu(CpuMilli::from_u32(8000))
        .memory(MemoryMib::from_u32(8000))
        .storage(StorageMib::from_u32(8000));
    world.cloud.register_node(new).await.unwrap().id
}

async fn held(world: &World, owner: UserId, node: NodeId) -> [(i64, i64, i64); 2] {
    let ledger = world.cloud.repositories().node_ledgers().require(node).await.unwrap();
    let quota = world.cloud.repositories().quotas().require(owner).await.unwrap();
    [
        (ledger.cpu_milli.get(), ledger.memory_mib.get(), ledger.storage_mib.get()),
        (quota.cpu_milli.get(), quota.memory_mib.get(), quota.storage_mib.get()),
    ]
}

async fn what_grows_or_shrinks_is_charged_all_or_nothing(world: &World) {
    let owner = world.user().await;
    let node = node_of(world, owner).await;
    let limits = Limits { instance_limit: 100, node_limit: 100, ..Limits::default() };
    world.cloud.set_limits(owner, limits.memory(MemoryMib::from_u32(5000))).await.unwrap();
    let request = LaunchRequest::new(owner, format!("i-{}", world.fresh())).on_node(node);
    let id = world.cloud.launch(request.cpu(CpuMilli::from_u32(1000))).await.unwrap().id;
    let grown = world.cloud.resize(id, size(2500, 3000, 100)).await.unwrap();
    assert_eq!((grown.revision, InstanceSize::of(&grown)), (2, size(2500, 3000, 100)));
    assert_eq!(held(world, owner, node).await, [(2500, 3000, 100); 2]);
    assert_eq!(world.cloud.resize(id, size(2500, 3000, 100)).await.unwrap(), grown, "it has that");
    // What does not fit leaves everything as it was, also what would have shrunk.
    let refused = world.cloud.resize(id, size(8001, 100, 100)).await;
    assert!(matches!(&refused, Err(Error::NoCapacity(why)) if why.cpu == 1), "{refused:?}");
    let refused = world.cloud.resize(id, size(1, 5001, 1)).await;
    let is_limit = |error: &Error| {
        let Error::QuotaExceeded { limit_name, limit, used, asked } = error else { return false };
        (*limit_name, *limit, *used, *asked) == ("memory_mib_limit", 5000, 3000, 2001)
    };
    assert!(refused.as_ref().is_err_and(is_limit), "{refused:?}");
    assert_eq!(held(world, owner, node).await, [(2500, 3000, 100); 2]);
    // A node that takes no work lets nothing grow, and everything shrink.
    world.cloud.cordon_node(node).await.unwrap();
    let refused = world.cloud.resize(id, size(2501, 3000, 100)).await;
    assert!(matches!(&refused, Err(Error::NoCapacity(why)) if why.unschedulable == 1), "{refused:?}");
    world.cloud.resize(id, size(500, 400, 0)).await.unwrap();
    assert_eq!(held(world, owner, node).await, [(500, 400, 0); 2]);
    world.cloud.uncordon_node(node).await.unwrap();
    world.cloud.delete(id).await.unwrap();
    assert_eq!(held(world, owner, node).await, [(0, 0, 0); 2]);
    let over = world.cloud.resize(id, size(1, 1, 1)).await;
    assert!(matches!(over, Err(Error::WrongState { kind: "instance", .. })), "{over:?}");
    assert!(world.cloud.audit().await.unwrap().is_clean());
}

async fn what_an_agent_has_made_is_resized_while_it_is_stopped(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.running(world).await;
    let running = world.cloud.resize(id, size(2000, 2000, 200)).await;
    let says_how = |error: &Error| matches!(error, Error::WrongState { allowed, .. } if allowed == &["stop"]);
    assert!(running.as_ref().is_err_and(says_how), "{running:?}");
    world.cloud.stop(id).await.unwrap();
    assert!(world.cloud.resize(id, size(2000, 2000, 200)).await.is_err(), "it still runs");
    machine.work(world).await;
    world.cloud.resize(id, size(2000, 2000, 200)).await.unwrap();
    world.cloud.start(id).await.unwrap();
    let start = machine.take(world).await.pop().unwrap();
    let told = InstanceRef::parse(start.command.payload.as_deref().unwrap()).unwrap();
    assert_eq!(told.size, Some(size(2000, 2000, 200)), "its agent is told when it starts it");
    let outcome = machine.execute(&start.command);
    world.cloud.complete_command(&start, &outcome).await.unwrap();
    assert_eq!(instance(world, id).await.state, InstanceState::Running);
    world.cloud.delete(id).await.unwrap();
    machine.work(world).await;
    machine.is_empty(world, "what it held in the end came back").await;
}

async fn many_who_grow_at_once_never_pass_what_there_is(world: &World) {
    let owner = world.user().await;
    let node = node_of(world, owner).await;
    let mut growing = Vec::new();
    for _ in 0..12 {
        let request = LaunchRequest::new(owner, format!("i-{}", world.fresh())).on_node(node);
        let id = world.cloud.launch(request).await.unwrap().id;
        let cloud = Arc::clone(&world.cloud);
        growing.push(tokio::spawn(async move {
            loop {
                match cloud.resize(id, size(1000, 0, 0)).await {
                    Err(error) if error.is_retryable() => {}
                    answer => return answer,
                }
            }
        }));
    }
    let mut grown = 0;
    for one in growing {
        match one.await.unwrap() {
            Ok(_) => grown += 1,
            Err(Error::NoCapacity(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!((grown, held(world, owner, node).await), (8, [(8000, 0, 0); 2]));
}
