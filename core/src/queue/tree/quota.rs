//! A queue as it is configured: [`QueueNode`].

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::resources::{Resource, Resources};

/// A queue: where it stands in the tree, and its quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueNode {
    /// The queue.
    pub id: Uuid,
    /// The queue above it; none for a root.
    pub parent: Option<Uuid>,
    /// Its weight among its siblings in thousandths. With no weight, it comes after all that have one.
    pub weight_milli: u32,
    /// Its quota of each resource.
    pub quotas: Quotas,
}

/// The quota of a queue, of each resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Of GPUs, in thousandths.
    pub gpu_milli: Quota,
    /// Of processor cores, in thousandths.
    pub cpu_milli: Quota,
    /// Of memory, in MiB.
    pub memory_mib: Quota,
}

/// The quota of one resource. An amount below zero counts as none of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// What is set aside for the queue. None is no limit of its own, and nothing that it could claim.
    pub nominal: Option<i64>,
    /// How much more than its own the queue and those below it may use. None is no limit but that of the queue above.
    pub borrowing: Option<i64>,
    /// How much of its own others may use. None is all of it.
    pub lending: Option<i64>,
}

impl QueueNode {
    /// A root without limits.
    pub fn new(id: Uuid) -> Self {
        Self { id, parent: None, weight_milli: 1000, quotas: Quotas::default() }
    }

    /// A queue under another, without a quota of its own.
    pub fn under(id: Uuid, parent: Uuid) -> Self {
        Self { parent: Some(parent), ..Self::new(id) }
    }

    /// The same queue with another weight.
    pub const fn weight_milli(mut self, weight_milli: u32) -> Self {
        self.weight_milli = weight_milli;
        self
    }

    /// The same queue with a quota of GPUs.
    pub const fn gpus(mut self, quota: Quota) -> Self {
        self.quotas.gpu_milli = quota;
        self
    }
}

impl Quota {
    /// So much, which may be exceeded by borrowing and may be lent.
    pub const fn nominal(amount: i64) -> Self {
        Self { nominal: Some(amount), borrowing: None, lending: None }
    }

    /// So much and never more; what is not used may be lent.
    pub const fn hard(amount: i64) -> Self {
        Self { nominal: Some(amount), borrowing: Some(0), lending: None }
    }

    /// The same quota, of which so much may be borrowed.
    pub const fn borrowing(mut self, limit: i64) -> Self {
        self.borrowing = Some(limit);
        self
    }

    /// The same quota, of which so much may be lent.
    pub const fn lending(mut self, limit: i64) -> Self {
        self.lending = Some(limit);
        self
    }
}

impl Quotas {
    /// The quota of one resource.
    pub const fn get(&self, resource: Resource) -> &Quota {
        match resource {
            Resource::GpuMilli => &self.gpu_milli,
            Resource::CpuMilli => &self.cpu_milli,
            Resource::MemoryMib => &self.memory_mib,
        }
    }

    fn each(&self, amount: impl Fn(&Quota) -> i64) -> Resources {
        Resources {
            gpu_milli: amount(&self.gpu_milli),
            cpu_milli: amount(&self.cpu_milli),
            memory_mib: amount(&self.memory_mib),
        }
    }

    /// What is set aside for the queue itself.
    pub(super) fn nominal(&self, root: bool) -> Resources {
        let none = if root { i64::MAX } else { 0 };
        self.each(|quota| quota.nominal.map_or(none, |amount| amount.max(0)))
    }

    /// One of each of which there is a nominal quota.
    pub(super) fn governed(&self) -> Resources {
        self.each(|quota| i64::from(quota.nominal.is_some()))
    }

    /// What is kept from the parent, of so much.
    pub(super) fn kept(&self, subtree: Resources, root: bool) -> Resources {
        if root {
            return subtree;
        }
        let lending = self.each(|quota| quota.lending.map_or(i64::MAX, |limit| limit.max(0)));
        subtree.zip(lending, |subtree, lending| subtree.saturating_sub(lending).max(0))
    }

    /// How much may be borrowed.
    pub(super) fn borrowing(&self) -> Resources {
        self.each(|quota| quota.borrowing.map_or(i64::MAX, |limit| limit.max(0)))
    }
}
