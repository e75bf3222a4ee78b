//! What the SQL backends of [`apportion`] share: statement text from the table declarations, and what is done with it.
//!
//! There is no driver in here. A backend implements [`Connection`] and [`Session`] over its own, and opens stores;
//! how a group of batches is loaded, judged and written, how rows are read and the feed is stamped is said here
//! once. Internal to the backends: it may change in any release.

mod catalogue;
mod commit;
mod connection;
mod ddl;
mod ended;
mod feed;
mod gather;
mod last;
mod load;
mod log;
mod migrations;
mod names;
mod queue;
mod read;
mod source;
mod statement;
mod tables;
mod union;
mod write;
mod writer;

pub use catalogue::{
    Difference, LiveColumn, LiveForeignKey, LiveIndex, LiveTable, Mismatch, catalogue, compare, growth,
    live_tables, surplus,
};
pub use commit::{Committing, backoff};
pub use connection::{Connection, Failure, Session, Violation};
pub use ddl::{check_names, create_schema, create_table, history_table, kernel_tables};
pub use ended::{Ended, Ending, write_receipt};
pub use feed::{Fresh, changes, fresh, is_unstamped, prune, prune_some, resolve, stamp_waiting};
pub use gather::{Answering, Gather};
pub use log::Take;
pub use migrations::{Migration, WRITER, migrations, migrations_sql, pending, to_be_made, wanted};
pub use names::{Dialect, MAX_NAME_BYTES, Names};
pub use queue::{Baton, GroupCommit, Queue, QueueOptions};
pub use read::read;
pub use statement::{Branch, Cell, Fetched, Param, Statement};
pub use tables::Tables;
