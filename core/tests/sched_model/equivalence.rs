//! The index answers what a plain scan over all nodes answers: the same node, the same GPUs, the same counts.

use crate::reference::{Reference, demands, node};
use apportion::sched::{Cluster, Demand, Placement, Policy, Scheduler, TaskMix};
use proptest::prelude::*;

/// How many different nodes come and go.
const NODES: u32 = 48;

/// One cluster kept twice: by the index, and by the plain scan.
struct Pair {
    cluster: Cluster,
    scheduler: Scheduler,
    reference: Reference,
    live: Vec<Placement>,
}

/// A step: what to do, and two numbers that say with what.
type Step = (u8, u32, u32);

impl Pair {
    fn new(policy: Policy, seed: u64, nodes: u32) -> Self {
        let counts = counts(seed);
        let mut pair = Self {
            cluster: Cluster::new(),
            scheduler: Scheduler::new(policy, seed).with_mix(mix(&counts)),
            reference: Reference::new(policy, seed, counts),
            live: Vec::new(),
        };
        (0..nodes).for_each(|at| pair.upsert(node(at)));
        pair
    }

    fn upsert(&mut self, node: apportion::sched::NodeState) {
        self.cluster.upsert(&node).unwrap();
        self.live.retain(|placement| placement.node != node.id);
        self.reference.upsert(node);
    }

    /// Asks both, compares, and places mostly.
    fn decide(&mut self, which: u32, exclude: u32, place: bool) {
        let demands = demands();
        let demand = &demands[which as usize % demands.len()];
        let excluded: Vec<_> = (0..exclude).map(|at| node((at * 5 + which % NODES) % NODES).id).collect();
        let expected = self.reference.decide(demand, &excluded);
        let got = self.scheduler.decide(&self.cluster, demand, &excluded);
        assert_eq!(got, expected, "policy {}, excluded {excluded:?}", self.scheduler.policy());
        if let Ok(placement) = got
            && place
        {
            self.cluster.place(&placement).unwrap();
            self.reference.apply(&placement, -1);
            self.live.push(placement);
        }
    }

    fn step(&mut self, (kind, a, b): Step) {
        match kind {
            0..=9 => self.decide(a, 0, true),
            10 => self.decide(a, 0, false),
            11 => self.decide(a, b % 6, true),
            12..=15 => {
                if !self.live.is_empty() {
                    let gone = self.live.swap_remove(a as usize % self.live.len());
                    self.cluster.release(&gone).unwrap();
                    self.reference.apply(&gone, 1);
                }
            }
            16 => self.upsert(node(a % NODES)),
            17 => self.damage(a, b),
            18 => {
                let id = node(a % NODES).id;
                let known = self.cluster.remove(&id);
                assert_eq!(known, self.reference.find(&id).is_some());
                self.reference.nodes.retain(|node| node.id != id);
                self.live.retain(|placement| placement.node != id);
            }
            19 => {
                let id = node(a % NODES).id;
                let known = self.cluster.set_schedulable(&id, b % 3 != 0);
                assert_eq!(known, self.reference.set_schedulable(&id, b % 3 != 0));
            }
            _ => {
                let counts = counts(u64::from(a % 4));
                self.scheduler.set_mix(mix(&counts));
                self.reference.set_mix(counts);
            }
        }
    }

    /// A node comes back as it is, but shrunk, or with a GPU that broke or works again; what runs stays.
    fn damage(&mut self, a: u32, b: u32) {
        let id = node(a % NODES).id;
        let Some(mut changed) = self.cluster.get(&id) else {
            return;
        };
        changed.cpu_free -= i64::from(b % 3) * 3000;
        let gpus = changed.gpus.len();
        if gpus > 0 {
            let gpu = &mut changed.gpus[b as usize % gpus];
            gpu.healthy = !gpu.healthy;
        }
        self.cluster.upsert(&changed).unwrap();
        self.reference.upsert(changed);
    }

    /// The index as it would be if it were filled now.
    fn rebuilt(&self) -> Cluster {
        let mut rebuilt = Cluster::new();
        self.reference.nodes.iter().for_each(|node| rebuilt.upsert(node).unwrap());
        rebuilt
    }
}

/// Several workloads; of one nothing is known.
fn counts(seed: u64) -> Vec<(Demand, u64)> {
    let weight = |at: usize| (at as u64 * 7 + seed * 3) % 11;
    let counts = demands().into_iter().enumerate().map(|(at, demand)| (demand, weight(at)));
    if seed % 4 == 3 { Vec::new() } else { counts.collect() }
}

fn mix(counts: &[(Demand, u64)]) -> TaskMix {
    TaskMix::from_counts(counts.iter().map(|(demand, count)| (demand, *count)))
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0_u8..=20, any::<u32>(), any::<u32>()), 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_policy_answers_as_a_plain_scan_does(seed in 0_u64..6, nodes in 0..=NODES, steps in steps(120)) {
        for policy in Policy::ALL {
            let mut pair = Pair::new(policy, seed, nodes);
            for step in &steps {
                pair.step(*step);
            }
            prop_assert_eq!(&pair.cluster, &pair.rebuilt());
        }
    }
}

#[test]
fn more_classes_than_are_remembered_answer_as_a_plain_scan_does() {
    // Only pairs of nodes are alike, so most classes are left out of what a shape remembers; and when the first of a
    // pair is taken, the class sinks among those that were left out.
    for policy in [Policy::BestFit, Policy::Fgd, Policy::DotProduct, Policy::Packing] {
        let mut pair = Pair::new(policy, 2, 0);
        for at in 0..300 {
            let mut own = node(at);
            own.cpu_free += i64::from(at * 37 % 150);
            pair.upsert(own);
        }
        let mut state = 7_u32;
        for round in 0..600_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (a, b) = (state >> 8, state >> 16);
            match round % 5 {
                0..=2 => pair.decide(a, if round % 7 == 0 { b % 40 } else { 0 }, true),
                _ => pair.step((12, a, b)),
            }
        }
        assert_eq!(pair.cluster, pair.rebuilt());
    }
}

#[test]
fn a_long_life_with_shapes_that_come_rarely_answers_as_a_plain_scan_does() {
    // Long enough for the change log to be cut behind the rare shapes, and for stale entries to be cleared.
    for policy in [Policy::Fgd, Policy::BestFit] {
        let mut pair = Pair::new(policy, 1, NODES);
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        for round in 0..14_000_u32 {
            let (a, b) = (next(), next());
            match round % 4 {
                0 | 2 => pair.decide(if round % 1000 < 2 { a } else { 2 + a % 2 }, 0, true),
                _ if pair.live.len() < 20 => pair.decide(2 + b % 2, 0, true),
                _ => pair.step((12, a, b)),
            }
        }
        assert_eq!(pair.cluster, pair.rebuilt());
    }
}

/// A node like those of the trace, with a little less of everything than the others.
pub(crate) fn worn(at: u32, wear: u32) -> apportion::sched::NodeState {
    let mut own = node(at);
    own.cpu_free = own.cpu_free * 4 - i64::from(wear % 2700);
    own.memory_free = own.memory_free * 1024 - i64::from(wear / 7 % 9000);
    own.storage_free = own.storage_free * 1024 - i64::from(wear / 11 % 70_000);
    own
}

/// A task of the size of those nodes.
pub(crate) fn sized(at: usize) -> Demand {
    let small = demands().swap_remove(at % 11);
    let memory = apportion::amount::MemoryMib::new(small.memory().get() * 700 + 13).unwrap();
    let storage = apportion::amount::StorageMib::new(small.storage().get() * 900).unwrap();
    Demand::new(small.cpu(), memory, storage, small.gpu(), small.models().to_vec()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_cluster_that_tells_less_apart_is_decided_on_as_one_that_tells_everything_apart(
        wear in prop::collection::vec(0_u32..100_000, 1..40),
        steps in steps(120),
    ) {
        let policy = Policy::OpportunityCost;
        let (mut coarse, mut exact) = (Cluster::for_policy(policy), Cluster::new());
        let workload: Vec<(Demand, u64)> = (0..11).map(|at| (sized(at), at as u64 + 1)).collect();
        let scheduler = || Scheduler::new(policy, 0).with_mix(mix(&workload));
        let (mut over_coarse, mut over_exact) = (scheduler(), scheduler());
        for (at, wear) in (0..).zip(&wear) {
            coarse.upsert(&worn(at, *wear)).unwrap();
            exact.upsert(&worn(at, *wear)).unwrap();
        }
        let mut live: Vec<Placement> = Vec::new();
        for (kind, a, b) in steps {
            if kind > 13 && !live.is_empty() {
                let gone = live.swap_remove(a as usize % live.len());
                coarse.release(&gone).unwrap();
                exact.release(&gone).unwrap();
                continue;
            }
            let demand = sized(a as usize);
            let excluded: Vec<_> =
                (0..if kind > 10 { b % 5 } else { 0 }).map(|at| node((at + b) % 40).id).collect();
            let found = over_coarse.decide(&coarse, &demand, &excluded);
            prop_assert_eq!(&found, &over_exact.decide(&exact, &demand, &excluded));
            let (explained, told) = (over_coarse.explain(&coarse, &demand, 4), over_exact.explain(&exact, &demand, 4));
            prop_assert_eq!(explained, told);
            if let Ok(placement) = found {
                coarse.place(&placement).unwrap();
                exact.place(&placement).unwrap();
                live.push(placement);
            }
        }
        prop_assert_eq!(&coarse, &exact);
        prop_assert!(coarse.class_count() <= exact.class_count());
    }
}
