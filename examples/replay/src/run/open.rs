//! Opening the store that a replay works on.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use apportion::entity::TABLES;
use apportion::store::memory::MemoryStore;
use apportion::store::{OpenProblem, Store, StoreError, Table};
use apportion::time::Clock;
use apportion_postgres::{Migrate, PostgresOptions, PostgresStore};
use apportion_redb::{RedbOptions, RedbStore};
use apportion_sqlite::{Migrate as SqliteMigrate, SqliteOptions, SqliteStore};
use sqlx_core::connection::{ConnectOptions as _, Connection as _};
use sqlx_core::error::Error as SqlError;
use sqlx_postgres::PgConnectOptions;
use tempfile::TempDir;

use super::begun::INPUTS;
use super::progress::PROGRESS;
use crate::cli::{DatabaseUrl, DurabilityArg, ReplayArgs, StoreAt};
use crate::error::AppError;

/// A store, and what goes when it goes.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    place: Place,
    /// Removed after the store is closed: fields are dropped in their order.
    _folder: Option<TempDir>,
}

/// What has a size.
#[derive(Debug)]
enum Place {
    Memory,
    Redb(Arc<RedbStore>),
    Sqlite(PathBuf),
    Postgres(DatabaseUrl, String),
}

impl Opened {
    /// Opens the store with the control plane's tables and the replay's own.
    pub(super) async fn new(
        at: &StoreAt,
        args: &ReplayArgs,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, AppError> {
        let tables: Vec<&'static Table> = TABLES.iter().copied().chain([&INPUTS, &PROGRESS]).collect();
        let durability = args.durability.unwrap_or(DurabilityArg::Full);
        let clock = Arc::clone(clock);
        let mut folder = None;
        let (store, place): (Arc<dyn Store>, _) = match at {
            StoreAt::Memory => (Arc::new(MemoryStore::new(&tables, clock)?), Place::Memory),
            StoreAt::Redb(_) | StoreAt::Temporary => {
                let path = if let StoreAt::Redb(path) = at {
                    path.clone()
                } else {
                    let made = TempDir::with_prefix("replay-").map_err(AppError::Temporary)?;
                    folder.insert(made).path().join("replay.redb")
                };
                let options = RedbOptions::default().durability(durability.into());
                let store = Arc::new(RedbStore::open_with(&path, &tables, clock, options)?);
                (store.clone(), Place::Redb(store))
            }
            StoreAt::Sqlite(path) => {
                let store = sqlite(path, &tables, clock, durability, args.resume).await?;
                (Arc::new(store), Place::Sqlite(path.clone()))
            }
            StoreAt::Postgres { url, schema } => {
                // Where there is nothing to continue, nothing is made.
                let migrate = if args.resume { Migrate::Verify } else { Migrate::Apply };
                let options = PostgresOptions::default().schema(schema).migrate(migrate);
                let opened = PostgresStore::connect_with(url.expose(), &tables, clock, options).await;
                let store = opened.map_err(|error| match error {
                    StoreError::CannotOpen { reason: OpenProblem::Unmigrated(_), .. } => {
                        AppError::NothingInSchema { schema: schema.clone() }
                    }
                    error => error.into(),
                })?;
                (Arc::new(store), Place::Postgres(url.clone(), schema.clone()))
            }
        };
        Ok(Self { store, place, _folder: folder })
    }

    /// How many bytes the store takes; 0 in memory, and none where it cannot be told.
    pub(super) async fn bytes(&self) -> Option<u64> {
        match &self.place {
            Place::Memory => Some(0),
            Place::Redb(redb) => Some(redb.file_bytes()),
            Place::Sqlite(path) => sqlite_bytes(path).ok(),
            Place::Postgres(url, schema) => postgres_bytes(url, schema).await.ok(),
        }
    }
}

/// Opens a SQLite file. It may be another program's, and `resume` a slip: so nothing is made in what is to be
/// continued, unless a replay was killed before it had made anything.
async fn sqlite(
    path: &Path,
    tables: &[&'static Table],
    clock: Arc<dyn Clock>,
    durability: DurabilityArg,
    resume: bool,
) -> Result<SqliteStore, AppError> {
    let options = SqliteOptions::default().durability(durability.into());
    if resume {
        let options = options.clone().migrate(SqliteMigrate::Verify);
        match SqliteStore::open_with(path, tables, Arc::clone(&clock), options).await {
            Err(StoreError::CannotOpen { reason: OpenProblem::Unmigrated(_), .. }) => {
                if std::fs::metadata(path).map_or(true, |file| file.len() > 0) {
                    return Err(AppError::NotAReplay);
                }
            }
            opened => return Ok(opened?),
        }
    }
    Ok(SqliteStore::open_with(path, tables, clock, options).await?)
}

/// The file and its log, where that is still there.
fn sqlite_bytes(path: &Path) -> std::io::Result<u64> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Ok(std::fs::metadata(path)?.len() + std::fs::metadata(log).map_or(0, |log| log.len()))
}

/// The tables of a schema with their indexes.
async fn postgres_bytes(url: &DatabaseUrl, schema: &str) -> Result<u64, SqlError> {
    let mut connection =
        PgConnectOptions::from_str(url.expose())?.disable_statement_logging().connect().await?;
    let sizes = "SELECT COALESCE(SUM(pg_total_relation_size(c.oid)), 0)::BIGINT FROM pg_class c \
                 JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'";
    let bytes: i64 =
        sqlx_core::query_scalar::query_scalar(sizes).bind(schema).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}
