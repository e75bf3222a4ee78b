//! The loop that most operations are: read, decide, commit, and decide again after a lost race.

use super::ControlPlane;
use super::retry::{Retry, lost_race};
use crate::error::{Error, Result};
use crate::store::{Batch, Cause, StoreError, StoreExt as _};

/// What was decided over the rows that were read.
#[derive(Debug)]
pub(super) enum Decided<T> {
    /// Nothing has to be written: this is the answer.
    Done(T),
    /// The answer, once this batch is committed.
    Commit(T, Batch),
}

impl ControlPlane {
    /// Decides until a decision holds, and answers it. `kind` is what errors call the thing that it is done to.
    pub(super) async fn decided<T, F>(
        &self,
        operation: &'static str,
        kind: &'static str,
        decide: impl Fn() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<Decided<T>>>,
    {
        let mut retry = Retry::new(operation, &*self.ids, &*self.metrics);
        let mut taken_before = None;
        loop {
            let (answer, batch) = match decide().await? {
                Decided::Done(answer) => return Ok(answer),
                Decided::Commit(answer, batch) => (answer, batch),
            };
            match self.store.commit(batch).await {
                Ok(_) => return Ok(answer),
                Err(error) if lost_race(&error) => retry.again().await?,
                Err(error) => {
                    // What was free when it was decided was taken meanwhile: decided again, it is seen. Where it is not
                    // even then, the decision does not look there, and the refusal is the answer.
                    let taken = taken(&error);
                    if taken.is_none() || taken == taken_before {
                        return Err(Error::of_store(kind, error));
                    }
                    taken_before = taken;
                    retry.again().await?;
                }
            }
        }
    }
}

/// The unique key that was taken, where that is why a batch was refused.
fn taken(error: &StoreError) -> Option<&'static str> {
    match &error.refusal()?.cause {
        Cause::Duplicate { unique, .. } => Some(unique),
        _ => None,
    }
}
