//! Random work on training runs, GPU leases and rented machines, side by side with a simple model of them.
//!
//! Several users with limits submit runs of all shapes to queues with quotas; several schedulers give GPUs to them, one of them by
//! what was so long ago, or two at the same time; workers take leases, and pause, die, lie, repeat themselves, and come too late or
//! in the wrong order; somebody ends runs, gives up leases and nodes; agents come back and tell what they still have; a provider rents
//! machines, and lies; and control planes die before a commit, behind it, and in between.
//!
//! The model knows of each lease who has it, which GPUs, how much of them and since when, and recounts everything from that: what is
//! used of each GPU, node, account and queue, and what is to be paid. Nothing of the code that it checks counts for it.
#![expect(clippy::indexing_slicing, reason = "a check fails by panicking")]

mod act;
mod disturbed;
mod expected;
mod facts;
mod given;
mod law;
mod renting;
mod resolved;
mod run;
mod settle;
mod state;
mod step;
mod tick;
mod words;

use rand_pcg::Pcg64Mcg;

use super::compared::{BEGIN, Checked, Compared, ModelSize, ModelStores, compare, of};
use run::Run;
use step::Step;

/// Does the same to training runs and to a model of them, and compares them behind every step. The seeds are those from `seed` on, one
/// a sequence: what is told of a failure can be played again.
///
/// # Panics
/// Where the two differ.
pub async fn check_run_model(stores: &dyn ModelStores, size: ModelSize, seed: u64) {
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
        let report = self.cloud().audit().await.map_err(|error| error.to_string())?;
        if report.is_clean() { Ok(()) } else { Err(format!("{report:?}")) }
    }

    async fn end(&mut self) -> Checked {
        self.settle().await
    }
}

#[cfg(test)]
mod tests {
    use super::super::compared::InMemory;
    use super::*;

    /// `APPORTION_RUN_MODEL=100000:2000:150` plays 2,000 sequences of 150 steps from that seed on.
    #[tokio::test]
    async fn runs_are_as_a_model_of_them_on_the_reference_store() {
        let said = std::env::var("APPORTION_RUN_MODEL").unwrap_or_default();
        let mut said = said.split(':').map(|number| number.parse::<u64>().unwrap_or(0));
        let (seed, sequences) = (said.next().filter(|seed| *seed > 0), said.next());
        let steps = said.next().and_then(|steps| usize::try_from(steps).ok());
        let size = ModelSize {
            sequences: sequences.unwrap_or(16),
            steps: steps.unwrap_or(120),
            audit_every: if seed.is_some() { 20 } else { 10 },
        };
        check_run_model(&InMemory, size, seed.unwrap_or(1)).await;
    }
}
