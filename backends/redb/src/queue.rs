//! What waits for the writer, and who decides whether it still happens: [`Ticket`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use apportion::store::{Prepared, Prune, Pruned, Receipt, Resolution, StoreError};
use tokio::sync::oneshot;
use uuid::Uuid;

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Commits batches, in this order.
    Commit(Vec<Entry>),
    /// Says what became of a batch, and makes it impossible where it did not happen.
    Resolve(Uuid, Answer<Resolution>),
    /// Throws away old records and receipts.
    Prune(Prune, Answer<Pruned>),
    /// Gives unused space of the file back.
    Compact(Answer<bool>),
    /// Ends the writer.
    Close(Answer<()>),
}

/// Where an answer goes. One that is dropped tells the caller that the writer is gone.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A batch that waits for the writer.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) batch: Prepared,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) answer: Answer<Receipt>,
    pub(crate) _waiting: Waiting,
}

/// Counts a batch as waiting for as long as it does, however that ends.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A batch's turn. The writer takes it or its caller withdraws it, whoever is first; so exactly one of them
/// decides whether it can still happen.
#[derive(Debug)]
pub(crate) struct Ticket {
    state: AtomicU8,
    /// When the caller asked, by the clock's monotonic time.
    began: Duration,
    deadline: Option<Duration>,
}

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Ticket {
    pub(crate) fn new(began: Duration, deadline: Option<Duration>) -> Arc<Self> {
        Arc::new(Self { state: AtomicU8::new(WAITING), began, deadline })
    }

    /// Claims the batch for the writer; false where it was withdrawn.
    pub(crate) fn take(&self) -> bool {
        self.leave_waiting_for(TAKEN)
    }

    /// Withdraws the batch; false where the writer has it.
    pub(crate) fn withdraw(&self) -> bool {
        self.leave_waiting_for(WITHDRAWN) || self.state.load(Ordering::Acquire) == WITHDRAWN
    }

    fn leave_waiting_for(&self, state: u8) -> bool {
        self.state.compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// How long the caller has waited at `now`.
    pub(crate) fn waited(&self, now: Duration) -> Duration {
        now.saturating_sub(self.began)
    }

    /// Whether the deadline has passed at `now`.
    pub(crate) fn is_late(&self, now: Duration) -> bool {
        self.left(now) == Some(Duration::ZERO)
    }

    /// How long until the deadline; none where there is no deadline.
    pub(crate) fn left(&self, now: Duration) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_sub(self.waited(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_decided_once() {
        let ticket = Ticket::new(Duration::ZERO, None);
        assert!(ticket.take());
        assert!(!ticket.withdraw());
        assert!(!ticket.take());
        let ticket = Ticket::new(Duration::ZERO, None);
        assert!(ticket.withdraw());
        assert!(ticket.withdraw());
        assert!(!ticket.take());
    }

    #[test]
    fn a_deadline_is_measured_from_the_call() {
        let at = Duration::from_secs;
        let ticket = Ticket::new(at(5), Some(at(2)));
        assert_eq!(ticket.left(at(6)), Some(at(1)));
        assert!(!ticket.is_late(at(6)));
        assert!(ticket.is_late(at(7)));
        assert_eq!(ticket.waited(at(9)), at(4));
        assert!(!Ticket::new(at(5), None).is_late(at(1_000_000)));
    }
}
