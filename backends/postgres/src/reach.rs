//! Reaching the server before there is a store: [`within`], [`Reach`].

use std::time::Duration;

use apportion::store::OpenProblem;
use sqlx_core::connection::{ConnectOptions as _, Connection as _};
use sqlx_core::error::Error;
use sqlx_postgres::{PgConnection, PgPool};
use tokio::time::timeout;

use crate::error::open_problem;

/// A pool, and how long it may take to get a connection of it.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) pool: PgPool,
    pub(crate) limit: Duration,
}

impl Reach {
    /// A connection that the pool does not get back, since opening may be given up in the middle.
    ///
    /// A pool takes an address that refuses for one whose server is starting, and tries it until its time is over,
    /// without saying so in the end. So whoever got nothing in time asks the server once more, apart from the pool.
    pub(crate) async fn acquire(&self) -> Result<PgConnection, OpenProblem> {
        match timeout(self.limit, self.pool.acquire()).await {
            Ok(Ok(connection)) => return Ok(connection.detach()),
            Ok(Err(Error::PoolTimedOut)) | Err(_) => {}
            Ok(Err(error)) => return Err(open_problem(&error)),
        }
        let answers = within(self.limit, self.pool.connect_options().connect()).await?;
        drop(timeout(self.limit, answers.close()).await);
        Err(open_problem(&Error::PoolTimedOut))
    }
}

/// What comes of connecting, unless it takes too long.
pub(crate) async fn within<T>(
    limit: Duration,
    connecting: impl Future<Output = Result<T, Error>>,
) -> Result<T, OpenProblem> {
    match timeout(limit, connecting).await {
        Ok(connected) => connected.map_err(|error| open_problem(&error)),
        Err(_) => Err(OpenProblem::Unreachable(format!("there was no answer for {limit:?}"))),
    }
}
