//! Opening a file, new or not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apportion::store::{NoMetrics, OpenProblem, Schema, StoreError, Table};
use apportion::time::Clock;
use apportion_sql::{Names, Tables, check_names, migrations_sql};
use sqlx_core::connection::Connection as _;
use sqlx_core::error::Error;
use sqlx_core::executor::Executor as _;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_sqlite::SqliteConnection;
use tokio::time::Instant;

use crate::connect::Connector;
use crate::error::{is_busy, is_unfinished, open_problem};
use crate::link::{Link, Meter, Reader};
use crate::migrate::{Stopped, migrate, plan};
use crate::options::{IntegrityCheck, Migrate, SqliteOptions};
use crate::shared::Shared;
use crate::store::SqliteStore;

/// The pauses between attempts. SQLite does not wait by itself where waiting could never end, such as for the
/// change to a write-ahead log.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

impl SqliteStore {
    /// Opens the store in the file at `path`, and makes it where there is none, in a folder that must be there. The file
    /// is switched to a write-ahead log.
    ///
    /// It may be the database of an application: the store keeps to tables of its own.
    ///
    /// # Errors
    /// [`StoreError::CannotOpen`] with the reason.
    pub async fn open(
        path: impl AsRef<Path>,
        tables: &[&'static Table],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        Self::open_with(path, tables, clock, SqliteOptions::default()).await
    }

    /// Opens the store with options.
    ///
    /// # Errors
    /// See [`SqliteStore::open`]; [`StoreError::Invalid`] for a prefix that cannot be one.
    pub async fn open_with(
        path: impl AsRef<Path>,
        tables: &[&'static Table],
        clock: Arc<dyn Clock>,
        options: SqliteOptions,
    ) -> Result<Self, StoreError> {
        let what = path.as_ref().display().to_string();
        let cannot = |reason| StoreError::CannotOpen { what: what.clone(), reason };
        let tables = declared(tables, &options).map_err(|problem| problem.told(&what))?;
        // A relative path would mean another file to connections that are made when the process has changed its
        // folder, and SQLite takes some, such as `:memory:`, for no file at all.
        let path = std::path::absolute(path.as_ref());
        let path = path.map_err(|error| cannot(OpenProblem::Other(error.to_string())))?;
        let connector = Connector::new(path, &options);
        let opening = Opening { connector: &connector, tables: &tables, clock: &clock, options: &options };
        let connection = opening.ready().await.map_err(cannot)?;
        let (metrics, slow) = (Arc::clone(&options.metrics), options.slow_commits);
        let meter = Arc::new(Meter::new(Arc::clone(&clock), metrics, slow));
        let link = Link::new(connection, Arc::clone(&meter));
        let metrics = Arc::clone(&options.metrics);
        let shared = Shared::new(tables, clock, connector, meter, link, metrics);
        Ok(Self::start(Arc::new(shared), &options))
    }

    /// Everything that opening an empty file makes, as plain SQL, for an application that migrates with a tool of its
    /// own. A file to which it was applied opens without any change.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where the declarations or the prefix cannot be used.
    pub fn migrations_sql(tables: &[&'static Table], options: &SqliteOptions) -> Result<String, StoreError> {
        let invalid = |problem: Undeclarable| StoreError::invalid(problem.field(), problem.reason());
        let tables = declared(tables, options).map_err(invalid)?;
        migrations_sql(tables.names(), tables.schema())
            .map_err(|reason| StoreError::invalid("tables", reason))
    }
}

/// Why declarations cannot be kept in a database.
#[derive(Debug)]
enum Undeclarable {
    Prefix(String),
    Tables(String),
}

impl Undeclarable {
    const fn field(&self) -> &'static str {
        match self {
            Self::Prefix(_) => "prefix",
            Self::Tables(_) => "tables",
        }
    }

    fn reason(self) -> String {
        match self {
            Self::Prefix(reason) | Self::Tables(reason) => reason,
        }
    }

    fn told(self, what: &str) -> StoreError {
        match self {
            Self::Prefix(reason) => StoreError::invalid("prefix", reason),
            Self::Tables(reason) => {
                StoreError::CannotOpen { what: what.into(), reason: OpenProblem::Incompatible(reason) }
            }
        }
    }
}

fn declared(tables: &[&'static Table], options: &SqliteOptions) -> Result<Tables, Undeclarable> {
    let names = Names::sqlite(&options.prefix).map_err(Undeclarable::Prefix)?;
    let schema = Schema::new(tables).map_err(|bad| Undeclarable::Tables(bad.to_string()))?;
    check_names(&names, &schema).map_err(Undeclarable::Tables)?;
    Ok(Tables::new(Arc::new(schema), names))
}

/// What opening works with.
#[derive(Debug)]
struct Opening<'a> {
    connector: &'a Connector,
    tables: &'a Tables,
    clock: &'a Arc<dyn Clock>,
    options: &'a SqliteOptions,
}

impl Opening<'_> {
    /// A connection to a file that is as declared, tried again while somebody else has it.
    async fn ready(&self) -> Result<SqliteConnection, OpenProblem> {
        let mut waiting = Waiting::new(self.options.open_timeout);
        let mut looked = loop {
            let began = Instant::now();
            match self.look().await {
                Ok(looked) => {
                    // Nobody was waited for meanwhile, and it may have taken long.
                    waiting.until += began.elapsed();
                    break looked;
                }
                Err(stopped) => waiting.again(stopped).await?,
            }
        };
        loop {
            match self.bring(looked.take()).await {
                Ok(connection) => return Ok(connection),
                Err(stopped) => waiting.again(stopped).await?,
            }
        }
    }

    /// Looks for damage, once: reading a large file takes long. Nothing is changed, and where nothing is to be made the
    /// file is not even opened for writing. Gives a connection that may write, if it has one.
    async fn look(&self) -> Result<Option<SqliteConnection>, Stopped> {
        let stopped = |error: Error| self.stopped(&error);
        let check = self.options.check_integrity_on_open;
        if self.options.migrate == Migrate::Apply {
            let mut connection = self.connect().await.map_err(stopped)?;
            look_for_damage(&mut connection, check).await.map_err(stopped)?.map_or(Ok(()), Err)?;
            return Ok(Some(connection));
        }
        let mut connection = self.connect_to_look().await.map_err(stopped)?;
        look_for_damage(&mut connection, check).await.map_err(stopped)?.map_or(Ok(()), Err)?;
        let plan = plan(&mut Reader(&mut connection), self.tables).await?;
        // It only read: there is nothing to lose.
        drop(connection.close().await);
        match plan.missing() {
            Some(missing) => Err(OpenProblem::Unmigrated(missing).into()),
            None => Ok(None),
        }
    }

    async fn bring(&self, looked: Option<SqliteConnection>) -> Result<SqliteConnection, Stopped> {
        let stopped = |error: Error| self.stopped(&error);
        let mut connection = match looked {
            Some(connection) => connection,
            None => self.connect().await.map_err(stopped)?,
        };
        // Nothing is changed in a file that will not do.
        let plan = plan(&mut Reader(&mut connection), self.tables).await?;
        if let (Some(missing), Migrate::Verify) = (plan.missing(), self.options.migrate) {
            return Err(OpenProblem::Unmigrated(missing).into());
        }
        if !plan.is_empty() {
            let meter = Meter::new(Arc::clone(self.clock), Arc::new(NoMetrics), None);
            let mut link = Link::new(connection, Arc::new(meter));
            migrate(&mut link, self.tables, self.clock.now()).await?;
            connection = link.into_connection().ok_or(Stopped::Busy)?;
        }
        // Last of all: the file of an application, in which no tables could be made, stays as it is.
        write_ahead(&mut connection).await.map_err(stopped)?.map_or(Ok(()), Err)?;
        may_write(&mut connection, self.connector.lock_timeout()).await.map_err(stopped)?;
        Ok(connection)
    }

    async fn connect(&self) -> Result<SqliteConnection, Error> {
        let makes = self.options.migrate == Migrate::Apply;
        self.connector.first_writer(makes, self.options.open_timeout).await
    }

    async fn connect_to_look(&self) -> Result<SqliteConnection, Error> {
        let mut connection = self.connector.onlooker(self.options.open_timeout).await;
        if let Ok(looks) = &mut connection
            && let Err(error) = text(looks, "SELECT count(*) || '' FROM sqlite_schema").await
        {
            connection = Err(error);
        }
        match connection {
            // It cannot be read before a change that a writer left unfinished is undone.
            Err(error) if is_unfinished(&error) => self.connect().await,
            connection => connection,
        }
    }

    fn stopped(&self, error: &Error) -> Stopped {
        if is_busy(error) {
            Stopped::Busy
        } else {
            let (path, makes) = (self.connector.path(), self.options.migrate == Migrate::Apply);
            Stopped::Because(open_problem(error, path, makes))
        }
    }
}

/// Waiting for others who have the file.
struct Waiting {
    until: Instant,
    pause: Duration,
}

impl Waiting {
    fn new(most: Duration) -> Self {
        // A time that no clock tells is never over.
        let most = most.min(Duration::from_hours(24 * 365));
        Self { until: Instant::now() + most, pause: FIRST_PAUSE }
    }

    /// Pauses where trying again can help, and there is time left.
    async fn again(&mut self, stopped: Stopped) -> Result<(), OpenProblem> {
        match stopped {
            Stopped::Because(problem) => Err(problem),
            Stopped::Busy if Instant::now() >= self.until => Err(OpenProblem::InUse),
            Stopped::Busy => {
                tokio::time::sleep(self.pause).await;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                Ok(())
            }
        }
    }
}

/// Reads the file, and says what is wrong with it.
async fn look_for_damage(
    connection: &mut SqliteConnection,
    check: IntegrityCheck,
) -> Result<Option<OpenProblem>, Error> {
    let found = match check {
        IntegrityCheck::Nothing => return Ok(None),
        IntegrityCheck::Quick => text(connection, "PRAGMA quick_check(1)").await?,
        IntegrityCheck::Thorough => text(connection, "PRAGMA integrity_check(1)").await?,
    };
    Ok((found != "ok").then_some(OpenProblem::Damaged(found)))
}

/// Changes to a write-ahead log, in which reads and writes do not wait for one another; a file stays so.
async fn write_ahead(connection: &mut SqliteConnection) -> Result<Option<OpenProblem>, Error> {
    let mode = text(connection, "PRAGMA journal_mode = WAL").await?;
    Ok((mode != "wal")
        .then(|| OpenProblem::Other(format!("it cannot have a write-ahead log, but only {mode:?}"))))
}

/// Asks for the right to write, without waiting for it: who may not even ask is told so.
async fn may_write(connection: &mut SqliteConnection, lock_timeout: Duration) -> Result<(), Error> {
    connection.execute("PRAGMA busy_timeout = 0").await?;
    match connection.execute("BEGIN IMMEDIATE").await {
        Ok(_) => {
            connection.execute("ROLLBACK").await?;
        }
        Err(error) if is_busy(&error) => {}
        Err(error) => return Err(error),
    }
    let milliseconds = lock_timeout.as_millis();
    let restore = format!("PRAGMA busy_timeout = {milliseconds}");
    connection.execute(AssertSqlSafe(restore)).await?;
    Ok(())
}

async fn text(connection: &mut SqliteConnection, sql: &'static str) -> Result<String, Error> {
    connection.fetch_one(sql).await?.try_get(0)
}
