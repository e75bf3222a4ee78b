//! The nodes as the planner sees them: what is committed, and what this process is about to commit.
//!
//! Everything committed comes from a snapshot and the feed. A launch that was decided and not yet seen in the feed
//! is *pending*: it is subtracted from its node, so that decisions taken at the same time do not collide, and it is
//! dropped when its record arrives or its commit is refused. Nothing here guards anything; the batch does.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

use super::request::PortKey;
use crate::entity::{COMPUTE_NODES, GPUS, INSTANCES, NODE_LEDGERS, NODE_LIFECYCLES, PORT_MAPS};
use crate::ports::PortRanges;
use crate::sched::{Cluster, GpuDemand, GpuState, NodeState, Tag};
use crate::store::{Cursor, Record, Row, RowChange, StoreError, Value, Verb};

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
}

/// A node as it is committed.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Whether its lifecycle lets it take work, and the revision that a batch guards; none until it has one.
    pub(super) lifecycle: Option<(bool, i64)>,
    pub(super) model: Option<Arc<str>>,
    /// The GPUs in slot order: a placement names them by their position here.
    pub(super) gpus: Vec<NodeGpu>,
    ledger: Ledger,
    ranges: [PortRanges; 2],
    taken: BTreeSet<PortKey>,
    running: FxHashMap<Tag, u32>,
    pending: Vec<Uuid>,
}

#[derive(Debug)]
pub(super) struct NodeGpu {
    slot: i64,
    pub(super) id: Uuid,
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
    /// No nodes, at a place in the feed.
    pub(super) fn new(cursor: Cursor) -> Self {
        Self {
            cursor,
            skip: FxHashSet::default(),
            cluster: Cluster::new(),
            nodes: FxHashMap::default(),
            gpus: FxHashMap::default(),
            instances: FxHashMap::default(),
            ports: FxHashMap::default(),
            pending: FxHashMap::default(),
        }
    }

    /// Takes in a row of a snapshot.
    pub(super) fn take_row(&mut self, row: &Row) -> Result<(), StoreError> {
        let columns = row.table().columns.iter().zip(row.values()).map(|(column, value)| (column.name, value.clone()));
        let change = RowChange {
            table: row.table().name,
            key: row.key(),
            verb: Verb::Insert,
            revision: row.revision(),
            version: row.version(),
            columns: columns.collect(),
        };
        let touched = self.apply_change(&change)?;
        touched.into_iter().try_for_each(|node| self.index(node))
    }

    /// Takes in a record of the feed.
    pub(super) fn take_record(&mut self, record: &Record) -> Result<(), StoreError> {
        self.cursor = record.cursor();
        if self.skip.remove(&record.batch) {
            return Ok(());
        }
        let mut touched: Vec<Uuid> = Vec::new();
        for change in &record.changes {
            touched.extend(self.apply_change(change)?);
        }
        touched.sort_unstable();
        touched.dedup();
        touched.into_iter().try_for_each(|node| self.index(node))
    }

    pub(super) fn node(&self, id: Uuid) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// Notes what is about to be committed for an instance.
    pub(super) fn begin(&mut self, instance: Uuid, pending: Pending) -> Result<(), StoreError> {
        let node = pending.node;
        self.end(instance)?;
        self.nodes.entry(node).or_default().pending.push(instance);
        self.pending.insert(instance, pending);
        self.index(node)
    }

    /// Forgets what was about to be committed: it was refused, or its record has arrived.
    pub(super) fn end(&mut self, instance: Uuid) -> Result<(), StoreError> {
        let Some(pending) = self.pending.remove(&instance) else { return Ok(()) };
        if let Some(node) = self.nodes.get_mut(&pending.node) {
            node.pending.retain(|held| *held != instance);
        }
        self.index(pending.node)
    }

    /// Whether a port of a node is taken, or about to be.
    pub(super) fn is_taken(&self, node: Uuid, port: PortKey) -> bool {
        let Some(node) = self.nodes.get(&node) else { return false };
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
        let gpu = |gpu: &NodeGpu| GpuState { free_milli: (1000 - gpu.used_milli).clamp(0, 1000), healthy: gpu.healthy };
        state.gpus = node.gpus.iter().map(gpu).collect();
        for (tag, tasks) in &node.running {
            state.running.add(*tag, *tasks);
        }
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
                    let corrupt = |error: crate::sched::InvalidNode| StoreError::corrupt(NODE_LEDGERS.name, Some(id.into()), "", error.to_string());
                    self.cluster.upsert(&state).map_err(corrupt)?;
                }
            }
        }
        Ok(())
    }

    /// Applies a change, and answers the node that it touched.
    fn apply_change(&mut self, change: &RowChange) -> Result<Option<Uuid>, StoreError> {
        let Some(id) = change.key.as_uuid() else { return Ok(None) };
        let get = Columns(change);
        let gone = change.verb == Verb::Delete;
        match change.table {
            name if name == COMPUTE_NODES.name => {
                if gone {
                    self.nodes.remove(&id);
                    return Ok(Some(id));
                }
                let node = self.nodes.entry(id).or_default();
                if let Some(model) = get.value("gpu_model") {
                    node.model = text(model).map(Arc::from);
                }
                for (family, column) in ["ipv4_ports", "ipv6_ports"].into_iter().enumerate() {
                    let Some(value) = get.value(column) else { continue };
                    let ranges = match value {
                        Value::Json(json) => PortRanges::from_json(json)
                            .map_err(|error| StoreError::corrupt(name, Some(change.key.clone()), column, error.to_string()))?,
                        _ => PortRanges::none(),
                    };
                    if let Some(place) = node.ranges.get_mut(family) {
                        *place = ranges;
                    }
                }
                Ok(Some(id))
            }
            name if name == NODE_LIFECYCLES.name => {
                let node = self.nodes.entry(id).or_default();
                let takes_work = match get.value("state") {
                    Some(state) => text(state) == Some("active"),
                    None => node.lifecycle.is_some_and(|(takes_work, _)| takes_work),
                };
                node.lifecycle = (!gone).then_some((takes_work, change.revision));
                Ok(Some(id))
            }
            name if name == NODE_LEDGERS.name => {
                let ledger = &mut self.nodes.entry(id).or_default().ledger;
                for (pair, total, used) in [
                    (&mut ledger.cpu, "cpu_milli_total", "cpu_milli"),
                    (&mut ledger.memory, "memory_mib_total", "memory_mib"),
                    (&mut ledger.storage, "storage_mib_total", "storage_mib"),
                ] {
                    *pair = [get.int(total).unwrap_or(pair[0]), get.int(used).unwrap_or(pair[1])];
                }
                Ok(Some(id))
            }
            name if name == GPUS.name => Ok(self.apply_gpu(id, gone, &get)),
            name if name == PORT_MAPS.name => Ok(self.apply_port(id, gone, &get)),
            name if name == INSTANCES.name => self.apply_instance(id, gone, &get),
            _ => Ok(None),
        }
    }

    fn apply_gpu(&mut self, id: Uuid, gone: bool, get: &Columns<'_>) -> Option<Uuid> {
        if let Some(node) = get.uuid("node_id").filter(|_| !gone) {
            self.gpus.insert(id, node);
        }
        let at = if gone { self.gpus.remove(&id) } else { self.gpus.get(&id).copied() }?;
        let node = self.nodes.entry(at).or_default();
        if gone {
            node.gpus.retain(|gpu| gpu.id != id);
            return Some(at);
        }
        let known = node.gpus.iter().position(|gpu| gpu.id == id).unwrap_or_else(|| {
            let slot = get.int("slot").unwrap_or(0);
            let place = node.gpus.partition_point(|gpu| gpu.slot < slot);
            node.gpus.insert(place, NodeGpu { slot, id, used_milli: 0, healthy: true });
            place
        });
        if let Some(gpu) = node.gpus.get_mut(known) {
            gpu.used_milli = get.int("used_milli").unwrap_or(gpu.used_milli);
            gpu.healthy = get.value("health").map_or(gpu.healthy, |health| text(health) == Some("healthy"));
        }
        Some(at)
    }

    fn apply_port(&mut self, id: Uuid, gone: bool, get: &Columns<'_>) -> Option<Uuid> {
        if gone {
            let (at, port) = self.ports.remove(&id)?;
            self.nodes.get_mut(&at)?.taken.remove(&port);
            return Some(at);
        }
        let at = get.uuid("node_id")?;
        let port = PortKey {
            family: text(get.value("family")?)?.parse().ok()?,
            protocol: text(get.value("protocol")?)?.parse().ok()?,
            port: u16::try_from(get.int("port")?).ok()?,
        };
        self.ports.insert(id, (at, port));
        self.nodes.entry(at).or_default().taken.insert(port);
        Some(at)
    }

    fn apply_instance(&mut self, id: Uuid, gone: bool, get: &Columns<'_>) -> Result<Option<Uuid>, StoreError> {
        let moved = get.value("node_id");
        if moved.is_none() && !gone {
            return Ok(None);
        }
        self.end(id)?;
        let before = self.instances.remove(&id);
        if let Some((at, Some(tag))) = before {
            if let Some(count) = self.nodes.get_mut(&at).and_then(|node| node.running.get_mut(&tag)) {
                *count = count.saturating_sub(1);
            }
        }
        let Some(Value::Uuid(at)) = moved.filter(|_| !gone) else {
            return Ok(before.map(|(at, _)| at));
        };
        let tag = match (get.int("gpu_count"), get.int("gpu_milli")) {
            (Some(1), Some(milli)) if milli < 1000 => Some(Tag::Share),
            (Some(count), _) if count > 0 => u32::try_from(count).ok().map(Tag::Whole),
            _ => None,
        };
        self.instances.insert(id, (*at, tag));
        if let Some(tag) = tag {
            *self.nodes.entry(*at).or_default().running.entry(tag).or_default() += 1;
        }
        Ok(Some(*at))
    }
}

impl Node {
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
        if let Some(tag) = self.tag() {
            if self.release {
                let left = state.running.iter().filter_map(|(held, count)| {
                    let count = if held == tag { count.saturating_sub(1) } else { count };
                    (count > 0).then_some((held, count))
                });
                let left: Vec<_> = left.collect();
                state.running = crate::sched::Running::default();
                left.into_iter().for_each(|(held, count)| state.running.add(held, count));
            } else {
                state.running.add(tag, 1);
            }
        }
    }

    fn tag(&self) -> Option<Tag> {
        match u32::try_from(self.gpus.len()) {
            Ok(0) | Err(_) => None,
            Ok(1) if self.milli_per_gpu < 1000 => Some(Tag::Share),
            Ok(count) => Some(Tag::Whole(count)),
        }
    }
}

/// The GPU part of a demand, as the columns of an instance.
pub(super) fn gpu_columns(gpu: GpuDemand) -> (i64, i64) {
    let (count, milli) = gpu.need();
    (i64::from(count), milli.get())
}

struct Columns<'c>(&'c RowChange);

impl Columns<'_> {
    fn value(&self, name: &str) -> Option<&Value> {
        self.0.columns.iter().find(|(column, _)| *column == name).map(|(_, value)| value)
    }

    fn int(&self, name: &str) -> Option<i64> {
        match self.value(name) {
            Some(Value::Int(value)) => Some(*value),
            _ => None,
        }
    }

    fn uuid(&self, name: &str) -> Option<Uuid> {
        match self.value(name) {
            Some(Value::Uuid(value)) => Some(*value),
            _ => None,
        }
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}
