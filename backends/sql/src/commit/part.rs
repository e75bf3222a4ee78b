//! What becomes of a part of a group after a failure: [`Part::after`].

use std::sync::Arc;

use apportion::store::{Receipt, StoreError};

use super::Answers;
use crate::connection::{Failure, Violation};
use crate::names::Dialect;

/// How often a group whose commit somebody else got in the way of begins again, before it is split.
const MAX_TRIES: u32 = 8;

/// Some members of a group that are tried together: their places, and how often they were tried.
pub(super) struct Part {
    pub(super) members: Vec<usize>,
    pub(super) tries: u32,
    /// One member, whose writes are made one by one.
    pub(super) stepwise: bool,
    /// Whoever needs a row that somebody else keeps locked has been taken out.
    pub(super) freed: bool,
}

/// What follows from a failure.
pub(super) enum Next {
    /// Without those that need what somebody else keeps locked.
    Free,
    /// Once more, for the so-manieth time.
    Again(u32),
    /// In two halves.
    Split,
    /// Write by write.
    Stepwise,
    /// The member is refused, and the others go on.
    Refuse(StoreError),
    /// The same, since something outside the declarations refers to a row that it deletes.
    RefuseDelete,
    /// Nothing of this part happened, and nothing later is tried.
    End(StoreError),
    /// Nobody knows whether this part happened.
    Unknown,
}

impl Part {
    /// Members that were not tried yet.
    pub(super) fn new(members: Vec<usize>) -> Self {
        Self { members, tries: 0, stepwise: false, freed: false }
    }

    pub(super) fn answer(
        &self,
        answers: &mut Answers,
        answer: impl Fn(usize) -> Result<Receipt, StoreError>,
    ) {
        for (place, at) in self.members.iter().enumerate() {
            if let Some(slot) = answers.get_mut(*at) {
                *slot = Some(answer(place));
            }
        }
    }

    pub(super) fn after(&self, failure: Failure, may_retry: bool, dialect: Dialect) -> Next {
        let alone = self.members.len() == 1;
        match failure {
            Failure::Unknown => Next::Unknown,
            Failure::Store(error) => Next::End(error),
            Failure::Serialization if !may_retry => Next::End(must_repeat()),
            Failure::Serialization if self.tries < MAX_TRIES => Next::Again(self.tries + 1),
            // Somebody else has the whole file.
            Failure::LockTimeout if dialect == Dialect::Sqlite => Next::Refuse(not_given()),
            Failure::LockTimeout if !alone && !self.freed => Next::Free,
            Failure::Serialization | Failure::LockTimeout if !alone => Next::Split,
            Failure::Serialization | Failure::LockTimeout => Next::Refuse(not_given()),
            // What another process wrote meanwhile is seen the next time.
            Failure::Constraint(_) if self.tries == 0 => Next::Again(1),
            Failure::Constraint(_) if !alone => Next::Split,
            Failure::Constraint(_) if !self.stepwise => Next::Stepwise,
            Failure::Constraint(Violation::ForeignKey(_)) => Next::RefuseDelete,
            Failure::Constraint(_) if self.tries < MAX_TRIES => Next::Again(self.tries + 1),
            Failure::Constraint(_) => Next::Refuse(refused_row()),
        }
    }
}

pub(super) fn refused_row() -> StoreError {
    StoreError::Unavailable {
        reason: "the database refused a row that the declarations allow".into(),
        source: None,
    }
}

pub(super) fn not_given() -> StoreError {
    StoreError::Unavailable { reason: "a lock that others hold was not given in time".into(), source: None }
}

fn must_repeat() -> StoreError {
    StoreError::Unavailable {
        reason: "the transaction met another one and has to be repeated as a whole".into(),
        source: None,
    }
}

pub(super) fn not_tried(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable { .. } => error.clone(),
        other => StoreError::Unavailable {
            reason: "an earlier batch of the group failed".into(),
            source: Some(Arc::new(other.clone())),
        },
    }
}

pub(super) fn lost() -> Result<Receipt, StoreError> {
    Err(StoreError::Unavailable { reason: "the group gave no answer".into(), source: None })
}
