//! Changes of rows, as the planner's view takes them in.

use std::sync::Arc;

use uuid::Uuid;

use super::{NodeGpu, View, kind_of};
use crate::entity::{COMPUTE_NODES, GPUS, INSTANCES, NODE_LEDGERS, NODE_LIFECYCLES, PORT_MAPS};
use crate::plane::request::PortKey;
use crate::ports::PortRanges;
use crate::store::{RowChange, StoreError, Value, Verb};

impl View {
    /// Applies a change, and answers the node that it touched.
    pub(super) fn apply_change(&mut self, change: &RowChange) -> Result<Option<Uuid>, StoreError> {
        let Some(id) = change.key.as_uuid() else {
            return Ok(None);
        };
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
                        Value::Json(json) => PortRanges::from_json(json).map_err(|error| {
                            StoreError::corrupt(name, Some(change.key.clone()), column, error.to_string())
                        })?,
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
                if let Some(Value::Bool(has_agent)) = get.value("has_agent") {
                    node.has_agent = *has_agent;
                }
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
            name if name == INSTANCES.name => Ok(self.apply_instance(id, gone, &get)),
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
            node.gpus.insert(place, NodeGpu { slot, id, key: None, used_milli: 0, healthy: true });
            place
        });
        if let Some(gpu) = node.gpus.get_mut(known) {
            if let Some(key) = get.value("key") {
                gpu.key = text(key).map(Arc::from);
            }
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

    fn apply_instance(&mut self, id: Uuid, gone: bool, get: &Columns<'_>) -> Option<Uuid> {
        let moved = get.value("node_id");
        if moved.is_none() && !gone {
            return None;
        }
        self.forget(id);
        let before = self.instances.remove(&id);
        if let Some((at, Some(tag))) = before
            && let Some(node) = self.nodes.get_mut(&at)
        {
            node.running.remove(tag);
        }
        let Some(Value::Uuid(at)) = moved.filter(|_| !gone) else {
            return before.map(|(at, _)| at);
        };
        let tag =
            get.int("gpu_count").zip(get.int("gpu_milli")).and_then(|(gpus, milli)| kind_of(gpus, milli));
        self.instances.insert(id, (*at, tag));
        if let Some(tag) = tag {
            self.nodes.entry(*at).or_default().running.add(tag, 1);
        }
        Some(*at)
    }
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
