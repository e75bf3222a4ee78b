//! Consistent views that stand still, and the limits on them.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use apportion::store::{Cursor, MAX_SNAPSHOTS, Query, Reads, SNAPSHOT_LIFETIME, Snapshot, StoreError};
use apportion::time::{Clock, Timestamp};
use async_trait::async_trait;

use crate::read;
use crate::view::View;

/// The snapshots that are open.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Mutex<Vec<Weak<Held>>>);

/// The state that a snapshot keeps in the file, until it expires.
#[derive(Debug)]
struct Held {
    view: Mutex<Option<Arc<View>>>,
    opened: Duration,
}

impl Held {
    fn view(&self, now: Duration) -> Result<Arc<View>, StoreError> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(self.opened) >= SNAPSHOT_LIFETIME {
            *view = None;
        }
        view.clone().ok_or(StoreError::SnapshotExpired)
    }

    fn expire(&self) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Snapshots {
    fn open(&self, view: Arc<View>, now: Duration) -> Result<Arc<Held>, StoreError> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|held| held.upgrade().is_some_and(|held| held.view(now).is_ok()));
        if open.len() >= MAX_SNAPSHOTS {
            return Err(StoreError::Busy { what: "snapshots", limit: MAX_SNAPSHOTS });
        }
        let held = Arc::new(Held { view: Mutex::new(Some(view)), opened: now });
        open.push(Arc::downgrade(&held));
        Ok(held)
    }

    /// Lets go of those that are too old, so that the file can use their pages again. Says how many are left.
    pub(crate) fn sweep(&self, now: Duration) -> usize {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|held| held.upgrade().is_some_and(|held| held.view(now).is_ok()));
        open.len()
    }

    /// Ends all of them.
    pub(crate) fn end(&self) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for held in open.drain(..).filter_map(|held| held.upgrade()) {
            held.expire();
        }
    }
}

/// A state of the store that stands still.
#[derive(Debug)]
pub(crate) struct RedbSnapshot {
    held: Arc<Held>,
    cursor: Cursor,
    now: Timestamp,
    clock: Arc<dyn Clock>,
}

impl RedbSnapshot {
    pub(crate) fn open(
        snapshots: &Snapshots,
        view: Arc<View>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let state = view.state;
        Ok(Self {
            held: snapshots.open(view, clock.monotonic())?,
            cursor: state.head,
            now: clock.now().max(state.last_at),
            clock: Arc::clone(clock),
        })
    }
}

#[async_trait]
impl Snapshot for RedbSnapshot {
    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        let view = self.held.view(self.clock.monotonic())?;
        match read::answer(view, queries).await {
            Ok(answers) => Ok(Reads::new(self.now, answers)),
            Err(StoreError::Closed) => Err(StoreError::SnapshotExpired),
            Err(error) => Err(error),
        }
    }

    fn cursor(&self) -> Cursor {
        self.cursor
    }
}
