//! Connections to the file, and what each of them is set to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx_core::connection::ConnectOptions as _;
use sqlx_core::error::Error;
use sqlx_core::executor::Executor as _;
use sqlx_core::pool::{Pool, PoolOptions};
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_sqlite::{Sqlite, SqliteConnectOptions, SqliteConnection, SqliteSynchronous};

use crate::error::is_busy;
use crate::options::{Durability, SqliteOptions};

/// The pages that a snapshot's own connection may hold: it reads each once.
const SNAPSHOT_CACHE_BYTES: usize = 2 << 20;
/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 200;
/// How many rows the thread of a connection may be ahead of who reads them.
const ROWS_AHEAD: usize = 512;
/// What a page takes, where nobody has made the file with others.
const PAGE_BYTES: u64 = 4096;
/// How long the writer waits for those who read the log, to cut it: others who write wait meanwhile.
const PATIENCE: Duration = Duration::from_millis(250);

/// How connections to one file are made.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    path: PathBuf,
    durability: Durability,
    cache_bytes: usize,
    readers: u32,
    lock_timeout: Duration,
    log_bytes: u64,
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
            log_bytes: options.log_bytes,
        }
    }

    /// What the log may take before its readers are waited for.
    pub(crate) const fn log_limit(&self) -> u64 {
        self.log_bytes
    }

    /// How many pages are in the log when it is moved into the file, where no reader holds it back: a quarter of what it may
    /// take. What is written again and again is moved once, and a commit waits for that less often, than with the thousand that
    /// SQLite would begin at.
    fn pages_in_log(&self) -> u64 {
        (self.log_bytes / 4 / PAGE_BYTES).max(1)
    }

    /// What the log takes.
    pub(crate) fn log_bytes(&self) -> u64 {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        std::fs::metadata(log).map_or(0, |log| log.len())
    }

    /// Moves all that is in the log into the file and cuts it to nothing, once nobody reads it; says whether it is so.
    pub(crate) async fn cut_log(&self, connection: &mut SqliteConnection) -> Result<bool, Error> {
        self.wait_at_most(connection, PATIENCE).await?;
        let cut = connection.fetch_one("PRAGMA wal_checkpoint(TRUNCATE)").await;
        let busy = match cut {
            Ok(row) => row.try_get::<i64, _>(0)? != 0,
            Err(error) if is_busy(&error) => true,
            Err(error) => return Err(error),
        };
        self.wait_at_most(connection, self.lock_timeout).await?;
        Ok(!busy)
    }

    async fn wait_at_most(&self, connection: &mut SqliteConnection, most: Duration) -> Result<(), Error> {
        let sql = format!("PRAGMA busy_timeout = {}", most.min(self.lock_timeout).as_millis());
        connection.execute(AssertSqlSafe(sql)).await.map(|_| ())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn durability(&self) -> Durability {
        self.durability
    }

    /// How long a connection waits for the file.
    pub(crate) const fn lock_timeout(&self) -> Duration {
        self.lock_timeout
    }

    /// A connection that may write. It makes the file where there is none and `makes` says so.
    pub(crate) async fn first_writer(
        &self,
        makes: bool,
        patience: Duration,
    ) -> Result<SqliteConnection, Error> {
        self.writing().create_if_missing(makes).busy_timeout(self.lock_timeout.min(patience)).connect().await
    }

    /// A connection that looks at a file which may be anybody's, and changes nothing.
    pub(crate) async fn onlooker(&self, patience: Duration) -> Result<SqliteConnection, Error> {
        let options = self.options(SNAPSHOT_CACHE_BYTES).read_only(true);
        options.busy_timeout(self.lock_timeout.min(patience)).connect().await
    }

    /// Another connection that may write. A file that is gone is not made again.
    pub(crate) async fn another_writer(&self) -> Result<SqliteConnection, Error> {
        self.writing().connect().await
    }

    /// Another connection that may write, which waits for the file so long.
    pub(crate) async fn another_writer_for(&self, patience: Duration) -> Result<SqliteConnection, Error> {
        self.writing().busy_timeout(patience.min(self.lock_timeout)).connect().await
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
            .pragma("journal_size_limit", self.log_bytes.to_string())
            .pragma("wal_autocheckpoint", self.pages_in_log().to_string())
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

#[cfg(test)]
mod tests;
