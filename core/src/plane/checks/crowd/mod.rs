//! A crowd: four processes over one store, each with four schedulers and sixteen workers, one of them killed again and again, and one
//! more that submits runs all the time.
//!
//! Workers work, fail, pause past their lease, die and come back under their old name, and say words that do not count any more.
//! Everybody keeps a diary of what they did and were told. In the end the diaries, the feed from its beginning, and the rows are
//! compared, each with the others (`judge.rs`).
//!
//! What is random is so by a seed, which is told; how the processes meet each other is not.
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a check fails by panicking")]

mod diary;
mod feed;
mod hand;
mod judge;
mod parent;
mod part;
mod place;
mod rows;
mod uses;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::store::Store;
use crate::time::Clock;

pub use judge::CrowdReport;
pub use part::be_part_of_crowd;

/// How many processes there are.
const PARTS: u32 = 4;
/// How many schedulers each of them has.
const SCHEDULERS: u32 = 4;
/// How many workers each of them has.
const WORKERS: u32 = 16;
/// How many of those are the agents of nodes.
const AGENTS: u32 = 4;

/// How long a crowd is at work, and by which seed.
#[derive(Clone, Copy, Debug)]
pub struct CrowdSize {
    /// For how long runs are submitted, at least: also until each kind of trouble has happened.
    pub load: Duration,
    /// What is random is so by it.
    pub seed: u64,
}

/// One of the processes of a crowd, as it is told what it is: as text, so that it can be handed to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrowdPart {
    /// Which one it is.
    number: u32,
    /// How many were it before: of a process that was killed, the next one takes the place and all names.
    generation: u32,
    seed: u64,
    /// For how long its workers have a lease that they do not renew.
    lease: Duration,
    /// Where the diaries are kept.
    folder: PathBuf,
}

impl CrowdPart {
    /// Which one of the processes it is, from 0; the one that replaces a killed one has the same number.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Who it is in a name of a file.
    fn name(&self) -> String {
        format!("{}.{}", self.number, self.generation)
    }
}

impl fmt::Display for CrowdPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, generation, seed, lease, folder } = self;
        write!(f, "{number} {generation} {seed} {} {}", lease.as_millis(), folder.display())
    }
}

impl FromStr for CrowdPart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.splitn(5, ' ');
        let mut word = || words.next().ok_or_else(|| format!("{text:?} is no part of a crowd"));
        let mut number = || word()?.parse().map_err(|error| format!("{text:?}: {error}"));
        let (place, generation, seed, lease) = (number()?, number()?, number()?, number()?);
        let small = |number: u64| u32::try_from(number).map_err(|error| error.to_string());
        Ok(Self {
            number: small(place)?,
            generation: small(generation)?,
            seed,
            lease: Duration::from_millis(lease),
            folder: PathBuf::from(word()?),
        })
    }
}

/// What a crowd is told to do, as the processes of it hear it.
#[derive(Clone, Debug, Default)]
pub struct CrowdPhase(Arc<AtomicU8>);

/// What every process of a crowd is told when no more runs are submitted: work, and nothing else.
const SETTLE: &str = "settle";
/// What every process of a crowd is told when there is nothing left to do.
const END: &str = "end";

impl CrowdPhase {
    /// Takes a word that the process was told; what it does not know is the end.
    pub fn hear(&self, word: &str) {
        self.0.fetch_max(if word == SETTLE { 1 } else { 2 }, Ordering::Relaxed);
    }

    fn is_settling(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}

/// The processes of a crowd, as whoever starts them has them.
#[async_trait]
pub trait CrowdParts: Send {
    /// Starts a process, which calls [`be_part_of_crowd`].
    async fn start(&mut self, part: CrowdPart);

    /// Kills the process of this number, without a word to it, and waits until it is gone.
    async fn kill(&mut self, number: u32);

    /// Tells every process a word, which it takes with [`CrowdPhase::hear`].
    async fn tell(&mut self, word: &'static str);

    /// Panics where one has ended that was not killed.
    async fn check(&mut self);

    /// Waits for the end of all of them, and panics where one did not end well.
    async fn ended(&mut self);
}

/// Lets a crowd loose on a store with nothing in it, which was opened with [`TABLES`](crate::entity::TABLES) and with this clock,
/// that of the machine, and checks what came of it. The folder is for the diaries.
///
/// # Panics
/// Where something is not as it is promised.
pub async fn check_crowd(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    parts: &mut dyn CrowdParts,
    folder: &Path,
    size: CrowdSize,
) -> CrowdReport {
    let mut parent = parent::Parent::new(store, clock, folder, size).await;
    parent.load(parts).await;
    parent.settle(parts).await;
    parent.judge().await
}

#[cfg(test)]
mod tests;
