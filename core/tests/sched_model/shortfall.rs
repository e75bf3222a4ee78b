//! What is told of the nodes that nothing fits, beside a recount over all of them.

use apportion::sched::{Cluster, Demand, NodeState, Policy, Scheduler, TaskMix, fits};
use proptest::prelude::*;
use uuid::Uuid;

use crate::equivalence::{sized, worn};

/// What a node lacks, as it is ordered: GPU milli, processor time, memory, disk space, then its own place.
type Lacking = (i64, i64, i64, i64, u64, Uuid);

/// The nodes that could be made to fit, nearest first, and how many could not for their GPUs.
fn recount(cluster: &Cluster, demand: &Demand) -> (Vec<Lacking>, u64) {
    let (mut near, mut too_few) = (Vec::new(), 0);
    for node in cluster.iter().filter(|node| fits(node, demand).is_err()) {
        if fits(&emptied(&node), demand).is_ok() {
            near.push(lacking(&node, demand));
        } else {
            too_few += u64::from(node.schedulable && demand.admits_model(node.model.as_deref()));
        }
    }
    near.sort_unstable();
    (near, too_few)
}

/// The node with nothing on it, and as much as anybody asks for.
fn emptied(node: &NodeState) -> NodeState {
    let most = 1 << 40;
    let mut node = NodeState { cpu_free: most, memory_free: most, storage_free: most, ..node.clone() };
    node.gpus.iter_mut().for_each(|gpu| gpu.free_milli = 1000);
    node
}

fn lacking(node: &NodeState, demand: &Demand) -> Lacking {
    let (asked, each) = demand.gpu().need();
    let free: Vec<i64> = node.gpus.iter().filter(|gpu| gpu.healthy).map(|gpu| gpu.free_milli).collect();
    // Every choice of as many GPUs as are asked for, and what has to be freed of them.
    let choices = (0_u32..1 << free.len()).filter(|choice| choice.count_ones() == asked);
    let freed = |choice: u32| {
        let chosen = free.iter().enumerate().filter(|(at, _)| choice & (1 << at) != 0);
        chosen.map(|(_, free)| (each.get() - free).max(0)).sum::<i64>()
    };
    (
        choices.map(freed).min().unwrap(),
        (demand.cpu().get() - node.cpu_free).max(0),
        (demand.memory().get() - node.memory_free).max(0),
        (demand.storage().get() - node.storage_free).max(0),
        node.rank,
        node.id,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_nearest_nodes_are_those_of_a_recount(
        wear in prop::collection::vec(0_u32..100_000, 1..40),
        twins in any::<bool>(),
        arrivals in prop::collection::vec(0_usize..11, 0..120),
        broken in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..12),
        closed in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        top in 0_usize..7,
    ) {
        let policy = Policy::OpportunityCost;
        let mut cluster = Cluster::for_policy(policy);
        for (at, wear) in (0..).zip(&wear) {
            // Of twins many are in one class that tells everything apart.
            cluster.upsert(&worn(at, if twins { 0 } else { *wear })).unwrap();
        }
        let demands: Vec<Demand> = (0..11).map(sized).collect();
        let mut scheduler = Scheduler::new(policy, 0).with_mix(TaskMix::from_demands(&demands));
        for arrival in arrivals {
            if let Ok(placement) = scheduler.decide(&cluster, &demands[arrival], &[]) {
                cluster.place(&placement).unwrap();
            }
        }
        let mut nodes: Vec<NodeState> = cluster.iter().collect();
        nodes.sort_unstable_by_key(|node| node.id);
        for (node, gpu) in broken {
            let node = &mut nodes[node.index(wear.len())];
            if !node.gpus.is_empty() {
                let at = gpu.index(node.gpus.len());
                node.gpus[at].healthy = false;
            }
        }
        for at in closed {
            nodes[at.index(wear.len())].schedulable = false;
        }
        for node in &nodes {
            cluster.upsert(node).unwrap();
        }
        for cluster in [&cluster, &cluster.regrouped(Policy::Fgd)] {
            for demand in &demands {
                let told = scheduler.explain(cluster, demand, top);
                let (near, too_few) = recount(cluster, demand);
                prop_assert_eq!(told.too_few_gpus, too_few);
                let hopeless = told.removed.unschedulable + told.removed.model + too_few;
                prop_assert_eq!(told.fitting + hopeless + near.len() as u64, nodes.len() as u64);
                let nearest: Vec<Lacking> = told.nearest.iter().map(|miss| {
                    let (rank, lacks) = (cluster.get(&miss.node).unwrap().rank, &miss.shortfall);
                    (lacks.gpu_milli(), lacks.cpu_milli, lacks.memory_mib, lacks.storage_mib, rank, miss.node)
                }).collect();
                prop_assert_eq!(nearest, near.into_iter().take(top).collect::<Vec<_>>());
            }
        }
    }
}
