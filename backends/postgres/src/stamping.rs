//! Giving positions to records that were left without one, in the background: [`Stamping`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apportion_sql::{Failure, Take, is_unstamped, stamp_waiting};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::shared::Shared;
use crate::units::Units;

/// How long records wait at least before the background cares for them: what a reader or the next group would do costs
/// nothing extra.
const EVERY: Duration = Duration::from_secs(1);

/// Sees to it that records get positions although nobody reads the feed.
#[derive(Debug)]
pub(crate) struct Stamping {
    /// The statements that begin a transaction for it: always at READ COMMITTED, since above that giving a position would
    /// conflict with whoever else gives one.
    pub(crate) begin: Arc<str>,
    /// A task is going to look.
    wanted: AtomicBool,
    /// The task that gives them.
    turn: Mutex<()>,
}

impl Stamping {
    pub(crate) fn new(begin: Arc<str>) -> Self {
        Self { begin, wanted: AtomicBool::new(false), turn: Mutex::new(()) }
    }
}

impl Shared {
    /// Has records stamped that were left without a position; a little later, and once however often it is called.
    pub(crate) fn stamp_soon(self: &Arc<Self>) {
        if self.is_closing() || self.stamping.wanted.swap(true, Ordering::AcqRel) {
            return;
        }
        // A store that nobody has any more is not kept for this: whoever opens the next one reads.
        let shared = Arc::downgrade(self);
        self.units.runtime().spawn(async move {
            tokio::time::sleep(EVERY).await;
            let Some(shared) = shared.upgrade() else { return };
            let _turn = shared.stamping.turn.lock().await;
            // Before looking: what is committed from here on asks again.
            shared.stamping.wanted.store(false, Ordering::Release);
            if let Err(failure) = shared.stamp(&shared.units, Take::Waiting).await {
                tracing::debug!(?failure, "records are left without positions for now");
            }
        });
    }

    /// Gives positions to all records that wait for one, in as many units of work as that takes, but for not much longer
    /// than a call may take.
    pub(crate) async fn stamp(self: &Arc<Self>, units: &Arc<Units>, take: Take) -> Result<(), Failure> {
        let until = units.deadline();
        let mut more = true;
        while more && !self.is_closing() && Instant::now() < until {
            let shared = Arc::clone(self);
            let stamping = units.run(move |link| {
                Box::pin(async move {
                    if !is_unstamped(link, shared.tables()).await? {
                        return Ok(false);
                    }
                    link.begin_with(Arc::clone(&shared.stamping.begin));
                    stamp_waiting(link, shared.tables(), take).await
                })
            });
            more = stamping.await?;
        }
        Ok(())
    }
}
