//! What holds in every state, whatever the rules are: nothing is lost and nothing is given twice.
//!
//! Of everything that a node has: free + used + unknown + quarantined = inventory + over. What is free is what the planner would give
//! away; what is used are the rows of those that hold it; over is what was recorded beyond what is there.

use std::collections::{BTreeMap, BTreeSet};

use super::Checked;
use super::facts::Rows;
use super::state::{Model, add, amounts};
use crate::ControlPlane;
use crate::entity::{GpuHealth, NodeState};
use crate::plane::PortKey;
use crate::ports::{Family, Protocol};

/// Checks one node after the other on what is stored.
pub(super) async fn check(cloud: &ControlPlane, model: &Model, rows: &Rows) -> Checked {
    cloud.followed.refresh().await.map_err(|error| error.to_string())?;
    for at in 0..model.nodes.len() {
        amounts_are_conserved(cloud, model, rows, at)?;
        gpus_are_conserved(cloud, model, rows, at)?;
        ports_are_conserved(cloud, model, rows, at)?;
        no_container_has_what_another_one_has(model, at)?;
    }
    Ok(())
}

/// One side of the law against the other.
fn law(what: &str, of: usize, left: [i64; 4], inventory: i64, over: i64) -> Checked {
    let [free, used, unknown, quarantined] = left;
    if left.iter().sum::<i64>() == inventory + over && left.iter().all(|part| *part >= 0) {
        return Ok(());
    }
    Err(format!(
        "{what} of node {of} are not conserved: {free} free + {used} used + {unknown} unknown + {quarantined} quarantined is not \
         {inventory} of inventory + {over} over"
    ))
}

/// What is held is used, or unknown where its node is silent.
fn heard_or_not(model: &Model, node: usize, held: i64) -> [i64; 2] {
    if model.nodes[node].state == NodeState::Unknown { [0, held] } else { [held, 0] }
}

fn amounts_are_conserved(cloud: &ControlPlane, model: &Model, rows: &Rows, at: usize) -> Checked {
    let node = &model.nodes[at];
    let state =
        cloud.followed.with(|view| Ok(view.state(node.id.uuid()))).map_err(|error| error.to_string())?;
    let Some(state) = state else { return Err(format!("the planner does not see node {at}")) };
    let (mut held, mut foreign) = ([0; 3], [0; 3]);
    for row in rows.instances.iter().filter(|row| row.node_id == Some(node.id)) {
        add(&mut held, amounts(row.cpu_milli, row.memory_mib, row.storage_mib));
    }
    for row in rows.foreign.iter().filter(|row| row.node_id == node.id) {
        add(&mut foreign, amounts(row.cpu_milli, row.memory_mib, row.storage_mib));
    }
    let free = [state.cpu_free, state.memory_free, state.storage_free];
    for (of, what) in ["processor time", "memory", "storage"].into_iter().enumerate() {
        let over = (-free[of]).max(0);
        let [used, unknown] = heard_or_not(model, at, held[of] + foreign[of]);
        law(what, at, [free[of].max(0), used, unknown, 0], node.total[of], over)?;
        let allowed = foreign[of] + node.most[of] - node.total[of];
        if over > allowed {
            return Err(format!(
                "{over} of {what} over on node {at}, of which {allowed} are foreign or were there"
            ));
        }
    }
    Ok(())
}

fn gpus_are_conserved(cloud: &ControlPlane, model: &Model, rows: &Rows, at: usize) -> Checked {
    let node = &model.nodes[at];
    let state =
        cloud.followed.with(|view| Ok(view.state(node.id.uuid()))).map_err(|error| error.to_string())?;
    let free: i64 = state.map_or(0, |state| state.gpus.iter().map(|gpu| gpu.usable_milli()).sum());
    let (mut held, mut quarantined, mut inventory, mut over) = (0, 0, 0, 0);
    for gpu in rows.gpus.iter().filter(|row| row.node_id == Some(node.id)) {
        let bound = rows.bindings.iter().filter(|row| row.gpu_id == Some(gpu.id) && row.state.holds());
        let milli: i64 = bound.map(|row| row.milli.get()).sum();
        if !(0..=1000).contains(&milli) {
            return Err(format!("{milli} milli of gpu {at}/{} are bound", gpu.slot));
        }
        held += milli;
        match gpu.health {
            GpuHealth::Gone => over += milli,
            GpuHealth::Quarantined => {
                (inventory, quarantined) = (inventory + 1000, quarantined + 1000 - milli);
            }
            GpuHealth::Healthy => inventory += 1000,
        }
    }
    let [used, unknown] = heard_or_not(model, at, held);
    law("gpus", at, [free, used, unknown, quarantined], inventory, over)
}

fn ports_are_conserved(cloud: &ControlPlane, model: &Model, rows: &Rows, at: usize) -> Checked {
    let node = &model.nodes[at];
    let offered = model.range(at);
    let mut owners: BTreeMap<u16, usize> = BTreeMap::new();
    let (mut over, mut foreign) = (0, 0);
    for row in rows.ports.iter().filter(|row| row.node_id == node.id) {
        let own = usize::from(row.instance_id.is_some()) + usize::from(row.foreign_id.is_some());
        *owners.entry(row.port).or_default() += own;
        if !offered.contains(&row.port) {
            over += 1;
            foreign += i64::from(row.foreign_id.is_some());
        }
    }
    if let Some((port, owners)) = owners.iter().find(|(_, owners)| **owners != 1) {
        return Err(format!("port {port} of node {at} has {owners} owners"));
    }
    let is_free = |port: &u16| {
        let key = PortKey { family: Family::Ipv4, protocol: Protocol::Tcp, port: *port };
        let looked = cloud.followed.with(|view| Ok(!view.is_taken(node.id.uuid(), key)));
        looked.unwrap_or(false)
    };
    let count = |count: usize| i64::try_from(count).unwrap_or(-1);
    let [used, unknown] = heard_or_not(model, at, count(owners.len()));
    let free = count(offered.clone().filter(is_free).count());
    law("ports", at, [free, used, unknown, 0], count(offered.len()), over)?;
    let allowed = foreign + i64::from(node.most_ports - node.ports);
    if over > allowed {
        return Err(format!(
            "{over} ports over on node {at}, of which {allowed} are foreign or were offered"
        ));
    }
    Ok(())
}

/// What is really there: no two containers have the same part of a GPU, or the same port, but for those that somebody has given up.
fn no_container_has_what_another_one_has(model: &Model, at: usize) -> Checked {
    let (mut gpus, mut ports) = (BTreeMap::<u32, i64>::new(), BTreeSet::new());
    for (key, container) in &model.nodes[at].machine.containers {
        let Some(given) = model.given.get(key) else { continue };
        if model.instances[given.instance].overridden {
            continue;
        }
        for slot in &given.gpus {
            let sum = gpus.entry(*slot).or_default();
            *sum += given.milli;
            if *sum > 1000 {
                return Err(format!("{key} has gpu {at}/{slot}, which another container has as well"));
            }
        }
        if let Some(port) = container.ports.iter().find(|port| !ports.insert(port.port)) {
            return Err(format!(
                "{key} has port {} of node {at}, which another container has as well",
                port.port
            ));
        }
    }
    Ok(())
}
