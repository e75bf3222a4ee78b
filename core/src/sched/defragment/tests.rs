use std::collections::BTreeSet;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::sched::{Demand, GpuDemand, GpuState, NodeState, Policy, Scheduler, fits};

mod bounds;
mod drawn;
mod rules;
mod way;

const NONE: &[&str] = &[];

fn demand(cpu: u32, gpu: GpuDemand, models: &[&str]) -> Demand {
    let models = models.iter().map(ToString::to_string).collect();
    Demand::new(CpuMilli::from_u32(cpu), MemoryMib::from_u32(cpu), StorageMib::ZERO, gpu, models).unwrap()
}

fn share(cpu: u32, milli: u32) -> Demand {
    demand(cpu, GpuDemand::Share(GpuMilli::from_u32(milli)), NONE)
}

fn node(number: u32, gpus: usize, cpu: i64) -> NodeState {
    NodeState {
        gpus: vec![GpuState::IDLE; gpus],
        cpu_free: cpu,
        memory_free: cpu,
        ..NodeState::empty(Uuid::from_u128(u128::from(number)), u64::from(number))
    }
}

fn cluster(nodes: &[NodeState]) -> Cluster {
    let mut cluster = Cluster::new();
    for node in nodes {
        cluster.upsert(node).unwrap();
    }
    cluster
}

/// Places a demand on one GPU of a node.
fn put(cluster: &mut Cluster, number: u32, slot: u32, demand: Demand) -> Placement {
    let (gpus, milli_per_gpu) = (vec![slot], demand.gpu().need().1);
    let placement = Placement { node: Uuid::from_u128(u128::from(number)), gpus, milli_per_gpu, demand };
    cluster.place(&placement).unwrap();
    placement
}

/// How many GPUs are idle, by their definition.
fn idle(cluster: &Cluster) -> usize {
    let of =
        |node: NodeState| node.gpus.iter().filter(|gpu| node.schedulable && **gpu == GpuState::IDLE).count();
    cluster.iter().map(of).sum()
}

/// The plan for all of these, numbered, checked move by move.
fn planned(cluster: &Cluster, running: &[Placement], budget: usize) -> Defragmentation<usize> {
    let plan = defragment(cluster, running.iter().enumerate(), budget).unwrap();
    check_plan(cluster, running, budget, &plan);
    plan
}

/// What is promised of every plan.
fn check_plan(cluster: &Cluster, running: &[Placement], budget: usize, plan: &Defragmentation<usize>) {
    assert!(plan.moves.len() <= budget);
    assert!(plan.freed <= plan.freeable, "{plan:?}");
    let moved: BTreeSet<usize> = plan.moves.iter().map(|step| step.task).collect();
    assert_eq!(moved.len(), plan.moves.len(), "no task is moved twice");
    let mut now = cluster.clone();
    for step in &plan.moves {
        let Move { task, from, to } = step;
        assert_eq!(*from, running[*task]);
        assert_eq!((&to.demand, to.milli_per_gpu), (&from.demand, from.milli_per_gpu));
        assert_eq!(to.gpus.len(), from.gpus.len());
        // The share is there before the task has left the one that it had.
        let before = now.get(&to.node).unwrap();
        let usable = |slot: &u32| before.gpus[usize::try_from(*slot).unwrap()].usable_milli();
        assert!(to.gpus.iter().all(|slot| usable(slot) >= to.milli_per_gpu.get()));
        if from.node == to.node {
            now.release(from).unwrap();
            assert_eq!(fits(&now.get(&to.node).unwrap(), &to.demand), Ok(()));
            now.place(to).unwrap();
        } else {
            assert_eq!(fits(&before, &to.demand), Ok(()));
            now.place(to).unwrap();
            now.release(from).unwrap();
        }
    }
    assert_eq!(idle(cluster) + plan.freed, idle(&now));
    let mut applied = cluster.clone();
    for step in &plan.moves {
        step.apply(&mut applied).unwrap();
    }
    assert_eq!(applied, now);
}
