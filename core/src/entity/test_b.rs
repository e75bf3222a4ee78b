//! A fixture of the conformance suite: a child with an optional parent.

use serde::{Deserialize, Serialize};

use super::TestA;
use super::field::entity;
use crate::id::Id;
use crate::store::{Column, Reference, Table};
use crate::time::Timestamp;

/// A fixture without product meaning that may belong to a [`TestA`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestB {
    /// The id, chosen by the caller.
    pub id: Id<Self>,
    /// At most 256 bytes.
    pub title: Option<String>,
    /// At most 4,096 bytes.
    pub description: Option<String>,
    /// When it was made.
    pub timestamp: Timestamp,
    /// The parent.
    pub test_a_id: Option<Id<TestA>>,
}

/// The table of [`TestB`].
pub static TEST_B: Table = Table::new(
    "test_bs",
    &[
        Column::uuid("id"),
        Column::text("title", 256).nullable(),
        Column::text("description", 4096).nullable(),
        Column::time("timestamp").immutable(),
        Column::uuid("test_a_id").nullable(),
    ],
    &["id"],
)
.references(&[Reference::new("test_bs_test_a", &["test_a_id"], "test_as")]);

entity!(TestB, "test_b", TEST_B {
    fixed: id, timestamp;
    plain: title, description, test_a_id;
});
