//! The connection on which units of work begin and end: [`Link`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apportion::store::{Metrics, StoreError};
use apportion::time::Clock;
use apportion_sql::{Connection, Failure, Fetched, Session, Statement};
use async_trait::async_trait;
use futures_util::future::join;
use sqlx_core::executor::Executor as _;
use sqlx_sqlite::SqliteConnection;

use crate::connect::Connector;
use crate::error::{commit_failure, failure};
use crate::wire;

/// Counts what was made durable.
#[derive(Debug)]
pub(crate) struct Meter {
    syncs: AtomicU64,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn Metrics>,
    slow_commits: Option<Duration>,
}

impl Meter {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        metrics: Arc<dyn Metrics>,
        slow_commits: Option<Duration>,
    ) -> Self {
        Self { syncs: AtomicU64::new(0), clock, metrics, slow_commits }
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Commits the transaction of a connection.
    pub(crate) async fn commit(&self, connection: &mut SqliteConnection) -> Result<(), Failure> {
        let began = self.clock.monotonic();
        let committed = match self.slow_commits {
            None => connection.execute("COMMIT").await,
            Some(at_least) => join(connection.execute("COMMIT"), tokio::time::sleep(at_least)).await.0,
        };
        committed.map_err(commit_failure)?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.metrics.sync(self.clock.monotonic().saturating_sub(began));
        Ok(())
    }
}

/// A connection of the store's own, which writes.
///
/// Transactions are begun and ended by plain statements: the driver's own account of them would be wrong after a
/// commit that SQLite has taken back.
pub(crate) struct Link {
    /// None once it was given up.
    connection: Option<SqliteConnection>,
    meter: Arc<Meter>,
    /// It is inside a transaction, or not certainly outside of one.
    inside: bool,
    /// What the log had grown to when it could not be cut, since somebody read it.
    uncut_bytes: u64,
}

impl Link {
    pub(crate) fn new(connection: SqliteConnection, meter: Arc<Meter>) -> Self {
        Self { connection: Some(connection), meter, inside: false, uncut_bytes: 0 }
    }

    /// Whether the log has grown too long. SQLite begins it anew by itself, but only where nobody happens to read it,
    /// which never comes where one reader begins before another ends.
    pub(crate) fn has_long_log(&self, connector: &Connector) -> bool {
        let limit = connector.log_limit();
        // Where it could not be cut it is tried again when there is as much more as is worth the trouble.
        connector.log_bytes() > limit.max(self.uncut_bytes.saturating_add(limit / 4))
    }

    /// Cuts the log, unless somebody reads it for long.
    pub(crate) async fn cut_log(&mut self, connector: &Connector) {
        let Some(connection) = self.connection.as_mut().filter(|_| !self.inside) else { return };
        match connector.cut_log(connection).await {
            Ok(true) => self.uncut_bytes = 0,
            Ok(false) => {
                self.uncut_bytes = connector.log_bytes();
                tracing::debug!(bytes = self.uncut_bytes, "the log is read, and cannot be cut");
            }
            Err(error) => {
                tracing::warn!(%error, "the log could not be cut");
                self.connection = None;
            }
        }
    }

    /// Whether the next unit of work may begin on it.
    pub(crate) fn is_sound(&self) -> bool {
        self.connection.is_some() && !self.inside
    }

    /// Lets go of a connection on which something is under way, which undoes it and frees the file.
    pub(crate) fn give_up_unless_sound(&mut self) {
        if self.inside {
            self.connection = None;
        }
    }

    pub(crate) fn into_connection(self) -> Option<SqliteConnection> {
        self.connection
    }

    fn connection(&mut self) -> Result<&mut SqliteConnection, Failure> {
        let given_up =
            || StoreError::Unavailable { reason: "the connection was given up".into(), source: None };
        self.connection.as_mut().ok_or_else(|| given_up().into())
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("connected", &self.connection.is_some())
            .field("inside", &self.inside)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Connection for Link {
    async fn rows(&mut self, statement: &Statement) -> Result<Vec<Fetched>, Failure> {
        wire::rows(self.connection()?, statement).await
    }

    async fn execute(&mut self, statement: &Statement) -> Result<u64, Failure> {
        wire::execute(self.connection()?, statement).await
    }
}

#[async_trait]
impl Session for Link {
    async fn begin(&mut self) -> Result<(), Failure> {
        self.inside = true;
        // A plain BEGIN would take the lock at the first write, and fail where somebody else wrote since.
        match self.connection()?.execute("BEGIN IMMEDIATE").await.map_err(failure) {
            Ok(_) => Ok(()),
            Err(Failure::LockTimeout) => {
                self.inside = false;
                Err(Failure::LockTimeout)
            }
            Err(failure) => {
                self.connection = None;
                Err(failure)
            }
        }
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        let meter = Arc::clone(&self.meter);
        let committed = meter.commit(self.connection()?).await;
        match &committed {
            Ok(()) => self.inside = false,
            // The transaction is still open.
            Err(Failure::LockTimeout) => self.rollback().await?,
            Err(_) => self.connection = None,
        }
        committed
    }

    async fn rollback(&mut self) -> Result<(), Failure> {
        let Some(connection) = self.connection.as_mut().filter(|_| self.inside) else {
            return Ok(());
        };
        match connection.execute("ROLLBACK").await {
            Ok(_) => self.inside = false,
            // SQLite undoes a transaction by itself where the file can no longer be written.
            Err(error) => {
                tracing::debug!(%error, "a transaction ended before it was rolled back");
                self.connection = None;
            }
        }
        Ok(())
    }
}

/// A connection that only reads.
pub(crate) struct Reader<'a>(pub(crate) &'a mut SqliteConnection);

#[async_trait]
impl Connection for Reader<'_> {
    async fn rows(&mut self, statement: &Statement) -> Result<Vec<Fetched>, Failure> {
        wire::rows(self.0, statement).await
    }

    async fn execute(&mut self, statement: &Statement) -> Result<u64, Failure> {
        wire::execute(self.0, statement).await
    }
}
