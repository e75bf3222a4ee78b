//! A Postgres server to measure on: [`Server`]. Its durability is the default, and a commit costs at least what was asked
//! for.

use std::str::FromStr as _;
use std::time::Duration;

use apportion_throwaway_postgres::{Options, ThrowawayPostgres};
use sqlx_core::acquire::Acquire as _;
use sqlx_core::connection::ConnectOptions as _;
use sqlx_core::query::query;
use sqlx_postgres::{PgConnectOptions, PgConnection, Postgres};

use crate::launches::now;
use crate::stores::Failed;

/// How many commits are timed.
const TIMED: usize = 64;
/// How many connections there may be.
const CONNECTIONS: u32 = 600;

/// A server with the default durability (`fsync`, `synchronous_commit` and `full_page_writes` on).
#[derive(Debug)]
pub struct Server {
    postgres: ThrowawayPostgres,
    /// What a lone commit costs.
    pub commit: Cost,
    /// What was added to each commit, and what it cost before.
    pub added: Option<(Duration, Cost)>,
}

/// What commits cost, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The cheapest.
    pub least: Duration,
    /// The median.
    pub median: Duration,
}

impl Server {
    /// Starts a server on which a lone commit takes at least `at_least`, slowing it down where it would take less.
    ///
    /// # Errors
    /// Also where the machine has no server's programs; then the error tells the line that installs them.
    pub async fn start(at_least: Duration) -> Result<Self, Failed> {
        let options = Options::new()
            .fsync(true)
            .setting("shared_buffers", "128MB")
            .setting("max_connections", CONNECTIONS.to_string());
        // Starting it blocks, and nothing else is to be done meanwhile.
        let server = ThrowawayPostgres::start_with(&options)?;
        let commit = cost(&server).await?;
        let Some(missing) = at_least.checked_sub(commit.least).filter(|missing| !missing.is_zero()) else {
            return Ok(Self { postgres: server, commit, added: None });
        };
        // The server waits before it syncs, whoever else is there; what others commit meanwhile shares the sync.
        server.psql(&format!(
            "ALTER SYSTEM SET commit_siblings = 0; ALTER SYSTEM SET commit_delay = {}; SELECT pg_reload_conf()",
            missing.as_micros()
        ))?;
        let slowed = cost(&server).await?;
        Ok(Self { postgres: server, commit: slowed, added: Some((missing, commit)) })
    }

    /// The address of an empty database.
    pub fn fresh_database(&self) -> Result<String, Failed> {
        Ok(self.postgres.fresh_database()?)
    }

    /// The server.
    pub fn postgres(&self) -> &ThrowawayPostgres {
        &self.postgres
    }
}

async fn cost(server: &ThrowawayPostgres) -> Result<Cost, Failed> {
    let url = server.fresh_database()?;
    let mut connection = PgConnectOptions::from_str(&url)?.connect().await?;
    run(&mut connection, "CREATE TABLE timed (n bigint PRIMARY KEY)").await?;
    let mut took = Vec::with_capacity(TIMED);
    for n in 0..TIMED {
        let mut transaction = connection.begin().await?;
        let insert = query::<Postgres>("INSERT INTO timed VALUES ($1)").bind(i64::try_from(n)?);
        insert.execute(&mut *transaction).await?;
        let began = now();
        transaction.commit().await?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let at = |place: usize| took.get(place).copied().ok_or("no commit was timed");
    Ok(Cost { least: at(0)?, median: at(TIMED / 2)? })
}

async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), Failed> {
    query::<Postgres>(sql).execute(connection).await?;
    Ok(())
}
