//! The Postgres store of [`apportion`].

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
mod units;
mod wire;

pub use open::migrations_sql;
pub use options::{Isolation, Migrate, PostgresOptions};
pub use sqlx_postgres::PgPool;
pub use store::PostgresStore;
pub use transaction::{PostgresTransaction, Sql};
