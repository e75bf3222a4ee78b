//! How many administrators there are: [`Administration`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use crate::store::{Column, Invariant, Table};

/// How many administrators there are, in the one row of its table: there is one from the first administrator on,
/// and so there always is an administrator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Administration {
    /// Always [`Administration::ID`].
    pub id: String,
    /// Users whose permission is `administrator`.
    pub administrators: u32,
}

impl Administration {
    /// The key of the one row.
    pub const ID: &str = "administrators";
}

/// The table of [`Administration`].
pub static ADMINISTRATIONS: Table = Table::new(
    "administrations",
    &[Column::text("id", 16), Column::int("administrators").counter()],
    &["id"],
)
.invariants(&[Invariant::at_least("administrations_at_least_one", "administrators", 1)]);

entity!(Administration, "administration", ADMINISTRATIONS {
    fixed: id;
    counters: administrators;
});
