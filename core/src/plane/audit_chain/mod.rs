//! The hash chain over the audit trail: sealing it, and finding out whether somebody changed it.
//!
//! Whoever writes a line writes nothing else, so writers never wait for each other. A step behind them, which any process
//! may run, follows the feed and links the lines in its order ([`ControlPlane::seal_audit`]). Its head, count and hash, is
//! to be kept where those who can write to the database cannot ([`ControlPlane::audit_head`]).
//!
//! How the hashes are made is said at the head of `chain.rs`.

mod chain;
mod seal;
#[cfg(test)]
mod tests;
mod verify;

pub use seal::Sealed;

use serde::{Deserialize, Serialize};

use super::ControlPlane;
use crate::entity::{AUDIT_HEADS, AuditHead, Entity as _, LogId};
use crate::error::Result;
use crate::store::StoreExt as _;

/// How far the audit trail is sealed, in the form that is kept outside: how many links the chain has, and the hash of the
/// last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// How many links.
    pub count: i64,
    /// The hash of the last one in 64 hexadecimal digits; zeros where there is none.
    pub hash: String,
}

impl Anchor {
    /// What was kept outside.
    pub fn new(count: i64, hash: impl Into<String>) -> Self {
        Self { count, hash: hash.into() }
    }

    /// That of an empty chain.
    pub fn none() -> Self {
        Self::new(0, chain::hex(chain::ZEROS))
    }
}

/// What [`ControlPlane::verify_audit`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditVerification {
    /// How many sealed lines are there.
    pub lines: u64,
    /// The end of the chain as it was walked.
    pub head: Anchor,
    /// What is wrong, the first 1,000 of it; empty where all is well.
    pub findings: Vec<AuditFinding>,
    /// How many things are wrong.
    pub found: u64,
}

impl Default for AuditVerification {
    fn default() -> Self {
        Self { lines: 0, head: Anchor::none(), findings: Vec::new(), found: 0 }
    }
}

impl AuditVerification {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.found == 0
    }
}

/// Something wrong with the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditFinding {
    /// The line, or its link, is not what was sealed: edited, or moved to another place.
    Altered {
        /// Its place in the chain.
        sequence: i64,
        /// The line.
        log: LogId,
    },
    /// The line was sealed and is gone.
    Deleted {
        /// Its place in the chain.
        sequence: i64,
        /// The line.
        log: LogId,
    },
    /// Links are gone.
    MissingSeals {
        /// The first that is gone.
        from: i64,
        /// The next that is there.
        until: i64,
    },
    /// The line comes from an earlier place in the feed than the one before it in the chain.
    Reordered {
        /// Its place in the chain.
        sequence: i64,
    },
    /// The line is neither sealed nor waiting for it in the feed: it was written past the store.
    Inserted {
        /// The line.
        log: LogId,
    },
    /// The lines from before the beginning of the chain are not those that were there then: one was edited, deleted or
    /// inserted, or a line was inserted later past the store.
    AlteredBeforeBeginning,
    /// The head is not the end of the chain: links were cut off or added.
    WrongHead {
        /// How many links the head tells of.
        count: i64,
        /// The last link found.
        found: i64,
    },
    /// The chain is not the one that was anchored: it has another hash at that place, or ends before it.
    WrongAnchor {
        /// How many links the anchor tells of.
        count: i64,
    },
}

impl ControlPlane {
    /// How far the audit trail is sealed: what to keep outside, for [`ControlPlane::verify_audit`].
    #[tracing::instrument(skip_all)]
    pub async fn audit_head(&self) -> Result<Anchor> {
        let row = self.store.get(&AUDIT_HEADS, AuditHead::ID).await?.value;
        let head = row.as_ref().map(AuditHead::from_row).transpose()?;
        Ok(head.map_or_else(Anchor::none, |head| Anchor::new(head.count, head.hash)))
    }
}
