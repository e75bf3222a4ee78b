//! A scheduler to compare with: a plain scan over all nodes, with every score computed from its definition.

use crate::opportunity::Opportunity;
use apportion::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use apportion::sched::{
    Demand, GpuDemand, GpuState, Misfit, NoFit, NodeState, Placement, Policy, Tag, TaskMix, fits,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use uuid::Uuid;

/// A demand; `milli` below 1000 is a share, else so many thousand are whole GPUs.
pub(crate) fn demand(cpu: u32, memory: u32, milli: u32, models: &[&str]) -> Demand {
    let gpu = match milli {
        0 => GpuDemand::None,
        1..=999 => GpuDemand::Share(GpuMilli::from_u32(milli)),
        _ => GpuDemand::Whole(milli / 1000),
    };
    let models = models.iter().map(ToString::to_string).collect();
    Demand::new(
        CpuMilli::from_u32(cpu),
        MemoryMib::from_u32(memory),
        StorageMib::from_u32(memory / 2),
        gpu,
        models,
    )
    .unwrap()
}

/// Demands that compete: shares that fill GPUs unevenly, whole GPUs, tasks without, one that fits nowhere.
pub(crate) fn demands() -> Vec<Demand> {
    vec![
        demand(4000, 8, 0, &[]),
        demand(500, 1, 0, &[]),
        demand(1000, 4, 200, &[]),
        demand(2000, 4, 460, &[]),
        demand(1000, 8, 500, &["A"]),
        demand(3000, 4, 810, &["A", "B"]),
        demand(4000, 16, 1000, &[]),
        demand(1000, 4, 1000, &["B"]),
        demand(6000, 16, 2000, &[]),
        demand(8000, 32, 4000, &["B", "C"]),
        demand(1000, 4, 300, &["nowhere"]),
    ]
}

/// Node number `at` in its empty state; nodes of equal `at % 5` are alike, and some ranks are shared.
pub(crate) fn node(at: u32) -> NodeState {
    let (model, gpus, cores, memory) = [
        (Some("A"), 2, 8, 32),
        (Some("B"), 4, 16, 64),
        (None, 0, 8, 32),
        (None, 1, 4, 32),
        (Some("B"), 8, 12, 128),
    ][at as usize % 5];
    NodeState {
        model: model.map(ToOwned::to_owned),
        cpu_free: cores * 1000,
        memory_free: memory,
        storage_free: memory / 2,
        gpus: vec![GpuState::IDLE; gpus],
        // Ids run against the ranks, and pairs of nodes share a rank.
        ..NodeState::empty(Uuid::from_u128(u128::from(u32::MAX - at)), u64::from(at * 7 % 32 / 2))
    }
}

/// The reference scheduler and its nodes.
pub(crate) struct Reference {
    pub(crate) nodes: Vec<NodeState>,
    pub(crate) mix: TaskMix,
    opportunity: Opportunity,
    policy: Policy,
    rng: Pcg64,
}

impl Reference {
    pub(crate) fn new(policy: Policy, seed: u64, counts: Vec<(Demand, u64)>) -> Self {
        let mix = TaskMix::from_counts(counts.iter().map(|(demand, count)| (demand, *count)));
        Self {
            nodes: Vec::new(),
            opportunity: Opportunity::new(counts),
            mix,
            policy,
            rng: Pcg64::seed_from_u64(seed),
        }
    }

    pub(crate) fn find(&mut self, id: &Uuid) -> Option<&mut NodeState> {
        self.nodes.iter_mut().find(|node| node.id == *id)
    }

    pub(crate) fn upsert(&mut self, node: NodeState) {
        self.nodes.retain(|held| held.id != node.id);
        self.opportunity.see(&node);
        self.nodes.push(node);
    }

    /// Opens or closes a node. Answers whether it is there.
    pub(crate) fn set_schedulable(&mut self, id: &Uuid, schedulable: bool) -> bool {
        let Some(node) = self.find(id) else { return false };
        node.schedulable = schedulable;
        let node = node.clone();
        self.opportunity.see(&node);
        true
    }

    pub(crate) fn set_mix(&mut self, counts: Vec<(Demand, u64)>) {
        self.mix = TaskMix::from_counts(counts.iter().map(|(demand, count)| (demand, *count)));
        self.opportunity.set_mix(counts);
    }

    /// Takes or gives back what a placement says.
    pub(crate) fn apply(&mut self, placement: &Placement, sign: i64) {
        let node = self.find(&placement.node).unwrap();
        let demand = &placement.demand;
        node.cpu_free += sign * demand.cpu().get();
        node.memory_free += sign * demand.memory().get();
        node.storage_free += sign * demand.storage().get();
        for &slot in &placement.gpus {
            node.gpus[slot as usize].free_milli += sign * placement.milli_per_gpu.get();
        }
        let mut running: Vec<Tag> =
            node.running.iter().flat_map(|(tag, count)| std::iter::repeat_n(tag, count as usize)).collect();
        if let Some(tag) = demand.tag() {
            if sign < 0 {
                running.push(tag);
            } else {
                running.remove(running.iter().position(|held| *held == tag).unwrap());
            }
        }
        node.running = running.into_iter().collect();
        let node = node.clone();
        self.opportunity.see(&node);
    }

    /// What the scheduler must answer.
    pub(crate) fn decide(&mut self, demand: &Demand, exclude: &[Uuid]) -> Result<Placement, NoFit> {
        let mut no_fit = NoFit { nodes: self.nodes.len() as u64, ..NoFit::default() };
        let mut fitting: Vec<&NodeState> = Vec::new();
        for node in &self.nodes {
            let counter = match fits(node, demand) {
                _ if exclude.contains(&node.id) => &mut no_fit.excluded,
                Ok(()) => {
                    fitting.push(node);
                    continue;
                }
                Err(Misfit::Unschedulable) => &mut no_fit.unschedulable,
                Err(Misfit::Model) => &mut no_fit.model,
                Err(Misfit::Cpu { .. }) => &mut no_fit.cpu,
                Err(Misfit::Memory { .. }) => &mut no_fit.memory,
                Err(Misfit::Storage { .. }) => &mut no_fit.storage,
                Err(Misfit::Gpu { .. }) => &mut no_fit.gpu,
                Err(other) => panic!("{other:?} is not known here"),
            };
            *counter += 1;
        }
        if fitting.is_empty() {
            return Err(no_fit);
        }
        if self.policy == Policy::OpportunityCost {
            let (node, gpus) = self.opportunity.choose(&self.nodes, &fitting, demand);
            return Ok(Placement {
                node,
                gpus,
                milli_per_gpu: demand.gpu().need().1,
                demand: demand.clone(),
            });
        }
        let node = if self.policy == Policy::Random {
            let order = in_class_order(&self.nodes, &fitting);
            order[self.rng.random_range(0..order.len() as u64) as usize]
        } else {
            let better =
                |node: &&NodeState| (-score(self.policy, node, demand, &self.mix).0, node.rank, node.id);
            fitting.into_iter().min_by_key(better).unwrap()
        };
        let gpus = choose_gpus(self.policy, node, demand, &self.mix, &mut self.rng);
        Ok(Placement { node: node.id, gpus, milli_per_gpu: demand.gpu().need().1, demand: demand.clone() })
    }
}

/// Nodes that fit, in the order from which the random policy draws: classes by their first node, fitting or not.
fn in_class_order<'a>(all: &[NodeState], fitting: &[&'a NodeState]) -> Vec<&'a NodeState> {
    let class = |node: &NodeState| {
        let mut gpus: Vec<i64> = node.gpus.iter().map(|gpu| gpu.usable_milli()).collect();
        gpus.sort_unstable();
        let working = node.gpus.iter().filter(|gpu| gpu.healthy).count();
        let tags: Vec<Tag> = node.running.iter().map(|(tag, _)| tag).collect();
        let amounts = (node.cpu_free, node.memory_free, node.storage_free);
        (node.model.clone(), node.schedulable, amounts, gpus, working, tags)
    };
    let mut order = fitting.to_vec();
    order.sort_by_cached_key(|node| {
        let own = class(node);
        let first = all.iter().filter(|other| class(other) == own).map(|other| (other.rank, other.id)).min();
        (first, node.rank, node.id)
    });
    order
}

/// `Σ_t weight_t · frag_t(node)` from the definition.
pub(crate) fn fragments(node: &NodeState, mix: &TaskMix) -> i64 {
    let idle: i64 = node.gpus.iter().map(|gpu| gpu.usable_milli()).sum();
    let mut sum = 0;
    for task in mix.tasks() {
        let (count, each) = task.gpu.need();
        let admitted =
            task.models.is_empty() || node.model.as_ref().is_some_and(|model| task.models.contains(model));
        let roomy = node.gpus.iter().filter(|gpu| gpu.usable_milli() >= each.get()).count();
        let runs = count > 0 && admitted && roomy >= count as usize && node.cpu_free >= task.cpu.get();
        let slivers = node.gpus.iter().map(|gpu| gpu.usable_milli()).filter(|free| *free < each.get()).sum();
        sum += i64::try_from(task.weight).unwrap() * if runs { slivers } else { idle };
    }
    sum
}

/// The score of a node under a policy, and for a share under gradient descent the GPU that gives it.
pub(crate) fn score(policy: Policy, node: &NodeState, demand: &Demand, mix: &TaskMix) -> (i64, Option<u32>) {
    let idle: i64 = node.gpus.iter().map(|gpu| gpu.usable_milli()).sum();
    let (cpu, asked) = (i128::from(node.cpu_free), i128::from(demand.cpu().get()));
    let (gpu, gpu_asked) = (i128::from(idle), i128::from(demand.gpu_milli_total()));
    let whole = |x: i128| i64::try_from(x).unwrap();
    match policy {
        Policy::DotProduct => {
            let unit = 128_000_i128 * 128_000 * 8_000 * 8_000;
            let dot = cpu * asked * 8_000 * 8_000 + gpu * gpu_asked * 128_000 * 128_000;
            (whole((100 * unit - 50 * dot).div_euclid(unit)), None)
        }
        Policy::BestFit => {
            let unit = 128_000_i128 * 8_000;
            let left = (cpu - asked) * 8_000 + (gpu - gpu_asked) * 128_000;
            (whole((100 * unit - 50 * left).div_euclid(unit)), None)
        }
        Policy::Clustering => (clustering(node, demand, idle), None),
        Policy::Packing => (packing(node, demand), None),
        Policy::Fgd => gradient(node, demand, mix),
        _ => (0, None),
    }
}

fn clustering(node: &NodeState, demand: &Demand, idle: i64) -> i64 {
    let Some(tag) = demand.tag() else { return 0 };
    let kinds = node.running.iter().count();
    let kinship = match (node.running.count(tag) > 0, kinds) {
        (true, 1) => 75,
        (true, _) => 50,
        (false, 0) => 25,
        (false, _) => 0,
    };
    kinship + (25 * (8000 - idle)).div_euclid(8000)
}

fn packing(node: &NodeState, demand: &Demand) -> i64 {
    let (count, each) = demand.gpu().need();
    if count == 0 {
        return 0;
    }
    let mut free: Vec<i64> = node.gpus.iter().map(|gpu| gpu.usable_milli()).collect();
    free.sort_unstable();
    let gpus = i64::try_from(free.len()).unwrap();
    if free.iter().all(|free| *free == 1000) {
        return (33 - gpus).max(gpus);
    }
    let used: Vec<i64> = free.into_iter().filter(|free| *free >= each.get()).take(count as usize).collect();
    let begun = i64::try_from(used.iter().filter(|free| **free == 1000).count()).unwrap();
    if begun > 0 {
        (50 - begun).max(33)
    } else {
        (100 - used.iter().map(|free| free / 10).sum::<i64>() / 10).max(50)
    }
}

fn gradient(node: &NodeState, demand: &Demand, mix: &TaskMix) -> (i64, Option<u32>) {
    if mix.total_weight() == 0 {
        return (0, None);
    }
    let before = fragments(node, mix);
    let after = |slots: &[u32]| {
        let mut node = node.clone();
        node.cpu_free -= demand.cpu().get();
        for slot in slots {
            node.gpus[*slot as usize].free_milli -= demand.gpu().need().1.get();
        }
        let x = (before - fragments(&node, mix)) as f64 / (1000.0 * mix.total_weight() as f64);
        (100.0 / (1.0 + (-x).exp())) as i64
    };
    let roomy = roomy(node, demand);
    match demand.gpu() {
        GpuDemand::Share(_) => {
            let mut best = (i64::MIN, None);
            for slot in roomy {
                let score = after(&[slot]);
                if score > best.0 {
                    best = (score, Some(slot));
                }
            }
            best
        }
        GpuDemand::Whole(count) => (after(&roomy[..count as usize]), None),
        GpuDemand::None => (after(&[]), None),
    }
}

fn roomy(node: &NodeState, demand: &Demand) -> Vec<u32> {
    let each = demand.gpu().need().1.get();
    (0..node.gpus.len() as u32).filter(|slot| node.gpus[*slot as usize].usable_milli() >= each).collect()
}

fn choose_gpus(
    policy: Policy,
    node: &NodeState,
    demand: &Demand,
    mix: &TaskMix,
    rng: &mut Pcg64,
) -> Vec<u32> {
    let roomy = roomy(node, demand);
    let free = |slot: &u32| node.gpus[*slot as usize].usable_milli();
    match (demand.gpu(), policy) {
        (GpuDemand::None, _) => vec![],
        (GpuDemand::Whole(count), _) => roomy[..count as usize].to_vec(),
        (GpuDemand::Share(_), Policy::Random) => {
            vec![roomy[rng.random_range(0..roomy.len() as u64) as usize]]
        }
        (GpuDemand::Share(_), Policy::Fgd) => {
            vec![gradient(node, demand, mix).1.unwrap_or(roomy[0])]
        }
        (GpuDemand::Share(_), _) => vec![roomy.iter().copied().min_by_key(free).unwrap()],
    }
}
