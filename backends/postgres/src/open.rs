//! Opening a database, new or not.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use apportion::store::{OpenProblem, Schema, StoreError, Table};
use apportion::time::Clock;
use apportion_sql::{Names, Tables, check_names};
use sqlx_core::connection::{ConnectOptions as _, Connection as _};
use sqlx_postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use tokio::time::{Instant, timeout};

use crate::link::{Link, Meter};
use crate::migrate::Target;
use crate::options::PostgresOptions;
use crate::reach::{Reach, reach};
use crate::store::PostgresStore;

impl PostgresStore {
    /// Opens the store in the database at `url`, such as `postgres://user:password@host/database`, and makes its tables
    /// where there are none.
    ///
    /// It may be the database of an application: the store keeps to a schema of its own.
    ///
    /// # Errors
    /// [`StoreError::CannotOpen`] with the reason, and without the password.
    pub async fn connect(
        url: &str,
        tables: &[&'static Table],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        Self::connect_with(url, tables, clock, PostgresOptions::default()).await
    }

    /// Opens the store with options.
    ///
    /// # Errors
    /// See [`PostgresStore::connect`]; [`StoreError::Invalid`] for a schema name that cannot be one.
    pub async fn connect_with(
        url: &str,
        tables: &[&'static Table],
        clock: Arc<dyn Clock>,
        options: PostgresOptions,
    ) -> Result<Self, StoreError> {
        let tables = declared(tables, &options)?;
        let cannot = |what: &str, reason| StoreError::CannotOpen { what: what.into(), reason };
        let connect = address(url).map_err(|reason| cannot("the database", reason))?;
        let what = told(&connect, &options);
        let connection = reach(&connect, options.call_timeout).await;
        let connection = connection.map_err(|reason| cannot(&what, reason))?;
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.call_timeout)
            .connect_lazy_with(connect);
        let opening = Opening { what, tables, clock, options };
        opening.finish(connection, pool, true).await
    }

    /// Opens the store on connections of a pool that the application made. The pool stays the application's: closing the
    /// store does not close it.
    ///
    /// Where none of its connections answers any more, or none becomes free in time, the store goes on with a pool of its
    /// own, made with the same options.
    ///
    /// A pool waits for a server that refuses connections, as it may be starting. So does this, for
    /// [`PostgresOptions::call_timeout`], or less where the pool has less patience.
    ///
    /// # Errors
    /// See [`PostgresStore::connect_with`].
    pub async fn with_pool(
        pool: PgPool,
        tables: &[&'static Table],
        clock: Arc<dyn Clock>,
        options: PostgresOptions,
    ) -> Result<Self, StoreError> {
        let tables = declared(tables, &options)?;
        let what = told(&pool.connect_options(), &options);
        let reach = Reach { pool: pool.clone(), limit: options.call_timeout };
        let acquired = reach.acquire().await;
        let connection = acquired.map_err(|reason| StoreError::CannotOpen { what: what.clone(), reason })?;
        let opening = Opening { what, tables, clock, options };
        opening.finish(connection, pool, false).await
    }
}

/// Everything that opening an empty database makes, as plain SQL, for an application that migrates with a tool of its own.
/// A database to which it was applied opens without any change. Its first statement, which makes the schema, needs the right
/// to create in the database even where the schema is there.
///
/// # Errors
/// [`StoreError::Invalid`] where the declarations or the name of the schema cannot be used.
pub fn migrations_sql(tables: &[&'static Table], options: &PostgresOptions) -> Result<String, StoreError> {
    let tables = match declared(tables, options) {
        Err(StoreError::CannotOpen { reason, .. }) => {
            return Err(StoreError::invalid("tables", reason.to_string()));
        }
        declared => declared?,
    };
    apportion_sql::migrations_sql(tables.names(), tables.schema())
        .map_err(|reason| StoreError::invalid("tables", reason))
}

fn declared(tables: &[&'static Table], options: &PostgresOptions) -> Result<Tables, StoreError> {
    let names = Names::postgres(&options.schema).map_err(|reason| StoreError::invalid("schema", reason))?;
    let what = format!("schema {}", options.schema);
    let cannot = |reason| StoreError::CannotOpen { what, reason: OpenProblem::Incompatible(reason) };
    let schema = match Schema::new(tables) {
        Ok(schema) => schema,
        Err(bad) => return Err(cannot(bad.to_string())),
    };
    check_names(&names, &schema).map_err(cannot)?;
    Ok(Tables::new(Arc::new(schema), names))
}

struct Opening {
    what: String,
    tables: Tables,
    clock: Arc<dyn Clock>,
    options: PostgresOptions,
}

impl Opening {
    /// Brings the database to the declarations, and starts the store.
    async fn finish(
        self,
        connection: PgConnection,
        pool: PgPool,
        ours: bool,
    ) -> Result<PostgresStore, StoreError> {
        let limit = self.options.open_timeout;
        let meter = Arc::new(Meter::new(Arc::clone(&self.clock), Arc::clone(&self.options.metrics)));
        let (look, change) =
            (begin("REPEATABLE READ READ ONLY", limit, limit, &self.options), changing(&self.options));
        // It is all of it that has a limit, not the single step.
        let deadline = Instant::now() + limit + self.options.call_timeout;
        let link = Link::new(Box::new(connection), Arc::clone(&look), deadline, Arc::clone(&meter));
        let mut target = Target {
            link,
            spare: Some(Reach { pool: pool.clone(), limit: self.options.call_timeout }),
            names: self.tables.names().clone(),
            schema: Arc::clone(self.tables.schema()),
            migrate: self.options.migrate,
            now: self.clock.now(),
            look,
            change,
        };
        let brought = match timeout(limit, target.bring()).await {
            Ok(brought) => brought,
            Err(_) => Err(OpenProblem::Unreachable(format!("it took longer than {limit:?}"))),
        };
        if let Err(reason) = brought {
            return Err(StoreError::CannotOpen { what: self.what, reason });
        }
        // Nothing depends on a polite end.
        let connection = *target.link.into_inner();
        drop(timeout(self.options.call_timeout, connection.close()).await);
        Ok(PostgresStore::start(pool, ours, self.tables, self.clock, meter, &self.options))
    }
}

/// The statements that begin a transaction, as one message. `how` is its isolation and what it may do; `limit` is how
/// long a statement may take, and `idle` how long the server may wait for the next.
///
/// The server ends what this side has given up, a little later. Where it lets itself be told so, it plans a statement once
/// for all values, and without reading whole tables: what is bound are always arrays of keys, and looking each up in its
/// index is right for a table of any size, while a plan that was made when the table was small would stay.
pub(crate) fn begin(how: &str, limit: Duration, idle: Duration, options: &PostgresOptions) -> Arc<str> {
    let lock = millis(options.lock_timeout);
    let limit = millis(limit.saturating_add(Duration::from_secs(1)));
    let idle = millis(idle.saturating_add(Duration::from_secs(1)));
    format!(
        "BEGIN ISOLATION LEVEL {how}; SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {limit}; \
         SET LOCAL idle_in_transaction_session_timeout = {idle}; \
         SELECT set_config(s.name, s.value, true) FROM (VALUES ('plan_cache_mode', 'force_generic_plan'), \
         ('enable_seqscan', 'off'), ('enable_bitmapscan', 'off'), ('enable_material', 'off'), \
         ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off')) AS s (name, value) \
         WHERE current_setting(s.name, true) IS NOT NULL"
    )
    .into()
}

/// A limit as the server counts it. Zero would be none for it; what is longer than this is as good as none, and the
/// server would refuse the number.
pub(crate) fn millis(limit: Duration) -> u128 {
    limit.as_millis().clamp(1, 1 << 30)
}

fn changing(options: &PostgresOptions) -> Arc<str> {
    begin("READ COMMITTED", options.open_timeout, options.open_timeout, options)
}

fn address(url: &str) -> Result<PgConnectOptions, OpenProblem> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("postgres" | "postgresql")) {
        return Err(OpenProblem::Other("the address does not begin with postgres://".into()));
    }
    // What the driver says may repeat parts of the address, and the password is one.
    PgConnectOptions::from_str(url)
        .map(PgConnectOptions::disable_statement_logging)
        .map_err(|_| OpenProblem::Other("the address is none of a Postgres database".into()))
}

/// Where the database is, without anything secret.
fn told(connect: &PgConnectOptions, options: &PostgresOptions) -> String {
    let database = connect.get_database().unwrap_or_else(|| connect.get_username());
    let server = match connect.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", connect.get_host(), connect.get_port()),
    };
    format!("schema {} of database {database} at {server}", options.schema)
}
