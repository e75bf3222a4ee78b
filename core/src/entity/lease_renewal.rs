//! Until when a worker holds a lease: [`LeaseRenewal`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::gpu_lease::LeaseId;
use crate::store::{Column, Fixed, Reference, Table};
use crate::time::Timestamp;

/// Until when a worker holds a lease, unless it says more.
///
/// It is a row of its own, out of the feed and without an index: renewing a lease disturbs nobody. Whoever takes a lease away for
/// its silence tests in the batch that this row is as it was read, so that a renewal and the end never both happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRenewal {
    /// The lease.
    pub lease_id: LeaseId,
    /// The token of the worker that holds it; 0 while none does.
    pub token: u32,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// The table of [`LeaseRenewal`].
pub static LEASE_RENEWALS: Table = Table::new(
    "lease_renewals",
    &[
        Column::uuid("lease_id"),
        Column::int("token").counter().default(Fixed::Int(0)),
        Column::time("expires_at").counter(),
    ],
    &["lease_id"],
)
.references(&[Reference::new("lease_renewals_lease", &["lease_id"], "gpu_leases")])
.quiet();

entity!(LeaseRenewal, "lease_renewal", LEASE_RENEWALS {
    fixed: lease_id;
    counters: token, expires_at;
});
