//! How many GPUs of each model there are, and how much of them is free: [`Supply`].

use super::class::{ClassState, WHOLE};

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

    pub(super) fn add(&mut self, state: &ClassState) {
        self.change(state, 1);
    }

    /// Takes away a node that was added in this state.
    pub(super) fn remove(&mut self, state: &ClassState) {
        self.change(state, -1);
    }

    fn change(&mut self, state: &ClassState, sign: i64) {
        let Ok(model) = usize::try_from(state.model) else { return };
        if !state.schedulable || state.gpu_count == 0 {
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
