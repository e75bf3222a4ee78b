//! Plans that are carried out: instances that go where somebody else has decided.
#![expect(clippy::indexing_slicing, reason = "a check fails by panicking")]

use super::World;
use crate::amount::{CpuMilli, GpuMilli};
use crate::entity::{
    ComputeNode, Entry, GpuFilter, GpuId, Instance, InstanceId, NodeId, PageRequest, UserId,
};
use crate::error::Error;
use crate::plane::{LaunchRequest, NewNode, Operation};

pub(super) async fn check_moves(world: &World) {
    a_launch_gets_the_gpus_that_it_names_or_none(world).await;
    a_plan_that_frees_gpus_is_carried_out_by_deleting_and_launching(world).await;
}

async fn node_of(world: &World, owner: UserId, gpus: u32) -> (NodeId, Vec<GpuId>) {
    let name = format!("node-{}", world.fresh());
    let new = NewNode::new(owner, name).cpu(CpuMilli::from_u32(8_000)).gpus(gpus, model(owner));
    let node: Entry<ComputeNode> = world.cloud.register_node(new).await.unwrap();
    let filter = GpuFilter { node_id: Some(node.id), ..GpuFilter::default() };
    let page = world.cloud.repositories().gpus().list(filter, PageRequest::default()).await.unwrap();
    let mut gpus: Vec<_> = page.entries.iter().map(|gpu| (gpu.slot, gpu.id)).collect();
    gpus.sort_unstable();
    (node.id, gpus.into_iter().map(|(_, id)| id).collect())
}

/// A model that nobody else's nodes have.
fn model(owner: UserId) -> String {
    format!("model-{owner}")
}

fn share(world: &World, owner: UserId, milli: u32) -> LaunchRequest {
    let request = LaunchRequest::new(owner, format!("i-{}", world.fresh())).cpu(CpuMilli::from_u32(1_000));
    request.gpu_share(GpuMilli::from_u32(milli))
}

async fn used(world: &World, gpu: GpuId) -> i64 {
    world.cloud.repositories().gpus().require(gpu).await.unwrap().used_milli.get()
}

async fn a_launch_gets_the_gpus_that_it_names_or_none(world: &World) {
    let owner = world.user().await;
    let (node, gpus) = node_of(world, owner, 3).await;
    let (other, elsewhere) = node_of(world, owner, 1).await;
    let launch = |request| world.cloud.launch(request);
    let one = launch(share(world, owner, 600).on_gpu(gpus[1])).await.unwrap();
    assert_eq!((one.node_id, used(world, gpus[1]).await), (Some(node), 600));
    let refused = launch(share(world, owner, 600).on_gpu(gpus[1])).await;
    assert!(matches!(&refused, Err(Error::NoCapacity(why)) if why.gpu == 1), "{refused:?}");
    let two = share(world, owner, 0).gpus(2).on_gpu(gpus[2]).on_gpu(gpus[0]);
    launch(two).await.unwrap();
    assert_eq!((used(world, gpus[0]).await, used(world, gpus[2]).await), (1_000, 1_000));
    let apart = share(world, owner, 0).gpus(2).on_gpu(gpus[0]).on_gpu(elsewhere[0]);
    let refused = launch(apart).await;
    assert!(matches!(&refused, Err(Error::Invalid { field, .. }) if field == "given_gpus[1]"), "{refused:?}");
    // On another node than the one that is asked for, it is as one that is not there.
    for (gpu, node) in [(gpus[1], Some(other)), (GpuId::new(world.id()), None)] {
        let request = LaunchRequest { node, ..share(world, owner, 100).on_gpu(gpu) };
        let unknown = launch(request).await;
        assert!(matches!(unknown, Err(Error::NotFound { kind: "gpu", .. })), "{unknown:?}");
    }
    assert!(world.cloud.audit().await.unwrap().is_clean());
}

async fn a_plan_that_frees_gpus_is_carried_out_by_deleting_and_launching(world: &World) {
    let owner = world.user().await;
    let (one, left) = node_of(world, owner, 2).await;
    let (two, right) = node_of(world, owner, 1).await;
    let mut running: Vec<(InstanceId, LaunchRequest)> = Vec::new();
    for (gpu, milli) in [(left[0], 300), (left[1], 450), (right[0], 200), (right[0], 250)] {
        // No other node will do than these two.
        let request = share(world, owner, milli).gpu_model(model(owner));
        let instance = world.cloud.launch(request.clone().on_gpu(gpu)).await.unwrap();
        running.push((instance.id, request));
    }
    let own = |instance: &Instance| instance.owner_id == owner;
    assert_eq!(world.cloud.plan_moves(0, own).await.unwrap().moves, []);
    assert_eq!(world.cloud.plan_moves(10, |_| false).await.unwrap().freeable, 0);
    let plan = world.cloud.plan_moves(10, own).await.unwrap();
    // 1,200 milli need two GPUs of the three. The bound does not know that others are of another model.
    assert_eq!((plan.freed, plan.moves.len()), (1, 1));
    assert!(plan.freeable >= plan.freed);
    let mut operations = Vec::new();
    for step in &plan.moves {
        let (id, request) = running.iter().find(|(id, _)| *id == step.instance).unwrap();
        assert!([(one, left[0]), (one, left[1]), (two, right[0])].contains(&(step.to, step.to_gpu)));
        let again = request.clone().on_gpu(step.to_gpu);
        operations.extend([Operation::Delete(*id), Operation::Launch(Box::new(again))]);
    }
    for outcome in world.cloud.apply_many(operations).await {
        outcome.unwrap();
    }
    let all = [left[0], left[1], right[0]];
    let mut idle = Vec::new();
    for gpu in all {
        idle.extend((used(world, gpu).await == 0).then_some(gpu));
    }
    assert_eq!(idle, [plan.moves[0].from_gpu]);
    assert_eq!(world.cloud.plan_moves(10, own).await.unwrap().moves, []);
    assert!(world.cloud.audit().await.unwrap().is_clean());
}
