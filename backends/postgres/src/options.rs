//! How a store is opened: [`PostgresOptions`].

use std::sync::Arc;
use std::time::Duration;

use apportion::store::{Metrics, NoMetrics};

/// How much of other transactions a transaction of the store sees. The store keeps its promises at each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// What was committed when a statement began. Batches that change the same counter wait for one another.
    #[default]
    ReadCommitted,
    /// What was committed when the transaction began. Batches of several processes that change the same row are
    /// repeated by the store.
    RepeatableRead,
    /// As if one transaction came after the other; repeated by the store where that is not so.
    Serializable,
}

impl Isolation {
    pub(crate) const fn sql(self) -> &'static str {
        match self {
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

/// What opening does about tables that are not as declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Migrate {
    /// Makes what is missing. The user of the database needs the right to create in it, or in the schema where that is
    /// there already.
    #[default]
    Apply,
    /// Makes nothing, and does not open where something is missing. For applications that migrate by themselves, with
    /// what [`migrations_sql`](crate::migrations_sql) gives.
    Verify,
}

/// How a store is opened. Start from [`PostgresOptions::default`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The schema that the tables are in: `apportion`. It holds nothing else.
    pub schema: String,
    /// The isolation of the store's own transactions: read committed, whatever the server's default. Those that only give
    /// positions to records are always read committed.
    pub isolation: Isolation,
    /// How long a read, or a transaction on its way, may take: 10 seconds. Then its connection is given up.
    pub call_timeout: Duration,
    /// How long a statement waits for a row that another transaction has locked: 2 seconds.
    pub lock_timeout: Duration,
    /// How long opening may take, migrations included: 60 seconds.
    pub open_timeout: Duration,
    /// The largest number of connections: 10, and one more for each open snapshot. A pool that the application made
    /// keeps its own limit.
    pub max_connections: u32,
    /// The largest number of batches that are committed together: 1,024.
    pub max_group: usize,
    /// How many calls may wait before further ones wait for room: 4,096.
    pub queue: usize,
    /// How many groups may be under way at once: 1, beside which the next ones insert their rows. More of them wait for
    /// one another's rows in the database.
    pub lanes: usize,
    /// What opening does about tables that are not as declared: it makes them.
    pub migrate: Migrate,
    /// Where figures are reported.
    pub metrics: Arc<dyn Metrics>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            schema: "apportion".into(),
            isolation: Isolation::default(),
            call_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(2),
            open_timeout: Duration::from_mins(1),
            max_connections: 10,
            max_group: 1024,
            queue: 4096,
            lanes: 1,
            migrate: Migrate::default(),
            metrics: Arc::new(NoMetrics),
        }
    }
}

/// The shortest time limit: Postgres takes zero for none.
const SHORTEST: Duration = Duration::from_millis(1);

impl PostgresOptions {
    /// Names the schema: a lower-case letter, then letters, digits and underscores.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// Sets the isolation of the store's own transactions.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Limits how long a read, or a transaction on its way, may take.
    pub fn call_timeout(mut self, limit: Duration) -> Self {
        self.call_timeout = limit.max(SHORTEST);
        self
    }

    /// Limits how long a statement waits for a row that another transaction has locked.
    pub fn lock_timeout(mut self, limit: Duration) -> Self {
        self.lock_timeout = limit.max(SHORTEST);
        self
    }

    /// Limits how long opening may take.
    pub fn open_timeout(mut self, limit: Duration) -> Self {
        self.open_timeout = limit.max(SHORTEST);
        self
    }

    /// Limits the connections of a store that makes its own.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// Limits how many batches are committed together.
    pub fn max_group(mut self, batches: usize) -> Self {
        self.max_group = batches.max(1);
        self
    }

    /// Limits how many calls wait.
    pub fn queue(mut self, calls: usize) -> Self {
        self.queue = calls.max(1);
        self
    }

    /// Limits how many groups are under way at once.
    pub fn lanes(mut self, groups: usize) -> Self {
        self.lanes = groups.max(1);
        self
    }

    /// Says what opening does about tables that are not as declared.
    pub fn migrate(mut self, migrate: Migrate) -> Self {
        self.migrate = migrate;
        self
    }

    /// Reports figures to `metrics`.
    pub fn with_metrics(mut self, metrics: Arc<dyn Metrics>) -> Self {
        self.metrics = metrics;
        self
    }
}
