//! The GPUs between which shares can be moved, and what is on them: [`Floor`].

use std::cmp::Reverse;
use std::ops::Range;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::dual::GPU;
use crate::sched::class::WHOLE;
use crate::sched::cluster::Cluster;
use crate::sched::demand::{Demand, Tag};
use crate::sched::fits::{Offer, judge};
use crate::sched::grain::Free;
use crate::sched::members::NodeKey;
use crate::sched::placement::Placement;

/// How many nodes are looked at, beside those with GPUs in parts, for where a task without GPU could go.
const MOST_HOSTS: usize = 1_000;

/// The GPUs that shares use on nodes that take new tasks, and idle ones, in the order of the nodes and their slots.
///
/// Of nodes in the same state that have idle GPUs alone, no more are here than a plan can use.
///
/// Tasks, nodes and GPUs go by their position in these lists. Where a task is goes by one number, too: the GPUs come first, and
/// behind them the nodes, for tasks without GPU.
#[derive(Debug, Clone)]
pub(super) struct Floor<'a> {
    tasks: Vec<Task<'a>>,
    nodes: Vec<Node<'a>>,
    gpus: Vec<Gpu>,
}

/// A task that may be moved.
#[derive(Debug, Clone, Copy)]
struct Task<'a> {
    demand: &'a Demand,
    milli: i64,
    /// Where it was at first.
    place: usize,
}

/// What a node has free beside its GPUs.
#[derive(Debug, Clone)]
struct Node<'a> {
    key: NodeKey,
    model: Option<&'a str>,
    cpu: i64,
    memory: i64,
    storage: i64,
    /// Its GPUs.
    gpus: Range<usize>,
    /// The tasks on it without GPU or with a whole one, by processor time, the most first: what can make room for others.
    loads: Vec<usize>,
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
        GPU - self.free
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
        if budget >= 2 && running.iter().any(|placement| placement.gpus.is_empty()) {
            indexes.extend(hosts(cluster, budget / 2));
        }
        indexes.sort_unstable_by_key(|index| cluster.node(*index).map(|node| (node.key, *index)));
        indexes.dedup();
        let mut named = Named::default();
        for index in indexes {
            floor.add_node(cluster, index, &mut named);
        }
        floor.add_tasks(running, &named);
        floor
    }

    fn add_node(&mut self, cluster: &'a Cluster, index: u32, named: &mut Named) {
        let (Some(node), Some(class)) = (cluster.node(index), cluster.class_of(index)) else {
            return;
        };
        let (at, first) = (self.nodes.len(), self.gpus.len());
        for (slot, gpu) in (0..).zip(node.slots.iter()) {
            if gpu.healthy() {
                named.gpus.insert((node.key.id, slot), self.gpus.len());
                let (free, tasks) = (i64::from(gpu.free()), Vec::new());
                self.gpus.push(Gpu { node: at, slot, free, pinned: GPU - free, tasks });
            }
        }
        named.nodes.insert(node.key.id, at);
        let Free { cpu, memory, storage } = node.free;
        let (gpus, loads) = (first..self.gpus.len(), Vec::new());
        self.nodes.push(Node {
            key: node.key,
            model: cluster.model(&class.state),
            cpu,
            memory,
            storage,
            gpus,
            loads,
        });
    }

    fn add_tasks(&mut self, running: &[&'a Placement], named: &Named) {
        for (task, placement) in running.iter().enumerate() {
            let milli = placement.milli_per_gpu.get();
            let node = named.nodes.get(&placement.node).copied();
            let place = match placement.gpus.as_slice() {
                [] => node.map(|node| self.gpus.len() + node),
                [slot] => named.gpus.get(&(placement.node, *slot)).copied(),
                _ => None,
            };
            self.tasks.push(Task { demand: &placement.demand, milli, place: place.unwrap_or(usize::MAX) });
            let gpu = place.and_then(|place| self.gpus.get_mut(place));
            match (gpu, node.and_then(|node| self.nodes.get_mut(node))) {
                (Some(gpu), _) if milli < GPU => {
                    gpu.pinned -= milli;
                    gpu.tasks.push(task);
                }
                (_, Some(node)) if place.is_some() => node.loads.push(task),
                _ => {}
            }
        }
        let tasks = &self.tasks;
        let milli = |task: &usize| tasks.get(*task).map_or(0, |task| task.milli);
        for gpu in &mut self.gpus {
            gpu.tasks.sort_by_key(|task| Reverse(milli(task)));
        }
        let cpu = |task: &usize| tasks.get(*task).map_or(0, |task| task.demand.cpu().get());
        for node in &mut self.nodes {
            node.loads.sort_by_key(|task| Reverse(cpu(task)));
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

    /// What a task asks for.
    pub(super) fn demand(&self, task: usize) -> Option<&'a Demand> {
        self.tasks.get(task).map(|task| task.demand)
    }

    /// Where a task was at first.
    pub(super) fn place_of(&self, task: usize) -> Option<usize> {
        self.tasks.get(task).map(|task| task.place)
    }

    /// How many nodes there are.
    pub(super) const fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The node of a place.
    pub(super) fn node_of(&self, place: usize) -> Option<usize> {
        self.gpus.get(place).map(|gpu| gpu.node).or_else(|| place.checked_sub(self.gpus.len()))
    }

    /// The place on a node of tasks without GPU.
    pub(super) const fn place_on(&self, node: usize) -> usize {
        self.gpus.len() + node
    }

    /// The GPUs of a node.
    pub(super) fn gpus_of(&self, node: usize) -> Range<usize> {
        self.nodes.get(node).map_or(0..0, |node| node.gpus.clone())
    }

    /// The tasks on a node that can make room for others.
    pub(super) fn loads(&self, node: usize) -> &[usize] {
        self.nodes.get(node).map_or(&[], |node| &node.loads)
    }

    /// The processor time that is free on a node.
    pub(super) fn cpu(&self, node: usize) -> i64 {
        self.nodes.get(node).map_or(0, |node| node.cpu)
    }

    /// The node and the slots of a place.
    pub(super) fn name(&self, place: usize) -> Option<(Uuid, Vec<u32>)> {
        let slots = self.gpus.get(place).map(|gpu| gpu.slot).into_iter().collect();
        Some((self.nodes.get(self.node_of(place)?)?.key.id, slots))
    }

    /// What the node of a place offers beside its GPUs. Of idle GPUs with the same of it, one does as well as another.
    pub(super) fn offer(&self, place: usize) -> Option<Offer<'a>> {
        let node = self.nodes.get(self.node_of(place)?)?;
        Some(Offer {
            schedulable: true,
            model: node.model,
            cpu_free: node.cpu,
            memory_free: node.memory,
            storage_free: node.storage,
        })
    }

    /// Whether a task fits a place as it is now: by the one judge, who is shown no GPU but that one.
    ///
    /// On the node where it is, it gives back what else it has there when it comes.
    pub(super) fn fits(&self, task: usize, from: usize, place: usize) -> bool {
        let back = if self.node_of(from) == self.node_of(place) { Some(task) } else { None };
        self.fits_with(task, place, back)
    }

    /// Whether a task fits a place once another task of its node has given back all but its GPU.
    pub(super) fn fits_with(&self, task: usize, place: usize, back: Option<usize>) -> bool {
        let (Some(task), Some(mut offer)) = (self.tasks.get(task), self.offer(place)) else {
            return false;
        };
        if let Some(back) = back.and_then(|back| self.tasks.get(back)) {
            offer.cpu_free = offer.cpu_free.saturating_add(back.demand.cpu().get());
            offer.memory_free = offer.memory_free.saturating_add(back.demand.memory().get());
            offer.storage_free = offer.storage_free.saturating_add(back.demand.storage().get());
        }
        let free = self.gpus.get(place).map(|gpu| gpu.free);
        judge(offer, free.into_iter(), task.demand).is_ok()
    }

    /// Moves a task, and all that it asks for, from one place to another.
    pub(super) fn carry(&mut self, task: usize, from: usize, to: usize) {
        self.change(task, to, -1);
        self.change(task, from, 1);
    }

    fn change(&mut self, task: usize, place: usize, sign: i64) {
        let (Some(task), Some(node)) = (self.tasks.get(task), self.node_of(place)) else {
            return;
        };
        if let Some(gpu) = self.gpus.get_mut(place) {
            gpu.free += sign * task.milli;
        }
        if let Some(node) = self.nodes.get_mut(node) {
            node.cpu = node.cpu.saturating_add(sign * task.demand.cpu().get());
            node.memory = node.memory.saturating_add(sign * task.demand.memory().get());
            node.storage = node.storage.saturating_add(sign * task.demand.storage().get());
        }
    }
}

/// What is on the floor, by its names outside of it.
#[derive(Debug, Default)]
struct Named {
    nodes: FxHashMap<Uuid, usize>,
    gpus: FxHashMap<(Uuid, u32), usize>,
}

/// The nodes with the most processor time free, `each` of those in the same state: for tasks without GPU.
fn hosts(cluster: &Cluster, each: usize) -> Vec<u32> {
    let open = cluster.classes().filter(|(_, class)| class.state.schedulable);
    let members = open.flat_map(|(_, class)| class.members.iter().take(each));
    let by_room = |index: u32| cluster.node(index).map(|node| (Reverse(node.free.cpu), node.key, index));
    let mut most: Vec<_> = members.filter_map(by_room).collect();
    most.sort_unstable();
    most.truncate(MOST_HOSTS);
    most.into_iter().map(|(_, _, index)| index).collect()
}
