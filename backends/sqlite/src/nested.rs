//! Units of work inside somebody else's transaction: [`Nested`].

use std::fmt;
use std::sync::Arc;

use apportion::store::StoreError;
use apportion::time::Timestamp;
use apportion_sql::{Connection, Ending, Failure, Fetched, Session, Statement, Tables, write_receipt};
use async_trait::async_trait;
use sqlx_core::connection::Connection as _;
use sqlx_core::executor::Executor as _;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_sqlite::SqliteConnection;
use uuid::Uuid;

use crate::error::{failure, is_refused, plain};
use crate::link::Meter;
use crate::options::Durability;
use crate::wire;

/// A connection inside a transaction, on which each unit of work is a savepoint.
///
/// Around the units of one call is a savepoint of the call's. It stays until the next call, so that what a caller
/// began who went away before it had the answer can still be undone.
pub(crate) struct Nested {
    /// None once the transaction has ended.
    connection: Option<SqliteConnection>,
    meter: Arc<Meter>,
    /// What is refused inside a transaction, and outside of one changes nothing.
    probe: &'static str,
    /// The number of the last call, from 1.
    call: u64,
    /// Its savepoint is still there.
    held: bool,
    /// It has begun, and nobody has its answer.
    torn: bool,
    /// Something ran that may have ended the transaction: a statement that failed, or one of the application's.
    doubt: bool,
    /// What is remembered for its end.
    pub(crate) ending: Ending,
}

impl fmt::Debug for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nested").field("call", &self.call).field("torn", &self.torn).finish_non_exhaustive()
    }
}

impl Nested {
    /// Begins a transaction, waiting for the right to write. `durability` is what the connection is set to.
    pub(crate) async fn begin(
        mut connection: SqliteConnection,
        meter: Arc<Meter>,
        durability: Durability,
    ) -> Result<Self, Failure> {
        connection.execute("BEGIN IMMEDIATE").await.map_err(failure)?;
        let probe = match durability {
            Durability::Full => "PRAGMA synchronous = FULL",
            Durability::ProcessCrash => "PRAGMA synchronous = NORMAL",
        };
        Ok(Self {
            connection: Some(connection),
            meter,
            probe,
            call: 0,
            held: false,
            torn: false,
            doubt: false,
            ending: Ending::default(),
        })
    }

    /// Whether a call has begun whose answer nobody has.
    pub(crate) const fn is_torn(&self) -> bool {
        self.torn
    }

    /// Begins a call. Until it is settled its caller may go away.
    pub(crate) async fn tear(&mut self) -> Result<(), Failure> {
        self.release().await?;
        self.call += 1;
        (self.held, self.torn) = (true, true);
        self.run(format!("SAVEPOINT apportion_call_{}", self.call)).await
    }

    /// Lets go of the last call's savepoint, with which those of the application would go that were made since.
    async fn release(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.held) {
            self.run(format!("RELEASE apportion_call_{}", self.call)).await?;
        }
        Ok(())
    }

    /// Says that the caller has the answer.
    pub(crate) const fn settle(&mut self) {
        self.torn = false;
    }

    /// The connection, for statements of the application.
    pub(crate) const fn connection_mut(&mut self) -> Option<&mut SqliteConnection> {
        self.connection.as_mut()
    }

    /// Prepares for statements of the application.
    pub(crate) async fn lend(&mut self) -> Result<(), Failure> {
        self.release().await?;
        self.doubt = true;
        Ok(())
    }

    /// Undoes a call whose caller went away, and sees to it that the transaction still goes on.
    pub(crate) async fn heal(&mut self) -> Result<(), Failure> {
        if self.torn {
            // Where its savepoint is not there it did nothing, or the whole transaction has ended, which is seen below.
            drop(self.run(format!("ROLLBACK TO apportion_call_{}", self.call)).await);
            self.torn = false;
            self.doubt = true;
        }
        if !self.doubt {
            return Ok(());
        }
        // SQLite ends a transaction by itself where the file can no longer be written; what came after it would be
        // committed at once. This setting is refused inside a transaction, and outside it stays what it is: so it does
        // not matter whether anybody waits for the answer. A BEGIN whose caller went away would have begun another one.
        let probe = self.probe;
        match self.connection()?.execute(probe).await {
            Err(error) if is_refused(&error) => {
                self.doubt = false;
                Ok(())
            }
            _ => {
                self.connection = None;
                Err(ended().into())
            }
        }
    }

    /// Makes the whole transaction durable. Where a batch was tried in it, it gets a receipt of its own, under this id.
    pub(crate) async fn commit(&mut self, tables: &Tables, id: Uuid, now: Timestamp) {
        let receipt = self.ending.commit(id, now);
        let done = self.finish(tables, receipt).await;
        // Where it was not committed, this undoes it.
        self.connection = None;
        self.ending.committed(done, receipt, plain);
    }

    async fn finish(&mut self, tables: &Tables, receipt: Option<(Uuid, Timestamp)>) -> Result<(), Failure> {
        if let Some((id, at)) = receipt {
            write_receipt(self, tables, id, at).await?;
        }
        let meter = Arc::clone(&self.meter);
        meter.commit(self.connection()?).await
    }

    /// Undoes the whole transaction.
    pub(crate) async fn undo(&mut self) {
        self.ending.rolled_back();
        if let Some(connection) = self.connection.take() {
            // Closing a connection undoes what it has not committed, and so does whatever keeps it from being closed.
            drop(connection.close().await);
        }
    }

    async fn run(&mut self, sql: String) -> Result<(), Failure> {
        let done = self.connection()?.execute(AssertSqlSafe(sql)).await;
        self.note(done.map(|_| ()).map_err(failure))
    }

    fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.connection.as_mut().ok_or_else(ended)
    }

    /// Takes notice of a statement that failed.
    fn note<T>(&mut self, done: Result<T, Failure>) -> Result<T, Failure> {
        self.doubt |= done.is_err();
        done
    }
}

fn ended() -> StoreError {
    StoreError::Unavailable { reason: "the transaction has ended".into(), source: None }
}

#[async_trait]
impl Connection for Nested {
    async fn rows(&mut self, statement: &Statement) -> Result<Vec<Fetched>, Failure> {
        let rows = wire::rows(self.connection()?, statement).await;
        self.note(rows)
    }

    async fn execute(&mut self, statement: &Statement) -> Result<u64, Failure> {
        let changed = wire::execute(self.connection()?, statement).await;
        self.note(changed)
    }
}

#[async_trait]
impl Session for Nested {
    async fn begin(&mut self) -> Result<(), Failure> {
        self.run("SAVEPOINT apportion_unit".into()).await
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.run("RELEASE apportion_unit".into()).await
    }

    async fn rollback(&mut self) -> Result<(), Failure> {
        let undone = match self.run("ROLLBACK TO apportion_unit".into()).await {
            Ok(()) => self.run("RELEASE apportion_unit".into()).await,
            failed => failed,
        };
        // A half of a unit must not be committed with the rest.
        undone.inspect_err(|_| self.connection = None)
    }

    fn may_retry(&self) -> bool {
        false
    }
}
