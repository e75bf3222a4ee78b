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

/// A cluster, a scheduler, and tasks that come and go.
#[derive(Debug)]
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
    /// A cluster of so many nodes with GPUs, filled until it is nearly full.
    pub fn new(policy: Policy, nodes: usize) -> Self {
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
        steady.scheduler = Scheduler::new(policy, SEED).with_mix(steady.scheduler.mix().clone());
        steady
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
        let Ok(placement) = self.scheduler.decide(&self.cluster, demand, &[]) else {
            return;
        };
        let placed = self.cluster.place(&placement);
        debug_assert!(placed.is_ok(), "what was decided fits");
        self.running.push_back(placement);
        self.placed += 1;
    }
}
