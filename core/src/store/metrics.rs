//! What a store tells about itself while it works.

use std::fmt;
use std::time::Duration;

/// Where a store reports its figures. Every method does nothing unless it is overridden.
///
/// Methods are called from the store's own threads: they must be quick and must not call the store.
pub trait Metrics: Send + Sync + fmt::Debug {
    /// So many batches wait for the writer.
    fn queue_depth(&self, batches: usize) {
        let _ = batches;
    }

    /// A group of batches was judged, so many of them accepted, and made durable together in `took`.
    fn group(&self, batches: usize, accepted: usize, took: Duration) {
        let _ = (batches, accepted, took);
    }

    /// An operation met a conflict and decides again, for the `attempt`th time.
    fn retry(&self, operation: &str, attempt: u32) {
        let _ = (operation, attempt);
    }

    /// The storage was asked to make something durable, which took `took`.
    fn sync(&self, took: Duration) {
        let _ = took;
    }

    /// A follower is so many records behind the head of the feed.
    fn feed_lag(&self, records: u64) {
        let _ = records;
    }
}

/// Reports nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMetrics;

impl Metrics for NoMetrics {}
