//! The store's handle: [`PostgresStore`].

use std::sync::Arc;

use apportion::time::Clock;
use sqlx_postgres::PgPool;

use crate::link::Meter;
use crate::open::Declared;
use crate::options::PostgresOptions;
use crate::units::Units;

/// A store in a Postgres database.
#[derive(Debug)]
pub struct PostgresStore {
    units: Arc<Units>,
}

impl PostgresStore {
    pub(crate) fn start(
        pool: PgPool,
        ours: bool,
        declared: Declared,
        clock: Arc<dyn Clock>,
        meter: Arc<Meter>,
        options: &PostgresOptions,
    ) -> Self {
        let begin = crate::open::begin(options.isolation.sql(), options.call_timeout, options);
        Self { units: Arc::new(Units::new(pool, ours, options.call_timeout, begin, meter)) }
    }
}
