//! What an account has used, period by period: [`AccountUse`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::quota::AccountId;
use crate::store::{Column, Fixed, Invariant, Reference, Table};

/// What an account's runs held in a period, in thousandths or MiB times seconds: integers, which decay when they are read.
///
/// What is leased is charged in advance, so that a burst cannot pass a look at it, and what was not used is given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountUse {
    /// The account.
    pub account_id: AccountId,
    /// The number of the period since 1970.
    pub period: i64,
    /// GPU thousandths times seconds.
    pub gpu_milli_seconds: u64,
    /// Thousandths of a core times seconds.
    pub cpu_milli_seconds: u64,
    /// MiB times seconds.
    pub memory_mib_seconds: u64,
}

/// The table of [`AccountUse`].
pub static ACCOUNT_USES: Table = Table::new(
    "account_uses",
    &[
        Column::uuid("account_id"),
        Column::int("period"),
        Column::int("gpu_milli_seconds").counter().default(Fixed::Int(0)),
        Column::int("cpu_milli_seconds").counter().default(Fixed::Int(0)),
        Column::int("memory_mib_seconds").counter().default(Fixed::Int(0)),
    ],
    &["account_id", "period"],
)
.references(&[Reference::new("account_uses_account", &["account_id"], "quotas")])
.invariants(&[
    Invariant::at_least("account_uses_gpu_not_negative", "gpu_milli_seconds", 0),
    Invariant::at_least("account_uses_cpu_not_negative", "cpu_milli_seconds", 0),
    Invariant::at_least("account_uses_memory_not_negative", "memory_mib_seconds", 0),
]);

entity!(AccountUse, "account_use", ACCOUNT_USES {
    fixed: account_id, period;
    counters: gpu_milli_seconds, cpu_milli_seconds, memory_mib_seconds;
});
