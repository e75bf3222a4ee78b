//! Connections that were used a moment ago: [`Parked`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx_core::pool::PoolConnection;
use sqlx_postgres::{PgPool, Postgres};
use tokio::runtime::Handle;
use tokio::time::Instant;

/// How long a connection is kept for the next piece of work.
const KEPT: Duration = Duration::from_millis(200);
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
    connection: PoolConnection<Postgres>,
    generation: u64,
    since: Instant,
}

impl Parked {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // What is in it is changed in one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection of this generation that was used last. Those of earlier ones are given up.
    pub(super) fn take(&self, generation: u64) -> Option<PoolConnection<Postgres>> {
        let mut kept = self.lock();
        while let Some(idle) = kept.connections.pop() {
            if idle.generation == generation {
                return Some(idle.connection);
            }
            drop(idle.connection.detach());
        }
        None
    }

    /// Keeps a connection on which nothing is open; gives it back where there are enough.
    pub(super) fn put(
        self: &Arc<Self>,
        connection: PoolConnection<Postgres>,
        generation: u64,
        pool: &PgPool,
        runtime: &Handle,
    ) -> Option<PoolConnection<Postgres>> {
        let connections = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        let most = (connections.saturating_sub(1) / 2).min(MOST);
        let mut kept = self.lock();
        if kept.closed || kept.connections.len() >= most {
            return Some(connection);
        }
        kept.connections.push(Idle { connection, generation, since: Instant::now() });
        if !std::mem::replace(&mut kept.swept, true) {
            let parked = Arc::clone(self);
            runtime.spawn(async move { parked.sweep().await });
        }
        None
    }

    /// Gives all of them back, and keeps none any more.
    pub(super) fn close(&self) -> Vec<PoolConnection<Postgres>> {
        let mut kept = self.lock();
        kept.closed = true;
        kept.connections.drain(..).map(|idle| idle.connection).collect()
    }

    /// Gives back what nobody has needed for a moment, until nothing is left.
    async fn sweep(&self) {
        loop {
            tokio::time::sleep(KEPT / 2).await;
            let old: Vec<_> = {
                let mut kept = self.lock();
                let is_old = |idle: &mut Idle| idle.since.elapsed() >= KEPT;
                let old = kept.connections.extract_if(.., is_old).collect();
                kept.swept = !kept.connections.is_empty();
                if !kept.swept {
                    // Whoever keeps one after this begins to sweep again.
                    drop(kept);
                    return give_back(old);
                }
                old
            };
            give_back(old);
        }
    }
}

/// Dropped, a connection goes back to its pool.
fn give_back(connections: Vec<Idle>) {
    drop(connections);
}
