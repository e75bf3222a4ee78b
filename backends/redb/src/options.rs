//! How a store is opened: [`RedbOptions`].

use std::sync::Arc;

use apportion::store::{Metrics, NoMetrics};

/// What an acknowledged commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// A crash of the process, of the operating system, and a power cut. Every group of commits costs one sync.
    #[default]
    Full,
    /// A crash of the process only. The file is never synced until the store is closed, so a power cut can lose
    /// acknowledged commits, and can leave a file that no longer opens and is reported as damaged. For caches,
    /// tests, and stores that can be rebuilt.
    ProcessCrash,
}

/// How a store is opened. Start from [`RedbOptions::default`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RedbOptions {
    /// How much memory pages of the file may take: 64 MiB.
    pub cache_bytes: usize,
    /// What an acknowledged commit survives.
    pub durability: Durability,
    /// Whether opening reads the whole file and verifies every checksum (about a second a gigabyte): yes.
    ///
    /// Without it a file that was altered from outside is trusted: reading it can give wrong values. Turn it off
    /// only where something else vouches for the file, such as a filesystem with checksums.
    pub check_integrity_on_open: bool,
    /// The largest number of batches that are committed together: 1,024.
    pub max_group: usize,
    /// How many calls may wait for the writer before further ones wait for room: 4,096.
    pub queue: usize,
    /// Where figures are reported.
    pub metrics: Arc<dyn Metrics>,
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            durability: Durability::Full,
            check_integrity_on_open: true,
            max_group: 1024,
            queue: 4096,
            metrics: Arc::new(NoMetrics),
        }
    }
}

impl RedbOptions {
    /// Limits the memory that pages of the file may take.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Says what an acknowledged commit must survive.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Whether opening verifies every checksum; see [`RedbOptions::check_integrity_on_open`].
    pub fn check_integrity_on_open(mut self, check: bool) -> Self {
        self.check_integrity_on_open = check;
        self
    }

    /// Limits how many batches are committed together.
    pub fn max_group(mut self, batches: usize) -> Self {
        self.max_group = batches.max(1);
        self
    }

    /// Limits how many calls wait for the writer.
    pub fn queue(mut self, calls: usize) -> Self {
        self.queue = calls.max(1);
        self
    }

    /// Reports figures to `metrics`.
    pub fn with_metrics(mut self, metrics: Arc<dyn Metrics>) -> Self {
        self.metrics = metrics;
        self
    }
}
