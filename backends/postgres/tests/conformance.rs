//! The contract of a store, kept by this backend at every isolation level.
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::sync::{Arc, Mutex};

use apportion::conformance::Harness;
use apportion::store::{Store, Table};
use apportion::time::Clock;
use apportion_postgres::{Isolation, PostgresOptions, PostgresStore};
use apportion_throwaway_postgres::ThrowawayPostgres;

/// Databases of one server.
struct Databases {
    isolation: Isolation,
    last: Mutex<String>,
}

impl Databases {
    fn new(isolation: Isolation) -> Self {
        Self { isolation, last: Mutex::default() }
    }

    async fn connect(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        let url = self.last.lock().unwrap().clone();
        let options = PostgresOptions::default().isolation(self.isolation);
        Arc::new(PostgresStore::connect_with(&url, tables, clock, options).await.unwrap())
    }
}

#[async_trait::async_trait]
impl Harness for Databases {
    async fn open(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        *self.last.lock().unwrap() = ThrowawayPostgres::shared().unwrap().fresh_database().unwrap();
        self.connect(tables, clock).await
    }

    async fn reopen(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Option<Arc<dyn Store>> {
        Some(self.connect(tables, clock).await)
    }
}

mod read_committed {
    use super::{Databases, Isolation};

    apportion::conformance!(|| Databases::new(Isolation::ReadCommitted));
}

mod repeatable_read {
    use super::{Databases, Isolation};

    apportion::conformance!(|| Databases::new(Isolation::RepeatableRead));
}

mod serializable {
    use super::{Databases, Isolation};

    apportion::conformance!(|| Databases::new(Isolation::Serializable));
}
