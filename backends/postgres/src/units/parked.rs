//! Connections that were used a moment ago: [`Parked`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx_core::pool::PoolConnection;
use sqlx_postgres::{PgPool, Postgres};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// How long a connection is kept for the next piece of work.
const KEPT: Duration = Duration::from_millis(200);
/// After how long one goes back in any case, so that the pool can look after it.
const OUT: Duration = Duration::from_secs(5);
/// How long the pool may take to have one back: it asks the server first, which may have stopped to answer.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(5);
/// The most connections that are kept.
const MOST: usize = 4;

/// Connections that are kept for the next piece of work, the one that was used last on top.
///
/// A pool asks the server whether a connection still works when it gives one out and again when it takes one back, and
/// gives all of them out in turn, so that the server would have to plan every statement on each. That costs more than
/// most pieces of work. So those in use stay out of the pool until nobody has needed them for a moment; less than half
/// of the pool's connections, since the pool may be the application's.
#[derive(Debug, Default)]
pub(super) struct Parked(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    connections: Vec<Idle>,
    /// Whether a task sees to it that they go back.
    swept: bool,
    closed: bool,
}

#[derive(Debug)]
struct Idle {
    taken: Taken,
    generation: u64,
    since: Instant,
}

/// A connection that is out of its pool.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) connection: PoolConnection<Postgres>,
    /// Since when.
    pub(super) since: Instant,
}

impl Drop for Kept {
    /// Where the store is gone its runtime may be, too, and a pool cannot take a connection back without one.
    fn drop(&mut self) {
        self.give_up();
    }
}

impl Kept {
    fn give_up(&mut self) {
        for idle in self.connections.drain(..) {
            drop(idle.taken.connection.detach());
        }
    }
}

impl Parked {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // What is in it is changed in one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection of this generation that was used last. Those of earlier ones are given up.
    pub(super) fn take(&self, generation: u64) -> Option<Taken> {
        let mut kept = self.lock();
        while let Some(idle) = kept.connections.pop() {
            if idle.generation == generation {
                return Some(idle.taken);
            }
            drop(idle.taken.connection.detach());
        }
        None
    }

    /// Keeps a connection on which nothing is open; gives it back where there are enough.
    pub(super) fn put(
        self: &Arc<Self>,
        taken: Taken,
        generation: u64,
        pool: &PgPool,
        runtime: &Handle,
    ) -> Option<Taken> {
        let connections = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        let most = (connections.saturating_sub(1) / 2).min(MOST);
        let mut kept = self.lock();
        if kept.closed || kept.connections.len() >= most || pool.is_closed() || taken.since.elapsed() >= OUT {
            return Some(taken);
        }
        kept.connections.push(Idle { taken, generation, since: Instant::now() });
        if !std::mem::replace(&mut kept.swept, true) {
            let parked = Arc::clone(self);
            runtime.spawn(async move { parked.sweep().await });
        }
        None
    }

    /// Gives all of them up: where the server has left one, it has left the others as well.
    pub(super) fn give_up(&self) {
        self.lock().give_up();
    }

    /// Gives all of them back, and keeps none any more.
    pub(super) async fn close(&self) {
        let kept = {
            let mut kept = self.lock();
            kept.closed = true;
            std::mem::take(&mut kept.connections)
        };
        give_back(kept).await;
    }

    /// Gives back what nobody has needed for a moment, until nothing is left.
    async fn sweep(&self) {
        loop {
            tokio::time::sleep(KEPT / 2).await;
            let (old, done) = {
                let mut kept = self.lock();
                let old: Vec<_> =
                    kept.connections.extract_if(.., |idle| idle.since.elapsed() >= KEPT).collect();
                // Whoever keeps one after this begins to sweep again.
                kept.swept = !kept.connections.is_empty();
                (old, !kept.swept)
            };
            give_back(old).await;
            if done {
                return;
            }
        }
    }
}

async fn give_back(connections: Vec<Idle>) {
    let deadline = Instant::now() + GIVEN_BACK_WITHIN;
    for idle in connections {
        let mut connection = idle.taken.connection;
        if timeout_at(deadline, connection.return_to_pool()).await.is_err() {
            drop(connection.detach());
        }
    }
}

#[cfg(test)]
mod tests;
