//! Containers of a machine that nobody launched here.
//!
//! They are counted on their node and take their ports, so that nothing is placed where they are; they have no owner and get none.
//! One that is marked as an instance which has ended was left behind: its agent is told to remove it.

use std::collections::BTreeMap;

use super::{ControlPlane, Reconciled, Report};
use crate::entity::{
    CommandKind, Entity as _, FOREIGN_INSTANCES, ForeignInstance, ForeignInstanceId, INSTANCES, Instance,
    InstanceId, NODE_LEDGERS, PORT_MAPS, PortMap,
};
use crate::error::Result;
use crate::machine::{FoundInstance, InstanceRef, match_foreign};
use crate::plane::commands::{NewCommand, clipped};
use crate::plane::request::PortKey;
use crate::store::{Batch, NewRow, Row, Scan, StoreExt as _, Write};
use crate::time::Timestamp;

/// How many containers one batch takes in.
const AT_ONCE: usize = 50;

/// The ports of a node that are taken: whose, where they are those of foreign containers.
type Taken = BTreeMap<PortKey, (Option<ForeignInstanceId>, Row)>;

impl ControlPlane {
    /// Takes in the containers at the places `rest` of a report.
    pub(super) async fn take_foreign(
        &self,
        report: Report<'_>,
        found: &[FoundInstance],
        rest: &[usize],
        reconciled: &mut Reconciled,
    ) -> Result<()> {
        reconciled.foreign = rest.len();
        let mut retry = self.report_retry();
        loop {
            let now = self.still_speaks(report.node, report.session).await?;
            let of_node = Scan::of(&FOREIGN_INSTANCES).by("foreign_instances_node_key").with(report.node);
            let known = self.known::<ForeignInstance>(of_node).await?;
            if known.is_empty() && rest.is_empty() {
                return Ok(());
            }
            let keys: Vec<&str> = known.iter().map(|(_, foreign)| foreign.key.as_str()).collect();
            let (still, new) = match_foreign(&keys, found, rest);
            let mut taken = self.taken_ports(report).await?;
            let open = (self.report_batch(report, now), 0);
            let mut steps = Steps { plane: self, report, now, batches: Vec::new(), open, changed: 0 };
            for ((row, foreign), at) in known.iter().zip(still) {
                match at.and_then(|at| found.get(at)) {
                    Some(found) => steps.change(row, foreign, found, &mut taken),
                    None => steps.remove(row, foreign, &mut taken),
                }
            }
            let ended = self.ended_instances(report, &new, found).await?;
            for found in new.iter().filter_map(|at| found.get(*at)) {
                let left_by = found.instance.filter(|mark| ended.contains_key(mark));
                // It was there when the agent looked, and was removed since.
                if left_by
                    .and_then(|mark| ended.get(&mark))
                    .is_some_and(|at| *at >= report.inventory.taken_at)
                {
                    continue;
                }
                steps.adopt(found, left_by, &mut taken)?;
            }
            let (changed, batches) = steps.finish();
            let lost = self.commit_all(batches).await?;
            if lost == 0 {
                reconciled.changed += changed;
                return Ok(());
            }
            retry.again().await?;
        }
    }

    async fn taken_ports(&self, report: Report<'_>) -> Result<Taken> {
        let mut taken = Taken::new();
        let of_node = Scan::of(&PORT_MAPS).by("port_maps_slot").with(report.node);
        for row in self.store.scan_all(of_node).await? {
            let map = PortMap::from_row(&row)?;
            let key = PortKey { family: map.family, protocol: map.protocol, port: map.port };
            taken.insert(key, (map.foreign_id, row));
        }
        Ok(taken)
    }

    /// Which of the marks of new containers are those of instances of this node that have ended, and when each last changed.
    async fn ended_instances(
        &self,
        report: Report<'_>,
        new: &[usize],
        found: &[FoundInstance],
    ) -> Result<BTreeMap<InstanceId, Timestamp>> {
        let marks: Vec<InstanceId> =
            new.iter().filter_map(|at| found.get(*at)).filter_map(|found| found.instance).collect();
        let mut ended = BTreeMap::new();
        for some in marks.chunks(AT_ONCE) {
            let keys = some.iter().map(|mark| (&INSTANCES, (*mark).into())).collect();
            for row in self.store.get_many(keys).await?.value.into_iter().flatten() {
                let instance = Instance::from_row(&row)?;
                if instance.state.is_terminal() && instance.last_node_id == report.node {
                    ended.insert(instance.id, instance.updated_at);
                }
            }
        }
        Ok(ended)
    }
}

/// The batches that take in the foreign containers of a report.
struct Steps<'s> {
    plane: &'s ControlPlane,
    report: Report<'s>,
    now: Timestamp,
    /// Those that are full.
    batches: Vec<Batch>,
    /// The one that is being filled, and how many containers are in it.
    open: (Batch, usize),
    changed: usize,
}

impl Steps<'_> {
    /// The batch that takes in one more container.
    fn batch(&mut self) -> &mut Batch {
        if self.open.1 >= AT_ONCE {
            let new = (self.plane.report_batch(self.report, self.now), 0);
            self.batches.push(std::mem::replace(&mut self.open, new).0);
        }
        self.open.1 += 1;
        self.changed += 1;
        &mut self.open.0
    }

    fn adopt(&mut self, found: &FoundInstance, left_by: Option<InstanceId>, taken: &mut Taken) -> Result<()> {
        let (plane, node, now) = (self.plane, self.report.node, self.now);
        let new = ForeignInstance {
            id: plane.new_id().into(),
            node_id: node,
            key: found.key.clone(),
            name: None,
            status_info: None,
            cpu_milli: found.cpu_milli,
            memory_mib: found.memory_mib,
            storage_mib: found.storage_mib,
            left_by,
            command_id: left_by.map(|_| plane.new_id().into()),
            created_at: now,
            updated_at: now,
        };
        let new = as_found(&new, found);
        let batch = self.batch();
        if let Some((instance, command)) = left_by.zip(new.command_id) {
            let payload = InstanceRef::new(instance, Some(new.key.clone())).to_payload()?;
            let remove = NewCommand::of(node, CommandKind::DeleteInstance, instance.uuid()).payload(payload);
            plane.queue(batch, &remove, command, now);
        }
        batch.push(Write::Insert(new.to_row()));
        count(batch, None, Some(&new));
        take_ports(plane, batch, &new, &found.ports, taken, now);
        Ok(())
    }

    fn change(&mut self, row: &Row, before: &ForeignInstance, found: &FoundInstance, taken: &mut Taken) {
        let after = as_found(before, found);
        let had: Vec<PortKey> = ports_of(before.id, taken);
        let free = |port: &PortKey| taken.get(port).is_none_or(|(foreign, _)| *foreign == Some(before.id));
        let has: Vec<PortKey> = found.ports.iter().copied().filter(free).collect();
        let ports_same = had.len() == has.len() && has.iter().all(|port| had.contains(port));
        if after == *before && ports_same {
            return;
        }
        let (plane, now) = (self.plane, self.now);
        let batch = self.batch();
        let set = ForeignInstance { updated_at: now, ..after };
        batch.push(Write::update(&FOREIGN_INSTANCES, before.id, row.revision(), set.plain()));
        count(batch, Some(before), Some(&set));
        for port in had.iter().filter(|port| !has.contains(port)) {
            if let Some((_, row)) = taken.remove(port) {
                batch.push(Write::delete(&PORT_MAPS, row.key(), row.revision()));
            }
        }
        take_ports(plane, batch, before, &has, taken, now);
    }

    fn remove(&mut self, row: &Row, foreign: &ForeignInstance, taken: &mut Taken) {
        let batch = self.batch();
        for port in ports_of(foreign.id, taken) {
            if let Some((_, row)) = taken.remove(&port) {
                batch.push(Write::delete(&PORT_MAPS, row.key(), row.revision()));
            }
        }
        batch.push(Write::delete(&FOREIGN_INSTANCES, foreign.id, row.revision()));
        count(batch, Some(foreign), None);
    }

    fn finish(mut self) -> (usize, Vec<Batch>) {
        if self.open.1 > 0 {
            self.batches.push(self.open.0);
        }
        (self.changed, self.batches)
    }
}

/// A foreign container with what a report says of it.
fn as_found(foreign: &ForeignInstance, found: &FoundInstance) -> ForeignInstance {
    ForeignInstance {
        name: found.name.as_deref().map(|name| clipped(name, 256)),
        status_info: found.status_info.as_deref().map(|text| clipped(text, 1024)),
        cpu_milli: found.cpu_milli,
        memory_mib: found.memory_mib,
        storage_mib: found.storage_mib,
        ..foreign.clone()
    }
}

/// Counts on the node what a container uses, whether there is room or not: it is there.
fn count(batch: &mut Batch, before: Option<&ForeignInstance>, after: Option<&ForeignInstance>) {
    let Some(node) = before.or(after).map(|foreign| foreign.node_id) else { return };
    let uses = |foreign: Option<&ForeignInstance>| {
        foreign.map_or([0; 3], |it| [it.cpu_milli.get(), it.memory_mib.get(), it.storage_mib.get()])
    };
    let columns = ["cpu_milli", "memory_mib", "storage_mib"];
    for ((column, old), new) in columns.into_iter().zip(uses(before)).zip(uses(after)) {
        if new != old {
            batch.push(Write::record(&NODE_LEDGERS, node, column, new - old));
        }
    }
}

fn ports_of(foreign: ForeignInstanceId, taken: &Taken) -> Vec<PortKey> {
    let its = taken.iter().filter(|(_, (of, _))| *of == Some(foreign));
    its.map(|(port, _)| *port).collect()
}

/// Takes the ports of a container that are nobody's.
fn take_ports(
    plane: &ControlPlane,
    batch: &mut Batch,
    foreign: &ForeignInstance,
    ports: &[PortKey],
    taken: &mut Taken,
    now: Timestamp,
) {
    for port in ports {
        if taken.contains_key(port) {
            continue;
        }
        let row = NewRow::new(&PORT_MAPS)
            .set("id", plane.new_id())
            .set("node_id", foreign.node_id)
            .set("foreign_id", foreign.id)
            .set("family", port.family.as_str())
            .set("protocol", port.protocol.as_str())
            .set("port", port.port)
            .set("managed", false)
            .set("created_at", now);
        if let Ok(inserted) = row.as_inserted() {
            taken.insert(*port, (Some(foreign.id), inserted));
            batch.push(Write::Insert(row));
        }
    }
}
