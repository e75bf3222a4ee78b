//! What holds of the scheduling core whatever happens.

use crate::reference::{demand, demands, fragments, node};
use apportion::amount::GpuMilli;
use apportion::sched::{
    Cluster, FragmentMeter, GpuState, Misfit, NoFit, NodeState, PlaceError, Placement, Policy, Scheduler,
    Tag, TaskMix, fits, fragmentation,
};
use proptest::prelude::*;
use uuid::Uuid;

fn cluster(nodes: u32) -> Cluster {
    let mut cluster = Cluster::new();
    (0..nodes).for_each(|at| cluster.upsert(&node(at)).unwrap());
    cluster
}

fn scheduler(policy: Policy, seed: u64) -> Scheduler {
    Scheduler::new(policy, seed).with_mix(TaskMix::from_demands(&demands()))
}

fn policy() -> impl Strategy<Value = Policy> {
    prop::sample::select(Policy::ALL.to_vec())
}

/// Indexes of demands in the order in which they come.
fn arrivals() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..demands().len(), 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_node_is_ever_over_committed(policy in policy(), nodes in 1_u32..20, arrivals in arrivals()) {
        let mut cluster = cluster(nodes);
        let mut scheduler = scheduler(policy, 1);
        let demands = demands();
        for arrival in arrivals {
            if let Ok(placement) = scheduler.decide(&cluster, &demands[arrival], &[]) {
                prop_assert_eq!(cluster.place(&placement), Ok(()));
            }
            for node in cluster.iter() {
                prop_assert!(node.cpu_free >= 0 && node.memory_free >= 0 && node.storage_free >= 0);
                prop_assert!(node.gpus.iter().all(|gpu| (0..=1000).contains(&gpu.free_milli)));
            }
        }
        let used: i64 = cluster.iter().flat_map(|node| node.gpus).map(|gpu| 1000 - gpu.free_milli).sum();
        prop_assert_eq!(i64::try_from(cluster.totals().gpu_used_milli), Ok(used));
    }

    #[test]
    fn what_was_placed_and_released_in_any_order_leaves_no_trace(
        policy in policy(),
        nodes in 1_u32..20,
        arrivals in arrivals(),
        order in prop::collection::vec(any::<prop::sample::Index>(), 150),
    ) {
        let start = cluster(nodes);
        let mut cluster = start.clone();
        let demands: Vec<_> = arrivals.into_iter().map(|at| demands()[at].clone()).collect();
        let planned = scheduler(policy, 2).plan_many(&mut cluster, &demands);
        let mut live: Vec<Placement> = planned.into_iter().flatten().collect();
        prop_assert_eq!(live.is_empty(), cluster == start);
        for index in order {
            if live.is_empty() {
                break;
            }
            let gone = live.swap_remove(index.index(live.len()));
            prop_assert_eq!(cluster.release(&gone), Ok(()));
        }
        prop_assert_eq!(&cluster, &start);
        prop_assert_eq!(cluster.class_count(), start.class_count());
        prop_assert_eq!(cluster.totals(), start.totals());
    }

    #[test]
    fn the_same_seed_gives_the_same_plan(policy in policy(), seed in any::<u64>(), arrivals in arrivals()) {
        let demands: Vec<_> = arrivals.into_iter().map(|at| demands()[at].clone()).collect();
        let plan = |nodes: &mut dyn Iterator<Item = u32>| {
            let mut cluster = Cluster::new();
            nodes.for_each(|at| cluster.upsert(&node(at)).unwrap());
            scheduler(policy, seed).plan_many(&mut cluster, &demands)
        };
        // Also when the nodes became known in another order.
        prop_assert_eq!(plan(&mut (0..15)), plan(&mut (0..15).rev()));
    }

    #[test]
    fn a_node_is_found_exactly_if_one_fits_and_what_is_found_fits(
        policy in policy(),
        nodes in 0_u32..12,
        arrivals in arrivals(),
    ) {
        let mut cluster = cluster(nodes);
        let mut scheduler = scheduler(policy, 3);
        for arrival in arrivals {
            let demand = &demands()[arrival];
            let fitting = cluster.iter().filter(|node| fits(node, demand).is_ok()).count();
            let explained = scheduler.explain(&cluster, demand, 3);
            prop_assert_eq!(explained.fitting, fitting as u64);
            prop_assert_eq!(explained.removed.removed() + explained.fitting, u64::from(nodes));
            match scheduler.decide(&cluster, demand, &[]) {
                Ok(placement) => {
                    prop_assert_eq!(fits(&cluster.get(&placement.node).unwrap(), demand), Ok(()));
                    let best = explained.candidates[0].node;
                    prop_assert!(policy == Policy::Random || best == placement.node);
                    prop_assert_eq!(explained.candidates.len(), fitting.min(3));
                    prop_assert_eq!(cluster.place(&placement), Ok(()));
                }
                Err(no_fit) => {
                    prop_assert_eq!(fitting, 0);
                    prop_assert_eq!(no_fit, explained.removed);
                    prop_assert_eq!(no_fit.removed(), no_fit.nodes);
                }
            }
        }
    }

    #[test]
    fn a_node_that_the_judge_refuses_takes_nothing(at in 0_u32..5, arrivals in arrivals()) {
        let mut cluster = cluster(5);
        let id = node(at).id;
        for arrival in arrivals {
            let demand = demands()[arrival].clone();
            let state = cluster.get(&id).unwrap();
            let (count, each) = demand.gpu().need();
            let roomy = (0..).zip(&state.gpus).filter(|(_, gpu)| gpu.usable_milli() >= each.get());
            let mut gpus: Vec<u32> = roomy.map(|(slot, _)| slot).take(count as usize).collect();
            gpus.extend(gpus.len() as u32..count);
            let placement = Placement { node: id, gpus, milli_per_gpu: each, demand };
            let placed = cluster.place(&placement);
            match fits(&state, &placement.demand) {
                Ok(()) => prop_assert_eq!(placed, Ok(())),
                Err(misfit) => {
                    let refused = matches!(placed, Err(PlaceError::DoesNotFit { misfit: got, .. }) if got == misfit);
                    prop_assert!(refused || placed == Err(PlaceError::WrongGpus), "{:?} {:?}", placed, misfit);
                    prop_assert_eq!(cluster.get(&id), Some(state));
                }
            }
        }
    }

    #[test]
    fn fragments_are_what_their_definition_says(policy in policy(), arrivals in arrivals()) {
        let mut cluster = cluster(15);
        let mix = TaskMix::from_demands(&demands());
        let demands: Vec<_> = arrivals.into_iter().map(|at| demands()[at].clone()).collect();
        scheduler(policy, 4).plan_many(&mut cluster, &demands);
        let expected: i64 = cluster.iter().map(|node| fragments(&node, &mix)).sum();
        let idle: i64 = cluster.iter().flat_map(|node| node.gpus).map(|gpu| gpu.free_milli).sum();
        let got = fragmentation(&cluster, &mix);
        let weight = i32::try_from(mix.total_weight()).unwrap();
        prop_assert!((got.milli() * f64::from(weight) - f64::from(i32::try_from(expected).unwrap())).abs() < 1e-3);
        prop_assert_eq!(got.idle_milli(), idle);
        let mut meter = FragmentMeter::new(mix);
        let mut sum = meter.cluster(&Cluster::new());
        cluster.iter().for_each(|node| sum += meter.node(&cluster, &node.id).unwrap());
        prop_assert_eq!(sum, got);
    }
}

#[test]
fn the_random_policy_takes_every_node_equally_often_however_many_are_alike() {
    // Nine nodes of one class and one of another.
    let mut cluster = Cluster::new();
    for at in 0..10_u32 {
        let like = node(if at < 9 { 1 } else { 4 });
        cluster
            .upsert(&NodeState { id: Uuid::from_u128(u128::from(at)), rank: u64::from(at), ..like })
            .unwrap();
    }
    let mut scheduler = Scheduler::new(Policy::Random, 7);
    let mut taken = [0_u32; 10];
    for _ in 0..10_000 {
        let placement = scheduler.decide(&cluster, &demand(1000, 1, 500, &[]), &[]).unwrap();
        taken[usize::try_from(placement.node.as_u128()).unwrap()] += 1;
    }
    // 1,000 each are expected, with a standard deviation of 30.
    assert!(taken.iter().all(|count| (850..1150).contains(count)), "{taken:?}");
}

#[test]
fn a_scheduler_that_turns_to_another_cluster_forgets_the_first() {
    let mut one = cluster(20);
    let mut two = one.clone();
    let ask = demand(1000, 4, 460, &[]);
    let mut scheduler = scheduler(Policy::BestFit, 1);
    scheduler.decide(&one, &ask, &[]).unwrap();
    // The same number of changes on both, on different nodes.
    let on = |at, milli| {
        let demand = demand(1000, 4, milli, &[]);
        Placement { node: node(at).id, gpus: vec![0], milli_per_gpu: demand.gpu().need().1, demand }
    };
    one.place(&on(3, 1000)).unwrap();
    two.place(&on(13, 500)).unwrap();
    let fresh = |cluster| Scheduler::new(Policy::BestFit, 1).decide(cluster, &ask, &[]);
    assert_ne!(fresh(&one), fresh(&two));
    for cluster in [&one, &two, &one] {
        assert_eq!(scheduler.decide(cluster, &ask, &[]), fresh(cluster));
    }
}

#[test]
fn a_placement_that_is_not_of_its_demand_is_refused() {
    let mut cluster = cluster(5);
    let placement = Placement {
        node: node(1).id,
        gpus: vec![0, 1],
        milli_per_gpu: GpuMilli::WHOLE,
        demand: demand(1000, 4, 2000, &[]),
    };
    let before = cluster.clone();
    for gpus in [vec![0], vec![1, 0], vec![1, 1], vec![0, 1, 2]] {
        let wrong = Placement { gpus, ..placement.clone() };
        assert_eq!(cluster.place(&wrong), Err(PlaceError::WrongGpus));
    }
    let beyond = Placement { gpus: vec![0, 4], ..placement.clone() };
    assert_eq!(cluster.place(&beyond), Err(PlaceError::GpuTaken { slot: 4, milli: 1000 }));
    let nowhere = Placement { node: Uuid::nil(), ..placement.clone() };
    assert_eq!(cluster.place(&nowhere), Err(PlaceError::UnknownNode { node: Uuid::nil() }));
    assert_eq!(cluster.release(&placement), Err(PlaceError::NotHeld { slot: 0, milli: 1000 }));
    assert_eq!(cluster, before);
}

#[test]
fn a_task_on_a_gpu_that_broke_gives_it_back_all_the_same() {
    let mut cluster = cluster(5);
    let ask = demand(1000, 4, 460, &["B"]);
    let placement = scheduler(Policy::Fgd, 1).decide(&cluster, &ask, &[]).unwrap();
    cluster.place(&placement).unwrap();
    let mut broken = cluster.get(&placement.node).unwrap();
    let slot = placement.gpus[0] as usize;
    broken.gpus[slot].healthy = false;
    cluster.upsert(&broken).unwrap();
    let misfit = fits(&broken, &demand(0, 0, 8000, &[])).unwrap_err();
    assert!(matches!(misfit, Misfit::Gpu { .. }));
    cluster.release(&placement).unwrap();
    let state = cluster.get(&placement.node).unwrap();
    assert_eq!(state.gpus[slot], GpuState { free_milli: 1000, healthy: false });
    assert_eq!(state.running.count(Tag::Share), 0);
    assert_eq!(cluster.release(&placement), Err(PlaceError::NotHeld { slot: placement.gpus[0], milli: 460 }));
}

#[test]
fn an_answer_that_nothing_fits_is_not_kept_beyond_a_change() {
    let mut cluster = cluster(1);
    let mut scheduler = scheduler(Policy::Fgd, 1);
    let ask = demand(0, 0, 4000, &[]);
    let no_fit = NoFit { nodes: 1, gpu: 1, ..NoFit::default() };
    assert_eq!(scheduler.decide(&cluster, &ask, &[]), Err(no_fit));
    assert_eq!(scheduler.decide(&cluster, &ask, &[]), Err(no_fit));
    cluster.set_schedulable(&node(0).id, false);
    let closed = NoFit { gpu: 0, unschedulable: 1, ..no_fit };
    assert_eq!(scheduler.decide(&cluster, &ask, &[]), Err(closed));
    let excluded = NoFit { unschedulable: 0, excluded: 1, ..closed };
    assert_eq!(scheduler.decide(&cluster, &ask, &[node(0).id, Uuid::nil(), node(0).id]), Err(excluded));
}
