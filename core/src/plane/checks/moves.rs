//! Plans that are carried out: instances that go where somebody else has decided.
#![expect(clippy::indexing_slicing, reason = "a check fails by panicking")]

use super::World;
use crate::amount::{CpuMilli, GpuMilli};
use crate::entity::{ComputeNode, Entry, GpuFilter, GpuId, Instance, NodeId, PageRequest, UserId};
use crate::error::Error;
use crate::plane::{LaunchRequest, NewNode, Operation};
use crate::sched::{Cluster, GpuState, Move, NodeState, Placement, Tag, defragment};

pub(super) async fn check_moves(world: &World) {
    a_launch_gets_the_gpus_that_it_names_or_none(world).await;
    a_plan_that_frees_gpus_is_carried_out_by_deleting_and_launching(world).await;
}

async fn node_of(world: &World, owner: UserId, gpus: u32) -> (NodeId, Vec<GpuId>) {
    let name = format!("node-{}", world.fresh());
    let new = NewNode::new(owner, name).cpu(CpuMilli::from_u32(8_000)).gpus(gpus, "T4");
    let node: Entry<ComputeNode> = world.cloud.register_node(new).await.unwrap();
    let filter = GpuFilter { node_id: Some(node.id), ..GpuFilter::default() };
    let page = world.cloud.repositories().gpus().list(filter, PageRequest::default()).await.unwrap();
    let mut gpus: Vec<_> = page.entries.iter().map(|gpu| (gpu.slot, gpu.id)).collect();
    gpus.sort_unstable();
    (node.id, gpus.into_iter().map(|(_, id)| id).collect())
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
    for (request, field) in [
        (share(world, owner, 0).gpus(2).on_gpu(gpus[0]).on_gpu(elsewhere[0]), "given_gpus[1]"),
        (share(world, owner, 100).on_gpu(gpus[1]).on_node(other), "given_gpus[0]"),
    ] {
        let refused = launch(request).await;
        assert!(matches!(&refused, Err(Error::Invalid { field: said, .. }) if said == field), "{refused:?}");
    }
    let unknown = launch(share(world, owner, 100).on_gpu(GpuId::new(world.id()))).await;
    assert!(matches!(unknown, Err(Error::NotFound { kind: "gpu", .. })), "{unknown:?}");
    assert!(world.cloud.audit().await.unwrap().is_clean());
}

async fn a_plan_that_frees_gpus_is_carried_out_by_deleting_and_launching(world: &World) {
    let owner = world.user().await;
    let (one, left) = node_of(world, owner, 2).await;
    let (two, right) = node_of(world, owner, 1).await;
    let mut cluster = Cluster::new();
    for (node, gpus) in [(one, &left), (two, &right)] {
        let gpus = vec![GpuState::IDLE; gpus.len()];
        cluster
            .upsert(&NodeState {
                gpus,
                cpu_free: 8_000,
                model: Some("T4".to_owned()),
                ..NodeState::empty(node.uuid(), 0)
            })
            .unwrap();
    }
    let mut running: Vec<(Instance, LaunchRequest, Placement)> = Vec::new();
    for (node, slot, gpu, milli) in
        [(one, 0, left[0], 300), (one, 1, left[1], 450), (two, 0, right[0], 200), (two, 0, right[0], 250)]
    {
        let request = share(world, owner, milli);
        let instance = world.cloud.launch(request.clone().on_gpu(gpu)).await.unwrap();
        let demand = request.demand().unwrap();
        let placement =
            Placement { node: node.uuid(), gpus: vec![slot], milli_per_gpu: request.gpu_milli, demand };
        cluster.place(&placement).unwrap();
        running.push((instance.value, request, placement));
    }
    let plan = defragment(&cluster, running.iter().map(|(_, _, at)| at).enumerate(), 10).unwrap();
    assert_eq!((plan.freed, plan.freeable), (1, 1));
    let mut operations = Vec::new();
    for Move { task, to, .. } in &plan.moves {
        let (instance, request, _) = running.get(*task).unwrap();
        let gpus = if to.node == one.uuid() { &left } else { &right };
        let again = to.gpus.iter().fold(request.clone(), |again, slot| {
            again.on_gpu(*gpus.get(usize::try_from(*slot).unwrap()).unwrap())
        });
        operations.extend([Operation::Delete(instance.id), Operation::Launch(Box::new(again))]);
    }
    for outcome in world.cloud.apply_many(operations).await {
        outcome.unwrap();
    }
    plan.moves.iter().for_each(|step| step.apply(&mut cluster).unwrap());
    for (node, gpus) in [(one, left), (two, right)] {
        let state = cluster.get(&node.uuid()).unwrap();
        assert_eq!(state.running.count(Tag::Share) > 0, state.gpus.iter().any(|gpu| *gpu != GpuState::IDLE));
        for (gpu, state) in gpus.into_iter().zip(&state.gpus) {
            assert_eq!(used(world, gpu).await, 1_000 - state.free_milli);
        }
    }
    assert!(world.cloud.audit().await.unwrap().is_clean());
}
