//! What is asked of a run: [`NewRun`].

use serde::{Deserialize, Serialize};

use crate::amount::GpuMilli;
use crate::entity::{QueueId, RunAsk, RunId, TrainingId};
use crate::error::{Error, Result};
use crate::sched::{Demand, GpuDemand};
use crate::store::Fingerprint;
use crate::time::Timestamp;

/// The most members of a run.
const MAX_MEMBERS: u32 = 1024;

/// How often an attempt may fail unless it is said.
const MAX_FAILURES: u32 = 3;

/// A run to be submitted. Read from JSON, it needs the training alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NewRun {
    /// Its id; without one it is made anew. With one, submitting it again submits nothing.
    #[serde(default)]
    pub id: Option<RunId>,
    /// The training.
    pub training: TrainingId,
    /// The queue that it waits in; the default queue where none is named.
    #[serde(default)]
    pub queue: Option<QueueId>,
    /// What it asks for.
    #[serde(default)]
    pub ask: RunAsk,
    /// Those with a higher one go first.
    #[serde(default)]
    pub priority: i64,
    /// How long it is expected to run, in milliseconds.
    #[serde(default)]
    pub estimate_ms: Option<u64>,
    /// How long it may run before its GPUs may be given to another, in milliseconds.
    #[serde(default)]
    pub min_runtime_ms: u64,
    /// When it should have ended.
    #[serde(default)]
    pub due: Option<Timestamp>,
    /// It is not begun before this.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// How often its attempts may fail or be lost: 3 unless said.
    #[serde(default = "max_failures")]
    pub max_failures: u32,
}

impl NewRun {
    /// A run of this training, on one GPU.
    pub fn of(training: TrainingId) -> Self {
        Self {
            id: None,
            training,
            queue: None,
            ask: RunAsk::default(),
            priority: 0,
            estimate_ms: None,
            min_runtime_ms: 0,
            due: None,
            not_before: None,
            max_failures: MAX_FAILURES,
        }
    }

    /// Gives it an id.
    pub const fn id(mut self, id: RunId) -> Self {
        self.id = Some(id);
        self
    }

    /// Names the queue.
    pub const fn queue(mut self, queue: QueueId) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Says what it asks for.
    pub fn ask(mut self, ask: RunAsk) -> Self {
        self.ask = ask;
        self
    }

    /// Sets the priority.
    pub const fn priority(mut self, priority: i64) -> Self {
        self.priority = priority;
        self
    }

    /// Says how long it is expected to run.
    pub const fn estimate_ms(mut self, estimate: u64) -> Self {
        self.estimate_ms = Some(estimate);
        self
    }

    /// Says how long it may run before its GPUs may be given to another.
    pub const fn min_runtime_ms(mut self, runtime: u64) -> Self {
        self.min_runtime_ms = runtime;
        self
    }

    /// Says when it should have ended.
    pub const fn due(mut self, due: Timestamp) -> Self {
        self.due = Some(due);
        self
    }

    /// Says when it may begin.
    pub const fn not_before(mut self, not_before: Timestamp) -> Self {
        self.not_before = Some(not_before);
        self
    }

    /// Says how often its attempts may fail or be lost.
    pub const fn max_failures(mut self, most: u32) -> Self {
        self.max_failures = most;
        self
    }

    /// Refuses what can never be begun.
    pub(super) fn check(&self) -> Result<()> {
        self.ask.demand()?;
        for (field, duration) in [
            ("estimate_ms", self.estimate_ms.unwrap_or(0)),
            ("min_runtime_ms", self.min_runtime_ms),
            ("ask.rent_micros", self.ask.rent_micros.unwrap_or(0)),
        ] {
            if i64::try_from(duration).is_err() {
                return Err(Error::invalid(field, "it is too large"));
            }
        }
        Ok(())
    }

    /// What tells this request from another under the same id.
    pub(super) fn fingerprint(&self) -> Result<Fingerprint> {
        let content = Self { id: None, ..self.clone() };
        let bytes =
            serde_json::to_vec(&content).map_err(|error| Error::invalid("request", error.to_string()))?;
        Ok(Fingerprint::of(&bytes))
    }
}

const fn max_failures() -> u32 {
    MAX_FAILURES
}

impl RunAsk {
    /// What each member asks of its node.
    ///
    /// # Errors
    /// `Invalid` where no node could be asked for that, or there would be no members or too many.
    pub fn demand(&self) -> Result<Demand> {
        if !(1..=MAX_MEMBERS).contains(&self.members) {
            return Err(Error::invalid("ask.members", format!("1 to {MAX_MEMBERS} are expected")));
        }
        let gpu = match (self.gpus, self.gpu_milli) {
            (0, _) => GpuDemand::None,
            (count, GpuMilli::WHOLE) => GpuDemand::Whole(count),
            (1, milli) => GpuDemand::Share(milli),
            _ => return Err(Error::invalid("ask.gpu_milli", "only one gpu can be shared")),
        };
        Demand::new(self.cpu, self.memory, self.storage, gpu, self.models.clone())
            .map_err(|error| Error::invalid("ask", error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_from_what_it_says_and_not_from_what_it_misspells() {
        let training = TrainingId::new(uuid::Uuid::from_u128(7));
        let least = serde_json::json!({ "training": training });
        let read: NewRun = serde_json::from_value(least).unwrap();
        assert_eq!(read, NewRun::of(training));
        let all = NewRun::of(training).priority(5).min_runtime_ms(3).max_failures(0);
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<NewRun>(&text).unwrap(), all);
        let misspelled = serde_json::json!({ "training": training, "priorty": 5 });
        assert!(serde_json::from_value::<NewRun>(misspelled).is_err());
    }
}
