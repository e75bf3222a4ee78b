//! What the agent says to the control plane: [`Control`], and two ways to say it.
//!
//! [`Direct`] calls the control plane in the same process, or over a database that the agent may open. [`Remote`] sends lines of JSON
//! to [`serve`], for agents on other machines: put TLS in front of it, or say the same over the interface that you have.

mod remote;
mod served;
mod wire;

use std::fmt;
use std::time::Duration;

use apportion::Error;
use apportion::machine::Inventory;
use apportion::plane::{Acting, CommandLease, CommandOutcome, NodeSession, Reconciled};
use apportion::time::Timestamp;
use async_trait::async_trait;

pub use remote::Remote;
pub use served::serve;

/// The control plane, as the agent of a node sees it.
#[async_trait]
pub trait Control: fmt::Debug + Send + Sync {
    /// Begins a new life: what was said in an earlier one counts no longer.
    async fn join(&self) -> Result<NodeSession>;
    /// Says that the agent lives.
    async fn heartbeat(&self, session: NodeSession) -> Result<()>;
    /// Begins a report, and answers up to when it will speak.
    async fn begin_report(&self, session: NodeSession) -> Result<Timestamp>;
    /// Reports what was found.
    async fn report(&self, session: NodeSession, inventory: &Inventory) -> Result<Reconciled>;
    /// Takes what is to be done.
    async fn take(&self, session: NodeSession, limit: u32, lease: Duration) -> Result<Vec<CommandLease>>;
    /// Holds on to something that takes longer.
    async fn extend(&self, held: &CommandLease, lease: Duration) -> Result<()>;
    /// Says what came of it.
    async fn complete(&self, held: &CommandLease, outcome: &CommandOutcome) -> Result<()>;
}

/// What saying something comes to.
pub type Result<T, E = Refused> = std::result::Result<T, E>;

/// Why something was not heard.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Another agent has joined as the node since, or somebody gave the node up: join anew.
    #[error("another agent speaks for this node now")]
    Replaced,
    /// The control plane was not reached, or could not be sure: ask again.
    #[error("the control plane is not reached: {reason}")]
    Unreachable {
        /// Why.
        reason: String,
    },
    /// The control plane refuses it.
    #[error("{code}: {message}")]
    Denied {
        /// The code of the error.
        code: String,
        /// What it says.
        message: String,
    },
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match &error {
            error if error.is_replaced() => Self::Replaced,
            error if error.is_retryable() => Self::Unreachable { reason: error.to_string() },
            error => Self::Denied { code: error.code().to_owned(), message: error.to_string() },
        }
    }
}

/// The control plane in the same process.
#[derive(Debug)]
pub struct Direct(Acting);

impl Direct {
    /// On behalf of whoever showed the key of a node's agent.
    pub const fn new(agent: Acting) -> Self {
        Self(agent)
    }
}

#[async_trait]
impl Control for Direct {
    async fn join(&self) -> Result<NodeSession> {
        Ok(self.0.join_node().await?)
    }
    async fn heartbeat(&self, session: NodeSession) -> Result<()> {
        Ok(self.0.heartbeat(session).await?)
    }
    async fn begin_report(&self, session: NodeSession) -> Result<Timestamp> {
        Ok(self.0.begin_report(session).await?)
    }
    async fn report(&self, session: NodeSession, inventory: &Inventory) -> Result<Reconciled> {
        Ok(self.0.report(session, inventory).await?)
    }
    async fn take(&self, session: NodeSession, limit: u32, lease: Duration) -> Result<Vec<CommandLease>> {
        Ok(self.0.take_commands(session, limit, lease).await?)
    }
    async fn extend(&self, held: &CommandLease, lease: Duration) -> Result<()> {
        Ok(self.0.extend_command(held, lease).await.map(drop)?)
    }
    async fn complete(&self, held: &CommandLease, outcome: &CommandOutcome) -> Result<()> {
        Ok(self.0.complete_command(held, outcome).await.map(drop)?)
    }
}
