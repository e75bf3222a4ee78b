//! The agent's side of the lines.

use std::fmt;
use std::time::Duration;

use apportion::machine::Inventory;
use apportion::plane::{CommandLease, CommandOutcome, NodeSession, Reconciled};
use apportion::time::Timestamp;
use async_trait::async_trait;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec};

use super::wire::{Ask, Asked, MAX_LINE, Told};
use super::{Control, Refused, Result};

/// How long an answer is waited for. What was asked may have happened all the same: it is asked again.
const PATIENCE: Duration = Duration::from_secs(20);

/// A control plane that is asked over the network. One question at a time; a broken connection is made anew for the next one.
pub struct Remote {
    address: String,
    key: String,
    line: Mutex<Option<Framed<TcpStream, LinesCodec>>>,
}

impl fmt::Debug for Remote {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Remote {
    /// The control plane at an address, such as `control.example.org:7443`, for who has this key.
    pub fn new(address: impl Into<String>, key: impl Into<String>) -> Self {
        Self { address: address.into(), key: key.into(), line: Mutex::new(None) }
    }

    async fn ask(&self, ask: Ask) -> Result<Told> {
        let text = serde_json::to_string(&Asked { key: self.key.clone(), ask }).map_err(unreachable)?;
        let mut line = self.line.lock().await;
        // Taken out: whatever breaks off here leaves no half-read answer behind.
        let open = line.take();
        let (open, told) =
            timeout(PATIENCE, exchange(&self.address, open, text)).await.map_err(unreachable)??;
        *line = Some(open);
        told.refused()
    }
}

async fn exchange(
    address: &str,
    open: Option<Framed<TcpStream, LinesCodec>>,
    text: String,
) -> Result<(Framed<TcpStream, LinesCodec>, Told)> {
    let mut open = match open {
        Some(open) => open,
        None => {
            let stream = TcpStream::connect(address).await.map_err(unreachable)?;
            Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE))
        }
    };
    open.send(text).await.map_err(unreachable)?;
    let answer = open.next().await.ok_or_else(|| unreachable("it hung up"))?.map_err(unreachable)?;
    Ok((open, serde_json::from_str(&answer).map_err(unreachable)?))
}

fn unreachable(error: impl fmt::Display) -> Refused {
    Refused::Unreachable { reason: error.to_string() }
}

/// What is told when something else was asked.
fn other(_: &Told) -> Refused {
    unreachable("it answered another question")
}

#[async_trait]
impl Control for Remote {
    async fn join(&self) -> Result<NodeSession> {
        match self.ask(Ask::Join).await? {
            Told::Session(session) => Ok(session),
            told => Err(other(&told)),
        }
    }
    async fn heartbeat(&self, session: NodeSession) -> Result<()> {
        self.ask(Ask::Heartbeat { session }).await.map(drop)
    }
    async fn begin_report(&self, session: NodeSession) -> Result<Timestamp> {
        match self.ask(Ask::BeginReport { session }).await? {
            Told::Time(at) => Ok(at),
            told => Err(other(&told)),
        }
    }
    async fn report(&self, session: NodeSession, inventory: &Inventory) -> Result<Reconciled> {
        match self.ask(Ask::Report { session, inventory: Box::new(inventory.clone()) }).await? {
            Told::Reconciled(reconciled) => Ok(reconciled),
            told => Err(other(&told)),
        }
    }
    async fn take(&self, session: NodeSession, limit: u32, lease: Duration) -> Result<Vec<CommandLease>> {
        match self.ask(Ask::Take { session, limit, lease }).await? {
            Told::Commands(commands) => Ok(commands),
            told => Err(other(&told)),
        }
    }
    async fn extend(&self, held: &CommandLease, lease: Duration) -> Result<()> {
        self.ask(Ask::Extend { held: Box::new(held.clone()), lease }).await.map(drop)
    }
    async fn complete(&self, held: &CommandLease, outcome: &CommandOutcome) -> Result<()> {
        let held = Box::new(held.clone());
        self.ask(Ask::Complete { held, outcome: outcome.clone() }).await.map(drop)
    }
}
