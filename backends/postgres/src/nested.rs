//! Units of work inside somebody else's transaction: [`Nested`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use apportion::store::StoreError;
use apportion::time::Timestamp;
use apportion_sql::{Connection, Ending, Failure, Fetched, Session, Statement, Tables, write_receipt};
use async_trait::async_trait;
use sqlx_core::transaction::Transaction;
use sqlx_postgres::{PgConnection, Postgres};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::error::{commit_failure, leaves_connection, nothing_happened, unavailable};
use crate::link::{Link, Meter};
use crate::open::millis;

/// A transaction of the application's.
pub(crate) type Host = Transaction<'static, Postgres>;

/// A transaction in which each unit of work is a savepoint.
///
/// Around the units of one call is a savepoint of the call's. It stays until the next call, so that what a caller
/// began who went away before it had the answer can still be undone. Inside it, waiting for rows has the store's limit: a
/// row that somebody else keeps is then a refusal, and not the end of the connection.
pub(crate) struct Nested {
    /// None once the transaction has ended or was given back.
    link: Option<Link<Host>>,
    call_timeout: Duration,
    lock_limit: Duration,
    /// The number of the last call, from 1.
    call: u64,
    /// Its savepoint is still there: the limit on waiting for rows that the application had set before.
    held: Option<String>,
    /// It has begun, and nobody has its answer.
    torn: bool,
    /// What is remembered for its end.
    pub(crate) ending: Ending,
}

impl fmt::Debug for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nested").field("call", &self.call).field("torn", &self.torn).finish_non_exhaustive()
    }
}

impl Nested {
    pub(crate) fn new(host: Host, call_timeout: Duration, lock_limit: Duration, meter: Arc<Meter>) -> Self {
        let deadline = Instant::now() + call_timeout;
        let link = Some(Link::new(host, "".into(), deadline, meter).adopt());
        Self { link, call_timeout, lock_limit, call: 0, held: None, torn: false, ending: Ending::default() }
    }

    /// Whether a call has begun whose answer nobody has.
    pub(crate) const fn is_torn(&self) -> bool {
        self.torn
    }

    /// Begins a call. Until it is settled its caller may go away.
    pub(crate) async fn tear(&mut self) -> Result<(), Failure> {
        let release = self.release();
        self.call += 1;
        // SHOW takes no snapshot, so that the transaction's is still that of its first batch.
        let begin = format!(
            "{release}SAVEPOINT apportion_call_{}; SHOW lock_timeout; SET LOCAL lock_timeout = {}",
            self.call,
            millis(self.lock_limit)
        );
        let before = self.timed()?.ask(&begin).await?;
        (self.held, self.torn) = (Some(before), true);
        Ok(())
    }

    /// What lets go of the last call's savepoint, with which those of the application would go that were made since, and
    /// puts the application's limit on waiting for rows back. Empty where there is nothing to let go of.
    fn release(&mut self) -> String {
        let Some(mut before) = self.held.take() else { return String::new() };
        // A number and a unit. Nothing else can get into the statement.
        before.retain(|letter| letter.is_ascii_alphanumeric());
        format!("RELEASE SAVEPOINT apportion_call_{}; SET LOCAL lock_timeout = '{before}'; ", self.call)
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

    /// Prepares for statements of the application.
    pub(crate) async fn lend(&mut self) -> Result<(), Failure> {
        let release = self.release();
        if release.is_empty() { Ok(()) } else { self.run(&release).await }
    }

    pub(crate) fn connection_mut(&mut self) -> Option<&mut PgConnection> {
        self.link.as_mut()?.lent().ok()
    }

    /// Makes the whole transaction durable. Where a batch was tried in it, it gets a receipt of its own, under this id.
    pub(crate) async fn commit(&mut self, tables: &Tables, id: Uuid, now: Timestamp) {
        let receipt = self.ending.commit(id, now);
        let done = self.finish(tables, receipt).await;
        // Where it was not committed, this undoes it.
        self.link = None;
        self.ending.committed(done, receipt, nothing_happened);
    }

    async fn finish(&mut self, tables: &Tables, receipt: Option<(Uuid, Timestamp)>) -> Result<(), Failure> {
        // The server takes COMMIT in a transaction that it has given up for a ROLLBACK, without a word; and one that
        // the application has ended by itself is none. A savepoint is refused in both.
        let savepoint = format!("{}SAVEPOINT apportion_end", self.release());
        self.run(&savepoint).await?;
        if let Some((id, at)) = receipt {
            write_receipt(self, tables, id, at).await?;
        }
        let Some(link) = self.link.take() else { return Err(ended().into()) };
        match timeout(self.call_timeout, link.into_inner().commit()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if leaves_connection(&error) => Err(commit_failure(error)),
            _ => Err(Failure::Unknown),
        }
    }

    /// Undoes the whole transaction.
    ///
    /// Where the server does not answer in time the transaction is dropped as it is. It cannot be committed any more: the
    /// driver undoes it before anybody else has the connection.
    pub(crate) async fn undo(&mut self) {
        self.ending.rolled_back();
        if let Some(host) = self.take() {
            drop(timeout(self.call_timeout, host.rollback()).await);
        }
    }

    /// Takes the transaction out of its place.
    pub(crate) fn take(&mut self) -> Option<Host> {
        self.link.take().map(Link::into_inner)
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
