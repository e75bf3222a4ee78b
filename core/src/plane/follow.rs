//! Keeps a [`View`] up to date: from a snapshot at first, then from the feed.

use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use uuid::Uuid;

use super::view::View;
use crate::entity::{COMPUTE_NODES, GPUS, INSTANCES, NODE_LEDGERS, NODE_LIFECYCLES, PORT_MAPS};
use crate::sched::{Cluster, Policy};
use crate::store::{Cursor, MAX_CHANGES, Scan, Snapshot, SnapshotExt as _, Store, StoreError, Table};

/// A view that many tasks use, and one at a time brings up to date.
#[derive(Debug)]
pub(super) struct Followed {
    store: Arc<dyn Store>,
    /// By which the nodes are decided on.
    policy: Policy,
    view: Mutex<Option<View>>,
    pub(super) gate: futures_util::lock::Mutex<()>,
}

impl Followed {
    pub(super) fn new(store: Arc<dyn Store>, policy: Policy) -> Self {
        Self { store, policy, view: Mutex::new(None), gate: futures_util::lock::Mutex::new(()) }
    }

    /// Runs `look` on the view as it is.
    pub(super) fn with<T>(
        &self,
        look: impl FnOnce(&mut View) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut view = self.lock();
        let view = view.get_or_insert_with(|| View::new(Cursor::START, Cluster::for_policy(self.policy)));
        look(view)
    }

    /// Brings the view to the head of the feed, unless another task is doing so.
    pub(super) async fn refresh_if_idle(&self) -> Result<(), StoreError> {
        if let Some(_gate) = self.gate.try_lock() {
            return self.follow().await;
        }
        if self.lock().is_some() {
            return Ok(());
        }
        // The first one builds the view: there is nothing to decide on before.
        self.refresh().await
    }

    /// Brings the view to the head of the feed.
    pub(super) async fn refresh(&self) -> Result<(), StoreError> {
        let _gate = self.gate.lock().await;
        self.follow().await
    }

    async fn follow(&self) -> Result<(), StoreError> {
        loop {
            let cursor = self.lock().as_ref().map(|view| view.cursor);
            let Some(cursor) = cursor else {
                self.rebuild().await?;
                continue;
            };
            let changes = match self.store.changes(cursor, MAX_CHANGES).await {
                // Pruned behind our back, or another history: begin again.
                Err(StoreError::CursorExpired { .. } | StoreError::CursorForeign { .. }) => {
                    self.rebuild().await?;
                    continue;
                }
                changes => changes?,
            };
            let mut view = self.lock();
            if let Some(view) = view.as_mut().filter(|view| view.cursor == cursor) {
                view.take_records(&changes.records)?;
            }
            if changes.lag == 0 {
                return Ok(());
            }
        }
    }

    async fn rebuild(&self) -> Result<(), StoreError> {
        let snapshot = self.store.snapshot().await?;
        let view = view_of(&*snapshot, Cluster::for_policy(self.policy)).await?;
        *self.lock() = Some(view);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<View>> {
        self.view.lock().unwrap_or_else(|poisoned| {
            // Something panicked in the middle of a change: what it left is not to be trusted.
            self.view.clear_poison();
            let mut view = poisoned.into_inner();
            *view = None;
            view
        })
    }
}

/// The view of a snapshot, indexed in this cluster, which is empty.
pub(super) async fn view_of(snapshot: &dyn Snapshot, cluster: Cluster) -> Result<View, StoreError> {
    let mut view = View::new(snapshot.cursor(), cluster);
    view.skip = snapshot.already_seen().iter().copied().collect();
    for table in [&COMPUTE_NODES, &NODE_LIFECYCLES, &NODE_LEDGERS, &GPUS, &PORT_MAPS] {
        snapshot.each(Scan::of(table), &mut |row| view.take_row(row)).await?;
    }
    // Only what is on a node.
    snapshot.each(referring(&INSTANCES, "instances_node"), &mut |row| view.take_row(row)).await?;
    Ok(view)
}

/// The rows of a table that refer to anything, in the order of a reference: all behind its nulls.
pub(super) fn referring(table: &'static Table, reference: &'static str) -> Scan {
    Scan::of(table).by(reference).range(Bound::Included(Uuid::nil().into()), Bound::Unbounded)
}

/// What was taken off a view and is not yet committed.
///
/// What it still holds when it is dropped is given back to the view: the commit was refused, or whoever waited for it
/// has gone. If it happens all the same, the feed will say so, and until then batches guard themselves.
#[derive(Debug)]
pub(super) struct Held {
    followed: Arc<Followed>,
    instances: Vec<Uuid>,
}

impl Held {
    pub(super) fn none(followed: &Arc<Followed>) -> Self {
        Self { followed: Arc::clone(followed), instances: Vec::new() }
    }

    /// Holds what the view has pending for an instance.
    pub(super) fn hold(&mut self, instance: Uuid) {
        self.instances.push(instance);
    }

    /// Lets another one hold it.
    pub(super) fn pass_on(&mut self, instance: Uuid, to: &mut Self) {
        self.keep(instance);
        to.hold(instance);
    }

    /// How many instances are held.
    pub(super) const fn count(&self) -> usize {
        self.instances.len()
    }

    /// Leaves it pending until its record arrives: it is committed.
    pub(super) fn keep(&mut self, instance: Uuid) {
        self.instances.retain(|held| *held != instance);
    }

    /// Gives it back now.
    pub(super) fn give_back(&mut self, instance: Uuid) -> Result<(), StoreError> {
        self.keep(instance);
        self.followed.with(|view| view.end(instance))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for instance in std::mem::take(&mut self.instances) {
            // A node that cannot be indexed is told of by the next who looks at the view.
            let _ = self.followed.with(|view| view.end(instance));
        }
    }
}
