//! Connections for short pieces of work, each owned by a task of its own: [`Units`].

mod parked;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apportion::store::StoreError;
use apportion_sql::{Failure, Session as _};
use sqlx_core::error::Error;
use sqlx_core::pool::PoolConnection;
use sqlx_postgres::{PgPool, Postgres};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::error::{store_error, unavailable};
use crate::link::{Link, Meter};
use parked::{Parked, Taken};

/// A connection of a pool.
pub(crate) type Pooled = Link<PoolConnection<Postgres>>;

/// What a piece of work comes to.
pub(crate) type Work<'l, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'l>>;

/// Runs pieces of work on connections of a pool.
///
/// The driver's connections do not survive that a future over them is dropped: one that is dropped while a transaction
/// begins leaves the connection in it, and whoever has the connection next works inside, and in vain. So the work runs in a
/// task that no caller's drop cancels, every step of it ends by a deadline, and a connection that is not certainly
/// clean is given up.
#[derive(Debug)]
pub(crate) struct Units {
    runtime: Handle,
    current: Mutex<Generation>,
    call_timeout: Duration,
    begin: Arc<str>,
    meter: Arc<Meter>,
    parked: Arc<Parked>,
    /// How many pieces of work have ended on a connection that still worked.
    sound: AtomicU64,
}

/// A pool, until it has no connection left that works.
#[derive(Clone, Debug)]
struct Generation {
    number: u64,
    pool: PgPool,
    /// Whether the pool is the store's own, and not the application's.
    ours: bool,
    closed: bool,
}

impl Units {
    pub(crate) fn new(
        pool: PgPool,
        ours: bool,
        call_timeout: Duration,
        begin: Arc<str>,
        meter: Arc<Meter>,
    ) -> Self {
        let current = Mutex::new(Generation { number: 0, pool, ours, closed: false });
        Self {
            runtime: Handle::current(),
            current,
            call_timeout,
            begin,
            meter,
            parked: Arc::default(),
            sound: AtomicU64::new(0),
        }
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(crate) fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    /// Does a piece of work on a connection.
    ///
    /// # Errors
    /// The work's own, and [`Failure::Unknown`] where it ended without an answer.
    pub(crate) async fn run<T, W>(self: &Arc<Self>, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: for<'l> FnOnce(&'l mut Pooled) -> Work<'l, T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let units = Arc::clone(self);
        self.runtime.spawn(async move {
            match units.lease().await {
                Err(error) => drop(answer.send(Err(Failure::Store(error)))),
                Ok(mut lease) => {
                    let done = match lease.link.as_mut() {
                        Some(link) => work(link).await,
                        None => Err(unavailable("there is no connection").into()),
                    };
                    // Who asks again at once finds it; and nobody waits for what else is done about the connection.
                    lease.park();
                    drop(answer.send(done));
                    lease.end().await;
                }
            }
        });
        answered.await.unwrap_or(Err(Failure::Unknown))
    }

    /// A connection, for as long as the lease lives.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease, StoreError> {
        let sound = self.sound.load(Ordering::Acquire);
        let deadline = self.deadline();
        loop {
            let Generation { number, pool, closed, .. } = self.generation();
            if closed {
                return Err(StoreError::Closed);
            }
            if let Some(taken) = self.parked.take(number) {
                return Ok(self.leased(taken, deadline, number, sound));
            }
            match timeout_at(deadline, pool.acquire()).await {
                Ok(Ok(connection)) => {
                    let taken = Taken { connection, since: Instant::now() };
                    return Ok(self.leased(taken, deadline, number, sound));
                }
                Ok(Err(Error::PoolClosed)) if self.generation().number > number => {}
                Ok(Err(error @ Error::PoolTimedOut)) => {
                    self.none_in_time(number, sound);
                    return Err(store_error(error));
                }
                Ok(Err(error)) => return Err(store_error(error)),
                Err(_) => {
                    self.none_in_time(number, sound);
                    return Err(unavailable("no connection became free in time"));
                }
            }
        }
    }

    fn leased(self: &Arc<Self>, taken: Taken, deadline: Instant, generation: u64, sound: u64) -> Lease {
        let Taken { connection, since } = taken;
        let link = Link::new(connection, Arc::clone(&self.begin), deadline, Arc::clone(&self.meter));
        Lease { link: Some(link), units: Arc::clone(self), since, generation, sound }
    }

    /// No connection was to be had in time. Of the store's own pool that says that none works; an application may
    /// just be using all of its, and then none is idle.
    fn none_in_time(&self, number: u64, sound: u64) {
        let Generation { pool, ours, .. } = self.generation();
        if ours || pool.num_idle() > 0 {
            self.replace_if_dead(number, sound);
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.call_timeout
    }

    /// Lets nobody in any more, and closes the connections where they are the store's own.
    pub(crate) async fn close(&self) {
        let generation = {
            let mut current = self.lock();
            current.closed = true;
            current.clone()
        };
        self.parked.close().await;
        if generation.ours {
            // What is still on its way ends by its own deadline.
            drop(timeout_at(self.deadline(), generation.pool.close()).await);
        }
    }

    fn generation(&self) -> Generation {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generation> {
        // A pool is replaced in one step.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the pool where no work has ended well since `sound` was read: all its connections may be to a peer that
    /// no longer answers, and neither they nor what waits for them would ever be freed.
    fn replace_if_dead(&self, number: u64, sound: u64) {
        if self.sound.load(Ordering::Acquire) != sound {
            return;
        }
        let old = {
            let mut current = self.lock();
            if current.number != number || current.closed {
                return;
            }
            let options = current.pool.options().clone().min_connections(0);
            let pool = options.connect_lazy_with((*current.pool.connect_options()).clone());
            let next = Generation { number: number + 1, pool, ours: true, closed: false };
            std::mem::replace(&mut *current, next)
        };
        tracing::warn!("no connection of the pool answers; it is replaced");
        if old.ours {
            let deadline = self.deadline();
            self.runtime.spawn(async move { timeout_at(deadline, old.pool.close()).await });
        }
    }
}

/// A connection that goes back to its pool where it is clean, and is given up where it is not.
#[derive(Debug)]
pub(crate) struct Lease {
    /// None only when the lease has ended.
    pub(crate) link: Option<Pooled>,
    units: Arc<Units>,
    /// Since when the connection is out of its pool.
    since: Instant,
    generation: u64,
    sound: u64,
}

impl Lease {
    /// Keeps the connection for the next piece of work, where nothing is open on it and there is room.
    fn park(&mut self) {
        let Some(link) = self.link.take_if(|link| link.is_clean() && !link.was_late()) else { return };
        let Generation { number, pool, .. } = self.units.generation();
        if number != self.generation {
            drop(link.into_inner().detach());
            return;
        }
        let taken = Taken { connection: link.into_inner(), since: self.since };
        match self.units.parked.put(taken, number, &pool, &self.units.runtime) {
            None => drop(self.units.sound.fetch_add(1, Ordering::AcqRel)),
            Some(Taken { connection, .. }) => {
                let (begin, meter) = (Arc::clone(&self.units.begin), Arc::clone(&self.units.meter));
                self.link = Some(Link::new(connection, begin, self.units.deadline(), meter));
            }
        }
    }

    /// Undoes what is open, and gives the connection back.
    pub(crate) async fn end(mut self) {
        let Some(mut link) = self.link.take() else { return };
        link.extend(self.units.deadline());
        // Where it cannot be undone the connection is not clean.
        drop(link.rollback().await);
        if link.was_late() {
            self.units.replace_if_dead(self.generation, self.sound);
        }
        let clean = link.is_clean();
        let mut connection = link.into_inner();
        if !clean {
            drop(connection.detach());
            self.units.parked.give_up();
            return;
        }
        self.units.sound.fetch_add(1, Ordering::AcqRel);
        // The pool asks the server first, which may have stopped to answer by now.
        drop(timeout_at(self.units.deadline(), connection.return_to_pool()).await);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            drop(link.into_inner().detach());
        }
    }
}

#[cfg(test)]
mod tests;
