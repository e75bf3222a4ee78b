//! The Postgres store of [`apportion`]: beside an application's own tables, in a schema of its own, with group commit.
//!
//! ```
//! use std::sync::Arc;
//!
//! use apportion::id::{IdSource, TimeOrderedIds};
//! use apportion::store::{Batch, Column, NewRow, StoreExt, Table, Write};
//! use apportion::time::{Clock, SystemClock};
//! use apportion_postgres::PostgresStore;
//!
//! static NOTES: Table = Table::new("notes", &[Column::uuid("id"), Column::text("text", 200)], &["id"]);
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let url = apportion_throwaway_postgres::ThrowawayPostgres::shared()?.fresh_database()?;
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
//! let ids = TimeOrderedIds::new(clock.clone());
//! let store = PostgresStore::connect(&url, &[&NOTES], clock).await?;
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
//! An acknowledged commit survives a crash of this process and of the server, and a power cut of the server, as far as
//! the server's own settings say so: with `fsync` or `synchronous_commit` turned off it does not.
//!
//! Every call ends. A read, and a transaction on its way, end within [`PostgresOptions::call_timeout`]; a statement that
//! waits for somebody else's row ends within [`PostgresOptions::lock_timeout`]. The server is told the same limits, so that
//! it keeps nothing for somebody who is gone. A commit whose answer is lost is `Unknown`, to be asked for with `resolve`;
//! whatever else fails did not happen. Where no connection answers any more the pool is replaced, and the store works again
//! as soon as the server does.
//!
//! A caller that goes away tears nothing: a piece of work runs in a task of its own, and a connection that is not
//! certainly clean is given up.
//!
//! # Isolation
//!
//! Rows are locked before a batch is judged, and the promises hold at each [`Isolation`]. The default, READ COMMITTED, is also
//! the fastest: batches that charge the same counter wait for one another. Above it they are repeated. Records get their
//! positions in the feed with the commit, or from whoever reads the feed next, or in the background about a second later.
//!
//! # Beside an application
//!
//! The store's tables are in a schema of their own ([`PostgresOptions::schema`]), with a history of their own. It makes them
//! when it is opened, one transaction a migration, and any number of processes may do so at once; or the application does,
//! with the text of [`migrations_sql`], and the store only looks ([`Migrate::Verify`]). A transaction of the application's
//! becomes a store with [`PostgresStore::bind`], so that its own statements and the store's batches happen together.
//! It has one connection: let go of what `sql()` gives before anything else is called on the bound store, which would wait
//! for it.
//!
//! It needs no advisory locks, triggers, notifications, enum types or functions of its own, so that it is not only Postgres
//! itself that can run it.

mod error;
mod link;
mod migrate;
mod nested;
mod open;
mod options;
mod reach;
mod shared;
mod snapshot;
mod stamping;
mod store;
mod transaction;
mod units;
mod wire;

pub use open::migrations_sql;
pub use options::{Isolation, Migrate, PostgresOptions};
pub use sqlx_postgres::PgPool;
pub use store::PostgresStore;
pub use transaction::{PostgresTransaction, Sql};
