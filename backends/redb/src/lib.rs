//! The embedded store of [`apportion`]: one redb file, group commit, no server.
//!
//! ```
//! use std::sync::Arc;
//!
//! use apportion::id::{IdSource, TimeOrderedIds};
//! use apportion::store::{Batch, Column, NewRow, StoreExt, Table, Write};
//! use apportion::time::{Clock, SystemClock};
//! use apportion_redb::RedbStore;
//!
//! static NOTES: Table = Table::new("notes", &[Column::uuid("id"), Column::text("text", 200)], &["id"]);
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("notes.redb");
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
//! let ids = TimeOrderedIds::new(clock.clone());
//! let store = RedbStore::open(&path, &[&NOTES], clock)?;
//!
//! let id = ids.next_id();
//! let note = NewRow::new(&NOTES).set("id", id).set("text", "hello");
//! store.commit(Batch::new(ids.next_id(), "write").with(Write::Insert(note))).await?;
//!
//! let row = store.get(&NOTES, id).await?.value.ok_or("it is gone")?;
//! assert_eq!(row.text("text")?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! | [`Durability`] | an acknowledged commit survives | a sync |
//! |---|---|---|
//! | `Full`, the default | a crash of the process, of the operating system, a power cut | for each group of commits |
//! | `ProcessCrash` | a crash of the process | when the store is closed |
//!
//! A file that was damaged, even by one bit, is refused when it is opened: every page carries a checksum, and all
//! of them are verified ([`RedbOptions::check_integrity_on_open`]). One process owns the file; a second one, or a
//! second handle in the same process, is refused. A power cut in the first moments of a new file can leave one
//! that is refused as something else: nothing was in it, and it can be deleted.
//!
//! # One writer, many callers
//!
//! A sync of the disk takes milliseconds, so one thread takes all batches that wait, judges each on its own with
//! the evaluator of [`apportion::store::eval`], and makes them durable together. After a group it waits for its
//! callers to come back, for at most a quarter of what the group took and at most a millisecond: otherwise the
//! first of them would be committed alone and the others would wait for its sync.
//!
//! A caller that goes away tears nothing: its batch happens whole or not at all. A deadline that passes while a
//! batch waits withdraws it; one that passes while it is written leaves it unknown, to be asked for with `resolve`.
//! After a commit that the disk refused the outcome of its batches is unknown, and the store takes no more writes
//! until it is opened again.
//!
//! # Growth
//!
//! When a file is opened its tables are compared with the declarations. New tables, new columns at the end (with a
//! default, or nullable), new indexes, unique keys and references are added, indexes and unique keys that are no
//! longer declared are dropped. Rows that were written before a column existed hold the default that was declared
//! when it came. A unique key that rows share, a reference to what is not there, a column that is gone, moved or of
//! another type, another primary key, a table that is no longer declared: the store does not open, and the file stays
//! as it was. An invariant that is declared later is judged when a row is next written.

mod backend;
mod backup;
mod codec;
mod error;
mod growth;
mod layout;
mod open;
mod options;
mod queue;
mod read;
mod shared;
mod snapshot;
mod store;
mod tables;
#[cfg(feature = "testing")]
pub mod testing;
mod upkeep;
mod view;
mod writer;

pub use options::{Durability, RedbOptions};
pub use store::RedbStore;
