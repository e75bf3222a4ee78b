//! Consistent views that stand still, and the limits on them.

use std::fmt;
use std::sync::{Arc, Mutex as Plain, PoisonError, Weak};
use std::time::Duration;

use apportion::store::{Cursor, MAX_SNAPSHOTS, Query, Reads, SNAPSHOT_LIFETIME, Snapshot, StoreError};
use apportion::time::Timestamp;
use apportion_sql::{fresh, read};
use async_trait::async_trait;
use sqlx_core::connection::Connection as _;
use sqlx_core::executor::Executor as _;
use sqlx_sqlite::SqliteConnection;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::error::{plain, store_error};
use crate::link::Reader;
use crate::shared::Shared;

/// The snapshots that are open.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Plain<Vec<Weak<Held>>>);

/// A connection inside a transaction that reads: as long as it is there, what it sees stays in the log.
#[derive(Debug)]
struct Held {
    slot: Mutex<Slot>,
    opened: Duration,
}

#[derive(Debug)]
enum Slot {
    Opening,
    Open(SqliteConnection),
    Expired,
}

impl Held {
    fn is_old(&self, now: Duration) -> bool {
        now.saturating_sub(self.opened) >= SNAPSHOT_LIFETIME
    }

    /// Lets go of the state, once nobody reads it.
    async fn expire(&self) {
        if let Slot::Open(connection) = std::mem::replace(&mut *self.slot.lock().await, Slot::Expired) {
            // It only read: there is nothing to lose.
            drop(connection.close().await);
        }
    }
}

impl Snapshots {
    /// A place for one more. Those that are too old make room.
    async fn reserve(&self, now: Duration) -> Result<Arc<Held>, StoreError> {
        for old in self.all().into_iter().filter(|held| held.is_old(now)) {
            old.expire().await;
        }
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|held| held.upgrade().is_some_and(|held| !held.is_old(now)));
        if open.len() >= MAX_SNAPSHOTS {
            return Err(StoreError::Busy { what: "snapshots", limit: MAX_SNAPSHOTS });
        }
        let held = Arc::new(Held { slot: Mutex::new(Slot::Opening), opened: now });
        open.push(Arc::downgrade(&held));
        Ok(held)
    }

    fn all(&self) -> Vec<Arc<Held>> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().filter_map(Weak::upgrade).collect()
    }

    /// Ends all of them.
    pub(crate) async fn end(&self) {
        for held in self.all() {
            held.expire().await;
        }
    }
}

/// A state of the store that stands still.
pub(crate) struct SqliteSnapshot {
    shared: Arc<Shared>,
    held: Arc<Held>,
    cursor: Cursor,
    now: Timestamp,
    /// Lets go of the state after its lifetime in real time, too: as long as somebody holds one, the log grows.
    reaper: JoinHandle<()>,
}

impl fmt::Debug for SqliteSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSnapshot").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl Drop for SqliteSnapshot {
    fn drop(&mut self) {
        self.reaper.abort();
    }
}

impl SqliteSnapshot {
    pub(crate) async fn open(shared: &Arc<Shared>) -> Result<Self, StoreError> {
        let now = shared.clock.monotonic();
        let held = shared.snapshots.reserve(now).await?;
        let mut connection = shared.connector.snapshot().await.map_err(store_error)?;
        // The state is fixed by the first read, not by BEGIN.
        connection.execute("BEGIN").await.map_err(store_error)?;
        let begins = fresh(&mut Reader(&mut connection), shared.tables()).await.map_err(plain)?;
        *held.slot.lock().await = Slot::Open(connection);
        if shared.is_closing() {
            held.expire().await;
        }
        let weak = Arc::downgrade(&held);
        let reaper = tokio::spawn(async move {
            tokio::time::sleep(SNAPSHOT_LIFETIME).await;
            if let Some(held) = weak.upgrade() {
                held.expire().await;
            }
        });
        let now = shared.clock.now().max(begins.last_at);
        Ok(Self { shared: Arc::clone(shared), held, cursor: begins.cursor, now, reaper })
    }
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        if self.held.is_old(self.shared.clock.monotonic()) {
            self.held.expire().await;
        }
        let mut slot = self.held.slot.lock().await;
        let Slot::Open(connection) = &mut *slot else { return Err(StoreError::SnapshotExpired) };
        read(&mut Reader(connection), self.shared.tables(), &queries, self.now).await.map_err(plain)
    }

    fn cursor(&self) -> Cursor {
        self.cursor
    }
}
