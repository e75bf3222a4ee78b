//! The cluster as the change feed tells it: a follower that never reads a row.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apportion::entity::{COMPUTE_NODES, GPUS, NODE_LEDGERS};
use apportion::sched::{Cluster, FragmentMeter, Fragmentation, GpuState, NodeState, TaskMix};
use apportion::store::{Record, RowChange, StoreError, Value};
use uuid::Uuid;

use crate::report::NodeHeat;

/// The nodes, what is given out of them, and how fragmented the rest is.
#[derive(Debug)]
pub(super) struct Mirror {
    nodes: BTreeMap<Uuid, Node>,
    /// Each GPU's node and slot.
    gpus: BTreeMap<Uuid, (Uuid, i64)>,
    cluster: Cluster,
    meter: FragmentMeter,
    fragmentation: Fragmentation,
    /// Nodes whose use has changed since the cluster was fullest.
    since_peak: BTreeSet<Uuid>,
}

#[derive(Debug, Default)]
struct Node {
    name: Arc<str>,
    model: Option<Arc<str>>,
    cpu: Pair,
    memory: Pair,
    /// What is used of the GPU in each slot.
    gpus: BTreeMap<i64, i64>,
    peak_milli: i64,
}

/// What there is, and what is used of it.
#[derive(Debug, Default, Clone, Copy)]
struct Pair {
    total: i64,
    used: i64,
}

impl Mirror {
    pub(super) fn new(mix: TaskMix) -> Self {
        Self {
            nodes: BTreeMap::new(),
            gpus: BTreeMap::new(),
            cluster: Cluster::new(),
            meter: FragmentMeter::new(mix),
            fragmentation: Fragmentation::default(),
            since_peak: BTreeSet::new(),
        }
    }

    /// Takes in one commit.
    pub(super) fn take(&mut self, record: &Record) -> Result<(), StoreError> {
        let mut touched = BTreeSet::new();
        for change in &record.changes {
            touched.extend(self.apply(change));
        }
        for id in touched {
            self.index(id)?;
        }
        Ok(())
    }

    /// Applies a change, and answers the node that it touched.
    fn apply(&mut self, change: &RowChange) -> Option<Uuid> {
        let id = change.key.as_uuid()?;
        if change.table == COMPUTE_NODES.name {
            let node = self.nodes.entry(id).or_default();
            for (column, value) in &change.columns {
                match (*column, value) {
                    ("name", Value::Text(name)) => node.name = Arc::clone(name),
                    ("gpu_model", Value::Text(model)) => node.model = Some(Arc::clone(model)),
                    _ => {}
                }
            }
            Some(id)
        } else if change.table == NODE_LEDGERS.name {
            let node = self.nodes.entry(id).or_default();
            for (column, value) in &change.columns {
                let Value::Int(value) = value else { continue };
                match *column {
                    "cpu_milli" => node.cpu.used = *value,
                    "cpu_milli_total" => node.cpu.total = *value,
                    "memory_mib" => node.memory.used = *value,
                    "memory_mib_total" => node.memory.total = *value,
                    _ => {}
                }
            }
            Some(id)
        } else if change.table == GPUS.name {
            self.apply_gpu(id, change)
        } else {
            None
        }
    }

    fn apply_gpu(&mut self, id: Uuid, change: &RowChange) -> Option<Uuid> {
        let column = |name| {
            let found = change.columns.iter().find(|(column, _)| *column == name);
            found.map(|(_, value)| value)
        };
        if let (Some(Value::Uuid(node)), Some(Value::Int(slot))) = (column("node_id"), column("slot")) {
            self.gpus.insert(id, (*node, *slot));
        }
        let (node, slot) = *self.gpus.get(&id)?;
        if let Some(Value::Int(used)) = column("used_milli") {
            self.nodes.entry(node).or_default().gpus.insert(slot, *used);
        }
        Some(node)
    }

    /// Brings the index up to date with a node.
    fn index(&mut self, id: Uuid) -> Result<(), StoreError> {
        let Some(node) = self.nodes.get(&id) else {
            return Ok(());
        };
        let gpu = |used: &i64| GpuState { free_milli: 1000 - used, healthy: true };
        let state = NodeState {
            model: node.model.as_deref().map(str::to_owned),
            cpu_free: node.cpu.total - node.cpu.used,
            memory_free: node.memory.total - node.memory.used,
            gpus: node.gpus.values().map(gpu).collect(),
            ..NodeState::empty(id, 0)
        };
        if let Some(before) = self.meter.node(&self.cluster, &id) {
            self.fragmentation -= before;
        }
        let impossible = |error: apportion::sched::InvalidNode| {
            StoreError::corrupt(GPUS.name, None, "used_milli", error.to_string())
        };
        self.cluster.upsert(&state).map_err(impossible)?;
        if let Some(after) = self.meter.node(&self.cluster, &id) {
            self.fragmentation += after;
        }
        self.since_peak.insert(id);
        Ok(())
    }

    /// GPU milli that are given out.
    pub(super) fn used_milli(&self) -> u64 {
        self.cluster.totals().gpu_used_milli
    }

    /// GPU milli that are given out, in per cent of all.
    pub(super) fn allocation_pct(&self) -> f64 {
        let totals = self.cluster.totals();
        percent(totals.gpu_used_milli, totals.gpu_capacity_milli())
    }

    /// What is free and no use to a typical pod, in per cent of what is free.
    pub(super) fn fragmentation_pct(&self) -> f64 {
        self.fragmentation.ratio() * 100.0
    }

    /// Remembers how full each node is, because the cluster was never fuller.
    pub(super) fn mark_peak(&mut self) {
        for id in std::mem::take(&mut self.since_peak) {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.peak_milli = node.gpus.values().sum();
            }
        }
    }

    /// The nodes that have GPUs, by name.
    pub(super) fn heat(&self) -> Vec<NodeHeat> {
        let with_gpus = self.nodes.values().filter(|node| !node.gpus.is_empty());
        let heat = |node: &Node| NodeHeat {
            name: node.name.to_string(),
            model: node.model.as_deref().unwrap_or("no model").to_owned(),
            gpus: u32::try_from(node.gpus.len()).unwrap_or(u32::MAX),
            peak_milli: node.peak_milli,
            end_milli: node.gpus.values().sum(),
        };
        with_gpus.map(heat).collect()
    }
}

/// A part in per cent of a whole; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "a figure to be read, not to decide by")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}
