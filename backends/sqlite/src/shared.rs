//! What the handle of a store shares with the tasks that work for it: [`Shared`].

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apportion::id::TimeOrderedIds;
use apportion::store::{Metrics, StoreError};
use apportion::time::Clock;
use apportion_sql::{Committing, Failure, Tables};
use sqlx_core::connection::Connection as _;
use sqlx_core::pool::{Pool, PoolConnection};
use sqlx_sqlite::Sqlite;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};
use tokio::time::{Instant, timeout_at};

use crate::connect::Connector;
use crate::error::{plain, store_error};
use crate::link::{Link, Meter};
use crate::nested::Nested;
use crate::snapshot::Snapshots;

/// What the handle of a store shares with the tasks that work for it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) committing: Committing,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<dyn Metrics>,
    pub(crate) connector: Connector,
    pub(crate) meter: Arc<Meter>,
    pub(crate) snapshots: Snapshots,
    /// The ids of the receipts that transactions of the application's have.
    pub(crate) ids: TimeOrderedIds,
    pub(crate) readers: Pool<Sqlite>,
    /// The one connection that writes; none where it was given up, or the store is closed.
    pub(crate) writer: Arc<Mutex<Option<Link>>>,
    /// Nothing more is accepted.
    pub(crate) closing: AtomicBool,
    /// What was accepted is answered, and nothing more is done.
    pub(crate) closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        tables: Tables,
        clock: Arc<dyn Clock>,
        connector: Connector,
        meter: Arc<Meter>,
        link: Link,
        metrics: Arc<dyn Metrics>,
    ) -> Self {
        let readers = connector.readers();
        let ids = TimeOrderedIds::new(Arc::clone(&clock));
        // One writer at a time gives positions in the order of its commits.
        let committing = Committing::new(tables, Arc::clone(&clock), true);
        Self {
            committing,
            clock,
            metrics,
            connector,
            meter,
            snapshots: Snapshots::default(),
            ids,
            readers,
            writer: Arc::new(Mutex::new(Some(link))),
            closing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) const fn tables(&self) -> &Tables {
        &self.committing.tables
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Waits for the writer's turn and gives it, with a connection on which nothing is under way.
    pub(crate) async fn writer(&self) -> Result<Turn, StoreError> {
        let mut slot = Arc::clone(&self.writer).lock_owned().await;
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        if !slot.as_ref().is_some_and(Link::is_sound) {
            tracing::debug!("opening another connection for writing");
            *slot = None;
            let connection = self.connector.another_writer().await.map_err(store_error)?;
            *slot = Some(Link::new(connection, Arc::clone(&self.meter)));
        }
        // There is one, as of just above.
        OwnedMutexGuard::try_map(slot, Option::as_mut).map(Turn).map_err(|_| StoreError::Closed)
    }

    /// Begins a transaction of the application's, in its turn among everything of this store that writes: so who waits
    /// for a busy store comes next and not by chance, and has no connection before. Once it is begun others wait for the
    /// file itself.
    pub(crate) async fn begin(&self) -> Result<Nested, StoreError> {
        let until = Instant::now() + self.connector.lock_timeout();
        let turn = timeout_at(until, self.writer.lock()).await;
        let turn = turn.map_err(|_| plain(Failure::LockTimeout))?;
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        let left = until.saturating_duration_since(Instant::now());
        let connection = self.connector.another_writer_for(left).await.map_err(store_error)?;
        let meter = Arc::clone(&self.meter);
        let nested = Nested::begin(connection, meter, self.connector.durability()).await.map_err(plain);
        drop(turn);
        nested
    }

    pub(crate) async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        if self.is_closing() {
            return Err(StoreError::Closed);
        }
        self.readers.acquire().await.map_err(store_error)
    }

    /// Waits for what is under way, and closes every connection.
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        let mut slot = self.writer.lock().await;
        self.closed.store(true, Ordering::Release);
        self.snapshots.end().await;
        self.readers.close().await;
        // The last connection moves what is in the log into the file.
        match slot.take().and_then(Link::into_connection) {
            Some(connection) => connection.close().await.map_err(store_error),
            None => Ok(()),
        }
    }
}

/// The writer's turn.
pub(crate) struct Turn(OwnedMappedMutexGuard<Option<Link>, Link>);

impl Deref for Turn {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.0
    }
}

impl DerefMut for Turn {
    fn deref_mut(&mut self) -> &mut Link {
        &mut self.0
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.give_up_unless_sound();
    }
}
