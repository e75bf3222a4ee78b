//! How much of a queue is an account's fair share: [`FairShare`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::quota::AccountId;
use crate::store::{Column, Invariant, Reference, Table};

/// The weight of an account among the others; an account without one has a weight of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FairShare {
    /// The account.
    pub account_id: AccountId,
    /// Its weight in thousandths: 1000 is one share.
    pub weight_milli: u32,
}

/// The table of [`FairShare`].
pub static FAIR_SHARES: Table =
    Table::new("fair_shares", &[Column::uuid("account_id"), Column::int("weight_milli")], &["account_id"])
        .references(&[Reference::new("fair_shares_account", &["account_id"], "quotas")])
        .invariants(&[Invariant::at_least("fair_shares_weight_positive", "weight_milli", 1)]);

entity!(FairShare, "fair_share", FAIR_SHARES {
    fixed: account_id;
    plain: weight_milli;
});
