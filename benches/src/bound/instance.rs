//! What is bounded: the [`Instance`], which is the nodes by [`Shape`] and the tasks by [`Kind`], and its [`Arrivals`].

use std::collections::BTreeMap;

use apportion::sched::Demand;
use replay::inflate::{column, setting};
use replay::trace::{NodeRow, PodRow};

/// What each of some equal nodes has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    pub(super) model: Option<String>,
    pub(super) cpu_milli: i64,
    pub(super) memory_mib: i64,
    pub(super) gpus: i64,
}

/// What each of some equal tasks asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) cpu_milli: i64,
    pub(super) memory_mib: i64,
    pub(super) gpus: i64,
    /// The milli of each GPU.
    pub(super) gpu_milli: i64,
    /// The shapes whose nodes can run it when they are empty, ascending; at least one.
    pub(super) homes: Vec<usize>,
}

impl Kind {
    /// What one task adds to the allocation.
    pub(super) fn value_milli(&self) -> i64 {
        self.gpus * self.gpu_milli
    }

    /// Whether one task takes a part of a GPU and leaves the rest to others.
    pub(super) fn shares(&self) -> bool {
        self.gpus == 1 && self.gpu_milli < 1000
    }

    /// Whether wherever a task of this kind fits, one of the other kind fits too, whatever else runs there.
    pub(super) fn asks_no_less_than(&self, other: &Self) -> bool {
        self.cpu_milli >= other.cpu_milli
            && self.memory_mib >= other.memory_mib
            && self.gpus >= other.gpus
            && self.gpu_milli >= other.gpu_milli
            && self.homes.iter().all(|home| other.homes.binary_search(home).is_ok())
    }
}

/// A cluster and the tasks that a workload can ask of it.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    /// Each shape, and how many nodes have it.
    pub(super) shapes: Vec<(Shape, i64)>,
    pub(super) kinds: Vec<Kind>,
    /// The kinds by their demands; none where a task runs nowhere, or asks for nothing.
    by_demand: BTreeMap<Demand, Option<usize>>,
}

impl Instance {
    /// Nodes without GPUs take no part, as in the experiment.
    pub(super) fn new(nodes: &[NodeRow], demands: impl IntoIterator<Item = Demand>) -> Self {
        let mut counts: BTreeMap<Shape, i64> = BTreeMap::new();
        for node in nodes.iter().filter(|node| node.gpus > 0) {
            *counts.entry(Shape::of(node)).or_default() += 1;
        }
        let shapes: Vec<(Shape, i64)> = counts.into_iter().collect();
        let mut instance = Self { shapes, kinds: Vec::new(), by_demand: BTreeMap::new() };
        let mut positions = BTreeMap::new();
        for demand in demands {
            if instance.by_demand.contains_key(&demand) {
                continue;
            }
            let position = instance.kind(&demand).map(|kind| {
                *positions.entry(kind.clone()).or_insert_with(|| {
                    instance.kinds.push(kind);
                    instance.kinds.len() - 1
                })
            });
            instance.by_demand.insert(demand, position);
        }
        instance
    }

    /// The GPU milli of all nodes.
    pub(super) fn capacity_milli(&self) -> i64 {
        self.shapes.iter().map(|(shape, nodes)| shape.gpus * 1000 * nodes).sum()
    }

    pub(super) fn kind_of(&self, demand: &Demand) -> Option<usize> {
        self.by_demand.get(demand).copied().flatten()
    }

    /// None where a task runs nowhere, and where it asks for nothing: that always fits, and allocates nothing.
    fn kind(&self, demand: &Demand) -> Option<Kind> {
        let (gpus, gpu_milli) = demand.gpu().need();
        let mut kind = Kind {
            cpu_milli: demand.cpu().get(),
            memory_mib: demand.memory().get(),
            gpus: i64::from(gpus),
            gpu_milli: gpu_milli.get(),
            homes: Vec::new(),
        };
        let admits = |shape: &Shape| {
            kind.cpu_milli <= shape.cpu_milli
                && kind.memory_mib <= shape.memory_mib
                && kind.gpus <= shape.gpus
                && demand.admits_model(shape.model.as_deref())
        };
        let homes =
            (0..).zip(&self.shapes).filter(|(_, (shape, _))| admits(shape)).map(|(at, _)| at).collect();
        kind.homes = homes;
        let asks = kind.cpu_milli > 0 || kind.memory_mib > 0 || kind.gpus > 0;
        (asks && !kind.homes.is_empty()).then_some(kind)
    }
}

impl Shape {
    fn of(node: &NodeRow) -> Self {
        Self {
            model: node.model.clone(),
            cpu_milli: node.cpu_milli.get(),
            memory_mib: node.memory_mib.get(),
            gpus: i64::from(node.gpus),
        }
    }
}

/// The kinds of tasks in the order in which they come.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrivals {
    /// None is a task that adds nothing, wherever it ends.
    pub(super) kinds: Vec<Option<usize>>,
    /// After each arrival, the percentage of the capacity that has been offered, rounded.
    pub(super) columns: Vec<usize>,
}

impl Arrivals {
    /// The arrivals of the published experiment.
    pub(super) fn draw(instance: &Instance, nodes: &[NodeRow], pods: &[PodRow], seed: u64) -> Self {
        let setting = setting(nodes, pods, seed);
        let mut drawn = Self::default();
        let mut offered = 0;
        for pod in &setting.arrivals {
            offered += pod.total_gpu_milli();
            drawn.kinds.push(pod.demand().and_then(|demand| instance.kind_of(&demand)));
            drawn.columns.push(column(offered, setting.capacity_milli));
        }
        drawn
    }

    /// How many tasks have come at each moment that counts for a column; where there is none, for the last before it.
    pub(super) fn moments(&self, wanted: usize) -> std::ops::RangeInclusive<usize> {
        let until = self.columns.partition_point(|column| *column <= wanted);
        let last = self.columns.get(until.saturating_sub(1)).copied().unwrap_or(0);
        let from = self.columns.partition_point(|column| *column < last);
        // After the arrival at a position, one more than the position have come.
        from + 1..=until
    }

    /// How many of each kind have come, as a mean over the moments that count for a column.
    pub(super) fn supply(&self, wanted: usize, kinds: usize) -> Vec<f64> {
        let moments = self.moments(wanted);
        let many = moments.clone().count().max(1);
        let mut supply = vec![0; kinds];
        for (at, kind) in self.kinds.iter().enumerate().take(*moments.end()) {
            // A task counts at each moment after it.
            let counts = moments.end() + 1 - (*moments.start()).max(at + 1);
            if let Some(sum) = kind.and_then(|kind| supply.get_mut(kind)) {
                *sum += counts;
            }
        }
        supply.into_iter().map(|sum| super::real_of(sum) / super::real_of(many)).collect()
    }
}
