//! GPUs that are kept from work until an operator says otherwise.

use super::World;
use super::machine::{Machine, gpus};
use crate::entity::{Gpu, GpuHealth};
use crate::error::Error;
use crate::plane::LaunchRequest;

pub(super) async fn check_quarantine(world: &World) {
    a_quarantined_gpu_that_vanished_comes_back_quarantined(world).await;
}

async fn set(world: &World, gpu: &Gpu, health: GpuHealth) {
    let gpus = world.cloud.repositories().gpus();
    let now = world.cloud.store().read(Vec::new()).await.unwrap().now;
    let revision = gpus.require(gpu.id).await.unwrap().revision;
    gpus.set_health(gpu.id, health, now, revision).await.unwrap();
}

async fn health(world: &World, gpu: &Gpu) -> GpuHealth {
    world.cloud.repositories().gpus().require(gpu.id).await.unwrap().health
}

async fn a_quarantined_gpu_that_vanished_comes_back_quarantined(world: &World) {
    let mut machine = Machine::new(world).await;
    let one = gpus(world, machine.node).await.remove(0);
    let (all, without) = (machine.gpus.clone(), vec![machine.gpus.remove(1)]);
    set(world, &one, GpuHealth::Quarantined).await;
    for round in 0..2 {
        machine.gpus.clone_from(&without);
        machine.report(world).await.unwrap();
        machine.report(world).await.unwrap();
        assert_eq!(health(world, &one).await, GpuHealth::Gone, "{round}");
        machine.gpus.clone_from(&all);
        machine.report(world).await.unwrap();
        assert_eq!(health(world, &one).await, GpuHealth::Quarantined, "{round}");
    }
    let name = format!("i-{}", world.fresh());
    let both = LaunchRequest::new(machine.owner, name).gpus(2).on_node(machine.node);
    let refused = world.cloud.launch(both.clone()).await;
    assert!(matches!(refused, Err(Error::NoCapacity(_))), "{refused:?}");
    // What an operator says holds, also of one that is gone.
    set(world, &one, GpuHealth::Healthy).await;
    machine.report(world).await.unwrap();
    machine.gpus.clone_from(&without);
    machine.report(world).await.unwrap();
    machine.gpus.clone_from(&all);
    machine.report(world).await.unwrap();
    assert_eq!(health(world, &one).await, GpuHealth::Healthy);
    set(world, &one, GpuHealth::Quarantined).await;
    machine.gpus.clone_from(&without);
    machine.report(world).await.unwrap();
    set(world, &one, GpuHealth::Healthy).await;
    machine.gpus.clone_from(&all);
    machine.report(world).await.unwrap();
    assert_eq!(health(world, &one).await, GpuHealth::Healthy, "it was said while it was gone");
    let id = world.cloud.launch(both).await.unwrap().id;
    world.cloud.delete(id).await.unwrap();
    machine.is_empty(world, "it was withdrawn").await;
    assert!(world.cloud.audit().await.unwrap().is_clean());
}
