//! Connections to the file, and what each of them is set to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx_core::connection::ConnectOptions as _;
use sqlx_core::error::Error;
use sqlx_core::pool::{Pool, PoolOptions};
use sqlx_sqlite::{Sqlite, SqliteConnectOptions, SqliteConnection, SqliteSynchronous};

use crate::options::{Durability, SqliteOptions};

/// The pages that a snapshot's own connection may hold: it reads each once.
const SNAPSHOT_CACHE_BYTES: usize = 2 << 20;
/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 200;
/// How many rows the thread of a connection may be ahead of who reads them.
const ROWS_AHEAD: usize = 512;
/// What the log is cut back to once its pages are in the file: 64 MiB.
const LOG_BYTES: &str = "67108864";

/// How connections to one file are made.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    path: PathBuf,
    durability: Durability,
    cache_bytes: usize,
    readers: u32,
    lock_timeout: Duration,
}

impl Connector {
    /// `path` is absolute: connections are made later, too, when the process may be in another folder.
    pub(crate) fn new(path: PathBuf, options: &SqliteOptions) -> Self {
        Self {
            path,
            durability: options.durability,
            cache_bytes: options.cache_bytes,
            readers: options.readers.max(1),
            // SQLite counts milliseconds in 32 bits.
            lock_timeout: options.lock_timeout.min(Duration::from_hours(24)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How long a connection waits for the file.
    pub(crate) const fn lock_timeout(&self) -> Duration {
        self.lock_timeout
    }

    /// A connection that may write, and makes the file where there is none.
    pub(crate) async fn first_writer(&self) -> Result<SqliteConnection, Error> {
        self.writing().create_if_missing(true).connect().await
    }

    /// Another connection that may write. A file that is gone is not made again.
    pub(crate) async fn another_writer(&self) -> Result<SqliteConnection, Error> {
        self.writing().connect().await
    }

    fn writing(&self) -> SqliteConnectOptions {
        let synchronous = match self.durability {
            Durability::Full => SqliteSynchronous::Full,
            Durability::ProcessCrash => SqliteSynchronous::Normal,
        };
        self.options(self.cache_bytes / 2)
            .synchronous(synchronous)
            // What the operating system calls a sync does not reach the medium everywhere (macOS).
            .pragma("fullfsync", "ON")
            .pragma("checkpoint_fullfsync", "ON")
            .pragma("journal_size_limit", LOG_BYTES)
    }

    /// A pool of connections that only read.
    pub(crate) fn readers(&self) -> Pool<Sqlite> {
        let readers = usize::try_from(self.readers).unwrap_or(1);
        let options = self.options(self.cache_bytes / 2 / readers).read_only(true);
        PoolOptions::new()
            .max_connections(self.readers)
            .acquire_timeout(self.lock_timeout.max(Duration::from_secs(1)))
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options)
    }

    /// A connection for one snapshot.
    pub(crate) async fn snapshot(&self) -> Result<SqliteConnection, Error> {
        self.options(SNAPSHOT_CACHE_BYTES).read_only(true).connect().await
    }

    fn options(&self, cache_bytes: usize) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(self.lock_timeout)
            .statement_cache_capacity(STATEMENTS)
            .row_buffer_size(ROWS_AHEAD)
            .thread_name(|number| format!("apportion-sqlite-{number}"))
            .foreign_keys(true)
            // Negative counts KiB instead of pages.
            .pragma("cache_size", format!("-{}", (cache_bytes >> 10).max(64)))
            .pragma("temp_store", "MEMORY")
            .pragma("cell_size_check", "ON")
            // Statements hold names and no values, but they would fill the application's log.
            .disable_statement_logging()
    }
}
