//! What is stored and what the model knows, as lines under names, so that a difference can be read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use uuid::Uuid;

use super::super::compared::{Facts, parsed, rows_of};
use super::state::{Model, amounts};
use crate::entity::{
    COMMANDS, COMPUTE_NODES, Command, ComputeNode, FOREIGN_INSTANCES, ForeignInstance, GPU_BINDINGS, GPUS,
    Gpu, GpuBinding, INSTANCES, Instance, InstanceState, NODE_HEARTBEATS, NODE_LEDGERS, NODE_LIFECYCLES,
    NodeHeartbeat, NodeLedger, NodeLifecycle, PORT_MAPS, PortMap, QUOTAS, Quota,
};
use crate::ports::Protocol;
use crate::store::{Store, Table};

/// All rows of machines, as they are at one moment.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) profiles: Vec<ComputeNode>,
    pub(super) lives: Vec<NodeLifecycle>,
    pub(super) heard: Vec<NodeHeartbeat>,
    pub(super) ledgers: Vec<NodeLedger>,
    pub(super) gpus: Vec<Gpu>,
    pub(super) bindings: Vec<GpuBinding>,
    pub(super) ports: Vec<PortMap>,
    pub(super) instances: Vec<Instance>,
    pub(super) commands: Vec<Command>,
    pub(super) foreign: Vec<ForeignInstance>,
    pub(super) quotas: Vec<Quota>,
}

impl Rows {
    pub(super) async fn read(store: &dyn Store) -> Result<Self, String> {
        const TABLES: [&Table; 11] = [
            &COMPUTE_NODES,
            &NODE_LIFECYCLES,
            &NODE_HEARTBEATS,
            &NODE_LEDGERS,
            &GPUS,
            &GPU_BINDINGS,
            &PORT_MAPS,
            &INSTANCES,
            &COMMANDS,
            &FOREIGN_INSTANCES,
            &QUOTAS,
        ];
        let mut pages = rows_of(store, &TABLES).await?;
        let mut next = || pages.next().unwrap_or_default();
        Ok(Self {
            profiles: parsed(&next())?,
            lives: parsed(&next())?,
            heard: parsed(&next())?,
            ledgers: parsed(&next())?,
            gpus: parsed(&next())?,
            bindings: parsed(&next())?,
            ports: parsed(&next())?,
            instances: parsed(&next())?,
            commands: parsed(&next())?,
            foreign: parsed(&next())?,
            quotas: parsed(&next())?,
        })
    }
}

/// Learns from the rows what only the control plane chooses: the ids of commands and GPUs.
pub(super) fn learn(model: &mut Model, rows: &Rows) {
    for at in 0..model.commands.len() {
        if model.commands[at].id.is_some() {
            continue;
        }
        let instance = model.commands[at].instance;
        let id = if model.instances[instance].command == Some(at) {
            let id = model.instances[instance].id;
            rows.instances.iter().find(|row| row.id == id).and_then(|row| row.command_id)
        } else {
            let id = model.instances[instance].id;
            rows.foreign.iter().find(|row| row.left_by == Some(id)).and_then(|row| row.command_id)
        };
        let known = model.commands.iter().any(|command| command.id == id);
        model.commands[at].id = id.filter(|_| !known);
    }
    for node in &mut model.nodes {
        for (slot, gpu) in &mut node.gpus {
            let its = rows.gpus.iter().find(|row| row.node_id == Some(node.id) && row.slot == *slot);
            gpu.id = gpu.id.or(its.map(|row| row.id));
        }
    }
}

/// What the places of ids are called.
struct Names(BTreeMap<Uuid, String>);

impl Names {
    fn of(model: &Model) -> Self {
        let mut names = BTreeMap::new();
        names.extend(model.users.iter().enumerate().map(|(at, user)| (user.id.uuid(), format!("user {at}"))));
        names.extend(model.nodes.iter().enumerate().map(|(at, node)| (node.id.uuid(), format!("node {at}"))));
        names.extend(
            model.instances.iter().enumerate().map(|(at, it)| (it.id.uuid(), format!("instance {at}"))),
        );
        for (at, command) in model.commands.iter().enumerate() {
            names.extend(command.id.map(|id| (id.uuid(), format!("command {at}"))));
        }
        for (at, node) in model.nodes.iter().enumerate() {
            for (slot, gpu) in &node.gpus {
                names.extend(gpu.id.map(|id| (id.uuid(), format!("gpu {at}/{slot}"))));
            }
        }
        Self(names)
    }

    fn name(&self, id: Uuid) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| format!("?{id}"))
    }
}

/// What is stored.
pub(super) fn stored(model: &Model, rows: &Rows) -> Facts {
    let names = Names::of(model);
    let name = |id| names.name(id);
    let mut facts = Facts::new();
    for row in &rows.profiles {
        let count = row.ipv4_ports.as_ref().map_or(0, |ports| ports.count(Protocol::Tcp));
        facts.insert(format!("{} offers", name(row.id.uuid())), format!("{count} ports"));
    }
    for row in &rows.lives {
        facts.insert(
            format!("{} is", name(row.node_id.uuid())),
            format!("{} agent {}", row.state, row.has_agent),
        );
    }
    for row in &rows.heard {
        facts.insert(
            format!("{} heard", name(row.node_id.uuid())),
            format!("{} at {}", row.session, row.seen_at),
        );
    }
    for row in &rows.ledgers {
        let held = amounts(row.cpu_milli, row.memory_mib, row.storage_mib);
        let total = amounts(row.cpu_milli_total, row.memory_mib_total, row.storage_mib_total);
        let gpus = (row.gpu_milli.get(), row.gpu_milli_total.get());
        facts.insert(
            format!("{} holds", name(row.node_id.uuid())),
            ledger(row.instances.into(), held, total, gpus),
        );
    }
    for row in &rows.gpus {
        let used = row.used_milli.get();
        facts.insert(name(row.id.uuid()), format!("{:?} {} {used} used", row.key, row.health));
    }
    for row in &rows.bindings {
        if let Some((gpu, instance)) = row.gpu_id.zip(row.instance_id) {
            let key = format!("{} of {}", name(gpu.uuid()), name(instance.uuid()));
            facts.insert(key, format!("{} {}", row.milli.get(), row.state));
        }
    }
    for row in &rows.ports {
        let of_foreign = row.foreign_id.and_then(|id| rows.foreign.iter().find(|foreign| foreign.id == id));
        let mut owners: Vec<String> = row.instance_id.map(|id| name(id.uuid())).into_iter().collect();
        owners.extend(of_foreign.map(|foreign| format!("foreign {}", foreign.key)));
        facts.insert(format!("port {} of {}", row.port, name(row.node_id.uuid())), owners.join(" and "));
    }
    for row in &rows.instances {
        let command = row.command_id.map(|id| name(id.uuid()));
        let node = row.node_id.map(|id| name(id.uuid()));
        let fact = instance(
            (row.state, &row.desired),
            row.by_agent,
            (command.as_ref(), node.as_ref()),
            (row.key.as_ref(), row.status_info.as_ref()),
        );
        facts.insert(name(row.id.uuid()), fact);
    }
    for row in &rows.commands {
        let of = row.subject_id.map(name);
        let mut fact =
            format!("{} {} for {of:?}, {} of {}", row.kind, row.state, row.attempt, row.max_attempts);
        let _ = write!(fact, ", {:?} until {:?}", row.session, row.leased_until);
        facts.insert(name(row.id.uuid()), fact);
    }
    for row in &rows.foreign {
        let uses = amounts(row.cpu_milli, row.memory_mib, row.storage_mib);
        let (left_by, command) =
            (row.left_by.map(|id| name(id.uuid())), row.command_id.map(|id| name(id.uuid())));
        let key = format!("foreign {} of {}", row.key, name(row.node_id.uuid()));
        facts.insert(key, format!("{uses:?} {left_by:?} {command:?} {:?}", row.status_info));
    }
    for row in &rows.quotas {
        let used = amounts(row.cpu_milli, row.memory_mib, row.storage_mib);
        let fact =
            format!("{} instances, {} gpu, {used:?}, {:?}", row.instances, row.gpu_milli.get(), row.limits());
        facts.insert(format!("{} uses", name(row.account_id.uuid())), fact);
    }
    facts
}

fn ledger(instances: i64, held: [i64; 3], total: [i64; 3], gpus: (i64, i64)) -> String {
    format!("{instances} instances, {held:?} of {total:?}, gpus {gpus:?}")
}

fn instance(
    (state, desired): (InstanceState, &dyn std::fmt::Display),
    by_agent: bool,
    (command, node): (Option<&String>, Option<&String>),
    (key, status): (Option<&String>, Option<&String>),
) -> String {
    format!("{state}, wanted {desired}, by agent {by_agent}, {command:?}, {node:?}, {key:?} {status:?}")
}

/// What the model knows.
pub(super) fn known(model: &Model) -> Facts {
    let mut facts = Facts::new();
    for (at, node) in model.nodes.iter().enumerate() {
        facts.insert(format!("node {at} offers"), format!("{} ports", node.ports));
        facts.insert(format!("node {at} is"), format!("{} agent {}", node.state, node.heard.is_some()));
        if let Some((session, seen)) = node.heard {
            facts.insert(format!("node {at} heard"), format!("{session} at {seen}"));
        }
        let instances = i64::try_from(model.on(at).count()).unwrap_or(-1);
        let gpu_milli: i64 = model.on(at).map(|it| it.milli * i64::from(it.request.gpus)).sum();
        let fact = ledger(instances, model.held(at), node.total, (gpu_milli, node.gpu_total));
        facts.insert(format!("node {at} holds"), fact);
        for (slot, gpu) in &node.gpus {
            let used = model.gpu_held(at, *slot);
            facts.insert(format!("gpu {at}/{slot}"), format!("{:?} {} {used} used", gpu.key, gpu.health));
        }
        let taken = model.taken(at);
        facts.extend(taken.into_iter().map(|(port, of)| (format!("port {port} of node {at}"), of)));
        for (key, foreign) in &node.foreign {
            let left_by = foreign.left_by.map(|at| format!("instance {at}"));
            let command = foreign.command.map(|at| format!("command {at}"));
            let fact = format!("{:?} {left_by:?} {command:?} {:?}", foreign.uses, foreign.status);
            facts.insert(format!("foreign {key} of node {at}"), fact);
        }
    }
    for (at, it) in model.instances.iter().enumerate() {
        let command = it.command.map(|command| format!("command {command}"));
        let node = it.is_live().then(|| format!("node {}", it.node));
        let fact = instance(
            (it.state, &it.desired),
            it.by_agent,
            (command.as_ref(), node.as_ref()),
            (it.key.as_ref(), it.status.as_ref()),
        );
        facts.insert(format!("instance {at}"), fact);
        let binding = match it.state {
            InstanceState::Requested | InstanceState::Creating => "reserved",
            InstanceState::Deleting => "releasing",
            _ => "bound",
        };
        for slot in &it.gpus {
            facts.insert(
                format!("gpu {}/{slot} of instance {at}", it.node),
                format!("{} {binding}", it.milli),
            );
        }
    }
    for (at, it) in model.commands.iter().enumerate() {
        let of = Some(format!("instance {}", it.instance));
        let mut fact = format!("{} {} for {of:?}, {} of {}", it.kind, it.state, it.attempt, it.most);
        let _ = write!(fact, ", {:?} until {:?}", it.session, it.until);
        facts.insert(format!("command {at}"), fact);
    }
    for (at, user) in model.users.iter().enumerate() {
        let (instances, gpus, used) = model.used(at);
        facts.insert(
            format!("user {at} uses"),
            format!("{instances} instances, {gpus} gpu, {used:?}, {:?}", user.limits),
        );
    }
    facts
}
