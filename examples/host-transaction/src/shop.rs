//! The application: a shop with a table of invoices, which sells instances.
//!
//! An order writes an invoice and launches an instance in one transaction. It is written out once for each database:
//! keep the one that you have.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apportion::ControlPlane;
use apportion::entity::{Entry, Instance, TABLES, UserId};
use apportion::id::{IdSource as _, TimeOrderedIds};
use apportion::plane::LaunchRequest;
use apportion::time::SystemClock;
use apportion_postgres::{PgPool, PostgresStore};
use apportion_sqlite::SqliteStore;
use sqlx_core::connection::Connection as _;
use sqlx_core::query::query;
use sqlx_core::query_scalar::query_scalar;
use sqlx_sqlite::{SqliteConnectOptions, SqliteConnection};
use uuid::Uuid;

/// What went wrong, as far as this small program tells.
pub type Failure = Box<dyn Error + Send + Sync>;

/// What an order does when everything in it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It commits.
    Commit,
    /// Whoever placed it has gone: everything that it held is dropped.
    Vanish,
    /// The process dies.
    Abort,
}

/// The shop and its database.
#[derive(Debug)]
pub struct Shop {
    /// Everything that is not an order: users, nodes, reading.
    pub cloud: ControlPlane,
    database: Database,
}

#[derive(Debug)]
enum Database {
    Postgres { pool: PgPool, store: Arc<PostgresStore> },
    Sqlite { path: PathBuf, store: Arc<SqliteStore> },
}

const POSTGRES_INVOICES: &str = "CREATE TABLE IF NOT EXISTS invoices \
    (id UUID PRIMARY KEY, customer UUID NOT NULL, item TEXT NOT NULL, cents BIGINT NOT NULL)";
const SQLITE_INVOICES: &str = "CREATE TABLE IF NOT EXISTS invoices \
    (id BLOB PRIMARY KEY, customer BLOB NOT NULL, item TEXT NOT NULL, cents INTEGER NOT NULL) STRICT";

/// An id that nothing has yet. An application makes its own as it likes.
pub fn new_id() -> Uuid {
    TimeOrderedIds::new(Arc::new(SystemClock::new())).next_id()
}

impl Shop {
    /// Opens the shop in a Postgres database: its own table, and the control plane's in the schema `apportion`.
    pub async fn on_postgres(url: &str) -> Result<Self, Failure> {
        let pool = PgPool::connect(url).await?;
        query(POSTGRES_INVOICES).execute(&pool).await?;
        let store = Arc::new(PostgresStore::connect(url, TABLES, Arc::new(SystemClock::new())).await?);
        Ok(Self { cloud: ControlPlane::new(store.clone()), database: Database::Postgres { pool, store } })
    }

    /// Opens the shop in a SQLite file: its own table, and the control plane's, which begin with `apportion_`.
    pub async fn on_sqlite(path: &Path) -> Result<Self, Failure> {
        let store = Arc::new(SqliteStore::open(path, TABLES, Arc::new(SystemClock::new())).await?);
        query(SQLITE_INVOICES).execute(&mut connection(path).await?).await?;
        let database = Database::Sqlite { path: path.to_owned(), store: store.clone() };
        Ok(Self { cloud: ControlPlane::new(store), database })
    }

    /// Takes an order: the invoice and the instance, both or neither.
    pub async fn order(
        &self,
        request: LaunchRequest,
        cents: i64,
        ending: Ending,
    ) -> Result<Option<Entry<Instance>>, Failure> {
        match &self.database {
            Database::Postgres { pool, store } => {
                order_on_postgres(&self.cloud, pool, store, request, cents, ending).await
            }
            Database::Sqlite { store, .. } => {
                order_on_sqlite(&self.cloud, store, request, cents, ending).await
            }
        }
    }

    /// How many invoices a customer has.
    pub async fn invoices(&self, customer: UserId) -> Result<i64, Failure> {
        Ok(match &self.database {
            Database::Postgres { pool, .. } => {
                query_scalar("SELECT count(*) FROM invoices WHERE customer = $1")
                    .bind(customer.uuid())
                    .fetch_one(pool)
                    .await?
            }
            Database::Sqlite { path, .. } => {
                query_scalar("SELECT count(*) FROM invoices WHERE customer = ?1")
                    .bind(customer.uuid())
                    .fetch_one(&mut connection(path).await?)
                    .await?
            }
        })
    }
}

async fn order_on_postgres(
    cloud: &ControlPlane,
    pool: &PgPool,
    store: &PostgresStore,
    request: LaunchRequest,
    cents: i64,
    ending: Ending,
) -> Result<Option<Entry<Instance>>, Failure> {
    // The transaction is the application's; the store is let in.
    let bound = Arc::new(store.bind(pool.begin().await?));
    query("INSERT INTO invoices (id, customer, item, cents) VALUES ($1, $2, $3, $4)")
        .bind(new_id())
        .bind(request.owner.uuid())
        .bind(request.name.clone())
        .bind(cents)
        .execute(&mut *bound.sql().await?)
        .await?;
    let inside = cloud.within(bound.clone());
    match inside.launch(request).await {
        Ok(instance) if goes_on(ending) => {
            bound.commit().await?;
            Ok(Some(instance))
        }
        Ok(_) => Ok(None),
        Err(refusal) => {
            // A refusal is an answer: the transaction could go on without the instance. This shop wants both.
            bound.rollback().await?;
            Err(refusal.into())
        }
    }
}

async fn order_on_sqlite(
    cloud: &ControlPlane,
    store: &SqliteStore,
    request: LaunchRequest,
    cents: i64,
    ending: Ending,
) -> Result<Option<Entry<Instance>>, Failure> {
    // SQLite has one writer at a time, so it is the store that says whose turn it is.
    let bound = Arc::new(store.begin().await?);
    query("INSERT INTO invoices (id, customer, item, cents) VALUES (?1, ?2, ?3, ?4)")
        .bind(new_id())
        .bind(request.owner.uuid())
        .bind(request.name.clone())
        .bind(cents)
        .execute(&mut *bound.sql().await?)
        .await?;
    let inside = cloud.within(bound.clone());
    match inside.launch(request).await {
        Ok(instance) if goes_on(ending) => {
            bound.commit().await?;
            Ok(Some(instance))
        }
        Ok(_) => Ok(None),
        Err(refusal) => {
            bound.rollback().await?;
            Err(refusal.into())
        }
    }
}

/// Everything was done, and nothing is committed: the worst moment for an accident.
fn goes_on(ending: Ending) -> bool {
    if ending == Ending::Abort {
        std::process::abort();
    }
    ending == Ending::Commit
}

async fn connection(path: &Path) -> Result<SqliteConnection, Failure> {
    Ok(SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await?)
}
