//! The SQLite store of [`apportion`]: one file that you can look at with SQL, group commit, several processes.
//!
//! ```
//! use std::sync::Arc;
//!
//! use apportion::id::{IdSource, TimeOrderedIds};
//! use apportion::store::{Batch, Column, NewRow, Store, StoreExt, Table, Write};
//! use apportion::time::{Clock, SystemClock};
//! use apportion_sqlite::SqliteStore;
//! use sqlx_core::executor::Executor as _;
//!
//! static NOTES: Table = Table::new("notes", &[Column::uuid("id"), Column::text("text", 200)], &["id"]);
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("notes.sqlite");
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
//! let ids = TimeOrderedIds::new(clock.clone());
//! let store = SqliteStore::open(&path, &[&NOTES], clock).await?;
//!
//! let id = ids.next_id();
//! let note = NewRow::new(&NOTES).set("id", id).set("text", "hello");
//! store.commit(Batch::new(ids.next_id(), "write").with(Write::Insert(note))).await?;
//!
//! let row = store.get(&NOTES, id).await?.value.ok_or("it is gone")?;
//! assert_eq!(row.text("text")?, "hello");
//!
//! // Your own statements and a batch, together or not at all.
//! let bound = store.begin().await?;
//! bound.sql().await?.execute("CREATE TABLE invoices (amount INTEGER)").await?;
//! let note = NewRow::new(&NOTES).set("id", ids.next_id()).set("text", "invoiced");
//! let batch = Batch::new(ids.next_id(), "write").with(Write::Insert(note));
//! for answer in bound.commit_many(vec![batch]).await {
//!     answer?;
//! }
//! bound.commit().await?;
//! store.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! | [`Durability`] | an acknowledged commit survives | a sync |
//! |---|---|---|
//! | `Full`, the default | a crash of the process, of the operating system, a power cut | for each group of commits |
//! | `ProcessCrash` | a crash of the process | now and then |
//!
//! A commit that fails is told apart: on a full disk it did not happen; where a sync fails behind the mark that makes
//! it a commit nobody can say, and its batches are unknown, to be asked for with `resolve`. A connection on which
//! something failed is given up, and the next group has another.
//!
//! SQLite keeps no checksums. Opening reads the whole file and refuses one whose pages, rows or order are damaged; with
//! [`IntegrityCheck::Thorough`] also one whose tables and indexes disagree. What is damaged later, or beyond what the
//! check sees, is met as [`Corrupt`](apportion::store::StoreError::Corrupt) when it is read. A bit that flips inside a
//! value and leaves another sound value is mostly not noticed: where the medium is not trusted, use a filesystem with
//! checksums, or `apportion-redb`, which has its own.
//!
//! # One writer, many callers, several processes
//!
//! Everything that waits is judged, each batch on its own, with the evaluator of [`apportion::store::eval`], and made
//! durable with one commit, on one connection. Reads have connections of their own and never wait for a write. Other
//! processes, and other handles in the same one, may open the same file: a group begins with `BEGIN IMMEDIATE` and
//! reads what it judges inside, so that nothing is believed that was read before. Who waits for another process longer
//! than [`SqliteOptions::lock_timeout`] is told that the store is unavailable, and nothing happened. The file must lie
//! on a local filesystem: its log needs shared memory.
//!
//! A caller that goes away tears nothing: its batch happens whole or not at all. What is in the log is moved into the file
//! from 16 MiB on, as far as no reader still needs it, and the log is cut when it has grown beyond 64 MiB, for which the
//! writer waits a quarter of a second for those who read it. A snapshot keeps it from being cut for as long as it lives, a
//! minute at most.
//!
//! # How SQLite is compiled
//!
//! The driver compiles SQLite into the application, with flags that the application may add to. These two in its
//! `.cargo/config.toml` take a lock of the whole process from every allocation and every page, which was an eighth of the
//! processor time of a launch here; without them everything works the same:
//!
//! ```toml
//! [env]
//! LIBSQLITE3_FLAGS = "-DSQLITE_DEFAULT_MEMSTATUS=0 -USQLITE_ENABLE_MEMORY_MANAGEMENT"
//! ```
//!
//! # Beside your own tables
//!
//! The store's tables begin with a prefix and share a file with an application's, which they leave alone. They are made
//! and changed in one transaction when the store is opened, however many open it at once; what is only declared, and
//! not in a migration, is made from the declaration. [`SqliteStore::migrations_sql`] gives all of it as text, and with
//! [`Migrate::Verify`] opening makes nothing. Tables that cannot be brought to the declarations, or were made by a later build that admits no older one, are refused, and
//! nothing is changed.
//!
//! Once its tables are as declared the file is switched to a write-ahead log, and stays so: an application's own
//! connections have to be able to work with that, on the same machine.
//!
//! Every table is `STRICT`: a UUID is a `BLOB` of 16 bytes, a time an `INTEGER` of microseconds since 1970, a boolean
//! 0 or 1, a document canonical JSON text. References, unique keys and invariants are constraints of the schema, too.
//!
//! [`SqliteStore::begin`] opens a transaction of the application's own, in which batches and its own statements happen
//! together; statements are run with sqlx 0.9.

mod connect;
mod error;
mod link;
mod migrate;
mod nested;
mod open;
mod options;
mod shared;
mod snapshot;
mod store;
mod transaction;
mod wire;

pub use options::{Durability, IntegrityCheck, Migrate, SqliteOptions};
pub use store::SqliteStore;
pub use transaction::{Sql, SqliteTransaction};
