//! Deciding again after a lost race, in one place.

use std::time::Duration;

use futures_timer::Delay;

use crate::error::Error;
use crate::id::IdSource;
use crate::store::{Cause, Metrics, StoreError};

/// How often an operation decides before it answers `Conflict`.
const MAX_ATTEMPTS: u32 = 12;
/// The longest pause before the second attempt; it doubles with each one, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// The attempts of one operation.
#[derive(Debug)]
pub(super) struct Retry<'p> {
    operation: &'static str,
    attempt: u32,
    ids: &'p dyn IdSource,
    metrics: &'p dyn Metrics,
}

impl<'p> Retry<'p> {
    pub(super) fn new(operation: &'static str, ids: &'p dyn IdSource, metrics: &'p dyn Metrics) -> Self {
        Self { operation, attempt: 0, ids, metrics }
    }

    /// Which attempt this is, from 0.
    pub(super) const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Waits a random while after a lost race; answers `Conflict` after the last attempt.
    pub(super) async fn again(&mut self) -> Result<(), Error> {
        self.attempt += 1;
        if self.attempt >= MAX_ATTEMPTS {
            return Err(Error::Conflict { what: self.operation.to_owned() });
        }
        self.metrics.retry(self.operation, self.attempt);
        tracing::debug!(operation = self.operation, attempt = self.attempt, "lost a race, deciding again");
        let longest = FIRST_PAUSE.saturating_mul(1 << self.attempt.min(8)).min(MAX_PAUSE);
        // The low half of an id is random: full jitter without another source of randomness.
        let (_, random) = self.ids.next_id().as_u64_pair();
        let micros = u64::try_from(longest.as_micros()).unwrap_or(1).max(1);
        Delay::new(Duration::from_micros(random % micros)).await;
        Ok(())
    }
}

/// Whether a batch was refused because somebody else was first, so that a fresh decision may succeed.
///
/// Beside the conflicts of the store these are the refusals of what the decision itself chose: a node, its GPUs, its
/// ports.
pub(super) fn lost_race(error: &StoreError) -> bool {
    let Some(refusal) = error.refusal() else {
        return false;
    };
    refusal.is_conflict()
        || match &refusal.cause {
            Cause::Ceiling { rule, .. } => {
                matches!(*rule, "node_cpu" | "node_memory" | "node_storage" | "node_gpu")
            }
            Cause::Invariant { rule } => *rule == "gpus_used_at_most_whole",
            Cause::Duplicate { unique, .. } => *unique == "port_maps_slot",
            Cause::NoParent { .. } => true,
            _ => false,
        }
}
