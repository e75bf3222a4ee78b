//! Clusters that are fragmented, and what moving tasks about makes of them.

use std::path::Path;
use std::time::{Duration, Instant};

use apportion::sched::{
    Cluster, Defragmentation, Demand, GpuDemand, GpuState, NodeState, Placement, Policy, Scheduler, TaskMix,
    defragment,
};
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use replay::generate::{PUBLISHED_NODES, PUBLISHED_PODS, Size, generate};
use replay::trace::{NodeRow, PodRow, models, read_nodes, read_pods};
use uuid::Uuid;

use crate::stores::Failed;

/// The seed of all that is drawn.
const SEED: u64 = 42;

/// Nodes, and what is asked of them.
#[derive(Debug)]
pub struct Workload {
    nodes: Vec<NodeRow>,
    demands: Vec<Demand>,
}

/// How a cluster came to be fragmented.
#[derive(Debug, Clone, Copy)]
pub struct History {
    /// By which policy it was filled.
    pub policy: Policy,
    /// How much has arrived, in per cent of its GPUs.
    pub arrived_pct: u64,
    /// How many of the tasks have ended, drawn at random, in per cent.
    pub ended_pct: u32,
}

/// A cluster with gaps, and the tasks on it.
#[derive(Debug)]
pub struct Fragmented {
    /// The cluster.
    pub cluster: Cluster,
    /// The tasks; all of them may be moved.
    pub running: Vec<Placement>,
}

impl Workload {
    /// A cluster and tasks in the published proportions; `parts` is how many times smaller they are than those.
    pub fn generated(parts: usize) -> Self {
        let size = Size { nodes: PUBLISHED_NODES / parts, pods: 2 * PUBLISHED_PODS / parts, seed: SEED };
        let made = generate(&size);
        Self::new(made.nodes, &made.pods)
    }

    /// What two files in the columns of the published trace say.
    pub fn read(nodes: &Path, pods: &Path) -> Result<Self, Failed> {
        let nodes = read_nodes(nodes)?;
        let pods = read_pods(pods, &models(&nodes))?;
        Ok(Self::new(nodes, &pods))
    }

    fn new(mut nodes: Vec<NodeRow>, pods: &[PodRow]) -> Self {
        nodes.retain(|node| node.gpus > 0);
        Self { nodes, demands: pods.iter().filter_map(PodRow::demand).collect() }
    }

    /// How many nodes have GPUs, and how many GPUs they have.
    pub fn size(&self) -> (usize, u32) {
        (self.nodes.len(), self.nodes.iter().map(|node| node.gpus).sum())
    }

    /// The cluster after this has happened to it: tasks come in an order that is drawn, and again where there are too few.
    pub fn after(&self, history: History) -> Fragmented {
        let mut rng = Pcg64::seed_from_u64(SEED);
        let mut nodes: Vec<&NodeRow> = self.nodes.iter().collect();
        nodes.shuffle(&mut rng);
        let mut cluster = Cluster::new();
        for (rank, node) in (0_u64..).zip(nodes) {
            let taken = cluster.upsert(&NodeState {
                model: node.model.clone(),
                cpu_free: node.cpu_milli.get(),
                memory_free: node.memory_mib.get(),
                gpus: (0..node.gpus).map(|_| GpuState::IDLE).collect(),
                ..NodeState::empty(Uuid::from_u128(u128::from(rank) + 1), rank)
            });
            debug_assert_eq!(taken, Ok(()), "a node of a trace is a valid one");
        }
        let mut fragmented = Fragmented { cluster, running: Vec::new() };
        let mut demands: Vec<&Demand> = self.demands.iter().collect();
        demands.shuffle(&mut rng);
        let mut scheduler =
            Scheduler::new(history.policy, SEED).with_mix(TaskMix::from_demands(&self.demands));
        let enough = fragmented.cluster.totals().gpu_capacity_milli() * history.arrived_pct / 100;
        let mut asked = 0;
        for demand in demands.iter().cycle().take(demands.len() * 4) {
            if asked >= enough {
                break;
            }
            asked += demand.gpu_milli_total().unsigned_abs();
            fragmented.arrive(&mut scheduler, demand);
        }
        fragmented.end(|| rng.random_range(0..100) < history.ended_pct);
        fragmented
    }
}

impl Fragmented {
    fn arrive(&mut self, scheduler: &mut Scheduler, demand: &Demand) {
        if let Some(placement) = scheduler.find(&self.cluster, demand, &[]) {
            let placed = self.cluster.place(&placement);
            debug_assert_eq!(placed, Ok(()), "what was decided fits");
            self.running.push(placement);
        }
    }

    fn end(&mut self, mut ends: impl FnMut() -> bool) {
        let cluster = &mut self.cluster;
        self.running.retain(|placement| {
            let goes = ends();
            let released = if goes { cluster.release(placement) } else { Ok(()) };
            debug_assert_eq!(released, Ok(()), "what was placed is released");
            !goes
        });
    }

    /// How many of the tasks have a share of a GPU.
    pub fn shares(&self) -> usize {
        self.running.iter().filter(|task| matches!(task.demand.gpu(), GpuDemand::Share(_))).count()
    }

    /// How many GPUs are used by nobody.
    pub fn idle(&self) -> usize {
        idle(&self.cluster)
    }

    /// A plan, and how long it took to make it. It is carried out on a copy of the cluster, and what it frees is counted.
    #[expect(clippy::disallowed_methods, reason = "the time that it takes is what is asked")]
    pub fn plan(&self, budget: usize) -> Result<(Defragmentation<usize>, Duration), Failed> {
        let began = Instant::now();
        let plan = defragment(&self.cluster, self.running.iter().enumerate(), budget)?;
        let took = began.elapsed();
        let mut after = self.cluster.clone();
        for step in &plan.moves {
            step.apply(&mut after)?;
        }
        if idle(&after) != self.idle() + plan.freed || plan.moves.len() > budget {
            return Err("the plan does not do what it says".into());
        }
        Ok((plan, took))
    }
}

fn idle(cluster: &Cluster) -> usize {
    cluster.iter().map(|node| node.gpus.iter().filter(|gpu| **gpu == GpuState::IDLE).count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_frees_three_fifths_of_what_the_bound_says_on_clusters_that_are_fragmented() {
        let workload = Workload::generated(12);
        for (policy, arrived_pct, ended_pct) in [
            (Policy::Random, 70, 0),
            (Policy::Random, 90, 0),
            (Policy::BestFit, 100, 50),
            (Policy::Fgd, 120, 20),
            (Policy::DotProduct, 90, 0),
        ] {
            let fragmented = workload.after(History { policy, arrived_pct, ended_pct });
            for budget in [5, 20, 80] {
                let (plan, _) = fragmented.plan(budget).unwrap();
                assert!(plan.freeable >= 5, "there is something to free");
                assert!(
                    plan.freed * 10 >= plan.freeable * 6,
                    "{policy} at {arrived_pct} %: {} of {} by {budget}",
                    plan.freed,
                    plan.freeable
                );
            }
        }
    }
}
