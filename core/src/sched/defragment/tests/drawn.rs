//! What holds of every plan, on small clusters that are drawn.

use super::*;

/// What is drawn of a node: GPUs, processor time, whether one of the models, whether open, whether its first GPU works.
type Drawn = (usize, u32, bool, u8, u8);

/// A cluster with tasks where they happened to go, some of which have ended, and those of them that may be moved.
fn drawn(nodes: &[Drawn], asked: &[(u32, u8, u8)], seed: u64) -> (Cluster, Vec<Placement>) {
    let state = |(number, (gpus, cpu, named, _, _)): (u32, &Drawn)| NodeState {
        model: named.then(|| "T4".to_owned()),
        ..node(number, *gpus, i64::from(*cpu))
    };
    let mut cluster = cluster(&(1..).zip(nodes).map(state).collect::<Vec<_>>());
    let mut scheduler = Scheduler::new(Policy::Random, seed);
    let mut running = Vec::new();
    for (cpu, kind, fate) in asked {
        let milli = GpuMilli::from_u32(u32::from(*kind % 10) * 100 - 50 * u32::from(*kind % 2));
        let gpu = match kind {
            0..=1 => GpuDemand::None,
            2..=3 => GpuDemand::Whole(1),
            _ if milli == GpuMilli::ZERO => GpuDemand::Whole(2),
            _ => GpuDemand::Share(milli),
        };
        let models: &[&str] = if kind % 7 == 0 { &["T4"] } else { NONE };
        let Ok(placement) = scheduler.decide(&cluster, &demand(*cpu, gpu, models), &[]) else { continue };
        cluster.place(&placement).unwrap();
        match fate {
            0..=2 => cluster.release(&placement).unwrap(),
            3 => {}
            _ => running.push(placement),
        }
    }
    for (number, (_, _, _, open, works)) in (1..).zip(nodes) {
        let mut state = cluster.get(&Uuid::from_u128(number)).unwrap();
        state.schedulable = *open > 0;
        state.gpus.iter_mut().take(1).for_each(|gpu| gpu.healthy = *works > 0);
        cluster.upsert(&state).unwrap();
    }
    (cluster, running)
}

fn nodes(most: usize, gpus: usize) -> impl Strategy<Value = Vec<Drawn>> {
    prop::collection::vec((0..=gpus, 2..20_u32, any::<bool>(), 0..6_u8, 0..8_u8), 1..=most)
}

fn asked(most: usize) -> impl Strategy<Value = Vec<(u32, u8, u8)>> {
    prop::collection::vec((0..5_u32, 0..40_u8, 0..10_u8), 0..most)
}

/// The most that any sequence of moves frees, found by trying all.
fn most_freed(cluster: &Cluster, running: &[Placement], budget: usize) -> usize {
    let at_first = idle(cluster);
    let mut best = 0;
    try_all(&mut cluster.clone(), &mut running.to_vec(), budget, &mut |now| {
        best = best.max(idle(now).saturating_sub(at_first));
    });
    best
}

fn try_all(cluster: &mut Cluster, running: &mut [Placement], budget: usize, seen: &mut impl FnMut(&Cluster)) {
    seen(cluster);
    if budget == 0 {
        return;
    }
    let nodes: Vec<NodeState> = cluster.iter().collect();
    for task in 0..running.len() {
        let from = running[task].clone();
        for node in &nodes {
            let (count, _) = from.demand.gpu().need();
            for gpus in chosen(u32::try_from(node.gpus.len()).unwrap(), count) {
                let to = Placement { node: node.id, gpus, ..from.clone() };
                // Back to back, so that even the room of the task itself counts: more than a plan may use.
                cluster.release(&from).unwrap();
                if cluster.place(&to).is_ok() {
                    running[task] = to.clone();
                    try_all(cluster, running, budget - 1, seen);
                    running[task] = from.clone();
                    cluster.release(&to).unwrap();
                }
                cluster.hold(&from).unwrap();
            }
        }
    }
}

/// All ways to choose so many of so many, ascending.
fn chosen(of: u32, count: u32) -> Vec<Vec<u32>> {
    let bits = (0..1_u32 << of).filter(|bits| bits.count_ones() == count);
    bits.map(|bits| (0..of).filter(|at| bits & (1 << at) != 0).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_applies_frees_what_it_says_and_stays_within_budget_and_bound(
        nodes in nodes(8, 4), asked in asked(60), seed in any::<u64>(), budget in 0..20_usize,
    ) {
        let (cluster, running) = drawn(&nodes, &asked, seed);
        let plan = planned(&cluster, &running, budget);
        let numbered = || running.iter().enumerate();
        prop_assert_eq!(Ok(plan.freeable), freeable(&cluster, numbered(), budget));
        prop_assert!(freeable(&cluster, numbered(), budget + 1).unwrap() >= plan.freeable);
        // Neither the order of the tasks nor how the cluster came about makes a difference.
        let mut again = Cluster::new();
        let mut states: Vec<NodeState> = cluster.iter().collect();
        states.sort_by_key(|state| std::cmp::Reverse(state.id));
        for state in &states {
            again.upsert(state).unwrap();
        }
        let backwards: Vec<_> = numbered().rev().collect();
        prop_assert_eq!(Ok(plan), defragment(&again, backwards, budget));
    }

    #[test]
    fn no_sequence_of_moves_frees_more_than_the_bound(
        nodes in nodes(3, 2), asked in asked(9), seed in any::<u64>(), budget in 1..3_usize,
    ) {
        let (cluster, mut running) = drawn(&nodes, &asked, seed);
        running.truncate(5);
        let plan = planned(&cluster, &running, budget);
        let most = most_freed(&cluster, &running, budget);
        prop_assert!(plan.freed <= most && most <= plan.freeable, "{most}, {plan:?}");
    }

    #[test]
    fn no_sequence_of_moves_frees_more_than_any_prices_prove(
        nodes in nodes(3, 2), asked in asked(9), seed in any::<u64>(), budget in 1..3_usize,
        prices in prop::collection::vec(0..24_i64, 10), step in 0..12_i64,
    ) {
        let (cluster, mut running) = drawn(&nodes, &asked, seed);
        running.truncate(4);
        let placed: Vec<&Placement> = running.iter().collect();
        let room = dual::Room::new(&floor::Floor::new(&cluster, &placed, budget), budget);
        let part = |twelfths: i64| twelfths * dual::ONE / 12;
        let shares = prices.iter().take(room.sizes.len()).map(|price| part(*price)).collect();
        let bound = room.bound(&dual::Prices { shares, step: part(step) });
        prop_assert!(most_freed(&cluster, &running, budget) <= bound);
    }

    #[test]
    fn shares_that_fit_one_gpu_are_no_more_than_one_by_any_function_of_the_bound(
        cuts in prop::collection::vec(0..=1_000_i64, 0..12), least in 0..=500_i64, parts in 1..=100_i64,
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let sizes: Vec<i64> = cuts.windows(2).map(|two| two[1] - two[0]).filter(|size| *size > 0).collect();
        prop_assert!(sizes.iter().map(|size| bound::drop_below(least, *size)).sum::<i64>() <= 1_000);
        prop_assert!(sizes.iter().map(|size| bound::round_to(parts, *size)).sum::<i64>() <= 1_000 * parts);
    }
}
