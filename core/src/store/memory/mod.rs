//! The reference store: everything in memory, nothing durable.
//!
//! It is the shortest honest implementation of the contract, and what tests run on. A snapshot shares the tables
//! with the store until the next write to each.

mod state;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::batch::Batch;
use super::contract::{MAX_SNAPSHOTS, SNAPSHOT_LIFETIME, Snapshot, Store};
use super::error::StoreError;
use super::eval::Group;
use super::log::{Changes, Cursor, Prune, Pruned, Receipt, Resolution, Stored};
use super::metrics::{Metrics, NoMetrics};
use super::query::{Query, Reads};
use super::schema::{BadDeclaration, Schema};
use super::table::Table;
use crate::time::{Clock, Timestamp};
use state::State;

/// A store in memory. Clones of its `Arc` are handles of one store.
#[derive(Debug)]
pub struct MemoryStore {
    schema: Arc<Schema>,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn Metrics>,
    state: Mutex<State>,
    /// Changed under the lock of the state; its snapshots see it, too.
    closed: Arc<AtomicBool>,
    snapshots: Arc<AtomicUsize>,
}

impl MemoryStore {
    /// An empty store of these tables.
    pub fn new(tables: &[&'static Table], clock: Arc<dyn Clock>) -> Result<Self, BadDeclaration> {
        let schema = Arc::new(Schema::new(tables)?);
        let state = Mutex::new(State::new(Arc::clone(&schema)));
        Ok(Self {
            schema,
            clock,
            metrics: Arc::new(NoMetrics),
            state,
            closed: Arc::default(),
            snapshots: Arc::default(),
        })
    }

    /// Reports figures to `metrics`.
    pub fn with_metrics(mut self, metrics: Arc<dyn Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        // A commit changes the state only after everything that can fail, so a poisoned one is whole.
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(state) }
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        let state = self.lock()?;
        state.read(&queries, self.clock.now())
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        let state = self.lock()?.clone();
        let slot = Slot::take(&self.snapshots)?;
        let now = self.clock.now().max(state.last_at);
        let opened = self.clock.monotonic();
        Ok(Arc::new(MemorySnapshot {
            state,
            now,
            clock: Arc::clone(&self.clock),
            opened,
            closed: Arc::clone(&self.closed),
            _slot: slot,
        }))
    }

    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        let began = self.clock.monotonic();
        let count = batches.len();
        let mut answers = Vec::with_capacity(count);
        for batch in batches {
            answers.push(self.commit_one(batch, began));
        }
        let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
        self.metrics.group(count, accepted, self.clock.monotonic().saturating_sub(began));
        answers
    }

    async fn resolve(&self, id: Uuid) -> Result<Resolution, StoreError> {
        let mut state = self.lock()?;
        let at = self.clock.now().max(state.last_at);
        state.resolve(id, at)
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        let changes = self.lock()?.changes(after, limit)?;
        self.metrics.feed_lag(changes.lag);
        Ok(changes)
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StoreError> {
        let mut state = self.lock()?;
        let now = self.clock.now().max(state.last_at);
        state.prune(prune, now)
    }

    async fn close(&self) -> Result<(), StoreError> {
        let _state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

impl MemoryStore {
    fn commit_one(&self, batch: Batch, began: Duration) -> Result<Receipt, StoreError> {
        let prepared = self.schema.prepare(batch)?;
        let mut state = self.lock()?;
        let waited = self.clock.monotonic().saturating_sub(began);
        if prepared.deadline.is_some_and(|deadline| waited >= deadline) {
            return Err(StoreError::DeadlineExceeded { waited });
        }
        let at = self.clock.now().max(state.last_at);
        let mut group = Group::new(&self.schema, &*state, at, Some(state.head().position));
        let receipt = group.judge(&prepared)?;
        let effects = group.finish();
        if !receipt.repeated {
            state.apply(effects, at);
        }
        Ok(receipt)
    }
}

/// One of the snapshots that may be open at once.
#[derive(Debug)]
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(open: &Arc<AtomicUsize>) -> Result<Self, StoreError> {
        let free = |open: usize| (open < MAX_SNAPSHOTS).then_some(open + 1);
        match open.fetch_update(Ordering::AcqRel, Ordering::Acquire, free) {
            Ok(_) => Ok(Self(Arc::clone(open))),
            Err(_) => Err(StoreError::Busy { what: "snapshots", limit: MAX_SNAPSHOTS }),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug)]
struct MemorySnapshot {
    state: State,
    now: Timestamp,
    clock: Arc<dyn Clock>,
    opened: Duration,
    closed: Arc<AtomicBool>,
    _slot: Slot,
}

#[async_trait]
impl Snapshot for MemorySnapshot {
    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        let age = self.clock.monotonic().saturating_sub(self.opened);
        if age >= SNAPSHOT_LIFETIME || self.closed.load(Ordering::Acquire) {
            return Err(StoreError::SnapshotExpired);
        }
        self.state.read(&queries, self.now)
    }

    fn cursor(&self) -> Cursor {
        self.state.head()
    }
}

impl From<Stored> for Resolution {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Committed(receipt) => Self::Committed(receipt),
            Stored::Void(_) => Self::NotCommitted,
        }
    }
}
