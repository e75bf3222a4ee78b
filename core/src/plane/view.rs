//! The nodes as the planner sees them: what is committed, and what this process is about to commit.
//!
//! Everything committed comes from a snapshot and the feed. A launch that was decided and not yet seen in the feed
//! is *pending*: it is subtracted from its node, so that decisions taken at the same time do not collide, and it is
//! dropped when its record arrives or its commit is refused. Nothing here guards anything; the batch does.

mod change;

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

use super::request::PortKey;
use crate::entity::{NODE_LEDGERS, NodeId};
use crate::ports::PortRanges;
use crate::sched::{Cluster, Demand, GpuState, NodeState, Running, Tag};
use crate::store::{Cursor, Record, Row, RowChange, StoreError, Verb};

/// The state that the planner decides on.
#[derive(Debug)]
pub(super) struct View {
    /// Up to where the feed has been followed.
    pub(super) cursor: Cursor,
    /// Records behind the cursor that the snapshot showed already.
    pub(super) skip: FxHashSet<Uuid>,
    /// The index of free capacity, with what is pending taken off.
    pub(super) cluster: Cluster,
    nodes: FxHashMap<Uuid, Node>,
    /// Each GPU's node.
    gpus: FxHashMap<Uuid, Uuid>,
    /// Each live instance's node, and the kind of task it is.
    instances: FxHashMap<Uuid, (Uuid, Option<Tag>)>,
    /// Each taken port's node.
    ports: FxHashMap<Uuid, (Uuid, PortKey)>,
    pending: FxHashMap<Uuid, Pending>,
    /// Nodes whose index is to be brought up to date.
    touched: Vec<Uuid>,
}

/// A node as it is committed.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Whether its lifecycle lets it take work, and the revision that a batch guards; none until it has one.
    pub(super) lifecycle: Option<(bool, i64)>,
    /// Whether an agent makes what is launched there.
    pub(super) has_agent: bool,
    pub(super) model: Option<Arc<str>>,
    /// The GPUs in slot order: a placement names them by their position here.
    pub(super) gpus: Vec<NodeGpu>,
    ledger: Ledger,
    ranges: [PortRanges; 2],
    taken: BTreeSet<PortKey>,
    running: Running,
    pending: Vec<Uuid>,
}

#[derive(Debug)]
pub(super) struct NodeGpu {
    pub(super) slot: i64,
    pub(super) id: Uuid,
    /// What its driver calls it, where that is known.
    pub(super) key: Option<Arc<str>>,
    used_milli: i64,
    healthy: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ledger {
    cpu: [i64; 2],
    memory: [i64; 2],
    storage: [i64; 2],
}

/// What a decision takes from a node, or gives back to it.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) node: Uuid,
    /// Whether it gives back.
    pub(super) release: bool,
    pub(super) gpus: Vec<Uuid>,
    pub(super) milli_per_gpu: i64,
    pub(super) cpu_milli: i64,
    pub(super) memory_mib: i64,
    pub(super) storage_mib: i64,
    pub(super) ports: Vec<PortKey>,
}

impl View {
    /// No nodes, at a place in the feed. They are indexed in this cluster, which is empty.
    pub(super) fn new(cursor: Cursor, cluster: Cluster) -> Self {
        Self {
            cursor,
            skip: FxHashSet::default(),
            cluster,
            nodes: FxHashMap::default(),
            gpus: FxHashMap::default(),
            instances: FxHashMap::default(),
            ports: FxHashMap::default(),
            pending: FxHashMap::default(),
            touched: Vec::new(),
        }
    }

    /// Takes in a row of a snapshot.
    pub(super) fn take_row(&mut self, row: &Row) -> Result<(), StoreError> {
        let columns =
            row.table().columns.iter().zip(row.values()).map(|(column, value)| (column.name, value.clone()));
        let change = RowChange {
            table: row.table().name,
            key: row.key(),
            verb: Verb::Insert,
            revision: row.revision(),
            version: row.version(),
            columns: columns.collect(),
        };
        let touched = self.apply_change(&change)?;
        self.touched.extend(touched);
        self.index_touched()
    }

    /// Takes in records of the feed. A node is indexed once, however many of them touch it.
    pub(super) fn take_records(&mut self, records: &[Arc<Record>]) -> Result<(), StoreError> {
        let taken = records.iter().try_for_each(|record| self.take_record(record));
        // Also what was taken before one that cannot be.
        self.index_touched().and(taken)
    }

    fn take_record(&mut self, record: &Record) -> Result<(), StoreError> {
        self.cursor = record.cursor();
        if self.skip.remove(&record.batch) {
            return Ok(());
        }
        for change in &record.changes {
            let touched = self.apply_change(change)?;
            self.touched.extend(touched);
        }
        Ok(())
    }

    /// The node of a GPU.
    pub(super) fn node_of_gpu(&self, gpu: Uuid) -> Option<NodeId> {
        self.gpus.get(&gpu).copied().map(NodeId::new)
    }

    pub(super) fn node(&self, id: Uuid) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// Notes what is about to be committed for an instance.
    pub(super) fn begin(&mut self, instance: Uuid, pending: Pending) -> Result<(), StoreError> {
        let node = pending.node;
        self.forget(instance);
        self.nodes.entry(node).or_default().pending.push(instance);
        self.pending.insert(instance, pending);
        self.touched.push(node);
        self.index_touched()
    }

    /// Forgets what was about to be committed: it was refused, or its record has arrived.
    pub(super) fn end(&mut self, instance: Uuid) -> Result<(), StoreError> {
        self.forget(instance);
        self.index_touched()
    }

    /// The same, but leaves the node to be indexed.
    fn forget(&mut self, instance: Uuid) {
        let Some(pending) = self.pending.remove(&instance) else { return };
        if let Some(node) = self.nodes.get_mut(&pending.node) {
            node.pending.retain(|held| *held != instance);
        }
        self.touched.push(pending.node);
    }

    /// Brings the index of the nodes up to date that were touched.
    fn index_touched(&mut self) -> Result<(), StoreError> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched.into_iter().try_for_each(|node| self.index(node))
    }

    /// Whether more than `own` is about to be committed, so that what is taken off a node may yet come back.
    pub(super) fn awaits_commits(&self, own: usize) -> bool {
        self.pending.len() > own
    }

    /// Whether a port of a node is taken, or about to be.
    pub(super) fn is_taken(&self, node: Uuid, port: PortKey) -> bool {
        let Some(node) = self.nodes.get(&node) else {
            return false;
        };
        let pending = node.pending.iter().filter_map(|id| self.pending.get(id));
        let mut taken = node.taken.contains(&port);
        for pending in pending.filter(|pending| pending.ports.contains(&port)) {
            taken = !pending.release;
        }
        taken
    }

    /// The capacity of a node as the planner sees it.
    pub(super) fn state(&self, id: Uuid) -> Option<NodeState> {
        let node = self.nodes.get(&id)?;
        let (takes_work, _) = node.lifecycle?;
        let mut state = NodeState::empty(id, 0);
        state.model = node.model.as_deref().map(str::to_owned);
        state.schedulable = takes_work;
        let free = |[total, used]: [i64; 2]| total.saturating_sub(used);
        state.cpu_free = free(node.ledger.cpu);
        state.memory_free = free(node.ledger.memory);
        state.storage_free = free(node.ledger.storage);
        let gpu = |gpu: &NodeGpu| GpuState {
            free_milli: (1000 - gpu.used_milli).clamp(0, 1000),
            healthy: gpu.healthy,
        };
        state.gpus = node.gpus.iter().map(gpu).collect();
        state.running.clone_from(&node.running);
        for pending in node.pending.iter().filter_map(|id| self.pending.get(id)) {
            pending.apply(node, &mut state);
        }
        Some(state)
    }

    /// Brings the index of one node up to date.
    fn index(&mut self, id: Uuid) -> Result<(), StoreError> {
        match self.state(id) {
            None => drop(self.cluster.remove(&id)),
            Some(state) => {
                if self.cluster.get(&id).as_ref() != Some(&state) {
                    let corrupt = |error: crate::sched::InvalidNode| {
                        StoreError::corrupt(NODE_LEDGERS.name, Some(id.into()), "", error.to_string())
                    };
                    self.cluster.upsert(&state).map_err(corrupt)?;
                }
                if let Some(ledger) = self.nodes.get(&id).map(|node| node.ledger) {
                    // Of a view that was built a moment ago as of one that saw the node when nothing ran on it.
                    self.cluster.see_size(&id, ledger.cpu[0], ledger.memory[0]);
                }
            }
        }
        Ok(())
    }
}

impl Node {
    /// Whether the node has in all as much processor time, memory and disk space as a demand asks for.
    pub(super) fn is_large_enough(&self, demand: &Demand) -> bool {
        let Ledger { cpu: [cpu, _], memory: [memory, _], storage: [storage, _] } = self.ledger;
        cpu >= demand.cpu().get() && memory >= demand.memory().get() && storage >= demand.storage().get()
    }

    /// The ports that the node offers.
    pub(super) fn ranges(&self, family: crate::ports::Family) -> &PortRanges {
        let [v4, v6] = &self.ranges;
        match family {
            crate::ports::Family::Ipv4 => v4,
            crate::ports::Family::Ipv6 => v6,
        }
    }
}

impl Pending {
    fn apply(&self, node: &Node, state: &mut NodeState) {
        let sign = if self.release { 1 } else { -1 };
        state.cpu_free += sign * self.cpu_milli;
        state.memory_free += sign * self.memory_mib;
        state.storage_free += sign * self.storage_mib;
        for (gpu, free) in node.gpus.iter().zip(&mut state.gpus) {
            if self.gpus.contains(&gpu.id) {
                free.free_milli = (free.free_milli + sign * self.milli_per_gpu).clamp(0, 1000);
            }
        }
        let gpus = i64::try_from(self.gpus.len()).unwrap_or(i64::MAX);
        if let Some(tag) = kind_of(gpus, self.milli_per_gpu) {
            if self.release {
                state.running.remove(tag);
            } else {
                state.running.add(tag, 1);
            }
        }
    }
}

/// The kind of task that takes so much of each of so many GPUs.
fn kind_of(gpus: i64, milli_per_gpu: i64) -> Option<Tag> {
    match u32::try_from(gpus) {
        Ok(0) | Err(_) => None,
        Ok(1) if milli_per_gpu < 1000 => Some(Tag::Share),
        Ok(count) => Some(Tag::Whole(count)),
    }
}
