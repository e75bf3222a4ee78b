//! The published experiment: a cluster is offered more and more work until it is full.
//!
//! Source: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
//! Descent", USENIX ATC 2023, section 6. Pods arrive one by one, in random order, and never leave; a pod that fits
//! nowhere is dropped. The trace is first stretched or thinned so that it asks for 130 % of the GPUs there are. What
//! is measured is how much of the GPUs is in use, and how much of the rest is fragments, at so much demand offered.

use std::time::{Duration, Instant};

use apportion::sched::{
    Cluster, Demand, FragmentMeter, Fragmentation, GpuState, MixLearner, NodeState, Placement, Policy,
    Scheduler, TaskMix,
};
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde::Serialize;
use uuid::Uuid;

use crate::trace::{NodeRow, PodRow};

#[cfg(test)]
mod tests;

/// How much GPU is asked for in the end, in percent of what there is.
const OFFERED_PERCENT: i64 = 130;

/// Where a policy knows from what is typical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Typical {
    /// It is given the mix of the whole workload, as in the published runs.
    Given,
    /// It begins without any and learns it from the pods that have come.
    Learned,
}

/// What one run of the experiment measured.
///
/// A figure at N % is the mean over the arrivals after which the GPU demand offered so far rounds to N % of all GPUs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The name of the workload.
    pub trace: String,
    /// The policy.
    pub policy: Policy,
    /// Where it knows from what is typical.
    pub mix: Typical,
    /// The seed of everything random: the order of nodes and of pods, the stretching, the random policy.
    pub seed: u64,
    /// GPU in use at 100 % offered, in percent of all GPU.
    pub alloc_pct_100: f64,
    /// GPU in use at the end, in percent of all GPU.
    pub alloc_pct_130: f64,
    /// Fragments at 50 % offered, in percent of the free GPU.
    pub frag_ratio_pct_50: f64,
    /// Fragments at 80 % offered, in percent of the free GPU.
    pub frag_ratio_pct_80: f64,
    /// Pods that fitted nowhere when they came.
    pub unplaced: u64,
    /// Decisions, each with its placement and with what was learned for it, per second of the time that they took.
    pub decisions_per_s: f64,
}

/// What a seed makes of a cluster and a workload: all that is random, but not what a policy does with it.
#[derive(Debug)]
pub struct Setting<'a> {
    /// The nodes with GPUs, all free; their ranks are the order that breaks ties.
    pub cluster: Cluster,
    /// The GPU milli of all nodes.
    pub capacity_milli: i64,
    /// The pods in the order in which they come.
    pub arrivals: Vec<&'a PodRow>,
    /// The seed of a policy that draws.
    pub policy_seed: u64,
}

/// Draws the order of the nodes, then the arrivals, then the seed of the policy.
pub fn setting<'a>(nodes: &[NodeRow], pods: &'a [PodRow], seed: u64) -> Setting<'a> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let cluster = cluster(nodes, &mut rng);
    let capacity_milli = i64::try_from(cluster.totals().gpu_capacity_milli()).unwrap_or(i64::MAX);
    let arrivals = arrivals(pods, capacity_milli, &mut rng);
    Setting { cluster, capacity_milli, arrivals, policy_seed: rng.random() }
}

/// The whole percentage of the capacity to which the demand offered so far rounds; 0 where there is no capacity.
pub fn column(offered_milli: i64, capacity_milli: i64) -> usize {
    let doubled = (offered_milli * 200).checked_div(capacity_milli).unwrap_or(0);
    usize::try_from((doubled + 1) / 2).unwrap_or(0)
}

/// Runs the experiment once.
///
/// Nodes without GPUs take no part. A pod that asks for what no node could be asked for counts as one that fits nowhere.
pub fn run(
    nodes: &[NodeRow],
    trace: &str,
    pods: &[PodRow],
    policy: Policy,
    typical: Typical,
    seed: u64,
) -> Outcome {
    let Setting { cluster, capacity_milli: capacity, arrivals, policy_seed } = setting(nodes, pods, seed);
    let mut cluster = cluster.regrouped(policy);
    let demands: Vec<Demand> = pods.iter().filter_map(PodRow::demand).collect();
    let mix = TaskMix::from_demands(&demands);
    let mut decider = Decider::new(Scheduler::new(policy, policy_seed), typical, &mix);
    let mut watch = Watch::new(&cluster, mix, capacity);
    for pod in arrivals {
        watch.arrive(&mut cluster, &mut decider, pod);
    }
    Outcome {
        trace: trace.to_owned(),
        policy,
        mix: typical,
        seed,
        alloc_pct_100: watch.at(100).allocated,
        alloc_pct_130: watch.at(OFFERED_PERCENT).allocated,
        frag_ratio_pct_50: watch.at(50).fragments,
        frag_ratio_pct_80: watch.at(80).fragments,
        unplaced: watch.unplaced,
        decisions_per_s: watch.decisions_per_s(),
    }
}

/// The nodes with GPUs, all free, in an order of their own for each seed: that order breaks ties.
fn cluster(nodes: &[NodeRow], rng: &mut Pcg64) -> Cluster {
    let mut nodes: Vec<&NodeRow> = nodes.iter().filter(|node| node.gpus > 0).collect();
    nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    nodes.shuffle(rng);
    let mut cluster = Cluster::new();
    for (rank, node) in (0_u64..).zip(nodes) {
        let state = NodeState {
            model: node.model.clone(),
            cpu_free: node.cpu_milli.get(),
            memory_free: node.memory_mib.get(),
            gpus: (0..node.gpus).map(|_| GpuState::IDLE).collect(),
            ..NodeState::empty(Uuid::from_u128(u128::from(rank)), rank)
        };
        // The trace reader admits nothing that is refused here.
        let taken = cluster.upsert(&state);
        debug_assert_eq!(taken, Ok(()));
    }
    cluster
}

/// The pods in the order in which they come: shuffled, then more of them at random, or fewer, until they ask for
/// [`OFFERED_PERCENT`] of all GPU.
///
/// As published, the draw that ends the stretching is judged by what its pod asks of *each* GPU.
fn arrivals<'a>(pods: &'a [PodRow], capacity: i64, rng: &mut Pcg64) -> Vec<&'a PodRow> {
    let target = capacity.saturating_mul(OFFERED_PERCENT) / 100;
    let mut arrivals: Vec<&PodRow> = pods.iter().collect();
    arrivals.sort_by(|a, b| a.name.cmp(&b.name));
    arrivals.shuffle(rng);
    let mut asked: i64 = arrivals.iter().map(|pod| pod.total_gpu_milli()).sum();
    if asked == 0 {
        return arrivals;
    }
    while asked > target {
        let gone = arrivals.swap_remove(rng.random_range(0..arrivals.len()));
        asked -= gone.total_gpu_milli();
    }
    while let Some(pod) = pods.get(rng.random_range(0..pods.len())) {
        if asked + pod.gpu_milli.get() > target {
            break;
        }
        arrivals.push(pod);
        asked += pod.total_gpu_milli();
    }
    arrivals
}

/// A scheduler that is given what is typical, or learns it.
struct Decider {
    scheduler: Scheduler,
    learner: Option<MixLearner>,
}

impl Decider {
    fn new(scheduler: Scheduler, typical: Typical, mix: &TaskMix) -> Self {
        match typical {
            Typical::Given => Self { scheduler: scheduler.with_mix(mix.clone()), learner: None },
            Typical::Learned => Self { scheduler, learner: Some(MixLearner::default()) },
        }
    }

    fn find(&mut self, cluster: &Cluster, demand: &Demand) -> Option<Placement> {
        if let Some(learner) = &mut self.learner
            && learner.observe(demand)
        {
            self.scheduler.set_mix(learner.mix().clone());
        }
        self.scheduler.find(cluster, demand, &[])
    }
}

/// One sample, or the mean of several, in percent.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    allocated: f64,
    fragments: f64,
    count: f64,
}

/// Follows one run.
struct Watch {
    meter: FragmentMeter,
    fragments: Fragmentation,
    capacity: i64,
    offered: i64,
    allocated: i64,
    unplaced: u64,
    decisions: u32,
    spent: Duration,
    /// Sums of samples by the whole percentage offered.
    columns: Vec<Sample>,
}

impl Watch {
    fn new(cluster: &Cluster, mix: TaskMix, capacity: i64) -> Self {
        let mut meter = FragmentMeter::new(mix);
        let fragments = meter.cluster(cluster);
        Self {
            meter,
            fragments,
            capacity,
            offered: 0,
            allocated: 0,
            unplaced: 0,
            decisions: 0,
            spent: Duration::ZERO,
            columns: Vec::new(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "wall time is what is measured here")]
    fn arrive(&mut self, cluster: &mut Cluster, decider: &mut Decider, pod: &PodRow) {
        self.offered += pod.total_gpu_milli();
        let placed = pod.demand().and_then(|demand| {
            let start = Instant::now();
            let found = decider.find(cluster, &demand);
            self.spent += start.elapsed();
            self.decisions += 1;
            let placement = found?;
            let before = self.meter.node(cluster, &placement.node)?;
            let start = Instant::now();
            cluster.place(&placement).ok()?;
            self.spent += start.elapsed();
            self.fragments -= before;
            self.fragments += self.meter.node(cluster, &placement.node)?;
            Some(demand.gpu_milli_total())
        });
        match placed {
            Some(milli) => self.allocated += milli,
            None => self.unplaced += 1,
        }
        self.sample();
    }

    fn sample(&mut self) {
        if self.capacity == 0 {
            return;
        }
        let column = column(self.offered, self.capacity);
        if self.columns.len() <= column {
            self.columns.resize(column + 1, Sample::default());
        }
        if let Some(sum) = self.columns.get_mut(column) {
            sum.allocated += percent(self.allocated, self.capacity);
            sum.fragments += 100.0 * self.fragments.ratio();
            sum.count += 1.0;
        }
    }

    /// The mean at a percentage offered; in a run too coarse to have hit it, at the last one before.
    fn at(&self, column: i64) -> Sample {
        let upto = usize::try_from(column).unwrap_or(0);
        let sums = self.columns.iter().take(upto + 1).rev().find(|sum| sum.count > 0.0);
        sums.map_or_else(Sample::default, |sum| Sample {
            allocated: sum.allocated / sum.count,
            fragments: sum.fragments / sum.count,
            count: sum.count,
        })
    }

    fn decisions_per_s(&self) -> f64 {
        let seconds = self.spent.as_secs_f64();
        if seconds > 0.0 { f64::from(self.decisions) / seconds } else { 0.0 }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure to be read; amounts of GPU are far below 2^53")]
fn percent(part: i64, whole: i64) -> f64 {
    100.0 * part as f64 / whole as f64
}
