//! Many items as one batch: what they share is written once.

use std::collections::BTreeMap;
use std::ops::AddAssign as _;

use uuid::Uuid;

use super::{Item, Known};
use crate::entity::{ADMINISTRATIONS, Administration, Entity as _, GPUS, Instance, NODE_LEDGERS, QUOTAS};
use crate::plane::ControlPlane;
use crate::plane::users::Happened;
use crate::store::{Batch, Change, NewRow, Row, Table, Test, Write};
use crate::time::Timestamp;

/// What a batch takes of one item.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Its own rows, parents before children.
    rows: Vec<NewRow>,
    /// The row that was decided on.
    guard: Option<(&'static Table, Uuid, i64)>,
    /// What is recorded, by table and row: amounts of columns.
    counts: Vec<(&'static Table, Uuid, &'static str, i64)>,
    /// What of each GPU it holds, on this node.
    gpus: Vec<(Uuid, Uuid, i64)>,
    is_administrator: bool,
}

impl Parts {
    /// At most so many writes are made of it.
    pub(super) fn writes(&self) -> usize {
        self.rows.len() + self.counts.len() + self.gpus.len() + 1
    }

    pub(super) fn insert(&mut self, row: NewRow) {
        self.rows.push(row);
    }

    pub(super) fn guard(&mut self, table: &'static Table, id: Uuid, row: &Row) {
        self.guard = Some((table, id, row.revision()));
    }

    pub(super) fn count(&mut self, table: &'static Table, id: Uuid, column: &'static str, amount: i64) {
        self.counts.push((table, id, column, amount));
    }

    /// Counts a live instance on its account and its node, which count the same.
    pub(super) fn charge(&mut self, instance: &Instance, node: Uuid) {
        for (table, id) in [(&QUOTAS, instance.owner_id.uuid()), (&NODE_LEDGERS, node)] {
            self.count(table, id, "instances", 1);
            self.count(table, id, "cpu_milli", instance.cpu_milli.get());
            self.count(table, id, "memory_mib", instance.memory_mib.get());
            self.count(table, id, "storage_mib", instance.storage_mib.get());
            self.count(table, id, "gpu_milli", instance.gpu_milli_total());
        }
    }

    pub(super) fn hold(&mut self, gpu: Uuid, node: Uuid, milli: i64) {
        self.gpus.push((gpu, node, milli));
    }

    pub(super) fn administrator(&mut self) {
        self.is_administrator = true;
    }
}

impl ControlPlane {
    /// The batch of some items, with one line for all of them.
    pub(super) fn import_batch<I: Item>(
        &self,
        items: Vec<Parts>,
        known: &mut Known,
        now: Timestamp,
    ) -> Batch {
        let mut batch = self.batch(I::OPERATION);
        let count = items.len();
        let (mut guards, mut sums, mut gpus) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (mut rows, mut administrators) = (Vec::new(), 0_u32);
        for parts in items {
            rows.extend(parts.rows);
            guards.extend(parts.guard.map(|(table, id, revision)| ((table.name, id), (table, revision))));
            for (table, id, column, amount) in parts.counts {
                sums.entry((table.name, id, column)).or_insert((table, 0)).1 += amount;
            }
            for (gpu, node, milli) in parts.gpus {
                // Of two nodes one is wrong: then the test refuses, and each is tried alone.
                gpus.entry((gpu, node)).or_insert(0).add_assign(milli);
            }
            administrators += u32::from(parts.is_administrator);
        }
        batch
            .writes
            .extend(guards.into_iter().map(|((_, id), (table, revision))| Write::guard(table, id, revision)));
        for ((gpu, node), milli) in gpus {
            let there = vec![Test::eq("node_id", node)];
            batch.push(Write::patch(&GPUS, gpu, there, vec![("used_milli", Change::Add(milli))]));
        }
        batch.writes.extend(rows.into_iter().map(Write::Insert));
        for ((_, id, column), (table, amount)) in sums {
            if amount != 0 {
                batch.push(Write::record(table, id, column, amount));
            }
        }
        batch.writes.extend(counted(administrators, known));
        let happened = Happened {
            operation: I::OPERATION,
            actor: None,
            kind: "batch",
            subject: batch.id,
            description: &format!("{count} of {}", I::Entity::TABLE.name),
        };
        batch.push(self.log(happened, now));
        batch
    }
}

/// The write that counts so many administrators more. The row is made with the first one.
fn counted(more: u32, known: &mut Known) -> Option<Write> {
    if more == 0 {
        return None;
    }
    // Those that follow count on the row. Where its batch is refused they are too, and tried again they find what is there.
    if std::mem::replace(&mut known.counted, true) {
        return Some(Write::record(&ADMINISTRATIONS, Administration::ID, "administrators", more.into()));
    }
    Some(Write::Insert(Administration { id: Administration::ID.into(), administrators: more }.to_row()))
}
