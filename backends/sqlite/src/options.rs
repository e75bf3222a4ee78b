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
///
/// The file is looked at as a whole, since damage to its free pages or to a table of an application's may reach every
/// other. So a row of an application's that breaks one of its own constraints counts as damage, too: the reason names
/// its table.
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

/// What opening does about tables that are not as declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Migrate {
    /// Makes what is missing, and the file where there is none.
    #[default]
    Apply,
    /// Makes nothing, and does not open where something is missing. For applications that migrate by themselves, with
    /// what [`SqliteStore::migrations_sql`](crate::SqliteStore::migrations_sql) gives.
    ///
    /// A file is looked at with a connection that only reads, and one that will not do stays as it is to the last bit.
    /// There is one exception: where a writer died in the middle of a change, and the file cannot be read before that is
    /// undone, it is undone, as it is by whoever opens the file.
    Verify,
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
    /// How long a commit waits while another process, or a transaction of the application, has the file: 5 seconds. As
    /// long waits a call inside a transaction whose connection is lent out.
    pub lock_timeout: Duration,
    /// How long opening waits while others have the file, such as those that open it at the same time: a minute. What it
    /// does itself takes as long as it takes: reading a large file for damage, migrating.
    pub open_timeout: Duration,
    /// The largest number of batches that are committed together: 1,024.
    pub max_group: usize,
    /// How many calls may wait for the writer before further ones wait for room: 4,096.
    pub queue: usize,
    /// What opening does about tables that are not as declared: it makes them.
    pub migrate: Migrate,
    /// Where figures are reported.
    pub metrics: Arc<dyn Metrics>,
    /// What the log may take before its readers are waited for.
    pub(crate) log_bytes: u64,
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
            migrate: Migrate::default(),
            metrics: Arc::new(NoMetrics),
            log_bytes: 64 << 20,
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

    /// Says what opening does about tables that are not as declared.
    pub fn migrate(mut self, migrate: Migrate) -> Self {
        self.migrate = migrate;
        self
    }

    /// Reports figures to `metrics`.
    pub fn with_metrics(mut self, metrics: Arc<dyn Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Waits for the readers of a log from this size on, instead of 64 MiB.
    #[cfg(feature = "testing")]
    pub fn log_bytes(mut self, most: u64) -> Self {
        self.log_bytes = most;
        self
    }

    /// Makes every commit take at least so long, which stands for the sync of a slow disk.
    #[cfg(feature = "testing")]
    pub fn slow_commits(mut self, at_least: Duration) -> Self {
        self.slow_commits = Some(at_least);
        self
    }
}
