//! Instances that are given more, or less.

use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::cut::Cut;
use super::machine::{Machine, instance};
use crate::amount::{CpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    ComputeNode, DesiredState, InstanceName, InstanceState, Limits, LogFilter, NodeId, NodeName, PageRequest,
    UserId,
};
use crate::error::Error;
use crate::machine::{InstanceRef, InstanceSize};
use crate::plane::{ImportedInstance, ImportedNode, LaunchRequest, NewNode};
use crate::sched::NoFit;

pub(super) async fn check_resize(world: &World) {
    what_grows_or_shrinks_is_charged_all_or_nothing(world).await;
    what_an_agent_has_made_is_resized_while_it_is_stopped(world).await;
    what_is_not_made_yet_or_about_to_start_is_not_resized(world).await;
    what_shrinks_needs_no_room_of_a_node_that_is_over_full(world).await;
    many_who_grow_at_once_never_pass_what_there_is(world).await;
    nothing_grows_of_who_is_suspended_or_on_a_node_that_is_cordoned_meanwhile(world).await;
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
    let request = LaunchRequest::new(owner, format!("i-{}", world.fresh())).on_node(node);
    let id = world.cloud.launch(request.cpu(CpuMilli::from_u32(1000))).await.unwrap().id;
    for (asked, too_much) in [(size(0, 8001, 8000), [0, 1, 0]), (size(0, 8000, 8001), [0, 0, 1])] {
        let refused = world.cloud.resize(id, asked).await;
        let says = |why: &NoFit| [why.cpu, why.memory, why.storage] == too_much;
        assert!(matches!(&refused, Err(Error::NoCapacity(why)) if says(why)), "{refused:?}");
    }
    let limits = Limits { instance_limit: 100, node_limit: 100, ..Limits::default() };
    world.cloud.set_limits(owner, limits.memory(MemoryMib::from_u32(5000))).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    let grown = world.cloud.resize(id, size(2500, 3000, 100)).await.unwrap();
    assert_eq!((grown.revision, InstanceSize::of(&grown)), (2, size(2500, 3000, 100)));
    assert_eq!(grown.updated_at, grown.created_at.plus(Duration::from_secs(1)));
    let kept = world.cloud.repositories().instances().require(id).await.unwrap();
    assert_eq!(kept, grown, "what is answered is what is kept");
    let about = LogFilter { subject_id: Some(id.uuid()), ..LogFilter::default() };
    let lines = world.cloud.repositories().logs().list(about, PageRequest::default()).await.unwrap();
    let line = lines.entries.iter().find(|line| line.title == "instance.resize").unwrap();
    let told = (line.description.as_deref(), line.actor_id, line.subject_kind.as_deref());
    assert_eq!(
        told,
        (Some("2500 cpu milli, 3000 MiB memory, 100 MiB storage"), Some(owner), Some("instance"))
    );
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

async fn what_is_not_made_yet_or_about_to_start_is_not_resized(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.launch(world).await.id;
    let over = |error: &Error| matches!(error, Error::WrongState { kind: "instance", .. });
    let requested = world.cloud.resize(id, size(1, 1, 1)).await;
    assert!(requested.as_ref().is_err_and(over), "its agent is told the size that was asked: {requested:?}");
    machine.work(world).await;
    world.cloud.stop(id).await.unwrap();
    machine.work(world).await;
    world.cloud.start(id).await.unwrap();
    let starting = world.cloud.resize(id, size(1, 1, 1)).await;
    assert!(starting.as_ref().is_err_and(over), "{starting:?}");
    // It is wanted stopped again, and may be started first all the same.
    world.cloud.stop(id).await.unwrap();
    let starting = world.cloud.resize(id, size(1, 1, 1)).await;
    assert!(starting.as_ref().is_err_and(over), "{starting:?}");
    machine.work(world).await;
    world.cloud.resize(id, size(1, 1, 1)).await.unwrap();
    world.cloud.delete(id).await.unwrap();
    machine.work(world).await;
    // One that was brought in stopped, and is wanted running, waits for somebody who asks for that.
    let name = InstanceName::new(format!("i-{}", world.fresh())).unwrap();
    let at = world.cloud.store().read(Vec::new()).await.unwrap().now;
    let stopped = ImportedInstance::new(world.id().into(), machine.owner, machine.node, name, at)
        .key("c")
        .state(InstanceState::Stopped, DesiredState::Running);
    let id = stopped.id;
    assert!(world.cloud.import_instances(&[stopped]).await.iter().all(Result::is_ok));
    let wanted = world.cloud.resize(id, size(1, 1, 1)).await;
    assert!(wanted.as_ref().is_err_and(over), "{wanted:?}");
    world.cloud.delete(id).await.unwrap();
    machine.work(world).await;
    machine.is_empty(world, "both are deleted").await;
}

async fn what_shrinks_needs_no_room_of_a_node_that_is_over_full(world: &World) {
    let owner = world.user().await;
    let at = world.cloud.store().read(Vec::new()).await.unwrap().now;
    let name = NodeName::new(format!("node-{}", world.fresh())).unwrap();
    let profile = ComputeNode::new(world.id().into(), owner, name, at);
    let all = size(1000, 1000, 1000);
    let node = profile.id;
    let new = ImportedNode::new(profile).capacity(all.cpu_milli, all.memory_mib, all.storage_mib);
    assert!(world.cloud.import_nodes(&[new]).await.iter().all(Result::is_ok));
    let name = InstanceName::new(format!("i-{}", world.fresh())).unwrap();
    let has = size(2000, 500, 1000);
    let one = ImportedInstance::new(world.id().into(), owner, node, name, at);
    let id = one.id;
    let one = one.holds(has.cpu_milli, has.memory_mib, has.storage_mib);
    assert!(world.cloud.import_instances(&[one]).await.iter().all(Result::is_ok));
    let refused = world.cloud.resize(id, size(2001, 500, 1000)).await;
    assert!(matches!(&refused, Err(Error::NoCapacity(why)) if why.cpu == 1), "{refused:?}");
    world.cloud.resize(id, size(1900, 600, 1000)).await.unwrap();
    assert_eq!(held(world, owner, node).await, [(1900, 600, 1000); 2]);
    world.cloud.delete(id).await.unwrap();
}

async fn nothing_grows_of_who_is_suspended_or_on_a_node_that_is_cordoned_meanwhile(world: &World) {
    let owner = world.user().await;
    let node = node_of(world, owner).await;
    let request = LaunchRequest::new(owner, format!("i-{}", world.fresh())).on_node(node);
    let id = world.cloud.launch(request).await.unwrap().id;
    let cloud = Arc::clone(&world.cloud);
    let cordon = async move {
        cloud.cordon_node(node).await.unwrap();
    };
    let raced = world.over(Arc::new(Cut::after(world.cloud.store(), 100).raced_by(cordon)));
    let refused = raced.resize(id, size(1, 0, 0)).await;
    assert!(matches!(&refused, Err(Error::NoCapacity(why)) if why.unschedulable == 1), "{refused:?}");
    world.cloud.uncordon_node(node).await.unwrap();
    let cloud = Arc::clone(&world.cloud);
    let suspend = async move {
        cloud.deactivate(owner).await.unwrap();
    };
    let raced = world.over(Arc::new(Cut::after(world.cloud.store(), 100).raced_by(suspend)));
    for cloud in [&raced, &world.cloud] {
        let refused = cloud.resize(id, size(1, 0, 0)).await;
        assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
    }
    assert_eq!(held(world, owner, node).await, [(0, 0, 0); 2]);
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
            Err(error) => assert!(matches!(error, Error::NoCapacity(_)), "{error:?}"),
        }
    }
    assert_eq!((grown, held(world, owner, node).await), (8, [(8000, 0, 0); 2]));
}
