//! What the handles of a store share with its writer.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use apportion::store::{Metrics, Schema, StoreError};
use apportion::time::Clock;
use tokio::sync::watch;

use crate::backend::Meter;
use crate::layout::Layout;
use crate::snapshot::Snapshots;
use crate::view::View;

/// What the handles of a store share with its writer.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) schema: Arc<Schema>,
    pub(crate) layout: Arc<Layout>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<dyn Metrics>,
    pub(crate) meter: Arc<Meter>,
    /// What reads are answered from: replaced by the writer after each commit, before it answers.
    pub(crate) views: watch::Sender<Readable>,
    pub(crate) snapshots: Snapshots,
    /// How many batches wait for the writer.
    pub(crate) waiting: Arc<AtomicUsize>,
    /// Whether somebody asked to close.
    pub(crate) closing: AtomicBool,
    /// Whether the writer has ended and the file is released.
    pub(crate) ended: Ended,
}

/// Whether the store can be read.
#[derive(Clone, Debug)]
pub(crate) enum Readable {
    /// From this state.
    Yes(Arc<View>),
    /// In a moment: the file is being compacted.
    Soon,
    /// No longer.
    No(StoreError),
}

/// Set once, when the writer has ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    flag: Mutex<bool>,
    changed: Condvar,
}

impl Ended {
    pub(crate) fn set(&self) {
        *self.flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits until it is set, but no longer than `most`.
    pub(crate) fn wait(&self, most: Duration) -> bool {
        let flag = self.flag.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(flag, most, |ended| !*ended);
        let (flag, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *flag
    }
}
