//! Units of work inside somebody else's transaction: [`Nested`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use apportion::store::StoreError;
use apportion_sql::{Connection, Failure, Fetched, Session, Statement};
use async_trait::async_trait;
use sqlx_core::transaction::Transaction;
use sqlx_postgres::{PgConnection, Postgres};
use tokio::time::{Instant, timeout};

use crate::error::{commit_failure, leaves_connection, unavailable};
use crate::link::{Link, Meter};

/// A transaction of the application's.
pub(crate) type Host = Transaction<'static, Postgres>;

/// A transaction in which each unit of work is a savepoint.
///
/// Around the units of one call is a savepoint of the call's. It stays until the next call, so that what a caller
/// began who went away before it had the answer can still be undone.
pub(crate) struct Nested {
    /// None once the transaction has ended or was given back.
    link: Option<Link<Host>>,
    call_timeout: Duration,
    /// The number of the last call, from 1.
    call: u64,
    /// Its savepoint is still there.
    held: bool,
    /// It has begun, and nobody has its answer.
    torn: bool,
}

impl fmt::Debug for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nested").field("call", &self.call).field("torn", &self.torn).finish_non_exhaustive()
    }
}

impl Nested {
    pub(crate) fn new(host: Host, call_timeout: Duration, meter: Arc<Meter>) -> Self {
        let deadline = Instant::now() + call_timeout;
        let link = Link::new(host, "".into(), deadline, meter).adopt();
        Self { link: Some(link), call_timeout, call: 0, held: false, torn: false }
    }

    /// Whether a call has begun whose answer nobody has.
    pub(crate) const fn is_torn(&self) -> bool {
        self.torn
    }

    /// Begins a call. Until it is settled its caller may go away.
    pub(crate) async fn tear(&mut self) -> Result<(), Failure> {
        self.release().await?;
        self.call += 1;
        self.run(&format!("SAVEPOINT apportion_call_{}", self.call)).await?;
        (self.held, self.torn) = (true, true);
        Ok(())
    }

    /// Lets go of the last call's savepoint, with which those of the application would go that were made since.
    async fn release(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.held) {
            self.run(&format!("RELEASE SAVEPOINT apportion_call_{}", self.call)).await?;
        }
        Ok(())
    }

    /// Says that the caller has the answer.
    pub(crate) const fn settle(&mut self) {
        self.torn = false;
    }

    /// Undoes a call whose caller went away.
    pub(crate) async fn heal(&mut self) -> Result<(), Failure> {
        if self.torn {
            let savepoint = format!("apportion_call_{}", self.call);
            self.timed()?.roll_back_to(&savepoint).await?;
            self.torn = false;
        }
        Ok(())
    }

    /// The connection, for statements of the application.
    pub(crate) async fn lend(&mut self) -> Result<(), Failure> {
        self.release().await
    }

    pub(crate) fn connection_mut(&mut self) -> Option<&mut PgConnection> {
        self.link.as_mut()?.lent().ok()
    }

    /// Makes the whole transaction durable.
    pub(crate) async fn finish(mut self) -> Result<(), Failure> {
        // The server takes COMMIT in a transaction that it has given up for a ROLLBACK, without a word; and one that
        // the application has ended by itself is none. A savepoint is refused in both.
        self.run("SAVEPOINT apportion_end").await?;
        let Some(link) = self.link.take() else { return Err(ended().into()) };
        match timeout(self.call_timeout, link.into_inner().commit()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if leaves_connection(&error) => Err(commit_failure(error)),
            _ => Err(Failure::Unknown),
        }
    }

    /// Takes the transaction out of its place, to be ended or given back.
    pub(crate) fn take(&mut self) -> Self {
        Self { link: self.link.take(), ..*self }
    }

    pub(crate) fn into_host(self) -> Option<Host> {
        self.link.map(Link::into_inner)
    }

    async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        self.timed()?.run(sql).await
    }

    /// The link, with time for one more step.
    fn timed(&mut self) -> Result<&mut Link<Host>, StoreError> {
        let link = self.link.as_mut().ok_or_else(ended)?;
        link.extend(Instant::now() + self.call_timeout);
        Ok(link)
    }
}

fn ended() -> StoreError {
    unavailable("the transaction has ended")
}

#[async_trait]
impl Connection for Nested {
    async fn rows(&mut self, statement: &Statement) -> Result<Vec<Fetched>, Failure> {
        self.timed()?.rows(statement).await
    }

    async fn execute(&mut self, statement: &Statement) -> Result<u64, Failure> {
        self.timed()?.execute(statement).await
    }
}

#[async_trait]
impl Session for Nested {
    async fn begin(&mut self) -> Result<(), Failure> {
        self.run("SAVEPOINT apportion_unit").await
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.run("RELEASE SAVEPOINT apportion_unit").await
    }

    async fn rollback(&mut self) -> Result<(), Failure> {
        self.timed()?.roll_back_to("apportion_unit").await?;
        self.run("RELEASE SAVEPOINT apportion_unit").await
    }

    fn may_retry(&self) -> bool {
        false
    }
}
