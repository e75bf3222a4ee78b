//! The Postgres store of [`apportion`].

mod error;
mod link;
mod migrate;
mod open;
mod options;
mod store;
mod units;
mod wire;

pub use open::migrations_sql;
pub use options::{Isolation, Migrate, PostgresOptions};
pub use sqlx_postgres::PgPool;
pub use store::PostgresStore;
