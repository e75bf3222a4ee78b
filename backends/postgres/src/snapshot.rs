//! Consistent views that stand still, and the limits on them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Plain, PoisonError, Weak};
use std::time::Duration;

use apportion::store::{Cursor, MAX_SNAPSHOTS, Query, Reads, SNAPSHOT_LIFETIME, Snapshot, StoreError};
use apportion::time::Timestamp;
use apportion_sql::{Session as _, Take, fresh, read};
use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::error::{nothing_happened, unavailable};
use crate::shared::Shared;
use crate::units::Lease;

/// The snapshots that are open.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Plain<Vec<Weak<Held>>>);

/// A transaction that only reads: as long as it is open, the server keeps what it sees.
#[derive(Debug)]
pub(crate) struct Held {
    slot: Mutex<Slot>,
    opened: Duration,
    /// Nobody has the snapshot any more.
    dropped: AtomicBool,
}

#[derive(Debug)]
enum Slot {
    Opening,
    Open(Box<Lease>),
    Expired,
}

impl Held {
    fn is_old(&self, now: Duration) -> bool {
        now.saturating_sub(self.opened) >= SNAPSHOT_LIFETIME
    }

    /// Lets go of the state, once nobody reads it.
    async fn expire(&self) {
        let slot = std::mem::replace(&mut *self.slot.lock().await, Slot::Expired);
        if let Slot::Open(lease) = slot {
            lease.end().await;
        }
    }
}

impl Snapshots {
    /// A place for one more. Those that are too old make room.
    fn reserve(&self, now: Duration) -> Result<Arc<Held>, StoreError> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|held| match held.upgrade() {
            Some(held) if held.is_old(now) => {
                tokio::spawn(async move { held.expire().await });
                false
            }
            Some(held) => !held.dropped.load(Ordering::Acquire),
            None => false,
        });
        if open.len() >= MAX_SNAPSHOTS {
            return Err(StoreError::Busy { what: "snapshots", limit: MAX_SNAPSHOTS });
        }
        let (slot, dropped) = (Mutex::new(Slot::Opening), AtomicBool::new(false));
        let held = Arc::new(Held { slot, opened: now, dropped });
        open.push(Arc::downgrade(&held));
        Ok(held)
    }

    /// Ends all of them.
    pub(crate) async fn end(&self) {
        let all: Vec<_> = {
            let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            open.iter().filter_map(Weak::upgrade).collect()
        };
        for held in all {
            held.expire().await;
        }
    }
}

/// A state of the store that stands still.
pub(crate) struct PostgresSnapshot {
    shared: Arc<Shared>,
    held: Arc<Held>,
    cursor: Cursor,
    seen: Vec<Uuid>,
    now: Timestamp,
    /// Lets go of the state after its lifetime in real time, too: as long as somebody holds one, the server cannot clean up.
    reaper: JoinHandle<()>,
}

impl fmt::Debug for PostgresSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSnapshot").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl Drop for PostgresSnapshot {
    fn drop(&mut self) {
        self.reaper.abort();
        self.held.dropped.store(true, Ordering::Release);
        let held = Arc::clone(&self.held);
        // Where the runtime is gone this does nothing, and the connection is gone as well.
        self.shared.snapshot_units.runtime().spawn(async move { held.expire().await });
    }
}

impl PostgresSnapshot {
    /// Opens a view, in a task that the caller's drop does not cancel.
    pub(crate) async fn open(shared: &Arc<Shared>) -> Result<Self, StoreError> {
        let shared = Arc::clone(shared);
        let runtime = shared.snapshot_units.runtime().clone();
        let opening = runtime.spawn(async move { Self::begin(shared).await });
        opening.await.unwrap_or_else(|_| Err(unavailable("the work ended without an answer")))
    }

    async fn begin(shared: Arc<Shared>) -> Result<Self, StoreError> {
        // Those that have no position yet are told one by one. What others are just about is left to them.
        if let Err(failure) = shared.stamp(&shared.snapshot_units, Take::IfFree).await {
            tracing::debug!(?failure, "a snapshot begins while records have no positions");
        }
        let held = shared.snapshots.reserve(shared.clock.monotonic())?;
        let mut lease = shared.snapshot_units.lease().await?;
        let Some(link) = lease.link.as_mut() else { return Err(unavailable("there is no connection")) };
        link.begin().await.map_err(nothing_happened)?;
        // The state is fixed by the first statement, not by BEGIN.
        let view = fresh(link, shared.tables()).await.map_err(nothing_happened)?;
        *held.slot.lock().await = Slot::Open(Box::new(lease));
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
        let now = shared.clock.now().max(view.last_at);
        Ok(Self { shared, held, cursor: view.cursor, seen: view.already_seen, now, reaper })
    }
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        let (shared, held, now) = (Arc::clone(&self.shared), Arc::clone(&self.held), self.now);
        let reading = self.shared.snapshot_units.runtime().spawn(async move {
            if held.is_old(shared.clock.monotonic()) {
                held.expire().await;
            }
            let mut slot = held.slot.lock().await;
            let open = match &mut *slot {
                Slot::Open(lease) => lease.link.as_mut(),
                _ => None,
            };
            let link = open.ok_or(StoreError::SnapshotExpired)?;
            link.extend(shared.snapshot_units.deadline());
            let answers = read(link, shared.tables(), &queries, now).await.map_err(nothing_happened);
            if !link.is_usable() {
                // The server has given it up, or is gone; it will not stand again.
                *slot = Slot::Expired;
            }
            Ok(Reads::new(now, answers?.answers))
        });
        reading.await.unwrap_or_else(|_| Err(unavailable("the work ended without an answer")))
    }

    fn cursor(&self) -> Cursor {
        self.cursor
    }

    fn already_seen(&self) -> &[Uuid] {
        &self.seen
    }
}
