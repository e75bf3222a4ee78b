//! A small training that really learns: [`train`]. Put your own in its place.
//!
//! What a worker expects of the program that it starts: it reads the job from the file that `TRAINER_JOB` names, prints how far it is as
//! lines of JSON ([`Progress`]), writes what it has learned to the file that `TRAINER_OUTPUT` names, and ends with 0. It ends with
//! [`INVALID`] where trying again can never help.

mod lora;
mod weights;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use lora::Lora;

/// The code with which a program ends that can never succeed as it is: `EX_DATAERR`.
pub const INVALID: u8 = 65;

/// What is trained, as the configuration of the training says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The seed: the same one learns the same.
    pub seed: u64,
    /// How wide the layer is: 1 to 1024.
    pub width: u16,
    /// The rank of what is learned: 1 to 64.
    pub rank: u16,
    /// How many times something is told: 1 to 10,000.
    pub epochs: u32,
    /// How many examples are learned from in between: 1 to 100,000.
    pub steps: u32,
    /// How much is learned from one: above 0 and at most 1.
    pub rate: f32,
    /// How long it rests after each epoch, in milliseconds: the time for which a real training would need its GPU. At most 60,000.
    pub pace_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { seed: 1, width: 32, rank: 4, epochs: 20, steps: 100, rate: 0.01, pace_ms: 0 }
    }
}

/// Why something was not trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What it is told makes no sense, now or later.
    #[error("the job is invalid: {reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// A file could not be read or written, or nobody listens.
    #[error("{what}")]
    Io {
        /// What was to be done.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It learns nothing: the numbers grow without end.
    #[error("the loss is no number any more")]
    Diverged,
}

/// How far a training is: a line of what its program prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// What is being done: 1 to 64 lower-case letters, digits and `_`.
    pub status: String,
    /// How much is done.
    pub done: Option<u64>,
    /// Of how much.
    pub total: Option<u64>,
    /// Measures, such as `loss`.
    pub metrics: BTreeMap<String, f64>,
    /// A text.
    pub note: Option<String>,
}

/// The part of a job that this training reads.
#[derive(Debug, Deserialize)]
struct Job {
    config: Config,
}

impl Config {
    /// Reads the configuration from the file of a job.
    pub fn of_job(file: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| Error::Io { what: format!("{} cannot be read", file.display()), source })?;
        let job: Job =
            serde_json::from_str(&text).map_err(|error| Error::Invalid { reason: error.to_string() })?;
        job.config.check()?;
        Ok(job.config)
    }

    fn check(&self) -> Result<(), Error> {
        let fits = (1..=1024).contains(&self.width)
            && (1..=64).contains(&self.rank)
            && (1..=10_000).contains(&self.epochs)
            && (1..=100_000).contains(&self.steps)
            && self.rate > 0.0
            && self.rate <= 1.0
            && self.pace_ms <= 60_000;
        if fits {
            Ok(())
        } else {
            Err(Error::Invalid { reason: format!("a number is out of range: {self:?}") })
        }
    }
}

/// Trains, tells `progress` of each epoch, and writes what was learned to `output`.
pub fn train(
    config: &Config,
    output: &Path,
    mut progress: impl FnMut(Progress) -> Result<(), Error>,
) -> Result<(), Error> {
    config.check()?;
    let mut lora = Lora::new(config);
    for epoch in 1..=config.epochs {
        let loss = f64::from(lora.epoch());
        if !loss.is_finite() {
            return Err(Error::Diverged);
        }
        std::thread::sleep(Duration::from_millis(config.pace_ms));
        progress(Progress {
            status: "training".to_owned(),
            done: Some(epoch.into()),
            total: Some(config.epochs.into()),
            metrics: [("loss".to_owned(), loss)].into(),
            note: None,
        })?;
    }
    let written = std::fs::write(output, weights::file(&lora, config));
    written.map_err(|source| Error::Io { what: format!("{} cannot be written", output.display()), source })
}
