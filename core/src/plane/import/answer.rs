//! What is answered for each item of an import.

use uuid::Uuid;

use super::Item;
use crate::entity::Entity as _;
use crate::error::Error;
use crate::store::StoreError;
use crate::time::Timestamp;

/// What became of an item that is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It was brought in.
    New,
    /// An earlier import has brought it in: nothing was changed.
    WasThere,
}

/// An item that was not brought in, and why. The others of its import are not affected.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind} {id} was not imported{}", .part.as_ref().map(|part| format!(" for its {part}")).unwrap_or_default())]
#[non_exhaustive]
pub struct NotImported {
    /// What it is, such as `instance`.
    pub kind: &'static str,
    /// Its id.
    pub id: Uuid,
    /// The part of it that was refused, such as `ports[1]`, where it is not all of it.
    pub part: Option<String>,
    /// Why.
    #[source]
    pub why: Error,
}

impl NotImported {
    pub(super) fn of<I: Item>(item: &I, part: Option<String>, why: Error) -> Self {
        Self { kind: I::Entity::KIND, id: item.id(), part, why }
    }

    /// What a store's answer to the batch of an item alone means.
    pub(super) fn by_store<I: Item>(item: &I, error: StoreError) -> Self {
        if let StoreError::Invalid { field, reason } = error {
            // The column alone: where its row is in a batch says nothing to the caller.
            let column = field.rsplit('.').next().unwrap_or("").to_owned();
            return Self::of(item, None, Error::Invalid { field: column, reason });
        }
        let (part, why) = error.refusal().and_then(|refusal| item.refused(refusal)).unzip();
        Self::of(item, part.flatten(), why.unwrap_or_else(|| Error::of_store(I::Entity::KIND, error)))
    }
}

/// Refuses what has happened later than now.
pub(super) fn not_in_the_future(field: &str, at: Timestamp, now: Timestamp) -> Result<(), Error> {
    if at <= now {
        return Ok(());
    }
    Err(Error::invalid(field, format!("it is in the future: {at}, and it is {now}")))
}
