//! Nodes of equal free state: [`Class`].

use super::demand::MAX_GPUS;
use super::grain::Free;
use super::members::{Members, NodeKey};
use super::node::GpuState;

/// Room for the GPUs of any node.
pub(crate) const SLOTS: usize = MAX_GPUS as usize;

/// A whole GPU in milli, as it is kept per slot.
pub(crate) const WHOLE: u16 = 1000;

/// Everything that a decision may look at, the same for all nodes of a class.
///
/// GPUs are in ascending order of what is usable of them, so nodes that differ only in which slot is how full are
/// one class. Slots beyond the last are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClassState {
    /// The least amounts that the class stands for.
    pub(crate) free: Free,
    /// The cluster's number of the GPU model.
    pub(crate) model: u32,
    /// Which kinds of GPU task run here, a bit each, see [`Tag::index`](super::demand::Tag::index); 0 where these are not
    /// told apart.
    pub(crate) tags: u32,
    pub(crate) schedulable: bool,
    pub(crate) gpu_count: u8,
    /// How many of the GPUs work.
    pub(crate) working: u8,
    sorted: [u16; SLOTS],
}

impl ClassState {
    pub(crate) fn new(slots: &Slots, model: u32) -> Self {
        let mut state = Self {
            free: Free::default(),
            model,
            tags: 0,
            schedulable: true,
            gpu_count: slots.count,
            working: slots.iter().map(|slot| u8::from(slot.healthy())).sum(),
            sorted: [0; SLOTS],
        };
        for (to, slot) in state.sorted.iter_mut().zip(slots.iter()) {
            *to = slot.usable();
        }
        if let Some(used) = state.sorted.get_mut(..usize::from(slots.count)) {
            used.sort_unstable();
        }
        state
    }

    /// What is usable of each GPU in milli, ascending.
    pub(crate) fn gpus(&self) -> &[u16] {
        self.sorted.get(..usize::from(self.gpu_count)).unwrap_or(&[])
    }

    /// What is usable of all GPUs together, in milli.
    pub(crate) fn gpu_idle(&self) -> i64 {
        self.gpus().iter().copied().map(i64::from).sum()
    }

    /// Puts one GPU's usable part to another value, keeping the order.
    pub(crate) fn change_gpu(&mut self, from: u16, to: u16) {
        let Some(gpus) = self.sorted.get_mut(..usize::from(self.gpu_count)) else {
            return;
        };
        let Some(mut at) = gpus.iter().position(|free| *free == from) else {
            return;
        };
        if let Some(free) = gpus.get_mut(at) {
            *free = to;
        }
        while at > 0 && gpus.get(at - 1) > gpus.get(at) {
            gpus.swap(at - 1, at);
            at -= 1;
        }
        while at + 1 < gpus.len() && gpus.get(at) > gpus.get(at + 1) {
            gpus.swap(at, at + 1);
            at += 1;
        }
    }
}

/// One GPU of a node in two bytes: what is free of it, and whether it works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Slot(u16);

impl Slot {
    const BROKEN: u16 = 1 << 15;

    pub(crate) const fn free(self) -> u16 {
        self.0 & !Self::BROKEN
    }

    pub(crate) const fn healthy(self) -> bool {
        self.0 & Self::BROKEN == 0
    }

    pub(crate) const fn usable(self) -> u16 {
        if self.healthy() { self.0 } else { 0 }
    }

    /// The same GPU with another amount free.
    pub(crate) const fn with_free(self, free: u16) -> Self {
        Self(self.0 & Self::BROKEN | free)
    }

    pub(crate) fn from_gpu(gpu: GpuState) -> Self {
        let free = u16::try_from(gpu.free_milli).unwrap_or(0).min(WHOLE);
        Self(if gpu.healthy { free } else { free | Self::BROKEN })
    }

    pub(crate) fn to_gpu(self) -> GpuState {
        GpuState { free_milli: i64::from(self.free()), healthy: self.healthy() }
    }
}

/// The GPUs of one node in slot order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slots {
    slots: [Slot; SLOTS],
    count: u8,
}

impl Slots {
    /// Takes the GPUs of a node, which are at most [`MAX_GPUS`].
    pub(crate) fn from_gpus(gpus: &[GpuState]) -> Self {
        let mut slots = [Slot::default(); SLOTS];
        for (to, gpu) in slots.iter_mut().zip(gpus) {
            *to = Slot::from_gpu(*gpu);
        }
        Self { slots, count: u8::try_from(gpus.len().min(SLOTS)).unwrap_or(u8::MAX) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> + Clone + '_ {
        self.slots.iter().copied().take(usize::from(self.count))
    }

    pub(crate) fn get(&self, slot: u32) -> Option<Slot> {
        let slot = usize::try_from(slot).ok().filter(|slot| *slot < usize::from(self.count))?;
        self.slots.get(slot).copied()
    }

    pub(crate) fn set(&mut self, slot: u32, to: Slot) {
        if let Some(held) = usize::try_from(slot).ok().and_then(|slot| self.slots.get_mut(slot)) {
            *held = to;
        }
    }
}

/// Nodes of equal free state.
#[derive(Debug, Clone)]
pub(crate) struct Class {
    pub(crate) state: ClassState,
    pub(crate) members: Members,
    /// The key of the first member.
    pub(crate) first: NodeKey,
    /// Tells this class from others that were or will be kept under the same number.
    pub(crate) stamp: u64,
    /// Position in the change log of the last entry for this class, or [`NEVER`](super::change_log::NEVER).
    pub(crate) changed: u64,
    /// What the state is found by.
    pub(crate) tag: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_differ_only_in_the_order_of_gpus_have_one_state() {
        let gpu = |free_milli| GpuState { free_milli, healthy: true };
        let state = |gpus: &[GpuState]| ClassState::new(&Slots::from_gpus(gpus), 0);
        assert_eq!(state(&[gpu(0), gpu(300), gpu(1000)]), state(&[gpu(1000), gpu(0), gpu(300)]));
        let broken = state(&[gpu(5), GpuState { free_milli: 70, healthy: false }]);
        assert_eq!((broken.gpus(), broken.working), (&[0, 5][..], 1));
        // One that works can be freed.
        assert_ne!(broken, state(&[gpu(5), gpu(0)]));
        let mut changed = state(&[gpu(0), gpu(300), gpu(1000)]);
        changed.change_gpu(1000, 100);
        assert_eq!(changed, state(&[gpu(0), gpu(300), gpu(100)]));
        changed.change_gpu(0, 900);
        assert_eq!(changed, state(&[gpu(900), gpu(300), gpu(100)]));
    }
}
