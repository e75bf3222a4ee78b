//! Gangs: whole or not at all.

use proptest::prelude::*;

use super::super::gang::place_gang;
use super::super::{Ask, InvalidAsk, QueuePolicy};
use super::kit::{ALL, at, gang, gpus, granted, id, job, node, plain, submit, tick};
use crate::amount::GpuMilli;
use crate::sched::{Cluster, Demand, GpuDemand, GpuState, NodeState, Policy, Scheduler};

#[test]
fn a_gang_starts_whole_or_not_at_all() {
    let mut queue = plain(QueuePolicy::Backfill, 3);
    submit(&mut queue, [job(1, 5), gang(2, 3, 8), gang(3, 2, 8)]);
    let before = queue.cluster().clone();
    let plan = queue.tick(at(9));
    assert_eq!(granted(&plan), [1, 3]);
    assert_eq!(plan.grants[1].placements.len(), 2);
    assert_eq!(*queue.cluster(), before, "a plan changes nothing");
    tick(&mut queue, at(9));
    assert_eq!(queue.cluster().totals().gpu_idle_milli, 3_000);
    for run in [1, 3] {
        queue.end(id(run)).unwrap();
    }
    assert_eq!(tick(&mut queue, at(10)), [2]);
    assert_eq!(queue.cluster().totals().gpu_idle_milli, 0);
}

#[test]
fn a_gang_that_is_spread_has_each_member_on_another_node() {
    let spread = |members| Ask::gang(gpus(1), members, true).unwrap();
    let mut queue = plain(QueuePolicy::Backfill, 3);
    let wide = super::super::Job { ask: spread(4), ..job(1, 1) };
    let fits = super::super::Job { ask: spread(3), ..job(2, 1) };
    submit(&mut queue, [wide, fits]);
    let plan = queue.tick(at(9));
    assert_eq!(granted(&plan), [2]);
    let mut nodes: Vec<_> = plan.grants[0].placements.iter().map(|placement| placement.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    assert_eq!(nodes.len(), 3);
    assert!(nodes.iter().all(|node| queue.cluster().get(node).unwrap().schedulable));
}

#[test]
fn a_gang_has_from_1_to_1024_members_and_one_member_is_spread_as_it_is() {
    assert_eq!(Ask::gang(gpus(1), 0, false), Err(InvalidAsk { got: 0 }));
    assert_eq!(Ask::gang(gpus(1), 1025, false), Err(InvalidAsk { got: 1025 }));
    assert_eq!(Ask::gang(gpus(1), 1, true), Ok(Ask::one(gpus(1))));
    assert_eq!(Ask::gang(gpus(2), 1024, false).unwrap().total().gpu_milli, 2_048_000);
    assert_eq!(super::super::Job::new(id(1), ALL, id(1), at(0), Ask::one(gpus(1))).remaining(), None);
}

/// A node with some of its GPUs partly used, or broken.
fn any_node(number: u64) -> impl Strategy<Value = NodeState> {
    let gpu = prop_oneof![
        3 => Just(GpuState::IDLE),
        1 => (0_i64..=1000).prop_map(|free_milli| GpuState { free_milli, healthy: true }),
        1 => Just(GpuState { free_milli: 1000, healthy: false }),
    ];
    (prop::collection::vec(gpu, 0..6), 0_i64..8, 0_i64..8, any::<bool>()).prop_map(
        move |(gpus, cpu_free, memory_free, schedulable)| NodeState {
            schedulable,
            cpu_free,
            memory_free,
            gpus,
            ..node(number, 0)
        },
    )
}

fn any_nodes() -> impl Strategy<Value = Vec<NodeState>> {
    (0_usize..6).prop_flat_map(|count| (0_u64..).take(count).map(any_node).collect::<Vec<_>>())
}

fn any_ask() -> impl Strategy<Value = Ask> {
    let gpu = prop_oneof![
        Just(GpuDemand::None),
        (1_u32..=999).prop_map(|milli| GpuDemand::Share(GpuMilli::from_u32(milli))),
        (1_u32..=4).prop_map(GpuDemand::Whole),
    ];
    (gpu, 0_u32..4, 0_u32..4, 1_u32..12, any::<bool>()).prop_map(|(gpu, cpu, memory, members, spread)| {
        let cpu = crate::amount::CpuMilli::from_u32(cpu);
        let memory = crate::amount::MemoryMib::from_u32(memory);
        let storage = crate::amount::StorageMib::ZERO;
        Ask::gang(Demand::new(cpu, memory, storage, gpu, vec![]).unwrap(), members, spread).unwrap()
    })
}

fn cluster(nodes: &[NodeState]) -> Cluster {
    let mut cluster = Cluster::new();
    for node in nodes {
        cluster.upsert(node).unwrap();
    }
    cluster
}

/// Places the members one by one, and says how many.
fn one_by_one(cluster: &mut Cluster, policy: Policy, ask: &Ask) -> u32 {
    let mut scheduler = Scheduler::new(policy, 7);
    let mut used = Vec::new();
    for placed in 0..ask.members() {
        let exclude = if ask.spread() { used.as_slice() } else { &[] };
        let Ok(placement) = scheduler.decide(cluster, ask.demand(), exclude) else { return placed };
        cluster.place(&placement).unwrap();
        used.push(placement.node);
    }
    ask.members()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn counting_the_room_for_a_gang_is_as_good_as_placing_it(nodes in any_nodes(), ask in any_ask()) {
        for policy in Policy::ALL {
            let placed = one_by_one(&mut cluster(&nodes), policy, &ask);
            let mut whole = cluster(&nodes);
            let room = whole.room(ask.demand(), ask.spread(), ask.members().into());
            prop_assert_eq!(room, u64::from(placed), "{}", policy);
            match place_gang(&mut Scheduler::new(policy, 7), &mut whole, &ask) {
                Ok(placements) => {
                    prop_assert_eq!(placed, ask.members());
                    for placement in placements.iter().rev() {
                        whole.release(placement).unwrap();
                    }
                }
                Err(misfit) => prop_assert_eq!(misfit.fitting, placed),
            }
            prop_assert_eq!(&whole, &cluster(&nodes), "the cluster is as it was");
        }
    }

    #[test]
    fn more_capacity_never_makes_a_gang_unable_to_start(
        nodes in any_nodes(),
        ask in any_ask(),
        more in any_node(99),
        grown in any::<prop::sample::Index>(),
    ) {
        let fits = |nodes: &[NodeState]| {
            place_gang(&mut Scheduler::new(Policy::BestFit, 0), &mut cluster(nodes), &ask).is_ok()
        };
        if fits(&nodes) {
            let mut bigger = nodes.clone();
            bigger.push(more);
            prop_assert!(fits(&bigger));
            let mut roomier = nodes;
            if !roomier.is_empty() {
                let node = grown.get(&roomier).clone();
                let at = roomier.iter().position(|other| other.id == node.id).unwrap();
                roomier[at].cpu_free += 1;
                roomier[at].memory_free += 1;
                roomier[at].gpus.iter_mut().for_each(|gpu| gpu.free_milli = 1000);
            }
            prop_assert!(fits(&roomier));
        }
    }
}
