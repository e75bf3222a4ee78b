//! What is asked for, held and shared: [`Resources`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sched::{Demand, NodeState};

/// One kind of what a queue has a quota of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Thousandths of GPUs.
    GpuMilli,
    /// Thousandths of processor cores.
    CpuMilli,
    /// Memory in MiB.
    MemoryMib,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::GpuMilli, Self::CpuMilli, Self::MemoryMib];
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::GpuMilli => "gpu milli",
            Self::CpuMilli => "cpu milli",
            Self::MemoryMib => "MiB memory",
        })
    }
}

/// An amount of each resource.
///
/// Amounts are signed, since what is available may be less than nothing after a quota was lowered. Arithmetic stops at
/// the ends of the range instead of wrapping: nothing that is kept here comes near them but "no limit".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of GPUs.
    pub gpu_milli: i64,
    /// Thousandths of processor cores.
    pub cpu_milli: i64,
    /// Memory in MiB.
    pub memory_mib: i64,
}

impl Resources {
    /// Nothing.
    pub const ZERO: Self = Self::splat(0);
    /// More of everything than there can be.
    pub const UNLIMITED: Self = Self::splat(i64::MAX);

    /// The same amount of each.
    pub const fn splat(amount: i64) -> Self {
        Self { gpu_milli: amount, cpu_milli: amount, memory_mib: amount }
    }

    /// So many thousandths of GPUs and nothing else.
    pub const fn gpus_milli(gpu_milli: i64) -> Self {
        Self { gpu_milli, cpu_milli: 0, memory_mib: 0 }
    }

    /// What a task asks for. Disk space is the node's own and under no quota here.
    pub const fn of(demand: &Demand) -> Self {
        Self {
            gpu_milli: demand.gpu_milli_total(),
            cpu_milli: demand.cpu().get(),
            memory_mib: demand.memory().get(),
        }
    }

    /// What is free on a node, nothing where it is less than that. A GPU that does not work gives nothing.
    pub fn free_on(node: &NodeState) -> Self {
        let free = Self {
            gpu_milli: node.gpus.iter().map(|gpu| gpu.usable_milli()).sum(),
            cpu_milli: node.cpu_free,
            memory_mib: node.memory_free,
        };
        free.map(|amount| amount.max(0))
    }

    /// The amount of one resource.
    pub const fn get(&self, resource: Resource) -> i64 {
        match resource {
            Resource::GpuMilli => self.gpu_milli,
            Resource::CpuMilli => self.cpu_milli,
            Resource::MemoryMib => self.memory_mib,
        }
    }

    /// The resources with their amounts.
    pub fn iter(&self) -> impl Iterator<Item = (Resource, i64)> + use<> {
        let own = *self;
        Resource::ALL.into_iter().map(move |resource| (resource, own.get(resource)))
    }

    /// Each amount changed by itself.
    pub fn map(self, change: impl Fn(i64) -> i64) -> Self {
        Self {
            gpu_milli: change(self.gpu_milli),
            cpu_milli: change(self.cpu_milli),
            memory_mib: change(self.memory_mib),
        }
    }

    /// Each amount with that of `other`.
    pub fn zip(self, other: Self, join: impl Fn(i64, i64) -> i64) -> Self {
        Self {
            gpu_milli: join(self.gpu_milli, other.gpu_milli),
            cpu_milli: join(self.cpu_milli, other.cpu_milli),
            memory_mib: join(self.memory_mib, other.memory_mib),
        }
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Self {
        self.zip(other, i64::saturating_add)
    }

    /// The difference, which may be less than nothing.
    pub fn minus(self, other: Self) -> Self {
        self.zip(other, i64::saturating_sub)
    }

    /// The product.
    pub fn times(self, count: u32) -> Self {
        self.map(|amount| amount.saturating_mul(i64::from(count)))
    }

    /// Whether there is nothing of any.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Whether no amount is above that of `other`.
    pub fn within(&self, other: &Self) -> bool {
        self.iter().all(|(resource, amount)| amount <= other.get(resource))
    }
}
