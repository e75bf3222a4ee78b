//! How a store is opened: [`SqliteOptions`].

use std::sync::Arc;
use std::time::Duration;

use apportion::store::{Metrics, NoMetrics};

/// What an acknowledged commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// A crash of the process, of the operating system, and a power cut. Every group of commits costs one sync
    /// (`synchronous=FULL`).
    #[default]
    Full,
    /// A crash of the process only: the log is synced before its pages move into the file, and not at a commit
    /// (`synchronous=NORMAL`). A power cut can lose the last acknowledged commits; the file stays sound.
    ProcessCrash,
}

/// What opening looks for in a file. SQLite keeps no checksums, so that none of it finds everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IntegrityCheck {
    /// Nothing: damage is met when it is read, or never noticed.
    Nothing,
    /// Reads the whole file: pages, the order of rows, constraints. About three seconds a gigabyte
    /// (`quick_check`).
    #[default]
    Quick,
    /// Also compares every index with its table, so that damage to an indexed value is found. About forty-five seconds
    /// a gigabyte (`integrity_check`).
    Thorough,
}

/// How a store is opened. Start from [`SqliteOptions::default`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// What the names of the store's tables begin with: `apportion_`.
    ///
    /// Tables of other names are left alone, so that a store can live in the database of an application.
    pub prefix: String,
    /// What an acknowledged commit survives.
    pub durability: Durability,
    /// How much memory pages of the file may take, over all connections: 64 MiB.
    pub cache_bytes: usize,
    /// What opening looks for in the file: [`IntegrityCheck::Quick`].
    pub check_integrity_on_open: IntegrityCheck,
    /// How many reads run beside one another: 4. Each has a connection and a thread.
    pub readers: u32,
    /// How long a commit waits while another process, or a transaction of the application, has the file: 5 seconds.
    pub lock_timeout: Duration,
    /// How long opening waits while others have the file, such as those that open it at the same time: a minute.
    pub open_timeout: Duration,
    /// The largest number of batches that are committed together: 1,024.
    pub max_group: usize,
    /// How many calls may wait for the writer before further ones wait for room: 4,096.
    pub queue: usize,
    /// Where figures are reported.
    pub metrics: Arc<dyn Metrics>,
    pub(crate) slow_commits: Option<Duration>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            prefix: "apportion_".into(),
            durability: Durability::Full,
            cache_bytes: 64 << 20,
            check_integrity_on_open: IntegrityCheck::Quick,
            readers: 4,
            lock_timeout: Duration::from_secs(5),
            open_timeout: Duration::from_mins(1),
            max_group: 1024,
            queue: 4096,
            metrics: Arc::new(NoMetrics),
            slow_commits: None,
        }
    }
}

impl SqliteOptions {
    /// Says what the names of the tables begin with: a lower-case letter, then letters, digits and underscores.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Says what an acknowledged commit must survive.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Limits the memory that pages of the file may take.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Says what opening looks for in the file.
    pub fn check_integrity_on_open(mut self, check: IntegrityCheck) -> Self {
        self.check_integrity_on_open = check;
        self
    }

    /// Limits how many reads run beside one another.
    pub fn readers(mut self, connections: u32) -> Self {
        self.readers = connections.max(1);
        self
    }

    /// Limits how long a commit waits for the file.
    pub fn lock_timeout(mut self, most: Duration) -> Self {
        self.lock_timeout = most;
        self
    }

    /// Limits how long opening waits for the file.
    pub fn open_timeout(mut self, most: Duration) -> Self {
        self.open_timeout = most;
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

    /// Makes every commit take at least so long, which stands for the sync of a slow disk.
    #[cfg(feature = "testing")]
    pub fn slow_commits(mut self, at_least: Duration) -> Self {
        self.slow_commits = Some(at_least);
        self
    }
}
