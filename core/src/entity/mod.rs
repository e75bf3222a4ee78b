//! What the control plane keeps: one file an entity, each with its table, its mapping and its repository.

mod repository;
mod test_a;

pub use repository::{Entry, ListPage, PageRequest, Repositories};
pub use test_a::{TEST_A, TestA, TestAFilter, TestARepository};

#[cfg(feature = "mock")]
pub use test_a::MockTestARepository;

use crate::store::{NewRow, Row, StoreError, Table, Value};

/// How an entity is kept as a row. `create` and `update` of its repository are made of this.
pub(crate) trait Entity: Sized + PartialEq + Send + Sync {
    /// What errors call it, such as `instance`.
    const KIND: &'static str;
    /// Its table.
    const TABLE: &'static Table;

    /// Reads it from a row.
    fn from_row(row: &Row) -> Result<Self, StoreError>;

    /// The row of a new one.
    fn to_row(&self) -> NewRow;

    /// Every column that an update may change, with its value.
    fn plain(&self) -> Vec<(&'static str, Value)>;
}

/// Every table of the control plane, parents before children: what a store is opened with.
pub static TABLES: &[&Table] = &[&TEST_A];
