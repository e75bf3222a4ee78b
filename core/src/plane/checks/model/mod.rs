//! Random work on machines, side by side with a simple model of them.
//!
//! Launches, stops, deletions, overrides, limits; agents that take commands and die at any point, that were replaced and speak all
//! the same, that report late; machines that shrink, lose GPUs and containers, and run what nobody launched; silence, and control planes
//! that die. After each of them what is stored is what the model expects, nothing has two owners, and of everything that a node has
//! it holds that free + used + unknown + quarantined = inventory + over.
#![expect(clippy::indexing_slicing, reason = "a check fails by panicking")]

mod agent;
mod facts;
mod law;
mod queue;
mod report;
mod rules;
mod run;
mod settle;
mod state;
mod step;

use rand_pcg::Pcg64Mcg;

use super::compared::{BEGIN, Checked, Compared, ModelSize, ModelStores, compare, of};
use run::Run;
use step::Step;

/// Does the same to a control plane and to a model of it, and compares them behind every step. The seeds are those from `seed` on, one a
/// sequence: what is told of a failure can be played again.
///
/// # Panics
/// Where the two differ.
pub async fn check_machine_model(stores: &dyn ModelStores, size: ModelSize, seed: u64) {
    compare::<Run<'_>>(stores, size, seed).await;
}

impl<'s> Compared<'s> for Run<'s> {
    type Step = Step;

    fn steps(random: &mut Pcg64Mcg, count: usize) -> Vec<Step> {
        step::steps(random, count)
    }

    async fn begin(stores: &'s dyn ModelStores) -> Result<Self, String> {
        Self::new(stores).await
    }

    async fn carry_out(&mut self, step: Step) -> Checked {
        self.step(step).await
    }

    async fn recount(&self) -> Checked {
        self.audit().await
    }

    async fn end(&mut self) -> Checked {
        self.settle().await
    }
}

#[cfg(test)]
mod tests {
    use super::super::compared::InMemory;
    use super::*;

    #[tokio::test]
    async fn machines_are_as_a_model_of_them_on_the_reference_store() {
        let sequences = 16;
        check_machine_model(&InMemory, ModelSize { sequences, steps: 120, audit_every: 1 }, 1).await;
    }
}
