//! How many administrators there are: [`Administration`].

use serde::{Deserialize, Serialize};

use super::Entity as _;
use super::field::entity;
use crate::store::{Column, Invariant, Table, Write};

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

    /// The write that counts one administrator more. The row is made with the first one.
    pub(crate) fn one_more(counted: bool) -> Write {
        if counted {
            return Write::record(&ADMINISTRATIONS, Self::ID, "administrators", 1);
        }
        Write::Insert(Self { id: Self::ID.into(), administrators: 1 }.to_row())
    }

    /// The write that counts one less; refused for the last one.
    pub(crate) fn one_less() -> Write {
        Write::record(&ADMINISTRATIONS, Self::ID, "administrators", -1)
    }
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
