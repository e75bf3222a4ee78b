//! Random work on machines, side by side with a simple model of them.
//!
//! Launches, stops, deletions, overrides, limits; agents that take commands and die at any point, that were replaced and speak all
//! the same, that report late; machines that shrink, lose GPUs and containers, and run what nobody launched; silence, and control planes
//! that die. After each of them what is stored is what the model expects, nothing has two owners, and of everything that a node has
//! it holds that free + used + unknown + quarantined = inventory + over.
//!
//! What fails is told with its seed, and with the fewest steps that still fail.
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a check fails by panicking")]

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

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use rand::SeedableRng as _;
use rand_pcg::Pcg64Mcg;

use crate::store::Store;
use crate::time::{ManualClock, Timestamp};
use run::Run;
use step::Step;

/// Nothing, or what is wrong.
type Checked = Result<(), String>;

/// Makes the stores that the model is compared on.
#[async_trait]
pub trait ModelStores: Send + Sync {
    /// A new store with nothing in it, opened with [`TABLES`](crate::entity::TABLES) and with this clock.
    async fn fresh(&self, clock: Arc<ManualClock>) -> Arc<dyn Store>;

    /// The store after the process that had it has died; nobody else holds it. By default it is the same one.
    async fn reopened(&self, store: Arc<dyn Store>, _clock: Arc<ManualClock>) -> Arc<dyn Store> {
        store
    }
}

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct ModelSize {
    /// How many sequences of steps, each on a new store.
    pub sequences: u64,
    /// How many steps a sequence has.
    pub steps: usize,
    /// Behind how many steps everything is recounted.
    pub audit_every: usize,
}

/// Does the same to a control plane and to a model of it, and compares them behind every step. The seeds are those from `seed` on, one a
/// sequence: what is told of a failure can be played again.
///
/// # Panics
/// Where the two differ.
pub async fn check_machine_model(stores: &dyn ModelStores, size: ModelSize, seed: u64) {
    for seed in seed..seed + size.sequences {
        let steps = step::steps(&mut Pcg64Mcg::seed_from_u64(seed), size.steps);
        if let Err((at, why)) = play(stores, &steps, size.audit_every).await {
            let failing = steps.get(..=at).unwrap_or(&steps).to_vec();
            let (fewest, why) = shrink(stores, failing, why).await;
            let mut list = String::new();
            for step in &fewest {
                let _ = write!(list, "\n    {step:?}");
            }
            panic!("seed {seed}: {why}\nby these steps, with the others dropped:{list}");
        }
    }
}

/// Plays steps on a new store, and answers where it failed, and why.
async fn play(stores: &dyn ModelStores, steps: &[Step], audit_every: usize) -> Result<(), (usize, String)> {
    let mut at = 0;
    let played = async {
        let mut run = Run::new(stores).await?;
        for (place, step) in steps.iter().enumerate() {
            at = place;
            run.step(*step).await?;
            if (place + 1) % audit_every == 0 {
                run.audit().await?;
            }
        }
        at = steps.len();
        run.settle().await?;
        run.audit().await
    };
    let failed = match AssertUnwindSafe(Box::pin(played)).catch_unwind().await {
        Ok(played) => played,
        Err(_) => Err("it panicked".to_owned()),
    };
    failed.map_err(|why| (at, why))
}

/// Drops steps for as long as it still fails, half of them at first, at last one at a time.
async fn shrink(stores: &dyn ModelStores, mut steps: Vec<Step>, mut why: String) -> (Vec<Step>, String) {
    let mut size = steps.len() / 2;
    while size > 0 {
        let (mut from, mut dropped) = (0, false);
        while from < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(from..(from + size).min(steps.len()));
            match play(stores, &fewer, 1).await {
                Err((_, other)) => (steps, why, dropped) = (fewer, other, true),
                Ok(()) => from += size,
            }
        }
        if !dropped || size > 1 {
            size /= 2;
        }
    }
    (steps, why)
}

/// When every sequence begins.
const BEGIN: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::TABLES;
    use crate::store::memory::MemoryStore;

    struct InMemory;

    #[async_trait]
    impl ModelStores for InMemory {
        async fn fresh(&self, clock: Arc<ManualClock>) -> Arc<dyn Store> {
            Arc::new(MemoryStore::new(TABLES, clock).unwrap())
        }
    }

    #[tokio::test]
    async fn machines_are_as_a_model_of_them_on_the_reference_store() {
        let sequences = 16;
        check_machine_model(&InMemory, ModelSize { sequences, steps: 120, audit_every: 1 }, 1).await;
    }
}
