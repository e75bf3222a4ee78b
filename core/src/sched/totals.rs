//! Sums over a cluster: [`Totals`].

use super::class::{Slot, Slots, WHOLE};

/// Sums over all nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Nodes.
    pub nodes: u64,
    /// GPUs, working or not.
    pub gpus: u64,
    /// GPUs that work.
    pub gpus_healthy: u64,
    /// GPU milli in use, on working GPUs or not.
    pub gpu_used_milli: u64,
    /// GPU milli free on working GPUs.
    pub gpu_idle_milli: u64,
}

impl Totals {
    /// GPU milli that exist, on working GPUs or not.
    pub const fn gpu_capacity_milli(&self) -> u64 {
        self.gpus * 1000
    }

    /// Adds a node with these GPUs.
    pub(super) fn add(&mut self, slots: &Slots) {
        let own = Self::of(slots);
        self.nodes += own.nodes;
        self.gpus += own.gpus;
        self.gpus_healthy += own.gpus_healthy;
        self.gpu_used_milli += own.gpu_used_milli;
        self.gpu_idle_milli += own.gpu_idle_milli;
    }

    /// Takes away a node that was added with these GPUs.
    pub(super) fn remove(&mut self, slots: &Slots) {
        let own = Self::of(slots);
        self.nodes -= own.nodes;
        self.gpus -= own.gpus;
        self.gpus_healthy -= own.gpus_healthy;
        self.gpu_used_milli -= own.gpu_used_milli;
        self.gpu_idle_milli -= own.gpu_idle_milli;
    }

    /// Another part of a GPU of a node that was added is free now.
    pub(super) fn change(&mut self, from: Slot, to: Slot) {
        self.gpu_used_milli =
            self.gpu_used_milli + u64::from(WHOLE - to.free()) - u64::from(WHOLE - from.free());
        self.gpu_idle_milli = self.gpu_idle_milli + u64::from(to.usable()) - u64::from(from.usable());
    }

    fn of(slots: &Slots) -> Self {
        let mut own = Self { nodes: 1, ..Self::default() };
        for slot in slots.iter() {
            own.gpus += 1;
            own.gpus_healthy += u64::from(slot.healthy());
            own.gpu_used_milli += u64::from(WHOLE - slot.free());
            own.gpu_idle_milli += u64::from(slot.usable());
        }
        own
    }
}
