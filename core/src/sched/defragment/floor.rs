//! The GPUs between which shares can be moved, and what is on them: [`Floor`].

use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::sched::class::WHOLE;
use crate::sched::cluster::Cluster;
use crate::sched::demand::{Demand, Tag};
use crate::sched::fits::{Offer, judge};
use crate::sched::grain::Free;
use crate::sched::members::NodeKey;
use crate::sched::placement::Placement;

/// The GPUs that shares use on nodes that take new tasks, and idle ones, in the order of the nodes and their slots.
///
/// Of nodes in the same state that have idle GPUs alone, no more are here than a plan can use.
///
/// Tasks, nodes and GPUs go by their position in these lists.
#[derive(Debug, Clone)]
pub(super) struct Floor<'a> {
    tasks: Vec<Task<'a>>,
    nodes: Vec<Node<'a>>,
    gpus: Vec<Gpu>,
}

/// A share that may be moved.
#[derive(Debug, Clone, Copy)]
struct Task<'a> {
    demand: &'a Demand,
    milli: i64,
}

/// What a node has free beside its GPUs.
#[derive(Debug, Clone)]
struct Node<'a> {
    key: NodeKey,
    model: Option<&'a str>,
    cpu: i64,
    memory: i64,
    storage: i64,
}

/// A GPU that works and that is idle or that shares are using.
#[derive(Debug, Clone)]
pub(super) struct Gpu {
    node: usize,
    slot: u32,
    /// What is free of it.
    pub(super) free: i64,
    /// What is used of it by tasks that stay.
    pub(super) pinned: i64,
    /// The tasks on it that may be moved, the largest first.
    pub(super) tasks: Vec<usize>,
}

impl Gpu {
    /// What is used of it.
    pub(super) const fn used(&self) -> i64 {
        // WHOLE is 1000.
        WHOLE as i64 - self.free
    }

    /// Whether shares are using it.
    pub(super) const fn in_use(&self) -> bool {
        self.used() > 0
    }

    /// Whether it is idle once its tasks are moved.
    pub(super) fn can_be_emptied(&self) -> bool {
        self.pinned == 0 && !self.tasks.is_empty()
    }
}

impl<'a> Floor<'a> {
    /// The floor of a cluster that holds these placements.
    pub(super) fn new(cluster: &'a Cluster, running: &[&'a Placement], budget: usize) -> Self {
        let mut floor =
            Self { tasks: Vec::with_capacity(running.len()), nodes: Vec::new(), gpus: Vec::new() };
        let mut indexes = Vec::new();
        for (_, class) in cluster.classes().filter(|(_, class)| class.state.schedulable) {
            let gpus = class.state.gpus();
            let begun = gpus.iter().any(|free| (1..WHOLE).contains(free));
            let runs = |index: &u32| cluster.node(*index).is_some_and(|node| node.runs(Tag::Share));
            indexes.extend(class.members.iter().filter(|index| begun || runs(index)));
            if !begun && gpus.contains(&WHOLE) {
                // Beginning to use a GPU pays only with two moves or more.
                indexes.extend(class.members.iter().filter(|index| !runs(index)).take(budget / 2));
            }
        }
        indexes.sort_unstable_by_key(|index| cluster.node(*index).map(|node| node.key));
        let mut gpus_by_name = FxHashMap::default();
        for index in indexes {
            floor.add_node(cluster, index, &mut gpus_by_name);
        }
        floor.add_tasks(running, &gpus_by_name);
        floor
    }

    fn add_node(&mut self, cluster: &'a Cluster, index: u32, by_name: &mut FxHashMap<(Uuid, u32), usize>) {
        let (Some(node), Some(class)) = (cluster.node(index), cluster.class_of(index)) else {
            return;
        };
        let at = self.nodes.len();
        for (slot, gpu) in (0..).zip(node.slots.iter()) {
            if gpu.healthy() {
                by_name.insert((node.key.id, slot), self.gpus.len());
                let (free, tasks) = (i64::from(gpu.free()), Vec::new());
                self.gpus.push(Gpu { node: at, slot, free, pinned: i64::from(WHOLE) - free, tasks });
            }
        }
        let Free { cpu, memory, storage } = node.free;
        self.nodes.push(Node { key: node.key, model: cluster.model(&class.state), cpu, memory, storage });
    }

    fn add_tasks(&mut self, running: &[&'a Placement], by_name: &FxHashMap<(Uuid, u32), usize>) {
        for (task, placement) in running.iter().enumerate() {
            let milli = placement.milli_per_gpu.get();
            self.tasks.push(Task { demand: &placement.demand, milli });
            let is_share = (1..i64::from(WHOLE)).contains(&milli);
            let gpu = placement.gpus.first().filter(|_| is_share);
            let gpu = gpu.and_then(|slot| by_name.get(&(placement.node, *slot)));
            if let Some(gpu) = gpu.and_then(|gpu| self.gpus.get_mut(*gpu)) {
                gpu.pinned -= milli;
                gpu.tasks.push(task);
            }
        }
        let tasks = &self.tasks;
        let milli = |task: &usize| tasks.get(*task).map_or(0, |task| task.milli);
        for gpu in &mut self.gpus {
            gpu.tasks.sort_by_key(|task| std::cmp::Reverse(milli(task)));
        }
    }

    pub(super) fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }

    /// How many tasks there are, those included that are not on the floor.
    pub(super) const fn tasks(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn gpu(&self, gpu: usize) -> Option<&Gpu> {
        self.gpus.get(gpu)
    }

    pub(super) fn milli(&self, task: usize) -> i64 {
        self.tasks.get(task).map_or(0, |task| task.milli)
    }

    /// The node and the slot of a GPU.
    pub(super) fn name(&self, gpu: usize) -> Option<(Uuid, u32)> {
        let gpu = self.gpus.get(gpu)?;
        Some((self.nodes.get(gpu.node)?.key.id, gpu.slot))
    }

    /// What the node of a GPU offers beside its GPUs. Of idle GPUs with the same of it, one does as well as another.
    pub(super) fn offer(&self, gpu: usize) -> Option<Offer<'a>> {
        let node = self.nodes.get(self.gpus.get(gpu)?.node)?;
        Some(Offer {
            schedulable: true,
            model: node.model,
            cpu_free: node.cpu,
            memory_free: node.memory,
            storage_free: node.storage,
        })
    }

    /// Whether a task fits a GPU as it is now: by the one judge, who is shown no other GPU of the node.
    ///
    /// On the node where it is, it gives back what else it has there when it comes.
    pub(super) fn fits(&self, task: usize, from: usize, gpu: usize) -> bool {
        let (Some(task), Some(mut offer)) = (self.tasks.get(task), self.offer(gpu)) else {
            return false;
        };
        let node = |gpu: usize| self.gpus.get(gpu).map(|gpu| gpu.node);
        if node(from) == node(gpu) {
            offer.cpu_free = offer.cpu_free.saturating_add(task.demand.cpu().get());
            offer.memory_free = offer.memory_free.saturating_add(task.demand.memory().get());
            offer.storage_free = offer.storage_free.saturating_add(task.demand.storage().get());
        }
        let free = self.gpus.get(gpu).map_or(0, |gpu| gpu.free);
        judge(offer, std::iter::once(free), task.demand).is_ok()
    }

    /// Moves a task's share, and what else it asks for, from one GPU to another.
    pub(super) fn carry(&mut self, task: usize, from: usize, to: usize) {
        self.change(task, to, -1);
        self.change(task, from, 1);
    }

    fn change(&mut self, task: usize, gpu: usize, sign: i64) {
        let (Some(task), Some(gpu)) = (self.tasks.get(task), self.gpus.get_mut(gpu)) else {
            return;
        };
        gpu.free += sign * task.milli;
        if let Some(node) = self.nodes.get_mut(gpu.node) {
            node.cpu = node.cpu.saturating_add(sign * task.demand.cpu().get());
            node.memory = node.memory.saturating_add(sign * task.demand.memory().get());
            node.storage = node.storage.saturating_add(sign * task.demand.storage().get());
        }
    }
}
