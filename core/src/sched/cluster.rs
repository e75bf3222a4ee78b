//! The index of nodes that the scheduler decides on: [`Cluster`].

use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::change_log::ChangeLog;
use super::class::{Class, ClassState, Slot, Slots};
use super::class_table::ClassTable;
use super::demand::{Demand, Tag};
use super::fits::{Misfit, Offer, judge};
use super::grain::{Free, Grain};
use super::members::NodeKey;
use super::node::{InvalidNode, NodeState, Running};
use super::policy::Policy;
use super::supply::Supply;
use super::task_counts::TaskCounts;
use super::totals::Totals;

/// Marks a place in the table of nodes that is not in use.
const VACANT: u32 = u32::MAX;

/// Tells clusters apart, so that what a scheduler remembers of one is never used on another.
static NEXT_UID: AtomicU64 = AtomicU64::new(1);

fn next_uid() -> u64 {
    NEXT_UID.fetch_add(1, Ordering::Relaxed)
}

/// All nodes, grouped in classes of equal free state.
///
/// It is filled from a snapshot of the store and kept up to date from the feed ([`upsert`](Self::upsert),
/// [`remove`](Self::remove)) or by the planner itself ([`place`](Self::place), [`release`](Self::release)).
/// A change costs the same however many nodes there are. Two clusters are equal when their nodes are.
#[derive(Debug)]
pub struct Cluster {
    pub(super) uid: u64,
    pub(super) grain: Grain,
    nodes: Vec<Node>,
    free_nodes: Vec<u32>,
    by_id: FxHashMap<Uuid, u32>,
    pub(super) running: TaskCounts,
    models: Vec<String>,
    classes: ClassTable,
    pub(super) log: ChangeLog,
    pub(super) totals: Totals,
    pub(super) supply: Supply,
}

/// One node: who it is, its class, its GPUs in slot order, and its exact amounts. The rest of its state is its class's.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) key: NodeKey,
    pub(super) free: Free,
    pub(super) slots: Slots,
    /// Which kinds of GPU task run here, a bit each, see [`Tag::index`].
    pub(super) tags: u32,
    class: u32,
}

impl Node {
    /// The number of the node's class.
    pub(super) const fn class(&self) -> u32 {
        self.class
    }

    pub(super) const fn runs(&self, tag: Tag) -> bool {
        self.tags & (1 << tag.index()) != 0
    }

    pub(super) const fn set_runs(&mut self, tag: Tag, runs: bool) {
        let bit = 1 << tag.index();
        self.tags = if runs { self.tags | bit } else { self.tags & !bit };
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Cluster {
    fn clone(&self) -> Self {
        Self {
            uid: next_uid(),
            grain: self.grain,
            nodes: self.nodes.clone(),
            free_nodes: self.free_nodes.clone(),
            by_id: self.by_id.clone(),
            running: self.running.clone(),
            models: self.models.clone(),
            classes: self.classes.clone(),
            log: self.log.clone(),
            totals: self.totals,
            supply: self.supply.clone(),
        }
    }
}

impl PartialEq for Cluster {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && (self.grain != other.grain || self.class_count() == other.class_count())
            && self.totals == other.totals
            && self.by_id.keys().all(|id| self.get(id) == other.get(id))
    }
}

impl Eq for Cluster {}

impl Cluster {
    /// A cluster without nodes, which tells everything about them apart: right for every policy.
    pub fn new() -> Self {
        Self::with_grain(Grain::EXACT)
    }

    /// A cluster without nodes, which tells them apart no further than this policy does.
    ///
    /// Decisions of that policy are the same as on any other cluster of the same nodes. They cost less where nodes
    /// differ a little: [`Policy::OpportunityCost`] sees some thousands of classes in a million nodes of which no two
    /// are alike. Another policy that is asked of this cluster takes amounts for as little as they are at least.
    pub fn for_policy(policy: Policy) -> Self {
        Self::with_grain(policy.grain())
    }

    /// The same nodes in a cluster that tells them apart no further than this policy does.
    #[must_use]
    pub fn regrouped(&self, policy: Policy) -> Self {
        let mut cluster = Self::for_policy(policy);
        for node in self.iter() {
            // What was taken in once is valid.
            let taken = cluster.upsert(&node);
            debug_assert_eq!(taken, Ok(()));
        }
        cluster
    }

    fn with_grain(grain: Grain) -> Self {
        Self {
            uid: next_uid(),
            grain,
            nodes: Vec::new(),
            free_nodes: Vec::new(),
            by_id: FxHashMap::default(),
            running: TaskCounts::default(),
            models: Vec::new(),
            classes: ClassTable::default(),
            log: ChangeLog::default(),
            totals: Totals::default(),
            supply: Supply::default(),
        }
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The number of classes: of distinct states of nodes. The cost of a decision grows with it, not with the nodes.
    pub fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// Sums over all nodes.
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// The nodes, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = NodeState> + '_ {
        self.by_id.keys().filter_map(|id| self.get(id))
    }

    /// The present state of a node.
    pub fn get(&self, id: &Uuid) -> Option<NodeState> {
        let index = *self.by_id.get(id)?;
        let node = self.node(index)?;
        let state = self.class(node.class)?.state;
        let mut running = Running::default();
        for tag in tags(node.tags) {
            running.add(tag, self.running.get(index, tag, true));
        }
        Some(NodeState {
            id: node.key.id,
            rank: node.key.rank,
            model: self.model(&state).map(ToOwned::to_owned),
            schedulable: state.schedulable,
            cpu_free: node.free.cpu,
            memory_free: node.free.memory,
            storage_free: node.free.storage,
            gpus: node.slots.iter().map(Slot::to_gpu).collect(),
            running,
        })
    }

    /// Takes in a node as it is now, whether it was there or not.
    pub fn upsert(&mut self, node: &NodeState) -> Result<(), InvalidNode> {
        node.validate()?;
        self.remove(&node.id);
        let slots = Slots::from_gpus(&node.gpus);
        let mut state = ClassState::new(&slots, self.intern(node.model.as_deref()));
        state.schedulable = node.schedulable;
        let tags = node.running.iter().fold(0, |tags, (tag, _)| tags | 1 << tag.index());
        let key = NodeKey { rank: node.rank, id: node.id };
        let entry = Node { key, free: Free::of(node), slots, tags, class: VACANT };
        let index = if let Some(index) = self.free_nodes.pop() {
            if let Some(place) = self.node_mut(index) {
                *place = entry;
            }
            index
        } else {
            self.nodes.push(entry);
            last_index(self.nodes.len())
        };
        for (tag, tasks) in node.running.iter() {
            self.running.set(index, tag, tasks);
        }
        self.by_id.insert(node.id, index);
        self.totals.add(&slots);
        self.attach(index, state);
        Ok(())
    }

    /// Forgets a node. Answers whether it was there.
    pub fn remove(&mut self, id: &Uuid) -> bool {
        let Some(index) = self.by_id.remove(id) else {
            return false;
        };
        let Some(&Node { slots, tags: held, .. }) = self.node(index) else {
            return false;
        };
        self.detach(index);
        for tag in tags(held) {
            self.running.set(index, tag, 0);
        }
        if let Some(node) = self.node_mut(index) {
            node.class = VACANT;
        }
        self.free_nodes.push(index);
        self.totals.remove(&slots);
        true
    }

    /// Opens or closes a node for new tasks. Answers whether the node is there.
    pub fn set_schedulable(&mut self, id: &Uuid, schedulable: bool) -> bool {
        let Some(&index) = self.by_id.get(id) else {
            return false;
        };
        self.change(index, |_, state| state.schedulable = schedulable);
        true
    }

    /// Whether a node takes new tasks; it does not if it is not there.
    pub(crate) fn is_schedulable(&self, id: &Uuid) -> bool {
        self.index_of(id).and_then(|index| self.class_of(index)).is_some_and(|class| class.state.schedulable)
    }

    fn intern(&mut self, model: Option<&str>) -> u32 {
        let Some(model) = model else { return 0 };
        let at = self.models.iter().position(|known| known == model).unwrap_or_else(|| {
            self.models.push(model.to_owned());
            self.models.len() - 1
        });
        last_index(at + 2)
    }

    /// The name of a class's GPU model.
    pub(super) fn model(&self, state: &ClassState) -> Option<&str> {
        self.model_name(usize::try_from(state.model).ok()?)
    }

    /// The name of the GPU model with this number.
    pub(super) fn model_name(&self, number: usize) -> Option<&str> {
        self.models.get(number.checked_sub(1)?).map(String::as_str)
    }

    pub(super) fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(index).ok()?)
    }

    pub(super) fn node_mut(&mut self, index: u32) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(index).ok()?)
    }

    pub(super) fn index_of(&self, id: &Uuid) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub(super) fn class_of(&self, node: u32) -> Option<&Class> {
        self.class(self.node(node)?.class)
    }

    pub(super) fn class(&self, number: u32) -> Option<&Class> {
        self.classes.get(number)
    }

    /// All classes with their numbers.
    pub(super) fn classes(&self) -> impl Iterator<Item = (u32, &Class)> {
        self.classes.iter()
    }

    /// [`fits`](super::fits::fits) for a node of a class with these amounts free.
    #[inline]
    pub(super) fn judge(&self, state: &ClassState, free: Free, demand: &Demand) -> Result<(), Misfit> {
        let offer = Offer {
            schedulable: state.schedulable,
            model: if demand.models().is_empty() { None } else { self.model(state) },
            cpu_free: free.cpu,
            memory_free: free.memory,
            storage_free: free.storage,
        };
        judge(offer, state.gpus().iter().copied().map(i64::from), demand)
    }

    /// [`fits`](super::fits::fits) for one node.
    pub(super) fn judge_node(&self, node: u32, demand: &Demand) -> Result<(), Misfit> {
        let Some(held) = self.node(node) else { return Err(Misfit::Unschedulable) };
        let Some(class) = self.class(held.class) else { return Err(Misfit::Unschedulable) };
        self.judge(&class.state, held.free, demand)
    }

    /// Which nodes of a class a demand fits.
    #[inline]
    pub(super) fn admits(&self, state: &ClassState, demand: &Demand) -> Admits {
        let Err(misfit) = self.judge(state, state.free, demand) else { return Admits::All };
        let of_amounts =
            matches!(misfit, Misfit::Cpu { .. } | Misfit::Memory { .. } | Misfit::Storage { .. });
        // What else removes one node of the class removes all: they differ in their amounts alone.
        if self.grain.is_exact() || !of_amounts {
            return Admits::None(misfit);
        }
        match self.judge(state, self.grain.top(state.free), demand) {
            // What removes the most that the class stands for removes all of it, if nothing before does.
            Err(most) if std::mem::discriminant(&most) == std::mem::discriminant(&misfit) => {
                Admits::None(misfit)
            }
            _ => Admits::Some,
        }
    }

    /// Whether it is seen at once that a demand fits no node of a class: most of them are so full.
    #[inline]
    pub(super) fn is_hopeless(&self, state: &ClassState, demand: &Demand) -> bool {
        let (count, each) = demand.gpu().need();
        let top = self.grain.top(state.free);
        let most = state.gpus().last().copied().map_or(0, i64::from);
        top.cpu < demand.cpu().get() || (count > 0 && most < each.get())
    }

    /// The first node of a class that a demand fits, where it may not fit all.
    pub(super) fn first_fitting(&self, class: &Class, demand: &Demand) -> Option<u32> {
        class.members.iter().find(|node| self.judge_node(*node, demand).is_ok())
    }

    /// Moves a node to the class of its changed state.
    pub(super) fn change(&mut self, node: u32, change: impl FnOnce(&mut Node, &mut ClassState)) {
        if let Some(mut state) = self.detach(node) {
            if let Some(held) = self.node_mut(node) {
                change(held, &mut state);
            }
            self.attach(node, state);
        }
    }

    /// Takes a node out of its class, which goes if this was the last one.
    fn detach(&mut self, node: u32) -> Option<ClassState> {
        let number = self.node(node)?.class;
        let nodes = &self.nodes;
        let class = self.classes.get_mut(number)?;
        let state = class.state;
        if !class.members.remove(node, |index| key_of(nodes, index)) {
            self.classes.remove(number);
        } else if let Some(first) = class.members.first() {
            class.first = key_of(nodes, first);
        }
        self.log.version += 1;
        self.supply.remove(&state);
        Some(state)
    }

    /// Puts a node into the class of this state, making the class if it is the first one. What the class tells of the
    /// amounts and tasks of the node is taken from the node.
    fn attach(&mut self, node: u32, mut state: ClassState) {
        self.log.version += 1;
        if let Some(&Node { free, tags, .. }) = self.node(node) {
            state.free = self.grain.floor(free);
            state.tags = if self.grain.is_exact() { tags } else { 0 };
            self.supply.add(&state, free);
        }
        let nodes = &self.nodes;
        let key = key_of(nodes, node);
        let number = if let Some(number) = self.classes.find(&state) {
            if let Some(class) = self.classes.get_mut(number) {
                class.members.insert(node, |index| key_of(nodes, index));
            }
            number
        } else {
            self.classes.insert(state, node, key)
        };
        let live = self.classes.len();
        if let Some(class) = self.classes.get_mut(number) {
            let is_first = class.members.first() == Some(node);
            if is_first {
                class.first = key;
            }
            // It may be the first that fits where the first of the class does not.
            if is_first || !self.grain.is_exact() {
                class.changed = self.log.push(number, live);
            }
        }
        if let Some(entry) = self.node_mut(node) {
            entry.class = number;
        }
    }
}

/// Which nodes of a class a demand fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admits {
    /// Each of them.
    All,
    /// It depends on the node, whether it fits or what removes it.
    Some,
    /// None, all of them for this reason; the amounts in it are the class's.
    None(Misfit),
}

/// The kinds of task in a set of bits.
fn tags(bits: u32) -> impl Iterator<Item = Tag> {
    (0..u32::BITS).filter(move |bit| bits & (1 << bit) != 0).map(Tag::from_index)
}

fn key_of(nodes: &[Node], index: u32) -> NodeKey {
    let node = usize::try_from(index).ok().and_then(|at| nodes.get(at));
    node.map_or(NodeKey { rank: u64::MAX, id: Uuid::max() }, |node| node.key)
}

/// The index of the last of so many things. A cluster of 2^32 nodes does not fit in memory.
fn last_index(len: usize) -> u32 {
    u32::try_from(len.saturating_sub(1)).unwrap_or(VACANT)
}
