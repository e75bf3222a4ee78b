//! How a transaction of the application's ended, and the receipt that tells it: [`Ended`], [`Ending`],
//! [`write_receipt`].

use apportion::store::{Kind, StoreError, Value};
use apportion::time::Timestamp;
use uuid::Uuid;

use crate::connection::{Connection, Failure};
use crate::feed::touch;
use crate::names::Dialect;
use crate::statement::{Param, Statement};
use crate::tables::Tables;
use crate::union::Params;

/// How a transaction of the application's ended. It is remembered, so that whoever asks again is told the same.
#[derive(Clone, Debug)]
pub enum Ended {
    /// Everything in it is durable.
    Committed,
    /// It was undone, as it was asked to be.
    RolledBack,
    /// It was to be committed, and nothing of it happened.
    Refused(StoreError),
    /// It was to be committed, and nobody can say whether it was. The receipt under this id tells.
    Unknown(Uuid),
}

/// What is remembered of such a transaction for its end: whether a batch was tried, and how it ended.
#[derive(Debug, Default)]
pub struct Ending {
    /// Once a batch was tried: the time of the last one that was accepted.
    tried: Option<Timestamp>,
    /// Once it was to be ended: how it ended, or may have.
    ended: Option<Ended>,
}

impl Ending {
    /// Says that a batch is tried, or was accepted at this time.
    pub fn tried(&mut self, at: Timestamp) {
        self.tried = self.tried.max(Some(at));
    }

    /// How the transaction has ended, once it was to be ended.
    pub fn ended(&self) -> Option<Ended> {
        self.ended.clone()
    }

    /// Begins its commit, whose outcome nobody knows until [`Ending::committed`] tells. Gives id and time of the receipt
    /// of its own that it gets where a batch was tried in it.
    pub fn commit(&mut self, id: Uuid, now: Timestamp) -> Option<(Uuid, Timestamp)> {
        let receipt = self.tried.map(|latest| (id, now.max(latest)));
        self.ended = Some(Ended::Unknown(receipt.map_or(Uuid::nil(), |(id, _)| id)));
        receipt
    }

    /// Says what the commit came to whose receipt this is. `plain` is for what certainly did not happen.
    pub fn committed(
        &mut self,
        done: Result<(), Failure>,
        receipt: Option<(Uuid, Timestamp)>,
        plain: fn(Failure) -> StoreError,
    ) {
        let id = receipt.map_or(Uuid::nil(), |(id, _)| id);
        self.ended = Some(Ended::by_commit(done, id, plain));
    }

    /// Says that it is undone.
    pub fn rolled_back(&mut self) {
        self.ended = Some(Ended::RolledBack);
    }
}

impl Ended {
    /// What a commit came to whose receipt has this id. `plain` is for what certainly did not happen.
    fn by_commit(done: Result<(), Failure>, id: Uuid, plain: fn(Failure) -> StoreError) -> Self {
        match done {
            Ok(()) => Self::Committed,
            Err(Failure::Unknown) => Self::Unknown(id),
            Err(failure) => Self::Refused(plain(failure)),
        }
    }

    /// The answer to whoever asks to commit.
    pub fn committed(self) -> Result<(), StoreError> {
        match self {
            Self::Committed => Ok(()),
            Self::RolledBack => Err(StoreError::Unavailable {
                reason: "the transaction was rolled back".into(),
                source: None,
            }),
            Self::Refused(error) => Err(error),
            Self::Unknown(id) => Err(StoreError::Unknown { id }),
        }
    }

    /// The answer to whoever asks to roll back.
    pub fn rolled_back(self) -> Result<(), StoreError> {
        match self {
            Self::Committed => Err(StoreError::invalid("rollback", "the transaction was committed before")),
            Self::RolledBack | Self::Refused(_) => Ok(()),
            Self::Unknown(id) => Err(StoreError::Unknown { id }),
        }
    }

    /// The answer to whoever closes the transaction, and does not mind how it ended.
    pub fn closed(self) -> Result<(), StoreError> {
        match self {
            Self::Committed => Ok(()),
            other => other.rolled_back(),
        }
    }
}

/// Writes a receipt for a whole transaction, as its last statement: under an id of its own, so that it says nothing
/// about any of the batches in it, some of which may have been undone or have been committed long before.
///
/// No request has its fingerprint, which is all zeros, and it leaves no record in the feed.
pub async fn write_receipt<C: Connection>(
    connection: &mut C,
    tables: &Tables,
    id: Uuid,
    at: Timestamp,
) -> Result<(), Failure> {
    connection.execute(&receipt(tables, id, at)).await?;
    if tables.dialect() == Dialect::Sqlite {
        connection.execute(&touch(tables, at)).await?;
    }
    Ok(())
}

fn receipt(tables: &Tables, id: Uuid, at: Timestamp) -> Statement {
    let mut params = Params::new(&tables.names);
    let id = params.bind(Param::One(Kind::Uuid, Value::Uuid(id)));
    let at = params.bind(Param::One(Kind::Time, Value::Time(at)));
    let fingerprint = params.bind(Param::One(Kind::Uuid, Value::Uuid(Uuid::nil())));
    let receipts = tables.names.table("kernel_receipts");
    params.statement(format!(
        "INSERT INTO {receipts} (batch, at, fingerprint) VALUES ({id}, {at}, {fingerprint})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_again_is_told_the_same_and_never_that_the_other_thing_happened() {
        let id = Uuid::from_u128(7);
        let unknown = |answer: Result<(), StoreError>| matches!(answer, Err(StoreError::Unknown { id: asked }) if asked == id);
        let by = |done| Ended::by_commit(done, id, |_| StoreError::Closed);
        assert!(by(Ok(())).committed().is_ok());
        assert!(matches!(by(Ok(())).rolled_back(), Err(StoreError::Invalid { .. })));
        assert!(by(Ok(())).closed().is_ok());
        for answer in [Ended::committed, Ended::rolled_back, Ended::closed] {
            assert!(unknown(answer(by(Err(Failure::Unknown)))));
        }
        assert!(matches!(by(Err(Failure::Serialization)).committed(), Err(StoreError::Closed)));
        assert!(by(Err(Failure::Serialization)).rolled_back().is_ok());
        assert!(matches!(Ended::RolledBack.committed(), Err(StoreError::Unavailable { .. })));
        assert!(Ended::RolledBack.rolled_back().is_ok());
    }
}
