//! What the handle of a store shares with the tasks that work for it: [`Shared`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apportion::id::TimeOrderedIds;
use apportion::store::{MAX_SNAPSHOTS, Metrics, SNAPSHOT_LIFETIME, StoreError};
use apportion::time::Clock;
use apportion_sql::{Committing, Tables};
use sqlx_postgres::PgPool;

use crate::link::Meter;
use crate::open::begin;
use crate::options::{Isolation, PostgresOptions};
use crate::snapshot::Snapshots;
use crate::stamping::Stamping;
use crate::units::Units;

/// What the handle of a store shares with the tasks that work for it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) committing: Committing,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<dyn Metrics>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) units: Arc<Units>,
    /// Snapshots have connections of their own: holding one for long takes none from those that work.
    pub(crate) snapshot_units: Arc<Units>,
    pub(crate) snapshots: Snapshots,
    /// The ids of the receipts that transactions of the application's have.
    pub(crate) ids: TimeOrderedIds,
    /// How long a statement in such a transaction waits for a row. The server has to give up before this side does, which
    /// gives up the connection, and with it everything that was done in the transaction.
    pub(crate) bound_lock_limit: Duration,
    pub(crate) stamping: Stamping,
    /// Nothing more is accepted.
    pub(crate) closing: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        pool: PgPool,
        ours: bool,
        tables: Tables,
        clock: Arc<dyn Clock>,
        meter: Arc<Meter>,
        options: &PostgresOptions,
    ) -> Self {
        let limit = options.call_timeout;
        let connections = u32::try_from(MAX_SNAPSHOTS).unwrap_or(u32::MAX);
        let apart = pool.options().clone().min_connections(0).max_connections(connections);
        let apart = apart.connect_lazy_with((*pool.connect_options()).clone());
        let work = begin(options.isolation.sql(), limit, limit, options);
        let look = begin("REPEATABLE READ READ ONLY", limit, SNAPSHOT_LIFETIME, options);
        let stamping = Stamping::new(begin(Isolation::ReadCommitted.sql(), limit, limit, options));
        // Giving a position meets others who give one, and above READ COMMITTED that would be a conflict.
        let stamps = options.isolation == Isolation::ReadCommitted;
        let ids = TimeOrderedIds::new(Arc::clone(&clock));
        let committing = Committing::new(tables, Arc::clone(&clock), stamps);
        // Above READ COMMITTED what was looked up before a lock was given would be a conflict; and who asks for several
        // groups at once has them wait for one another in the database only.
        let ahead = stamps && options.lanes == 1;
        Self {
            committing: if ahead { committing.working_ahead() } else { committing },
            clock,
            metrics: Arc::clone(&options.metrics),
            units: Arc::new(Units::new(pool, ours, limit, work, Arc::clone(&meter))),
            snapshot_units: Arc::new(Units::new(apart, true, limit, look, Arc::clone(&meter))),
            meter,
            snapshots: Snapshots::default(),
            ids,
            bound_lock_limit: options.lock_timeout.min(limit / 2),
            stamping,
            closing: AtomicBool::new(false),
        }
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.committing.tables
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(crate) fn accepting(&self) -> Result<(), StoreError> {
        if self.is_closing() { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// Ends the snapshots and closes every connection.
    pub(crate) async fn close(&self) {
        self.snapshots.end().await;
        self.snapshot_units.close().await;
        self.units.close().await;
    }
}
