//! Charging a queue: what may be charged follows from all queues, and what is charged to each.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{adjusted, charge_of};
use crate::entity::{Entity as _, GpuLease, QueueId, RUN_QUEUE_USES, RUN_QUEUES, RunQueue, RunQueueUse};
use crate::error::{Error, Result};
use crate::queue::{QueueMisfit, QueueNode, QueueTree, Quota, Quotas, Resource, Resources};
use crate::store::{Batch, Change, Mode, Query, Row, Scan, StoreError, Test, Write};

/// The most queues that there can be.
pub(in crate::plane) const MAX_QUEUES: u32 = 1000;

/// All queues, and what is charged to each at a time.
#[derive(Debug)]
pub(super) struct Queues {
    tree: QueueTree,
    /// How often something was charged below each root that more than one queue has a part in.
    epochs: BTreeMap<Uuid, i64>,
    /// The revision of the default queue, which changes with every change of any queue.
    revision: i64,
}

impl Queues {
    /// What is read of them.
    pub(super) fn queries() -> [Query; 2] {
        [&RUN_QUEUES, &RUN_QUEUE_USES].map(|table| Query::Scan(Scan::of(table).limit(MAX_QUEUES)))
    }

    pub(super) fn from_rows(queues: &[Row], uses: &[Row]) -> Result<Self> {
        let mut all = Self { tree: tree_of(queues)?, epochs: BTreeMap::new(), revision: 0 };
        let default = queues.iter().find(|row| row.key().as_uuid() == Some(RunQueue::DEFAULT.uuid()));
        all.revision = default.ok_or_else(|| Error::not_found(RunQueue::KIND, "default"))?.revision();
        for row in uses {
            let charged = RunQueueUse::from_row(row)?;
            let amount = Resources {
                gpu_milli: charged.gpu_milli.get(),
                cpu_milli: charged.cpu_milli.get(),
                memory_mib: charged.memory_mib.get(),
            };
            all.tree.charge(charged.queue_id.uuid(), amount);
            all.epochs.insert(charged.queue_id.uuid(), row.int("epoch")?);
        }
        Ok(all)
    }

    /// Charges a lease to its queue, in the batch and here, where that fits.
    pub(super) fn charge(&mut self, batch: &mut Batch, queue: QueueId, lease: &GpuLease) -> Result<()> {
        let (queue, asked) = (queue.uuid(), charge_of(lease));
        if self.tree.get(queue).is_none() {
            return Err(Error::not_found(RunQueue::KIND, queue));
        }
        self.tree.fits(queue, asked).map_err(refused)?;
        batch.push(Write::guard(&RUN_QUEUES, RunQueue::DEFAULT, self.revision));
        let limited = asked.iter().any(|(resource, asked)| {
            asked > 0 && self.tree.available(queue).get(resource) != Resources::UNLIMITED.get(resource)
        });
        // What nothing limits depends on nobody else's use.
        if let Some(root) = self.tree.path(queue).last().map(|node| node.id).filter(|_| limited) {
            let epoch = self.epochs.entry(root).or_default();
            let same = vec![Test::eq("epoch", *epoch)];
            batch.push(Write::patch(&RUN_QUEUE_USES, root, same, vec![("epoch", Change::Add(1))]));
            *epoch += 1;
        }
        batch.writes.extend(of_queue(queue, asked, 1));
        self.tree.charge(queue, asked);
        Ok(())
    }
}

/// The writes that charge a queue, or with `times` of -1 take that back.
pub(super) fn of_queue(queue: Uuid, amount: Resources, times: i64) -> impl Iterator<Item = Write> {
    let amounts = amount.iter().map(|(resource, amount)| (column(resource), amount));
    adjusted(&RUN_QUEUE_USES, queue.into(), amounts, times, Mode::Record)
}

const fn column(resource: Resource) -> &'static str {
    match resource {
        Resource::GpuMilli => "gpu_milli",
        Resource::CpuMilli => "cpu_milli",
        Resource::MemoryMib => "memory_mib",
    }
}

/// The tree that rows of queues make. Their order does not matter; one whose parent is not there has none.
pub(in crate::plane) fn tree_of(rows: &[Row]) -> Result<QueueTree> {
    let mut nodes = rows.iter().map(node_of).collect::<Result<Vec<_>>>()?;
    let mut tree = QueueTree::new();
    while !nodes.is_empty() {
        let before = nodes.len();
        nodes.retain(|node| {
            node.parent.is_some_and(|parent| tree.get(parent).is_none()) || tree.set(node.clone()).is_err()
        });
        if nodes.len() == before {
            let corrupt =
                StoreError::corrupt(RUN_QUEUES.name, None, "parent_id", "queues are below themselves");
            return Err(corrupt.into());
        }
    }
    Ok(tree)
}

/// A queue as the pure core knows it.
pub(in crate::plane) fn node_of(row: &Row) -> Result<QueueNode> {
    let queue = RunQueue::from_row(row)?;
    macro_rules! quota {
        ($nominal:ident, $borrowing:ident, $lending:ident) => {
            Quota {
                nominal: queue.$nominal.map(|amount| amount.get()),
                borrowing: queue.$borrowing.map(|amount| amount.get()),
                lending: queue.$lending.map(|amount| amount.get()),
            }
        };
    }
    Ok(QueueNode {
        id: queue.id.uuid(),
        parent: queue.parent_id.map(QueueId::uuid),
        weight_milli: queue.weight_milli,
        quotas: Quotas {
            gpu_milli: quota!(gpu_milli, gpu_milli_borrowing, gpu_milli_lending),
            cpu_milli: quota!(cpu_milli, cpu_milli_borrowing, cpu_milli_lending),
            memory_mib: quota!(memory_mib, memory_mib_borrowing, memory_mib_lending),
        },
    })
}

/// What is said where a queue may not take so much.
fn refused(misfit: QueueMisfit) -> Error {
    let limit_name = match misfit.resource {
        Resource::GpuMilli => "queue_gpu_milli",
        Resource::CpuMilli => "queue_cpu_milli",
        Resource::MemoryMib => "queue_memory_mib",
    };
    // What is available of a limit is all that can be said of it: whose the rest is, nobody keeps.
    Error::QuotaExceeded { limit_name, limit: misfit.available, used: 0, asked: misfit.asked }
}
