//! A cluster of the published shape in a steady state: tasks come and go, and it stays nearly full.

use std::collections::VecDeque;

use apportion::sched::{Cluster, Demand, GpuState, NodeState, Placement, Policy, Scheduler, TaskMix};
use replay::generate::{Size, generate};
use replay::trace::PodRow;
use uuid::Uuid;

/// The seed of the cluster and its tasks.
const SEED: u64 = 42;
/// How full the cluster is kept, in per cent of its GPUs.
const FULL_PCT: u64 = 70;

/// Gives a node a little more processor time and memory, each rank below a million another amount.
pub fn perturb(node: &mut NodeState) {
    // Two moduli with no common factor: the pair comes again after their product only.
    node.cpu_free += i64::try_from(node.rank * 7_919 % 1_000).unwrap_or(0);
    node.memory_free += i64::try_from(node.rank * 104_729 % 1_021).unwrap_or(0);
}

/// A cluster, a scheduler, and tasks that come and go.
#[derive(Debug, Clone)]
pub struct Steady {
    cluster: Cluster,
    scheduler: Scheduler,
    demands: Vec<Demand>,
    next: usize,
    running: VecDeque<Placement>,
    /// How many decisions found a node.
    pub placed: u64,
}

impl Steady {
    /// A cluster of so many nodes with GPUs, filled until it is nearly full, and from then on under a policy.
    pub fn new(policy: Policy, nodes: usize) -> Self {
        Self::filled(nodes).under(policy)
    }

    /// A cluster of so many nodes with GPUs, filled until it is nearly full.
    pub fn filled(nodes: usize) -> Self {
        let generated = generate(&Size { nodes: nodes * 1_523 / 1_213 + 1, pods: 16_304, seed: SEED });
        let mut cluster = Cluster::new();
        let with_gpus = generated.nodes.iter().filter(|node| node.gpus > 0).take(nodes);
        for (rank, node) in (0_u64..).zip(with_gpus) {
            let mut state = NodeState::empty(Uuid::from_u128(u128::from(rank) + 1), rank);
            state.model.clone_from(&node.model);
            state.cpu_free = node.cpu_milli.get();
            state.memory_free = node.memory_mib.get();
            state.gpus = vec![GpuState::IDLE; usize::try_from(node.gpus).unwrap_or(0)];
            let fits = cluster.upsert(&state);
            debug_assert!(fits.is_ok(), "a generated node is a valid one");
        }
        let demands: Vec<Demand> = generated.pods.iter().filter_map(PodRow::demand).collect();
        // Filled by one policy, so that all of them start from the same state.
        let scheduler = Scheduler::new(Policy::BestFit, SEED).with_mix(TaskMix::from_demands(&demands));
        let mut steady = Self { cluster, scheduler, demands, next: 0, running: VecDeque::new(), placed: 0 };
        // What does not fit any more is skipped; there are tasks enough to get there without it.
        for _ in 0..nodes * 16 {
            if steady.used_pct() >= FULL_PCT {
                break;
            }
            steady.arrive();
        }
        steady
    }

    /// The same cluster, decided on by this policy from now on.
    pub fn under(mut self, policy: Policy) -> Self {
        self.scheduler = Scheduler::new(policy, SEED).with_mix(self.scheduler.mix().clone());
        self.cluster = self.cluster.regrouped(policy);
        self.placed = 0;
        self
    }

    /// The same cluster, but each node has another amount of processor time and memory, by less than a core and a GiB.
    pub fn perturbed(mut self) -> Self {
        let ids: Vec<Uuid> = self.cluster.iter().map(|node| node.id).collect();
        for id in ids {
            let Some(mut state) = self.cluster.get(&id) else { continue };
            perturb(&mut state);
            let fits = self.cluster.upsert(&state);
            debug_assert!(fits.is_ok(), "a node with a little more is a valid one");
        }
        self
    }

    /// The nodes as they are now, in the fixed order.
    pub fn nodes(&self) -> Vec<NodeState> {
        let mut nodes: Vec<NodeState> = self.cluster.iter().collect();
        nodes.sort_unstable_by_key(|node| node.rank);
        nodes
    }

    /// One task comes, is decided on and placed; the oldest goes if the cluster is nearly full.
    pub fn step(&mut self) {
        self.arrive();
        if self.used_pct() >= FULL_PCT
            && let Some(oldest) = self.running.pop_front()
        {
            let released = self.cluster.release(&oldest);
            debug_assert!(released.is_ok(), "what was placed is released");
        }
    }

    /// The oldest task goes and comes again to the same place: nothing is decided.
    pub fn again(&mut self) {
        if let Some(oldest) = self.running.pop_front() {
            let released = self.cluster.release(&oldest);
            let placed = self.cluster.place(&oldest);
            debug_assert!(released.is_ok() && placed.is_ok(), "what was placed fits where it was");
            self.running.push_back(oldest);
        }
    }

    /// How many tasks there are, which come again when all have been.
    pub fn tasks(&self) -> usize {
        self.demands.len()
    }

    /// How many different states the nodes are in.
    pub fn classes(&self) -> usize {
        self.cluster.class_count()
    }

    fn used_pct(&self) -> u64 {
        let totals = self.cluster.totals();
        totals.gpu_used_milli * 100 / totals.gpu_capacity_milli().max(1)
    }

    fn arrive(&mut self) {
        let Some(demand) = self.demands.get(self.next) else {
            return;
        };
        self.next = (self.next + 1) % self.demands.len();
        let Some(placement) = self.scheduler.find(&self.cluster, demand, &[]) else {
            return;
        };
        let placed = self.cluster.place(&placement);
        debug_assert!(placed.is_ok(), "what was decided fits");
        self.running.push_back(placement);
        self.placed += 1;
    }
}
