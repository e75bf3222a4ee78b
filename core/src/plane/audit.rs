//! Recomputing every counter from the rows that it counts.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::ControlPlane;
use crate::entity::{
    ADMINISTRATIONS, BindingState, COMPUTE_NODES, CONNECTIONS, FOREIGN_INSTANCES, GPU_BINDINGS, GPU_LEASES,
    GPUS, INSTANCES, LEASE_GPUS, LEASE_NODES, LOGIN_WAYS, NODE_LEDGERS, PASSWORDS, QUOTAS, RUN_QUEUE_USES,
    USERS, UserPermission,
};
use crate::error::Result;
use crate::store::{Key, Row, Scan, Snapshot, SnapshotExt as _, StoreError, Table};

/// What [`ControlPlane::audit`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditReport {
    /// What [`ControlPlane::repair`] knows it by.
    pub(super) id: Uuid,
    /// The counters that differ from their recount; empty where all is well.
    pub drifts: Vec<Drift>,
    /// How many counters were recounted.
    pub counters: u64,
    /// How many live instances were counted.
    pub live_instances: u64,
}

impl AuditReport {
    /// Whether every counter equals its recount.
    pub fn is_clean(&self) -> bool {
        self.drifts.is_empty()
    }
}

/// A counter that differs from its recount.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// The table.
    pub table: &'static str,
    /// The row.
    pub key: Key,
    /// The counter.
    pub column: &'static str,
    /// What the counter says.
    pub recorded: i64,
    /// What the rows say.
    pub recounted: i64,
}

/// What was counted, by table, row and column.
type Counts = BTreeMap<(&'static str, Uuid, &'static str), i64>;

impl ControlPlane {
    /// Recomputes all ledgers, quotas and GPUs from the instances, foreign containers and bindings, the ways in of every user from password and
    /// connections, and the number of administrators, on one consistent view, and reports what differs. It changes nothing; [`ControlPlane::repair`] does. It has the lifetime of a snapshot, a minute, for all of it.
    #[tracing::instrument(skip_all)]
    pub async fn audit(&self) -> Result<AuditReport> {
        let snapshot = self.store.snapshot().await?;
        let mut report = AuditReport { id: self.ids.next_id(), ..AuditReport::default() };
        let mut counts = Counts::new();
        snapshot
            .each(Scan::of(&INSTANCES), &mut |row| {
                if let Some(node) = row.opt_id::<()>("node_id")? {
                    report.live_instances += 1;
                    count_instance(&mut counts, row, node.uuid())?;
                }
                Ok(())
            })
            .await?;
        snapshot
            .each(Scan::of(&FOREIGN_INSTANCES), &mut |row| {
                let node = row.id::<()>("node_id")?.uuid();
                for column in ["cpu_milli", "memory_mib", "storage_mib"] {
                    *counts.entry((NODE_LEDGERS.name, node, column)).or_default() += row.int(column)?;
                }
                Ok(())
            })
            .await?;
        snapshot
            .each(Scan::of(&COMPUTE_NODES), &mut |row| {
                let owner = row.id::<()>("owner_id")?.uuid();
                *counts.entry((QUOTAS.name, owner, "nodes")).or_default() += 1;
                Ok(())
            })
            .await?;
        snapshot
            .each(Scan::of(&GPU_BINDINGS), &mut |row| {
                if let Some(gpu) = row.opt_id::<()>("gpu_id")? {
                    *counts.entry((GPUS.name, gpu.uuid(), "used_milli")).or_default() += row.int("milli")?;
                }
                Ok(())
            })
            .await?;
        count_leases(&*snapshot, &mut counts).await?;
        count_ways(&*snapshot, &mut counts).await?;
        count_administrators(&*snapshot, &mut report).await?;
        for (table, columns) in [
            (&QUOTAS, &["instances", "nodes", "cpu_milli", "memory_mib", "storage_mib", "gpu_milli"][..]),
            (&NODE_LEDGERS, &["instances", "cpu_milli", "memory_mib", "storage_mib", "gpu_milli"]),
            (&GPUS, &["used_milli"]),
            (&LOGIN_WAYS, &["ways"]),
            (&RUN_QUEUE_USES, &["gpu_milli", "cpu_milli", "memory_mib"]),
        ] {
            let look = &mut |row: &Row| compare(&mut report, &mut counts, row, columns);
            snapshot.each(Scan::of(table), look).await?;
        }
        // What is counted on a row that is not there.
        let left = counts.into_iter().filter(|(_, count)| *count != 0);
        report.drifts.extend(left.map(|((table, id, column), recounted)| Drift {
            table,
            key: id.into(),
            column,
            recorded: 0,
            recounted,
        }));
        Ok(report)
    }
}

/// Counts what leases hold of accounts, queues, nodes and GPUs.
async fn count_leases(snapshot: &dyn Snapshot, counts: &mut Counts) -> std::result::Result<(), StoreError> {
    let mut add = |table: &'static Table, id: Uuid, row: &Row, columns: &[&'static str]| {
        for column in columns {
            *counts.entry((table.name, id, *column)).or_default() += row.int(column)?;
        }
        Ok(())
    };
    snapshot
        .each(Scan::of(&GPU_LEASES), &mut |row| {
            if row.text("state")? == BindingState::Released.as_str() {
                return Ok(());
            }
            let all = ["gpu_milli", "cpu_milli", "memory_mib", "storage_mib"];
            add(&QUOTAS, row.id::<()>("account_id")?.uuid(), row, &all)?;
            match row.opt_id::<()>("queue_id")? {
                Some(queue) => {
                    add(&RUN_QUEUE_USES, queue.uuid(), row, &["gpu_milli", "cpu_milli", "memory_mib"])
                }
                None => Ok(()),
            }
        })
        .await?;
    snapshot
        .each(Scan::of(&LEASE_NODES), &mut |row| match row.opt_id::<()>("node_id")? {
            Some(node) => {
                let all = ["gpu_milli", "cpu_milli", "memory_mib", "storage_mib"];
                add(&NODE_LEDGERS, node.uuid(), row, &all)
            }
            None => Ok(()),
        })
        .await?;
    snapshot
        .each(Scan::of(&LEASE_GPUS), &mut |row| {
            if let Some(gpu) = row.opt_id::<()>("gpu_id")? {
                *counts.entry((GPUS.name, gpu.uuid(), "used_milli")).or_default() += row.int("milli")?;
            }
            Ok(())
        })
        .await
}

/// Counts the ways in of each user: a password is one, and so is each connection.
async fn count_ways(snapshot: &dyn Snapshot, counts: &mut Counts) -> std::result::Result<(), StoreError> {
    for table in [&PASSWORDS, &CONNECTIONS] {
        snapshot
            .each(Scan::of(table), &mut |row| {
                let user = row.id::<()>("user_id")?.uuid();
                *counts.entry((LOGIN_WAYS.name, user, "ways")).or_default() += 1;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

/// Counts the administrators, suspended ones too, and compares. Before the first one nothing counts them.
async fn count_administrators(
    snapshot: &dyn Snapshot,
    report: &mut AuditReport,
) -> std::result::Result<(), StoreError> {
    let mut recounted = 0;
    snapshot
        .each(Scan::of(&USERS), &mut |row| {
            recounted += i64::from(row.text("permission")? == UserPermission::Administrator.as_str());
            Ok(())
        })
        .await?;
    snapshot
        .each(Scan::of(&ADMINISTRATIONS), &mut |row| {
            report.counters += 1;
            let (recorded, column) = (row.int("administrators")?, "administrators");
            if recorded != recounted {
                let table = ADMINISTRATIONS.name;
                report.drifts.push(Drift { table, key: row.key(), column, recorded, recounted });
            }
            Ok(())
        })
        .await
}

fn count_instance(counts: &mut Counts, row: &Row, node: Uuid) -> std::result::Result<(), StoreError> {
    let owner = row.id::<()>("owner_id")?.uuid();
    let gpu_milli = row.int("gpu_count")? * row.int("gpu_milli")?;
    for (table, id, column, amount) in [
        (QUOTAS.name, owner, "instances", 1),
        (QUOTAS.name, owner, "cpu_milli", row.int("cpu_milli")?),
        (QUOTAS.name, owner, "memory_mib", row.int("memory_mib")?),
        (QUOTAS.name, owner, "storage_mib", row.int("storage_mib")?),
        (QUOTAS.name, owner, "gpu_milli", gpu_milli),
        (NODE_LEDGERS.name, node, "instances", 1),
        (NODE_LEDGERS.name, node, "cpu_milli", row.int("cpu_milli")?),
        (NODE_LEDGERS.name, node, "memory_mib", row.int("memory_mib")?),
        (NODE_LEDGERS.name, node, "storage_mib", row.int("storage_mib")?),
        (NODE_LEDGERS.name, node, "gpu_milli", gpu_milli),
    ] {
        *counts.entry((table, id, column)).or_default() += amount;
    }
    Ok(())
}

fn compare(
    report: &mut AuditReport,
    counts: &mut Counts,
    row: &Row,
    columns: &'static [&'static str],
) -> std::result::Result<(), StoreError> {
    let key = row.key();
    let Some(id) = key.as_uuid() else { return Ok(()) };
    let table = row.table().name;
    for column in columns {
        report.counters += 1;
        let recorded = row.int(column)?;
        let recounted = counts.remove(&(table, id, *column)).unwrap_or(0);
        if recorded != recounted {
            report.drifts.push(Drift { table, key: key.clone(), column, recorded, recounted });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::entity::{Administration, TABLES};
    use crate::plane::NewUser;
    use crate::store::memory::MemoryStore;
    use crate::store::{Batch, NewRow, StoreExt as _, Write};
    use crate::time::{ManualClock, Timestamp};

    #[tokio::test]
    async fn ways_in_and_administrators_are_recounted() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let plane = ControlPlane::new(Arc::new(MemoryStore::new(TABLES, clock).unwrap()));
        let user = plane.create_user(NewUser::new("ada@example.org", "Ada")).await.unwrap();
        let row = NewRow::new(&ADMINISTRATIONS).set("id", Administration::ID).set("administrators", 2_i64);
        let batch = Batch::new(plane.ids.next_id(), "drift")
            .with(Write::Insert(row))
            .with(Write::Insert(NewRow::new(&LOGIN_WAYS).set("user_id", user.id).set("ways", 1_i64)));
        plane.store.commit(batch).await.unwrap();
        let report = plane.audit().await.unwrap();
        let found: Vec<_> = report.drifts.iter().map(|d| (d.column, d.recorded, d.recounted)).collect();
        let users = i64::from(user.permission == UserPermission::Administrator);
        assert_eq!(found, [("administrators", 2, users), ("ways", 1, 0)]);
        let password = NewRow::new(&PASSWORDS)
            .set("user_id", user.id)
            .set("hash", "x")
            .set("updated_at", Timestamp::EPOCH);
        let batch = Batch::new(plane.ids.next_id(), "password").with(Write::Insert(password));
        plane.store.commit(batch).await.unwrap();
        assert_eq!(plane.audit().await.unwrap().drifts.len(), 1, "the way is there now");
    }
}
