//! What a backend implements over its driver: [`Connection`] and [`Session`].

use apportion::store::StoreError;
use async_trait::async_trait;

use crate::statement::{Fetched, Statement};

/// A connection on which statements are run, one at a time.
#[async_trait]
pub trait Connection: Send {
    /// Runs a statement and reads all its rows.
    async fn rows(&mut self, statement: &Statement) -> Result<Vec<Fetched>, Failure>;

    /// Runs a statement and says how many rows it changed.
    async fn execute(&mut self, statement: &Statement) -> Result<u64, Failure>;
}

/// A connection on which units of work begin and end: transactions, or savepoints in somebody else's.
#[async_trait]
pub trait Session: Connection {
    /// Begins a unit of work that may write.
    async fn begin(&mut self) -> Result<(), Failure>;

    /// Makes it durable.
    ///
    /// # Errors
    /// Where it certainly did not happen, why ([`Failure::Serialization`] and the like). Where nobody can say,
    /// [`Failure::Unknown`].
    async fn commit(&mut self) -> Result<(), Failure>;

    /// Undoes it. A session that cannot do so is given up by its owner, which undoes it, too.
    async fn rollback(&mut self) -> Result<(), Failure>;

    /// Says that the unit of work has written, so that its end makes something durable.
    fn note_written(&mut self) {}

    /// What is begun after this waits for a lock of somebody else's for a moment only, and each unit of it has the time
    /// that a whole call had before. A group has met such a lock, and those in it that need others are to go on.
    fn hurry(&mut self) {}

    /// The time that a whole call has begins again: until now it waited for its turn.
    fn refresh(&mut self) {}

    /// Whether a unit of work is a transaction of the store's own: one that met [`Failure::Serialization`] may begin
    /// again, and ends soon. Somebody else's has to be repeated as a whole, and may last.
    fn may_retry(&self) -> bool {
        true
    }
}

/// Why a statement or a commit failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// Somebody else was faster, or two waited for one another (40001, 40P01): the unit of work may begin again.
    Serialization,
    /// A lock was not given in time (55P03, `SQLITE_BUSY`).
    LockTimeout,
    /// The database refused a row.
    Constraint(Violation),
    /// The outcome of a commit is unknown: the connection broke while it was under way.
    Unknown,
    /// Anything else. Nothing happened.
    Store(StoreError),
}

/// What refused a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A unique key or primary key.
    Unique,
    /// A reference, with its name where the database tells it.
    ForeignKey(Option<String>),
    /// A CHECK, a NOT NULL, or a type.
    Check,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
