//! What the SQL backends of [`apportion`] share: statement text from the table declarations, and what is done with it.
//!
//! There is no driver in here. A backend implements [`Connection`] and [`Session`] over its own, and opens stores;
//! how a group of batches is loaded, judged and written, how rows are read and the feed is stamped is said here
//! once. Internal to the backends: it may change in any release.

mod connection;
mod names;
mod statement;

pub use connection::{Connection, Failure, Session, Violation};
pub use names::{Dialect, MAX_NAME_BYTES, Names};
pub use statement::{Branch, Cell, Fetched, Param, Statement};
