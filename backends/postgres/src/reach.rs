//! Reaching the server before there is a store: [`reach`], [`Reach`].

use std::io;
use std::time::Duration;

use apportion::store::OpenProblem;
use sqlx_core::connection::{ConnectOptions as _, Connection as _};
use sqlx_core::error::Error;
use sqlx_postgres::{PgConnectOptions, PgConnection, PgPool};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::{foreign, open_problem};

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
        let answers = reach(&self.pool.connect_options(), self.limit).await?;
        drop(timeout(self.limit, answers.close()).await);
        Err(open_problem(&Error::PoolTimedOut))
    }
}

/// A connection, unless it takes too long.
pub(crate) async fn reach(options: &PgConnectOptions, limit: Duration) -> Result<PgConnection, OpenProblem> {
    let (problem, unclear) = match timeout(limit, options.connect()).await {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => (open_problem(&error), unclear(&error)),
        Err(_) => (OpenProblem::Unreachable(format!("there was no answer for {limit:?}")), true),
    };
    if !unclear {
        return Err(problem);
    }
    // The driver takes the first bytes of a stranger's answer for the length of a message, and waits for the rest of it.
    let asking = timeout(limit.min(LONGEST_LOOK), is_foreign(options)).await;
    Err(if matches!(asking, Ok(Ok(true))) { foreign() } else { problem })
}

/// Whether a peer may have said something else than the protocol has it: it hung up, or what it said was none of TLS.
fn unclear(error: &Error) -> bool {
    use io::ErrorKind::{ConnectionReset, InvalidData, UnexpectedEof};
    match error {
        Error::Tls(_) => true,
        Error::Io(error) => matches!(error.kind(), ConnectionReset | InvalidData | UnexpectedEof),
        _ => false,
    }
}

/// How long a peer that could be anything is looked at.
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// Asks a server of Postgres whether it encrypts.
const ENCRYPTS: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Whether what is at the address answers, and not as a server does: with one letter, or with an error.
async fn is_foreign(options: &PgConnectOptions) -> io::Result<bool> {
    let mut peer = TcpStream::connect((options.get_host(), options.get_port())).await?;
    peer.write_all(&ENCRYPTS).await?;
    let mut answer = [0; 2];
    let count = peer.read(&mut answer).await?;
    Ok(!matches!(answer.get(..count), None | Some([] | [b'S' | b'N'] | [b'E', ..])))
}
