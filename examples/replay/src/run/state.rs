//! The final state as one hash that two replays can be compared by.
//!
//! It covers the nodes by name with their ledgers and GPUs, the users by address with their quotas, the live instances
//! by name with what they hold, and how many rows each table has. It contains no id and no time, so it depends neither
//! on the store, nor on how many operations shared a commit, nor on whether the replay was interrupted.

use std::collections::BTreeMap;

use apportion::entity::{
    COMPUTE_NODES, GPU_BINDINGS, GPUS, INSTANCES, NODE_LEDGERS, NODE_LIFECYCLES, QUOTAS, TABLES, USERS,
};
use apportion::store::{Row, Scan, Snapshot, SnapshotExt as _, StoreError};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::begun::digest;

/// The final state of a replay.
#[derive(Debug)]
pub(super) struct FinalState {
    /// SHA-256 in hexadecimal.
    pub(super) digest: String,
    /// Instances that are live.
    pub(super) live: u64,
    /// GPU milli that the GPUs say are given out.
    pub(super) used_milli: u64,
}

/// Reads the state from a snapshot.
pub(super) async fn read(snapshot: &dyn Snapshot) -> Result<FinalState, StoreError> {
    let mut state = State::default();
    let mut counts = Vec::with_capacity(TABLES.len());
    for &table in TABLES {
        let mut count = 0_u64;
        let mut look = |row: &Row| {
            count += 1;
            state.take(row)
        };
        snapshot.each(Scan::of(table), &mut look).await?;
        counts.push(json!([table.name, count]));
    }
    state.describe(counts)
}

#[derive(Default)]
struct State {
    users: BTreeMap<Uuid, User>,
    nodes: BTreeMap<Uuid, Node>,
    /// Each GPU's slot.
    slots: BTreeMap<Uuid, i64>,
    /// The slots of the GPUs that each live instance holds, with how much of each.
    held: BTreeMap<Uuid, BTreeMap<i64, i64>>,
    instances: Vec<Instance>,
    used_milli: i64,
}

#[derive(Default)]
struct User {
    email: String,
    quota: Json,
}

#[derive(Default)]
struct Node {
    name: String,
    model: Option<String>,
    lifecycle: Option<String>,
    ledger: Json,
    gpus: BTreeMap<i64, i64>,
}

struct Instance {
    id: Uuid,
    owner: Uuid,
    node: Uuid,
    name: String,
    rest: Json,
}

impl State {
    fn take(&mut self, row: &Row) -> Result<(), StoreError> {
        let Some(id) = row.key().as_uuid() else {
            return Ok(());
        };
        match row.table().name {
            name if name == USERS.name => {
                row.text("email")?.clone_into(&mut self.users.entry(id).or_default().email);
            }
            name if name == QUOTAS.name => {
                self.users.entry(id).or_default().quota = json!([
                    [row.int("instances")?, row.int("instance_limit")?],
                    [row.int("nodes")?, row.int("node_limit")?],
                    [row.int("gpu_milli")?, row.opt_int("gpu_milli_limit")?],
                    [row.int("cpu_milli")?, row.opt_int("cpu_milli_limit")?],
                    [row.int("memory_mib")?, row.opt_int("memory_mib_limit")?],
                    [row.int("storage_mib")?, row.opt_int("storage_mib_limit")?],
                ]);
            }
            name if name == COMPUTE_NODES.name => {
                let node = self.nodes.entry(id).or_default();
                row.text("name")?.clone_into(&mut node.name);
                node.model = row.opt_text("gpu_model")?.map(str::to_owned);
            }
            name if name == NODE_LIFECYCLES.name => {
                self.nodes.entry(id).or_default().lifecycle = Some(row.text("state")?.to_owned());
            }
            name if name == NODE_LEDGERS.name => {
                self.nodes.entry(id).or_default().ledger = json!([
                    row.int("instances")?,
                    [row.int("cpu_milli")?, row.int("cpu_milli_total")?],
                    [row.int("memory_mib")?, row.int("memory_mib_total")?],
                    [row.int("storage_mib")?, row.int("storage_mib_total")?],
                    [row.int("gpu_milli")?, row.int("gpu_milli_total")?],
                ]);
            }
            name if name == GPUS.name => {
                let (slot, used) = (row.int("slot")?, row.int("used_milli")?);
                self.slots.insert(id, slot);
                self.used_milli += used;
                if let Some(node) = row.opt_id::<()>("node_id")? {
                    self.nodes.entry(node.uuid()).or_default().gpus.insert(slot, used);
                }
            }
            name if name == GPU_BINDINGS.name => self.take_binding(row)?,
            name if name == INSTANCES.name => self.take_instance(id, row)?,
            _ => {}
        }
        Ok(())
    }

    fn take_binding(&mut self, row: &Row) -> Result<(), StoreError> {
        let held = row.opt_id::<()>("gpu_id")?.zip(row.opt_id::<()>("instance_id")?);
        if let Some((gpu, instance)) = held {
            let slot = self.slots.get(&gpu.uuid()).copied().unwrap_or(-1);
            let slots = self.held.entry(instance.uuid()).or_default();
            slots.insert(slot, row.int("milli")?);
        }
        Ok(())
    }

    fn take_instance(&mut self, id: Uuid, row: &Row) -> Result<(), StoreError> {
        // What is over is only counted.
        if let Some(node) = row.opt_id::<()>("node_id")? {
            self.instances.push(Instance {
                id,
                owner: row.id::<()>("owner_id")?.uuid(),
                node: node.uuid(),
                name: row.text("name")?.to_owned(),
                rest: json!([
                    row.text("state")?,
                    row.int("cpu_milli")?,
                    row.int("memory_mib")?,
                    row.int("storage_mib")?,
                    row.int("gpu_count")?,
                    row.int("gpu_milli")?,
                    row.opt_json("gpu_models")?.map(apportion::store::Json::as_str),
                ]),
            });
        }
        Ok(())
    }

    fn describe(mut self, mut lines: Vec<Json>) -> Result<FinalState, StoreError> {
        let email = |id: &Uuid| self.users.get(id).map(|user| user.email.as_str());
        let node = |id: &Uuid| self.nodes.get(id).map(|node| node.name.as_str());
        self.instances.sort_by(|a, b| (&a.name, email(&a.owner)).cmp(&(&b.name, email(&b.owner))));
        for found in &self.instances {
            let gpus = self.held.get(&found.id).map(|held| held.iter().collect::<Vec<_>>());
            let line =
                json!(["instance", found.name, email(&found.owner), node(&found.node), found.rest, gpus]);
            lines.push(line);
        }
        let mut nodes: Vec<&Node> = self.nodes.values().collect();
        nodes.sort_by_key(|node| &node.name);
        for node in nodes {
            let gpus: Vec<_> = node.gpus.iter().collect();
            lines.push(json!(["node", node.name, node.model, node.lifecycle, node.ledger, gpus]));
        }
        let mut users: Vec<&User> = self.users.values().collect();
        users.sort_by_key(|user| &user.email);
        lines.extend(users.into_iter().map(|user| json!(["user", user.email, user.quota])));
        let negative =
            |_| StoreError::corrupt(GPUS.name, None, "used_milli", "expected an amount that is not negative");
        Ok(FinalState {
            digest: digest(lines.into_iter()),
            live: u64::try_from(self.instances.len()).unwrap_or(u64::MAX),
            used_milli: u64::try_from(self.used_milli).map_err(negative)?,
        })
    }
}
