//! The index of nodes that the scheduler decides on: [`Cluster`].

mod change;

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxBuildHasher;
use uuid::Uuid;

use super::change_log::ChangeLog;
use super::class::{Class, ClassState, Slot, Slots};
use super::class_table::ClassTable;
use super::demand::{Demand, Tag};
use super::fits::{Misfit, Offer, judge};
use super::grain::{Free, Grain};
use super::hash_index::{HashIndex, tag_of};
use super::members::NodeKey;
use super::node::{NodeState, Running};
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

    /// Whether a node takes new tasks; it does not if it is not there.
    pub(crate) fn is_schedulable(&self, id: &Uuid) -> bool {
        self.index_of(id).and_then(|index| self.class_of(index)).is_some_and(|class| class.state.schedulable)
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

    /// The first node of a class that a demand fits, where it may not fit all, of those from a key on.
    pub(super) fn first_fitting(&self, class: &Class, from: NodeKey, demand: &Demand) -> Option<u32> {
        let key = |node: u32| self.node(node).map_or(from, |node| node.key);
        class.members.iter_from(from, key).find(|node| self.judge_node(*node, demand).is_ok())
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
