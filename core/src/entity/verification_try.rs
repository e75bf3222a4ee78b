//! How often a code was tried: [`VerificationTry`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::verification::VerificationId;
use crate::store::{Column, Fixed, Invariant, Reference, Table};

/// How often a code was tried, and the last time step that was accepted. Strangers can drive it, so it has a row of
/// its own, out of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationTry {
    /// The verification.
    pub verification_id: VerificationId,
    /// Wrong codes: all of a mailed code, those of the current window of an authenticator.
    pub attempts: u32,
    /// The last time step whose code was accepted (RFC 6238, section 5.2: a code is accepted once); -1 before the
    /// first.
    pub last_step: i64,
    /// The window in which wrong codes are counted: the time divided by its length.
    pub window: i64,
}

/// The table of [`VerificationTry`].
pub static VERIFICATION_TRIES: Table = Table::new(
    "verification_tries",
    &[
        Column::uuid("verification_id"),
        Column::int("attempts").counter().default(Fixed::Int(0)),
        Column::int("last_step").counter().default(Fixed::Int(-1)),
        Column::int("window").counter().default(Fixed::Int(0)),
    ],
    &["verification_id"],
)
.references(&[Reference::new("verification_tries_verification", &["verification_id"], "verifications")])
.invariants(&[Invariant::at_least("verification_tries_not_negative", "attempts", 0)])
.quiet();

entity!(VerificationTry, "verification_try", VERIFICATION_TRIES {
    fixed: verification_id;
    counters: attempts, last_step, window;
});
