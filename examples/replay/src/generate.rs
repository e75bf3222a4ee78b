//! A cluster and a workload of the published shape, drawn from a seed: nothing to download, the same everywhere.
//!
//! The figures are those of the openb trace (Alibaba cluster-trace-gpu-v2023; Weng et al., USENIX ATC 2023), rounded;
//! no row of it is copied. All arithmetic is on integers, so a seed gives the same rows on every machine.
//!
//! - **Nodes**: 1,523 with 6,212 GPUs: G2 549 × 8; T4 387 × 2 and 17 × 4; P100 131 × 2 and 3 × 1; V100M16 8 × 8,
//!   28 × 4 and 19 × 1; G3 39 × 8; V100M32 21 × 8 and 9 × 4; A10 2 × 1; and 310 without GPUs; 125,512 cores. Another
//!   number of nodes keeps these shares.
//! - **Pods**: 16,304, twice as many as published (see [`DEFAULT_PODS`]). The mix is that of the trace `multigpu40`: 12.4 % ask for no GPU, 35.2 % for a share of one,
//!   44.7 % for one, 1.8 % for two, 1.8 % for four, 4.1 % for eight. Shares: 810 milli 35 %, 470 24 %, 320 11 %, 650
//!   8 %, 230 5 %, 460 4 %, and six rarer ones. Cores and memory come from two to nine typical sizes for each kind.
//!   One GPU pod in twenty names its models, T4 in half of the cases as in `gpuspec10`. Quality of service: LS 57 %,
//!   BE 42 %, Burstable 1 %.
//! - **Arrivals** over 149 days: 60 % in the first 37 days, while the cluster fills, the rest evenly after that; half
//!   as many on two days of seven; two thirds of a day's pods between 8 and 20 o'clock.
//! - **Lifetimes** follow the quantiles of the trace `default`, linear between them: 10 % 80 s, 25 % 167 s, median
//!   540 s, 75 % 1,974 s, 90 % 6,574 s, 95 % 16,425 s, 98 % 40,752 s, 99 % 99,719 s, 99.5 % 742,962 s, longest
//!   7,470,000 s; their mean is 25,839 s. At that length 8,152 pods in 149 days would hold about 18 of the 6,212 GPUs
//!   (the trace is a sample, its own pods never hold more than 66 at once), so all lifetimes are stretched by one
//!   factor: the smallest at which what runs at once, were nothing refused, reaches [`PEAK_PCT`] % of the GPUs. A pod
//!   that outlives the 149 days is never deleted.

use std::collections::BTreeSet;

use apportion::amount::{CpuMilli, GpuMilli, MemoryMib};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};

use crate::trace::{NodeRow, PodRow};

mod figures;
#[cfg(test)]
mod tests;

pub(crate) use figures::Weighted;
use figures::{CPU_ONLY, Kind, LIFETIMES, MODELS, QOS, SHAPES, SHARES};

/// The nodes of the published cluster.
pub const PUBLISHED_NODES: usize = 1_523;
/// The pods of the published workload.
pub const PUBLISHED_PODS: usize = 8_152;
/// The pods of a workload for which no number is given: twice the published ones, so that after the cluster has filled
/// up most pods also end within the 149 days, and what they held is given out again.
pub const DEFAULT_PODS: usize = 2 * PUBLISHED_PODS;
/// The length of the workload: 149 days.
pub const SPAN_S: u64 = 149 * DAY_S;
/// What the pods would hold at the busiest moment, were nothing refused, in per cent of the cluster's GPUs.
pub const PEAK_PCT: u64 = 108;

const DAY_S: u64 = 86_400;
/// Days in which the first 60 % of the pods arrive.
const FILL_DAYS: u64 = 37;
/// Beyond this no pod ends within the span; a workload too small for its cluster gets it.
const LONGEST_STRETCH: u64 = 1 << 24;

/// How much to generate, and from which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// How many nodes.
    pub nodes: usize,
    /// How many pods.
    pub pods: usize,
    /// Another seed is another workload.
    pub seed: u64,
}

/// A generated cluster and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The nodes, by model and size.
    pub nodes: Vec<NodeRow>,
    /// The pods, by creation time.
    pub pods: Vec<PodRow>,
    /// The factor by which the published lifetimes were stretched.
    pub stretch: u64,
}

/// Generates a cluster and a workload; see the module's documentation for what is drawn.
pub fn generate(size: &Size) -> Workload {
    let nodes = cluster(size.nodes);
    let mut draw = Draw::new(size.seed);
    let mut drafts: Vec<Draft> = (0..size.pods).map(|_| Draft::draw(&mut draw, &nodes)).collect();
    drafts.sort_by_key(|draft| draft.created_s);
    let gpus: u64 = nodes.iter().map(|node| u64::from(node.gpus)).sum();
    let stretch = stretch(&drafts, gpus * 1000 * PEAK_PCT / 100);
    let pods = drafts.into_iter().enumerate().map(|(at, draft)| draft.row(at, stretch)).collect();
    Workload { nodes, pods, stretch }
}

/// The published shapes in their published shares, rounded so that there are exactly `count` nodes.
fn cluster(count: usize) -> Vec<NodeRow> {
    let mut nodes = Vec::with_capacity(count);
    let mut before = 0;
    for shape in SHAPES {
        // The running total is rounded, not each share: so nothing is lost or made up.
        before += shape.count;
        let until = (before * count + PUBLISHED_NODES / 2) / PUBLISHED_NODES;
        while nodes.len() < until {
            nodes.push(NodeRow {
                name: format!("node-{:04}", nodes.len()),
                cpu_milli: CpuMilli::from_u32(shape.cores * 1000),
                memory_mib: MemoryMib::from_u32(shape.memory_gib * 1024),
                gpus: shape.gpus,
                model: (shape.gpus > 0).then(|| shape.model.to_owned()),
            });
        }
    }
    nodes
}

/// A pod before the lifetimes are stretched.
struct Draft {
    created_s: u64,
    lifetime_s: u64,
    cpu_milli: u32,
    memory_mib: u32,
    num_gpu: u32,
    gpu_milli: u32,
    gpu_spec: Vec<String>,
    qos: &'static str,
}

impl Draft {
    fn draw(draw: &mut Draw, nodes: &[NodeRow]) -> Self {
        let kind = draw.weighted(figures::KINDS).unwrap_or(&CPU_ONLY);
        let (cpu_milli, memory_mib) = draw.weighted(kind.sizes).copied().unwrap_or_default();
        let gpu_milli = match kind {
            Kind { num_gpu: 0, .. } => 0,
            Kind { shared: true, .. } => draw.weighted(SHARES).copied().unwrap_or(1000),
            Kind { .. } => 1000,
        };
        Self {
            created_s: draw.arrival_s(),
            lifetime_s: draw.lifetime_s(),
            cpu_milli,
            memory_mib,
            num_gpu: kind.num_gpu,
            gpu_milli,
            gpu_spec: draw.models(kind.num_gpu, nodes),
            qos: draw.weighted(QOS).copied().unwrap_or("LS"),
        }
    }

    fn deleted_s(&self, stretch: u64) -> Option<u64> {
        Some(self.created_s + self.lifetime_s * stretch).filter(|at| *at < SPAN_S)
    }

    fn total_gpu_milli(&self) -> u64 {
        u64::from(self.gpu_milli) * u64::from(self.num_gpu)
    }

    fn row(self, at: usize, stretch: u64) -> PodRow {
        PodRow {
            name: format!("pod-{at:05}"),
            creation_time: i64::try_from(self.created_s).ok(),
            deletion_time: self.deleted_s(stretch).and_then(|at| i64::try_from(at).ok()),
            cpu_milli: CpuMilli::from_u32(self.cpu_milli),
            memory_mib: MemoryMib::from_u32(self.memory_mib),
            num_gpu: self.num_gpu,
            gpu_milli: GpuMilli::from_u32(self.gpu_milli),
            gpu_spec: self.gpu_spec,
            qos: Some(self.qos.to_owned()),
            pod_phase: None,
            scheduled_time: None,
        }
    }
}

/// The smallest stretch at which the pods at once hold `target_milli`: longer lives only ever hold more.
fn stretch(drafts: &[Draft], target_milli: u64) -> u64 {
    let (mut low, mut high) = (1, LONGEST_STRETCH);
    while low < high {
        let middle = u64::midpoint(low, high);
        if peak_milli(drafts, middle) >= target_milli {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn peak_milli(drafts: &[Draft], stretch: u64) -> u64 {
    let mut ends: Vec<(u64, u64)> = drafts
        .iter()
        .filter_map(|draft| draft.deleted_s(stretch).map(|at| (at, draft.total_gpu_milli())))
        .collect();
    ends.sort_unstable();
    let mut ends = ends.into_iter().peekable();
    let (mut held, mut peak) = (0, 0);
    for draft in drafts {
        while let Some((_, gone)) = ends.next_if(|(at, _)| *at <= draft.created_s) {
            held -= gone;
        }
        held += draft.total_gpu_milli();
        peak = peak.max(held);
    }
    peak
}

/// The generator's dice.
pub(crate) struct Draw(Pcg64);

impl Draw {
    /// Dice that fall the same for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Pcg64::seed_from_u64(seed))
    }

    /// A number below `end`. The bias of the remainder is below 2^-32 for every `end` used here.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64().checked_rem(end).unwrap_or_default()
    }

    pub(crate) fn weighted<T>(&mut self, choices: &'static [Weighted<T>]) -> Option<&'static T> {
        let mut left = self.below(choices.iter().map(|(weight, _)| weight).sum());
        choices.iter().find_map(|(weight, choice)| {
            let hit = left < *weight;
            left = left.saturating_sub(*weight);
            hit.then_some(choice)
        })
    }

    fn arrival_s(&mut self) -> u64 {
        let filling = self.below(100) < 60;
        let day = loop {
            let day = if filling {
                self.below(FILL_DAYS)
            } else {
                FILL_DAYS + self.below(SPAN_S / DAY_S - FILL_DAYS)
            };
            // Half of what falls on a weekend is drawn again.
            if day % 7 < 5 || self.below(2) == 0 {
                break day;
            }
        };
        let hour = if self.below(3) < 2 { 8 + self.below(12) } else { (20 + self.below(12)) % 24 };
        day * DAY_S + hour * 3600 + self.below(3600)
    }

    fn lifetime_s(&mut self) -> u64 {
        self.quantile(1, LIFETIMES)
    }

    /// A number of a distribution that begins at `least` and is given by millionths up to which it is below a number,
    /// linear between them.
    pub(crate) fn quantile(&mut self, least: u64, until: &[(u64, u64)]) -> u64 {
        let per_million = self.below(1_000_000);
        let mut from = (0, least);
        for &(millionths, number) in until {
            let (start, begun) = from;
            if per_million < millionths {
                return begun + (number - begun) * (per_million - start) / (millionths - start);
            }
            from = (millionths, number);
        }
        from.1
    }

    /// The models that a pod names: only those that have a node with enough GPUs, so that it can run somewhere.
    fn models(&mut self, num_gpu: u32, nodes: &[NodeRow]) -> Vec<String> {
        if num_gpu == 0 || self.below(20) > 0 {
            return Vec::new();
        }
        let wanted = self.weighted(MODELS).copied().unwrap_or_default();
        let able: BTreeSet<&str> = nodes
            .iter()
            .filter(|node| node.gpus >= num_gpu)
            .filter_map(|node| node.model.as_deref())
            .collect();
        wanted.iter().filter(|model| able.contains(**model)).map(|model| (*model).to_owned()).collect()
    }
}
