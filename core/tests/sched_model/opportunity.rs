//! The policy of least opportunity cost as a plain scan: each node is judged by itself, in a cluster of its own, and what
//! the models cost is computed from its definition.

use std::collections::{BTreeMap, HashMap};

use apportion::sched::{Cluster, Demand, GpuDemand, NodeState, Policy, Scheduler, TaskMix};
use uuid::Uuid;

/// What makes two nodes the same to a demand: model, amounts, GPUs in slot order.
type Alone = (Option<String>, i64, i64, i64, Vec<i64>, Demand);

/// The policy, with what it has to know besides the nodes.
pub(crate) struct Opportunity {
    counts: Vec<(Demand, u64)>,
    judge: Scheduler,
    /// Of nodes of each model: the most processor time and memory free, and the most GPUs.
    largest: BTreeMap<Option<String>, (i64, i64, usize)>,
    /// What a task costs on a node by itself, and the GPUs that it takes.
    known: HashMap<Alone, (i64, Vec<u32>)>,
}

fn judge(counts: &[(Demand, u64)]) -> Scheduler {
    let mix = TaskMix::from_counts(counts.iter().map(|(demand, count)| (demand, *count)));
    Scheduler::new(Policy::OpportunityCost, 0).with_mix(mix)
}

impl Opportunity {
    pub(crate) fn new(counts: Vec<(Demand, u64)>) -> Self {
        Self { judge: judge(&counts), counts, largest: BTreeMap::new(), known: HashMap::new() }
    }

    pub(crate) fn set_mix(&mut self, counts: Vec<(Demand, u64)>) {
        self.judge = judge(&counts);
        self.counts = counts;
        self.known.clear();
    }

    pub(crate) fn see(&mut self, node: &NodeState) {
        if node.schedulable && !node.gpus.is_empty() {
            let largest = self.largest.entry(node.model.clone()).or_insert((0, 0, 0));
            largest.0 = largest.0.max(node.cpu_free);
            largest.1 = largest.1.max(node.memory_free);
            largest.2 = largest.2.max(node.gpus.len());
        }
    }

    /// The node and its GPUs, among those that fit.
    pub(crate) fn choose(
        &mut self,
        all: &[NodeState],
        fitting: &[&NodeState],
        demand: &Demand,
    ) -> (Uuid, Vec<u32>) {
        let prices = self.prices(all, demand);
        let mut best = None;
        for node in fitting {
            let (alone, gpus) = self.alone(node, demand);
            let price = prices.get(&node.model).copied().unwrap_or(0);
            let found = (alone + price, node.rank, node.id, gpus);
            if best.as_ref().is_none_or(|best| found < *best) {
                best = Some(found);
            }
        }
        let (_, _, node, gpus) = best.unwrap();
        (node, gpus)
    }

    /// What a task costs on a node apart from what its model costs.
    fn alone(&mut self, node: &NodeState, demand: &Demand) -> (i64, Vec<u32>) {
        let gpus = node.gpus.iter().map(|gpu| gpu.usable_milli()).collect();
        let (cpu, memory, storage) = (node.cpu_free, node.memory_free, node.storage_free);
        let key = (node.model.clone(), cpu, memory, storage, gpus, demand.clone());
        let judge = &mut self.judge;
        self.known
            .entry(key)
            .or_insert_with(|| {
                let mut cluster = Cluster::new();
                cluster.upsert(node).unwrap();
                let terms = judge.explain(&cluster, demand, 1).candidates[0].terms.unwrap();
                let placement = judge.decide(&cluster, demand, &[]).unwrap();
                (terms.left_over + terms.stays, placement.gpus)
            })
            .clone()
    }

    /// What the demand pays for each model, in 8ths of a milli: 3 GPUs for a GPU of a model all of whose free part is
    /// needed.
    fn prices(&self, all: &[NodeState], demand: &Demand) -> BTreeMap<Option<String>, i64> {
        let with_gpus = || all.iter().filter(|node| node.schedulable && !node.gpus.is_empty());
        let mut stock: BTreeMap<Option<String>, (i64, i64)> = BTreeMap::new();
        for node in with_gpus() {
            let held = stock.entry(node.model.clone()).or_insert((0, 0));
            held.0 += 1000 * node.gpus.len() as i64;
            held.1 += node.gpus.iter().map(|gpu| gpu.usable_milli()).sum::<i64>();
        }
        let milli = |demand: &Demand| demand.gpu_milli_total() as u128;
        let kinds: Vec<&(Demand, u64)> =
            self.counts.iter().filter(|(kind, count)| kind.gpu() != GpuDemand::None && *count > 0).collect();
        let asked: u128 = kinds.iter().map(|(kind, count)| milli(kind) * u128::from(*count)).sum();
        let supply: i64 = stock.values().map(|(all, _)| all).sum();
        let mut needed: BTreeMap<Option<String>, u128> = BTreeMap::new();
        for (kind, count) in kinds {
            let holds = |model: &Option<String>| {
                let (cpu, memory, gpus) = self.largest.get(model).copied().unwrap_or((0, 0, 0));
                kind.cpu().get() <= cpu
                    && kind.memory().get() <= memory
                    && kind.gpu().need().0 as usize <= gpus
            };
            let able: Vec<_> = stock.iter().filter(|(model, _)| holds(model)).collect();
            let part: i64 = able.iter().map(|(_, (all, _))| all).sum();
            let few = part > 0 && part <= supply / 4;
            if !few && kind.models().is_empty() {
                continue;
            }
            let usable: Vec<_> = stock
                .iter()
                .filter(|(model, _)| !few || holds(model))
                .filter(|(model, _)| {
                    kind.models().is_empty() || model.is_some() && kind.admits_model(model.as_deref())
                })
                .collect();
            let part: i64 = usable.iter().map(|(_, (all, _))| all).sum();
            for (model, (all, _)) in usable {
                *needed.entry(model.clone()).or_insert(0) +=
                    milli(kind) * u128::from(*count) * (*all as u128) / (part as u128).max(1);
            }
        }
        let free: i64 = stock.values().map(|(_, free)| free).sum();
        let price = |model: &Option<String>, of_model: i64| {
            let needed = (needed.get(model).copied().unwrap_or(0) * 1_000_000 / asked.max(1)) as i64;
            let scarcity = (needed * free / of_model.max(500)).min(1_500_000);
            3000 * 8 * scarcity / 1_000_000 * demand.gpu_milli_total() / 1000
        };
        stock.iter().map(|(model, (_, of_model))| (model.clone(), price(model, *of_model))).collect()
    }
}
