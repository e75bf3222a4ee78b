//! A connection with what the store knows about it: [`Link`].

use std::fmt;
use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apportion::store::Metrics;
use apportion::time::Clock;
use apportion_sql::{Connection, Failure, Fetched, Session, Statement};
use async_trait::async_trait;
use sqlx_core::error::Error;
use sqlx_core::executor::Executor as _;
use sqlx_core::query::query_with;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_postgres::PgConnection;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use crate::error::{commit_failure, failure, leaves_connection, refusal, store_error, unavailable};
use crate::wire;

/// How long is waited for a lock when there is no more time to wait.
const MOMENT: Duration = Duration::from_millis(100);

/// A connection on which every step ends by a deadline, and of which it is always known whether it may be used on.
pub(crate) struct Link<C> {
    connection: C,
    /// The statements that begin a transaction.
    begin: Arc<str>,
    deadline: Instant,
    /// How long a whole call may take.
    limit: Duration,
    /// How long a unit of work may take, once it is to be quick about locks.
    hurried: Option<Duration>,
    state: State,
    wrote: bool,
    late: bool,
    /// What the server said when it refused the last step.
    refusal: Refusal,
    meter: Arc<Meter>,
}

/// What the server said when it refused a statement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    /// Whether it is about the server's own catalogue.
    pub(crate) in_catalogue: bool,
    pub(crate) constraint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is open.
    Idle,
    /// A transaction is open.
    Open,
    /// The server has given the transaction up: it can only be rolled back.
    Failed,
    /// Something was begun and has not ended, or the connection is gone.
    Broken,
}

/// Counts the commits that wrote.
#[derive(Debug)]
pub(crate) struct Meter {
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn Metrics>,
    syncs: AtomicU64,
}

impl Meter {
    pub(crate) fn new(clock: Arc<dyn Clock>, metrics: Arc<dyn Metrics>) -> Self {
        Self { clock, metrics, syncs: AtomicU64::new(0) }
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

impl<C> fmt::Debug for Link<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("state", &self.state).finish_non_exhaustive()
    }
}

impl<C: DerefMut<Target = PgConnection> + Send> Link<C> {
    pub(crate) fn new(connection: C, begin: Arc<str>, deadline: Instant, meter: Arc<Meter>) -> Self {
        Self {
            connection,
            begin,
            deadline,
            limit: deadline.saturating_duration_since(Instant::now()),
            hurried: None,
            state: State::Idle,
            wrote: false,
            late: false,
            refusal: Refusal::default(),
            meter,
        }
    }

    /// Sets the statements that begin a transaction.
    pub(crate) fn begin_with(&mut self, begin: Arc<str>) {
        self.begin = begin;
    }

    /// Gives the connection more time.
    pub(crate) fn extend(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Whether nothing is open, so that somebody else may use the connection.
    pub(crate) fn is_clean(&self) -> bool {
        self.state == State::Idle
    }

    /// Whether a transaction is open in which statements can be run.
    pub(crate) fn is_usable(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the deadline has passed while the server was to answer.
    pub(crate) fn was_late(&self) -> bool {
        self.late
    }

    pub(crate) fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// Goes on with another connection, on which nothing is open.
    pub(crate) fn replace(&mut self, connection: C) {
        self.connection = connection;
        self.state = State::Idle;
        self.late = false;
    }

    pub(crate) fn into_inner(self) -> C {
        self.connection
    }

    /// Runs text that takes no parameters, as one message to the server.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        let before = self.leave()?;
        let done = timeout_at(self.deadline, self.connection.execute(AssertSqlSafe(sql))).await;
        self.settle(before, done).map(drop)
    }

    /// Runs text that takes no parameters, as one message to the server, and gives the text in the one row of it.
    pub(crate) async fn ask(&mut self, sql: &str) -> Result<String, Failure> {
        let before = self.leave()?;
        // All of them, since what fails behind the row has to be noticed, too.
        let done = timeout_at(self.deadline, self.connection.fetch_all(AssertSqlSafe(sql))).await;
        let rows = self.settle(before, done)?;
        let row = rows.first().ok_or_else(|| unavailable("the server gave no answer"))?;
        row.try_get(0).map_err(|error| store_error(error).into())
    }

    /// Says that a transaction is open already.
    pub(crate) fn adopt(mut self) -> Self {
        self.state = State::Open;
        self
    }

    /// Undoes what came after a savepoint. The transaction goes on, also where the server had given it up.
    pub(crate) async fn roll_back_to(&mut self, savepoint: &str) -> Result<(), Failure> {
        self.leave()?;
        let sql = format!("ROLLBACK TO SAVEPOINT {savepoint}");
        let done = timeout_at(self.deadline, self.connection.execute(AssertSqlSafe(sql))).await;
        self.settle(State::Open, done).map(drop)
    }

    /// The connection, for somebody else's statements; and whether it can be used at all.
    pub(crate) fn lent(&mut self) -> Result<&mut PgConnection, Failure> {
        let state = self.leave()?;
        // What is done with it is not known here. A statement that fails inside is noticed by the next savepoint.
        self.state = state;
        Ok(&mut self.connection)
    }

    /// Marks the connection as broken until what is now begun has ended, and gives the state before.
    fn leave(&mut self) -> Result<State, Failure> {
        self.refusal = Refusal::default();
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Broken => Err(unavailable("the connection has failed before").into()),
            state => Ok(state),
        }
    }

    fn settle<T>(&mut self, before: State, done: Done<T>) -> Result<T, Failure> {
        match done {
            Ok(Ok(done)) => {
                self.state = before;
                Ok(done)
            }
            Ok(Err(error)) => {
                if leaves_connection(&error) {
                    self.state = if before == State::Open { State::Failed } else { before };
                }
                self.refusal = refusal(&error);
                Err(failure(error))
            }
            Err(_) => {
                self.late = true;
                Err(unavailable("the server did not answer in time").into())
            }
        }
    }
}

type Done<T> = Result<Result<T, Error>, Elapsed>;

#[async_trait]
impl<C: DerefMut<Target = PgConnection> + Send> Connection for Link<C> {
    async fn rows(&mut self, statement: &Statement) -> Result<Vec<Fetched>, Failure> {
        let query = query_with(AssertSqlSafe(statement.sql.as_str()), wire::arguments(&statement.params)?);
        let before = self.leave()?;
        let done = timeout_at(self.deadline, query.fetch_all(&mut *self.connection)).await;
        let rows = self.settle(before, done)?;
        let fetched: Result<Vec<_>, _> =
            rows.iter().map(|row| wire::fetched(row, &statement.branches)).collect();
        Ok(fetched?)
    }

    async fn execute(&mut self, statement: &Statement) -> Result<u64, Failure> {
        let query = query_with(AssertSqlSafe(statement.sql.as_str()), wire::arguments(&statement.params)?);
        let before = self.leave()?;
        let done = timeout_at(self.deadline, query.execute(&mut *self.connection)).await;
        let changed = self.settle(before, done)?.rows_affected();
        self.wrote |= changed > 0;
        Ok(changed)
    }
}

#[async_trait]
impl<C: DerefMut<Target = PgConnection> + Send> Session for Link<C> {
    async fn begin(&mut self) -> Result<(), Failure> {
        let mut statements = Arc::clone(&self.begin);
        if let Some(limit) = self.hurried {
            self.deadline = Instant::now() + limit;
            statements = format!("{statements}; SET LOCAL lock_timeout = {}", MOMENT.as_millis()).into();
        }
        self.wrote = false;
        let begun = self.run(&statements).await;
        self.state = match (&begun, self.state) {
            (Ok(()), State::Idle) => State::Open,
            // Some of those statements may have been run and others not.
            _ => State::Broken,
        };
        begun
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        // The server takes COMMIT in a transaction that it has given up for a ROLLBACK, without a word.
        if self.leave()? != State::Open {
            return Err(unavailable("there is no transaction to commit").into());
        }
        let began = self.meter.clock.monotonic();
        match timeout_at(self.deadline, self.connection.execute("COMMIT")).await {
            Ok(Ok(_)) => {
                self.state = State::Idle;
                if std::mem::take(&mut self.wrote) {
                    self.meter.syncs.fetch_add(1, Ordering::Relaxed);
                    self.meter.metrics.sync(self.meter.clock.monotonic().saturating_sub(began));
                }
                Ok(())
            }
            Ok(Err(error)) => {
                self.refusal = refusal(&error);
                let failure = commit_failure(error);
                if !matches!(failure, Failure::Unknown) {
                    self.state = State::Idle;
                }
                Err(failure)
            }
            Err(_) => {
                self.late = true;
                Err(Failure::Unknown)
            }
        }
    }

    async fn rollback(&mut self) -> Result<(), Failure> {
        if self.state == State::Idle {
            return Ok(());
        }
        self.leave()?;
        let done = timeout_at(self.deadline, self.connection.execute("ROLLBACK")).await;
        self.settle(State::Idle, done).map(drop)
    }

    fn note_written(&mut self) {
        self.wrote = true;
    }

    fn refresh(&mut self) {
        self.deadline = Instant::now() + self.limit;
    }

    fn hurry(&mut self) {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.hurried.get_or_insert(left.max(MOMENT * 10));
    }
}

#[cfg(test)]
mod tests;
