use apportion::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use apportion::sched::{GpuDemand, Policy};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use replay::generate::{Size, generate};
use replay::inflate::{self, Typical};

use super::*;
use apportion::sched::Demand;

mod search;

fn node(model: &str, cpu: u32, memory: u32, gpus: u32) -> NodeRow {
    NodeRow {
        name: String::new(),
        cpu_milli: CpuMilli::from_u32(cpu),
        memory_mib: MemoryMib::from_u32(memory),
        gpus,
        model: Some(model.to_owned()),
    }
}

fn demand(cpu: u32, memory: u32, gpu: GpuDemand, models: &[&str]) -> Demand {
    let models = models.iter().map(ToString::to_string).collect();
    Demand::new(CpuMilli::from_u32(cpu), MemoryMib::from_u32(memory), StorageMib::ZERO, gpu, models).unwrap()
}

fn share(milli: u32) -> Demand {
    demand(1, 1, GpuDemand::Share(GpuMilli::from_u32(milli)), &[])
}

fn whole(count: u32) -> Demand {
    demand(1, 1, GpuDemand::Whole(count), &[])
}

/// A cluster, and tasks of which only the state after the last one counts.
struct Case {
    nodes: Vec<NodeRow>,
    demands: Vec<Demand>,
}

impl Case {
    /// A few small nodes and tasks, so that all placements can be searched.
    fn draw(rng: &mut Pcg64) -> Self {
        let nodes = (0..rng.random_range(1..=3)).map(|_| Self::draw_node(rng)).collect();
        let demands = (0..rng.random_range(1..=7)).map(|_| Self::draw_demand(rng)).collect();
        Self { nodes, demands }
    }

    fn draw_node(rng: &mut Pcg64) -> NodeRow {
        let model = if rng.random() { "A" } else { "B" };
        node(model, rng.random_range(2..=6), rng.random_range(2..=6), rng.random_range(1..=2))
    }

    fn draw_demand(rng: &mut Pcg64) -> Demand {
        let gpu = match rng.random_range(0..10) {
            0 => GpuDemand::None,
            1..=5 => GpuDemand::Share(GpuMilli::from_u32(rng.random_range(2..=9) * 100)),
            6..=8 => GpuDemand::Whole(1),
            _ => GpuDemand::Whole(2),
        };
        let models: &[&str] = if rng.random_range(0..4) == 0 { &["A"] } else { &[] };
        demand(rng.random_range(0..=3), rng.random_range(0..=3), gpu, models)
    }

    fn instance(&self) -> Instance {
        Instance::new(&self.nodes, self.demands.iter().cloned())
    }

    fn arrivals(&self, instance: &Instance) -> Arrivals {
        let mut columns = vec![0; self.demands.len()];
        columns[self.demands.len() - 1] = 100;
        Arrivals { kinds: self.demands.iter().map(|demand| instance.kind_of(demand)).collect(), columns }
    }

    fn ceiling(&self) -> Ceiling {
        let instance = self.instance();
        let mut fills = Fill::plain(&instance).into_iter().collect();
        ceilings(&instance, &[self.arrivals(&instance)], 100, &mut fills)[0]
    }

    /// The most that can be allocated, in per cent of all GPU: by any placement, and by a work-conserving one.
    fn truth(&self) -> (f64, f64) {
        let capacity = real(self.instance().capacity_milli());
        let best = |refuses| 100.0 * real(search::most_milli(&self.nodes, &self.demands, refuses)) / capacity;
        (best(true), best(false))
    }
}

fn holds(truth: f64, bound: f64) -> bool {
    truth <= bound + 1e-9
}

#[test]
fn the_bound_is_never_below_what_a_search_over_all_placements_finds() {
    let mut tight = (0, 0);
    for seed in 0..150 {
        let case = Case::draw(&mut Pcg64::seed_from_u64(seed));
        let (bound, (any, work_conserving)) = (case.ceiling(), case.truth());
        assert!(holds(any, bound.any_pct), "seed {seed}: {any} above {bound:?}");
        assert!(
            holds(work_conserving, bound.work_conserving_pct),
            "seed {seed}: {work_conserving} above {bound:?}"
        );
        tight.0 += u32::from(bound.any_pct < any + 0.01);
        tight.1 += u32::from(bound.work_conserving_pct < work_conserving + 0.01);
    }
    // It is not so far off either: often it is met.
    assert!(tight.0 > 50 && tight.1 > 50, "{tight:?}");
}

#[test]
fn the_bound_holds_for_whatever_prices_and_whatever_of_the_edges() {
    for seed in 0..300 {
        let mut rng = Pcg64::seed_from_u64(seed);
        let case = Case::draw(&mut rng);
        let instance = case.instance();
        let edges = edges(&instance);
        let weights: Vec<f64> = edges.iter().map(|_| rng.random_range(0.0..1.0)).collect();
        let order = Order::heaviest(instance.kinds.len(), &edges, &weights);
        let order = order.tied(&edges, &weights, &vec![1.0; instance.kinds.len()]);
        let kinds: Vec<f64> = instance.kinds.iter().map(|_| rng.random_range(-1.0..1.5)).collect();
        let shapes: Vec<_> = instance.shapes.iter().map(|_| (rng.random_range(-0.2..0.5), 0.0)).collect();
        let prices = Prices::of(&instance, &kinds, &shapes);
        let bound = |order: &Order| mean_pct(&instance, &prices, order, &case.arrivals(&instance), 100);
        let (any, work_conserving) = case.truth();
        assert!(holds(any, bound(&Order::none(kinds.len()))), "seed {seed}");
        assert!(holds(work_conserving, bound(&order)), "seed {seed}");
    }
}

#[test]
fn tasks_that_do_not_go_together_leave_the_rest_of_their_gpus() {
    let case = Case { nodes: vec![node("A", 9, 9, 1); 10], demands: vec![share(600); 20] };
    let bound = case.ceiling();
    assert!((bound.any_pct - 60.0).abs() < 0.01, "{bound:?}");
    let case = Case { nodes: vec![node("A", 99, 99, 8); 2], demands: vec![share(600), whole(8), whole(8)] };
    assert!(case.ceiling().any_pct <= 100.0);
}

#[test]
fn a_work_conserving_policy_cannot_keep_gpus_free_for_later() {
    let demands = vec![share(600), whole(1), share(600), whole(1)];
    let case = Case { nodes: vec![node("A", 9, 9, 1); 2], demands };
    let bound = case.ceiling();
    assert!((bound.any_pct - 100.0).abs() < 0.01, "{bound:?}");
    assert!((bound.work_conserving_pct - 80.0).abs() < 0.01, "{bound:?}");
    assert_eq!(case.truth(), (100.0, 80.0));
}

#[test]
fn a_model_that_is_not_there_and_an_empty_cluster_are_answered() {
    let absent = demand(1, 1, GpuDemand::Whole(1), &["Z"]);
    let case = Case { nodes: vec![node("A", 9, 9, 1)], demands: vec![absent] };
    assert!(case.ceiling().any_pct.abs() < 1e-9);
    assert!(bound(&[], &[], &[42]).at_100().any_pct.abs() < 1e-9);
    assert!(bound(&case.nodes, &[], &[]).at_130().any_pct.abs() < 1e-9);
}

#[test]
fn no_policy_exceeds_the_bound() {
    let workload = generate(&Size { nodes: 50, pods: 270, seed: 7 });
    let found = bound(&workload.nodes, &workload.pods, &[42, 43]);
    for (seed, at_100, at_130) in &found.seeds {
        for policy in Policy::ALL {
            let (nodes, pods) = (&workload.nodes, &workload.pods);
            let run = inflate::run(nodes, "small", pods, policy, Typical::Given, *seed);
            assert!(
                holds(run.alloc_pct_100, at_100.work_conserving_pct),
                "{policy} {seed}: {run:?} {at_100:?}"
            );
            assert!(
                holds(run.alloc_pct_130, at_130.work_conserving_pct),
                "{policy} {seed}: {run:?} {at_130:?}"
            );
        }
    }
}
