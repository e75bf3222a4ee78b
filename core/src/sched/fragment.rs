//! How much of what is free no typical task could use: [`fragmentation`].
//!
//! Source of the definitions: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with
//! Fragmentation Gradient Descent", USENIX ATC 2023, section 3.
//!
//! A *fragment* of node n for a task t is the free GPU that t cannot use: all of it if t needs no GPU or cannot run on
//! n; else the free parts of those GPUs that have less free than t asks of each. The fragment of n for a workload M is
//! `F_n(M) = Σ_t p_t · frag_t(n)`, where `p_t` is how often t comes, and that of a cluster `F = Σ_n F_n(M)`.
//! Processor time decides whether t can run, memory and disk do not.
//!
//! With G the free GPU of n, it is the same as `F_n(M) = G − Σ_t p_t · served_t(n)`, where `served_t(n)` is the free
//! GPU that t can use. Weights are counts and amounts are integers, so everything here is exact.

use std::ops::{AddAssign, SubAssign};

use uuid::Uuid;

use super::class::ClassState;
use super::cluster::Cluster;
use super::demand::GpuDemand;
use super::mix::TaskMix;

/// Free GPU, and the part of it that is fragments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fragmentation {
    /// Fragments in GPU milli, times the total weight of the mix.
    weighted: i128,
    /// The total weight of the mix.
    weight: u64,
    /// Free GPU milli.
    idle_milli: i64,
}

impl Fragmentation {
    /// Free GPU milli.
    pub const fn idle_milli(&self) -> i64 {
        self.idle_milli
    }

    /// The expected free GPU milli that a typical task cannot use, `F`.
    #[expect(clippy::cast_precision_loss, reason = "a figure to be read, not to decide by")]
    pub fn milli(&self) -> f64 {
        if self.weight == 0 { 0.0 } else { self.weighted as f64 / self.weight as f64 }
    }

    /// The part of the free GPU that is fragments, from 0 to 1; 0 if nothing is free.
    #[expect(clippy::cast_precision_loss, reason = "a figure to be read, not to decide by")]
    pub fn ratio(&self) -> f64 {
        if self.idle_milli == 0 { 0.0 } else { self.milli() / self.idle_milli as f64 }
    }
}

impl AddAssign for Fragmentation {
    fn add_assign(&mut self, other: Self) {
        self.weighted += other.weighted;
        self.weight = self.weight.max(other.weight);
        self.idle_milli += other.idle_milli;
    }
}

impl SubAssign for Fragmentation {
    fn sub_assign(&mut self, other: Self) {
        self.weighted -= other.weighted;
        self.weight = self.weight.max(other.weight);
        self.idle_milli -= other.idle_milli;
    }
}

/// The fragmentation of a whole cluster.
pub fn fragmentation(cluster: &Cluster, mix: &TaskMix) -> Fragmentation {
    FragmentMeter::new(mix.clone()).cluster(cluster)
}

/// Measures fragments under one mix, again and again.
///
/// The figure of a cluster is the sum over its nodes: who changes one node at a time subtracts the node before and adds
/// the node after, instead of measuring all nodes.
#[derive(Debug, Clone)]
pub struct FragmentMeter {
    mix: TaskMix,
    /// The mix made ready for each GPU model met so far; there are few.
    tables: Vec<(Option<String>, Table)>,
    levels: Vec<Level>,
}

impl FragmentMeter {
    /// A meter for one mix.
    pub fn new(mix: TaskMix) -> Self {
        Self { mix, tables: Vec::new(), levels: Vec::new() }
    }

    /// The fragmentation of a whole cluster.
    pub fn cluster(&mut self, cluster: &Cluster) -> Fragmentation {
        let mut sum = Fragmentation { weight: self.mix.total_weight(), ..Fragmentation::default() };
        for (_, class) in cluster.classes() {
            if !cluster.grain.is_exact() {
                let nodes = class.members.iter().filter_map(|node| cluster.node(node));
                nodes.for_each(|node| sum += self.state(cluster, &class.state, node.free.cpu));
                continue;
            }
            let one = self.state(cluster, &class.state, class.state.free.cpu);
            let nodes = class.members.len();
            sum.weighted += one.weighted * i128::from(nodes);
            sum.idle_milli += one.idle_milli * i64::from(nodes);
        }
        sum
    }

    /// The fragmentation of one node of a cluster, if it is there.
    pub fn node(&mut self, cluster: &Cluster, id: &Uuid) -> Option<Fragmentation> {
        let index = cluster.index_of(id)?;
        let state = cluster.class_of(index)?.state;
        Some(self.state(cluster, &state, cluster.node(index)?.free.cpu))
    }

    fn state(&mut self, cluster: &Cluster, state: &ClassState, cpu_free: i64) -> Fragmentation {
        let model = cluster.model(state);
        if !self.tables.iter().any(|(known, _)| known.as_deref() == model) {
            self.tables.push((model.map(ToOwned::to_owned), Table::new(&self.mix, model)));
        }
        let idle_milli = state.gpu_idle();
        let mut served = 0;
        let mut total = 0;
        if let Some((_, table)) = self.tables.iter().find(|(known, _)| known.as_deref() == model) {
            table.levels_of(state.gpus(), &mut self.levels);
            served = table.served(table.row(cpu_free), &self.levels);
            total = table.total;
        }
        Fragmentation {
            weighted: i128::from(idle_milli) * i128::from(total) - i128::from(served),
            weight: self.mix.total_weight(),
            idle_milli,
        }
    }
}

/// A mix made ready for nodes of one GPU model.
///
/// Tasks are grouped by what they ask of GPUs; per group and amount of free processor time the weights of those tasks
/// that find enough of it are summed beforehand.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// The total weight of the mix, also of tasks that cannot run on this model.
    pub(super) total: i64,
    /// Distinct amounts of processor time asked for, ascending.
    cpu: Vec<i64>,
    /// Distinct amounts asked of each GPU, ascending.
    each: Vec<u16>,
    groups: Vec<Group>,
    /// One row of weights, a column a group, for each number of amounts in `cpu` that are met.
    weights: Vec<i64>,
}

/// Tasks that ask for as many GPUs and as much of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    level: usize,
    count: u16,
}

/// The GPUs of a node that have at least some amount free: how many, and how much is free on them together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Level {
    count: u16,
    milli: u16,
}

impl Table {
    pub(super) fn new(mix: &TaskMix, model: Option<&str>) -> Self {
        let runs = |models: &[String]| {
            models.is_empty() || model.is_some_and(|model| models.iter().any(|admitted| admitted == model))
        };
        let mut tasks: Vec<(i64, u16, u16, i64)> = Vec::new();
        for task in mix.tasks().iter().filter(|task| task.gpu != GpuDemand::None && runs(&task.models)) {
            let (count, each) = task.gpu.need();
            let each = u16::try_from(each.get()).unwrap_or(u16::MAX);
            let count = u16::try_from(count).unwrap_or(u16::MAX);
            tasks.push((task.cpu.get(), each, count, i64::try_from(task.weight).unwrap_or(i64::MAX)));
        }
        let cpu = distinct(tasks.iter().map(|task| task.0));
        let each = distinct(tasks.iter().map(|task| task.1));
        let group = |task: &(i64, u16, u16, i64)| Group {
            level: each.partition_point(|each| *each < task.1),
            count: task.2,
        };
        let groups = distinct(tasks.iter().map(group));
        let mut weights = Vec::with_capacity((cpu.len() + 1) * groups.len());
        for met in 0..=cpu.len() {
            let limit = met.checked_sub(1).and_then(|last| cpu.get(last).copied());
            for column in &groups {
                let met = tasks.iter().filter(|task| group(task) == *column && Some(task.0) <= limit);
                weights.push(met.map(|task| task.3).sum());
            }
        }
        let total = i64::try_from(mix.total_weight()).unwrap_or(i64::MAX);
        Self { total, cpu, each, groups, weights }
    }

    /// The most levels that a table of this mix can have: distinct amounts asked of each GPU.
    pub(super) fn most_levels(mix: &TaskMix) -> usize {
        distinct(mix.tasks().iter().map(|task| task.gpu.need().1)).len()
    }

    /// The weights of the groups on a node with so much processor time free.
    pub(super) fn row(&self, cpu_free: i64) -> &[i64] {
        let met = self.cpu.partition_point(|asked| *asked <= cpu_free);
        let width = self.groups.len();
        self.weights.get(met * width..(met + 1) * width).unwrap_or(&[])
    }

    /// Sums a node's GPUs, given in ascending order of what is free, for each distinct amount that tasks ask for.
    pub(super) fn levels_of(&self, gpus: &[u16], levels: &mut Vec<Level>) {
        levels.clear();
        let mut rest =
            Level { count: u16::try_from(gpus.len()).unwrap_or(u16::MAX), milli: gpus.iter().sum() };
        let mut gpus = gpus.iter().peekable();
        for each in &self.each {
            while let Some(small) = gpus.next_if(|free| *free < each) {
                rest.count -= 1;
                rest.milli -= small;
            }
            levels.push(rest);
        }
    }

    /// `Σ_t p_t · served_t`, times the total weight.
    pub(super) fn served(&self, row: &[i64], levels: &[Level]) -> i64 {
        self.sum(row, levels, |_, level| level)
    }

    /// The same after one GPU goes from `from` to `to` milli free.
    pub(super) fn served_after_share(&self, row: &[i64], levels: &[Level], from: u16, to: u16) -> i64 {
        self.sum(row, levels, |each, level| {
            let (had, has) = (each <= from, each <= to);
            Level {
                count: level.count - u16::from(had) + u16::from(has),
                milli: level.milli - if had { from } else { 0 } + if has { to } else { 0 },
            }
        })
    }

    /// The same after so many GPUs that were entirely free are taken.
    pub(super) fn served_after_whole(&self, row: &[i64], levels: &[Level], count: u16) -> i64 {
        self.sum(row, levels, |_, level| Level {
            count: level.count - count,
            milli: level.milli - 1000 * count,
        })
    }

    #[inline]
    fn sum(&self, row: &[i64], levels: &[Level], change: impl Fn(u16, Level) -> Level) -> i64 {
        let mut sum = 0;
        for (group, weight) in self.groups.iter().zip(row) {
            let (Some(level), Some(each)) = (levels.get(group.level), self.each.get(group.level)) else {
                continue;
            };
            let level = change(*each, *level);
            if level.count >= group.count {
                sum += weight * i64::from(level.milli);
            }
        }
        sum
    }
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}
