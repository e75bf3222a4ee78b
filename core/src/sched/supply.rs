//! How many GPUs of each model there are, and how much of them is free: [`Supply`].

use super::class::{ClassState, WHOLE};
use super::grain::Free;

/// The GPUs of nodes that take new tasks, by the cluster's number of their model.
#[derive(Debug, Clone, Default)]
pub(super) struct Supply {
    models: Vec<Stock>,
    /// What is free of all of them, in milli.
    free_milli: i64,
}

/// GPUs of one model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stock {
    /// All of them, in milli, free or not.
    pub(super) milli: i64,
    /// What is free of them, in milli.
    pub(super) free_milli: i64,
    /// The most that a node with them was ever seen to have free, each by itself, and its GPUs.
    pub(super) largest: Free,
    pub(super) largest_gpus: u8,
}

impl Stock {
    /// Whether a node of this model that nothing runs on could be asked for so much, as far as was seen.
    pub(super) fn holds(&self, cpu: i64, memory: i64, gpus: u32) -> bool {
        cpu <= self.largest.cpu && memory <= self.largest.memory && gpus <= u32::from(self.largest_gpus)
    }
}

impl Supply {
    /// By the number of the model.
    pub(super) fn models(&self) -> &[Stock] {
        &self.models
    }

    /// What is free of all models, in milli.
    pub(super) const fn free_milli(&self) -> i64 {
        self.free_milli
    }

    /// Adds a node in this state, with these exact amounts free.
    pub(super) fn add(&mut self, state: &ClassState, free: Free) {
        self.change(state, 1);
        self.see(state, free);
    }

    /// Takes away a node that was added in this state.
    pub(super) fn remove(&mut self, state: &ClassState) {
        self.change(state, -1);
    }

    /// A node that was added in one state is in another one now, with these exact amounts free.
    pub(super) fn replace(&mut self, before: &ClassState, after: &ClassState, free: Free) {
        self.change(before, -1);
        self.change(after, 1);
        self.see(after, free);
    }

    /// A node that was added in this state has these exact amounts free now.
    pub(super) fn see(&mut self, state: &ClassState, free: Free) {
        let stock = usize::try_from(state.model).ok().and_then(|model| self.models.get_mut(model));
        if let Some(stock) = stock.filter(|_| counts(state)) {
            stock.largest.cpu = stock.largest.cpu.max(free.cpu);
            stock.largest.memory = stock.largest.memory.max(free.memory);
            stock.largest_gpus = stock.largest_gpus.max(state.gpu_count);
        }
    }

    fn change(&mut self, state: &ClassState, sign: i64) {
        let Ok(model) = usize::try_from(state.model) else { return };
        if !counts(state) {
            return;
        }
        if self.models.len() <= model {
            self.models.resize(model + 1, Stock::default());
        }
        let idle = sign * state.gpu_idle();
        if let Some(stock) = self.models.get_mut(model) {
            stock.milli += sign * i64::from(state.gpu_count) * i64::from(WHOLE);
            stock.free_milli += idle;
        }
        self.free_milli += idle;
    }
}

/// Whether a node has GPUs to be had.
const fn counts(state: &ClassState) -> bool {
    state.schedulable && state.gpu_count > 0
}
