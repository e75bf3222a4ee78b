//! What the SQL backends of [`apportion`] share: statement text from the table declarations, and what is done with it.
//!
//! There is no driver in here. A backend implements [`Connection`] and [`Session`] over its own, and opens stores;
//! how a group of batches is loaded, judged and written, how rows are read and the feed is stamped is said here
//! once. Internal to the backends: it may change in any release.

mod catalogue;
mod connection;
mod ddl;
mod migrations;
mod names;
mod queue;
mod statement;
mod writer;

pub use catalogue::{
    Difference, LiveColumn, LiveForeignKey, LiveIndex, LiveTable, Mismatch, catalogue, compare, growth,
    live_tables, surplus,
};
pub use connection::{Connection, Failure, Session, Violation};
pub use ddl::{check_names, create_table, history_table, kernel_tables};
pub use migrations::{Migration, WRITER, migrations, migrations_sql, pending, wanted};
pub use names::{Dialect, MAX_NAME_BYTES, Names};
pub use queue::{GroupCommit, Queue, QueueOptions};
pub use statement::{Branch, Cell, Fetched, Param, Statement};
