//! The index of nodes that the scheduler decides on: [`Cluster`].

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxBuildHasher;
use uuid::Uuid;

use super::change_log::ChangeLog;
use super::class::{Class, ClassState, Slot, Slots};
use super::class_table::{ClassTable, tag};
use super::demand::{Demand, Tag};
use super::fits::{Misfit, Offer, judge};
use super::grain::{Free, Grain};
use super::hash_index::{HashIndex, tag_of};
use super::members::NodeKey;
use super::node::{InvalidNode, NodeState, Running};
use super::policy::Policy;
use super::supply::Supply;
use super::task_counts::{Tally, TaskCounts};
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
    by_id: HashIndex,
    running: TaskCounts,
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
    /// How many GPU tasks of each kind run here.
    tally: Tally,
    class: u32,
}

impl Node {
    /// The number of the node's class.
    pub(super) const fn class(&self) -> u32 {
        self.class
    }

    pub(super) fn runs(&self, tag: Tag) -> bool {
        self.tally.runs(tag)
    }

    /// Takes over what a class of this grain tells of the amounts and tasks of the node.
    fn tell(&self, grain: Grain, state: &mut ClassState) {
        state.free = grain.floor(self.free);
        state.tags = if grain.is_exact() { self.tally.tags() } else { 0 };
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
            && self.iter().all(|node| other.get(&node.id).as_ref() == Some(&node))
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
            by_id: HashIndex::default(),
            running: TaskCounts::default(),
            models: Vec::new(),
            classes: ClassTable::default(),
            log: ChangeLog::default(),
            totals: Totals::default(),
            supply: Supply::default(),
        }
    }

    /// The number of nodes.
    pub const fn len(&self) -> usize {
        self.nodes.len() - self.free_nodes.len()
    }

    /// Whether there are no nodes.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
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
        (0..).zip(&self.nodes).filter_map(|(index, node)| self.state_of(index, node))
    }

    /// The present state of a node.
    pub fn get(&self, id: &Uuid) -> Option<NodeState> {
        let index = self.index_of(id)?;
        self.state_of(index, self.node(index)?)
    }

    fn state_of(&self, index: u32, node: &Node) -> Option<NodeState> {
        let state = &self.class(node.class)?.state;
        let mut running = Running::default();
        for tag in node.tally.kinds() {
            running.add(tag, self.running.get(index, node.tally, tag));
        }
        Some(NodeState {
            id: node.key.id,
            rank: node.key.rank,
            model: self.model(state).map(ToOwned::to_owned),
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
        // Looked up first, so that the memory of the index is waited for while the node is judged.
        let index = self.index_of(&node.id);
        node.validate()?;
        match index {
            // Its place in the order is another one: in every respect another node.
            Some(index) if self.node(index).is_some_and(|held| held.key.rank != node.rank) => {
                self.remove(&node.id);
                self.add(node);
            }
            Some(index) => self.renew(index, node),
            None => self.add(node),
        }
        Ok(())
    }

    /// Takes in a node that is not there.
    fn add(&mut self, node: &NodeState) {
        let key = NodeKey { rank: node.rank, id: node.id };
        let slots = Slots::from_gpus(&node.gpus);
        let mut entry = Node { key, free: Free::of(node), slots, tally: Tally::default(), class: VACANT };
        let index = if let Some(index) = self.free_nodes.pop() {
            index
        } else {
            self.nodes.push(entry.clone());
            last_index(self.nodes.len())
        };
        entry.tally = self.running.replace(index, Tally::default(), &node.running);
        let mut state = ClassState::new(&slots, self.intern(node.model.as_deref()));
        state.schedulable = node.schedulable;
        entry.tell(self.grain, &mut state);
        self.supply.add(&state, entry.free);
        self.totals.add(&slots);
        self.by_id.insert(id_tag(&node.id), index);
        if let Some(place) = self.node_mut(index) {
            *place = entry;
        }
        self.log.version += 1;
        self.join(index, &state);
    }

    /// Takes in the present state of a node that is there.
    fn renew(&mut self, index: u32, node: &NodeState) {
        let Some(&Node { free, slots, tally, class, .. }) = self.node(index) else { return };
        let Some(state) = self.class(class).map(|class| &class.state) else { return };
        let is_same_model = self.model(state) == node.model.as_deref();
        let (now, now_free) = (Slots::from_gpus(&node.gpus), Free::of(node));
        if is_same_model
            && state.schedulable == node.schedulable
            && (now, now_free, Tally::of(&node.running)) == (slots, free, tally)
            && tally.is_exact()
        {
            return;
        }
        let model = if is_same_model { state.model } else { self.intern(node.model.as_deref()) };
        let now_tally = self.running.replace(index, tally, &node.running);
        if now != slots {
            self.totals.remove(&slots);
            self.totals.add(&now);
        }
        self.change(index, |held, state| {
            if now != slots {
                *state = ClassState::new(&now, model);
            }
            (state.model, state.schedulable) = (model, node.schedulable);
            (held.slots, held.free, held.tally) = (now, now_free, now_tally);
        });
    }

    /// Forgets a node. Answers whether it was there.
    pub fn remove(&mut self, id: &Uuid) -> bool {
        let Some(index) = self.index_of(id) else { return false };
        let Some(&Node { slots, tally, class, .. }) = self.node(index) else { return false };
        self.by_id.remove(id_tag(id), index);
        if let Some(state) = self.class(class).map(|class| class.state) {
            self.supply.remove(&state);
        }
        self.log.version += 1;
        self.leave(index, class);
        self.running.replace(index, tally, &Running::default());
        if let Some(node) = self.node_mut(index) {
            node.class = VACANT;
        }
        self.free_nodes.push(index);
        self.totals.remove(&slots);
        true
    }

    /// Opens or closes a node for new tasks. Answers whether the node is there.
    pub fn set_schedulable(&mut self, id: &Uuid, schedulable: bool) -> bool {
        let Some(index) = self.index_of(id) else {
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
        self.by_id.find(id_tag(id), |index| self.node(index).is_some_and(|node| node.key.id == *id))
    }

    /// How many tasks of a kind run on a node.
    pub(super) fn tasks(&self, index: u32, tag: Tag) -> u32 {
        self.node(index).map_or(0, |node| self.running.get(index, node.tally, tag))
    }

    /// Says how many tasks of a kind run on a node from now on. The class of the node is not told.
    pub(super) fn set_tasks(&mut self, index: u32, tag: Tag, tasks: u32) {
        let node = usize::try_from(index).ok().and_then(|at| self.nodes.get_mut(at));
        if let Some(node) = node {
            node.tally = self.running.set(index, node.tally, tag, tasks);
        }
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

    /// The first node of a class that a demand fits, where it may not fit all.
    pub(super) fn first_fitting(&self, class: &Class, demand: &Demand) -> Option<u32> {
        class.members.iter().find(|node| self.judge_node(*node, demand).is_ok())
    }

    /// Moves a node to the class of its changed state.
    pub(super) fn change(&mut self, index: u32, change: impl FnOnce(&mut Node, &mut ClassState)) {
        let Some(number) = self.node(index).map(Node::class) else { return };
        let Some(before) = self.class(number).map(|class| class.state) else { return };
        let grain = self.grain;
        let mut after = before;
        let Some(node) = self.node_mut(index) else { return };
        let had = node.free;
        change(node, &mut after);
        node.tell(grain, &mut after);
        let free = node.free;
        self.log.version += 1;
        if after != before {
            self.supply.replace(&before, &after, free);
            self.leave(index, number);
            self.join(index, &after);
            return;
        }
        self.supply.see(&after, free);
        if free.cpu > had.cpu || free.memory > had.memory || free.storage > had.storage {
            // For who asks it is as if it had joined: what did not fit may fit now.
            self.log.push(number, index, self.classes.len());
        }
    }

    /// Takes a node out of its class, which goes if this was the last one.
    fn leave(&mut self, index: u32, number: u32) {
        let nodes = &self.nodes;
        let Some(class) = self.classes.get_mut(number) else { return };
        let was_first = class.members.first() == Some(index);
        if !class.members.remove(index, |index| key_of(nodes, index)) {
            self.classes.remove(number);
        } else if let Some(first) = class.members.first().filter(|_| was_first) {
            class.first = key_of(nodes, first);
        }
    }

    /// Puts a node into the class of this state, making the class if it is the first one.
    fn join(&mut self, index: u32, state: &ClassState) {
        let nodes = &self.nodes;
        let key = key_of(nodes, index);
        let tag = tag(state);
        let number = self.classes.find(tag, state).unwrap_or(VACANT);
        let (number, is_first) = if let Some(class) = self.classes.get_mut(number) {
            class.members.insert(index, |index| key_of(nodes, index));
            (number, class.members.first() == Some(index))
        } else {
            (self.classes.insert(tag, *state, index, key), true)
        };
        let live = self.classes.len();
        if is_first {
            let position = self.log.push(number, index, live);
            if let Some(class) = self.classes.get_mut(number) {
                (class.first, class.changed) = (key, position);
            }
        } else if !self.grain.is_exact() {
            // It may be the first that fits where the first of the class does not.
            self.log.push(number, index, live);
        }
        if let Some(node) = self.node_mut(index) {
            node.class = number;
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

/// What a node is found by.
fn id_tag(id: &Uuid) -> u32 {
    tag_of(FxBuildHasher.hash_one(id))
}

fn key_of(nodes: &[Node], index: u32) -> NodeKey {
    let node = usize::try_from(index).ok().and_then(|at| nodes.get(at));
    node.map_or(NodeKey { rank: u64::MAX, id: Uuid::max() }, |node| node.key)
}

/// The index of the last of so many things. A cluster of 2^32 nodes does not fit in memory.
fn last_index(len: usize) -> u32 {
    u32::try_from(len.saturating_sub(1)).unwrap_or(VACANT)
}
