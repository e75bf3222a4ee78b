//! The worker's side of the lines.

use std::fmt;
use std::time::Duration;

use apportion::entity::{LeaseId, RunCause};
use apportion::plane::{Artifact, ClaimedRun, LeaseStanding, NewStatus, NodeSession, RunLease};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec};

use super::wire::{Answer, Ask, Asked, MAX_LINE};
use super::{Refused, Result};

/// How long an answer is waited for. What was asked may have happened all the same: it is asked again.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that is open.
type Line = Framed<TcpStream, LinesCodec>;

/// The control plane, over the network. One question at a time; a broken connection is made anew for the next one.
///
/// Everything may be said again: what had an effect the first time is answered as it was then.
pub struct Remote {
    address: String,
    key: String,
    line: Mutex<Option<Line>>,
}

impl fmt::Debug for Remote {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Remote {
    /// The control plane at an address, such as `control.example.org:7443`, for who has this key of a node's agent.
    pub fn new(address: impl Into<String>, key: impl Into<String>) -> Self {
        Self { address: address.into(), key: key.into(), line: Mutex::new(None) }
    }

    /// The same, over another connection.
    pub fn another(&self) -> Self {
        Self::new(&self.address, &self.key)
    }

    /// Begins a new life as the agent of the node: what was said in an earlier one counts no longer.
    pub async fn join(&self) -> Result<NodeSession> {
        self.ask(Ask::Join).await
    }

    /// Says that the agent lives.
    pub async fn heartbeat(&self, session: NodeSession) -> Result<()> {
        self.ask(Ask::Heartbeat { session }).await
    }

    /// Says of which leases something runs on the node, and answers how many others came free by that.
    pub async fn report(&self, session: NodeSession, running: Vec<LeaseId>) -> Result<usize> {
        self.ask(Ask::Report { session, running }).await
    }

    /// Takes a run that was given GPUs on the node, if there is one.
    pub async fn claim(
        &self,
        session: NodeSession,
        worker: &str,
        lease: Duration,
    ) -> Result<Option<ClaimedRun>> {
        self.ask(Ask::Claim { session, worker: worker.to_owned(), lease }).await
    }

    /// Holds on to a run, or hears that it is to be stopped.
    pub async fn renew(&self, held: &RunLease, lease: Duration) -> Result<LeaseStanding> {
        self.ask(Ask::Renew { held: *held, lease }).await
    }

    /// Says that a run begins.
    pub async fn begin(&self, held: &RunLease) -> Result<()> {
        self.ask(Ask::Begin { held: *held }).await
    }

    /// Tells how far a run is. The same message again has no second effect.
    pub async fn tell(&self, held: &RunLease, message: NewStatus) -> Result<u64> {
        self.ask(Ask::Tell { held: *held, message }).await
    }

    /// Asks under which key what was trained is to be kept.
    pub async fn uploading(&self, held: &RunLease) -> Result<String> {
        self.ask(Ask::Uploading { held: *held }).await
    }

    /// Says that a run has ended well.
    pub async fn complete(&self, held: &RunLease, artifact: Artifact) -> Result<()> {
        self.ask(Ask::Complete { held: *held, artifact }).await
    }

    /// Says that an attempt has failed, and that nothing of it runs any more.
    pub async fn fail(&self, held: &RunLease, cause: RunCause, info: Option<String>) -> Result<()> {
        self.ask(Ask::Fail { held: *held, cause, info }).await
    }

    /// Gives a run back that has not failed, and of which nothing runs any more: it is given to another worker.
    pub async fn give_back(&self, held: &RunLease, reason: &str) -> Result<()> {
        self.ask(Ask::Return { held: *held, reason: reason.to_owned() }).await
    }

    /// Says that nothing of a run that was to stop runs any more.
    pub async fn release(&self, held: &RunLease) -> Result<()> {
        self.ask(Ask::Release { held: *held }).await
    }

    async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T> {
        let text = serde_json::to_string(&Asked { key: self.key.clone(), ask }).map_err(unreachable)?;
        let mut line = self.line.lock().await;
        // Taken out: whatever breaks off here leaves no half-read answer behind.
        let open = line.take();
        let (open, answer) =
            timeout(PATIENCE, exchange(&self.address, open, text)).await.map_err(unreachable)??;
        *line = Some(open);
        match answer {
            Answer::Told(told) => serde_json::from_value(told).map_err(unreachable),
            Answer::Refused(refused) => Err(refused),
        }
    }
}

async fn exchange(address: &str, open: Option<Line>, text: String) -> Result<(Line, Answer)> {
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
