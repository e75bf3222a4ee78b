//! The lines that go between an agent and the control plane: one question, one answer.

use std::time::Duration;

use apportion::machine::Inventory;
use apportion::plane::{CommandLease, CommandOutcome, NodeSession, Reconciled};
use apportion::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Direct, Refused};

/// The longest line. A report of ten thousand containers is about 3 MB.
pub(super) const MAX_LINE: usize = 16 << 20;

/// A question, with the key of who asks.
#[derive(Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) key: String,
    pub(super) ask: Ask,
}

/// What is asked: the methods of [`Control`](super::Control).
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    Join,
    Heartbeat { session: NodeSession },
    BeginReport { session: NodeSession },
    Report { session: NodeSession, inventory: Box<Inventory> },
    Take { session: NodeSession, limit: u32, lease: Duration },
    Extend { held: Box<CommandLease>, lease: Duration },
    Complete { held: Box<CommandLease>, outcome: CommandOutcome },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    Session(NodeSession),
    Time(Timestamp),
    Reconciled(Reconciled),
    Commands(Vec<CommandLease>),
    Done,
    Replaced,
    Unreachable { reason: String },
    Denied { code: String, message: String },
}

impl Ask {
    /// Asks the control plane.
    pub(super) async fn of(self, control: &Direct) -> Told {
        use super::Control as _;
        let told = match self {
            Self::Join => control.join().await.map(Told::Session),
            Self::Heartbeat { session } => control.heartbeat(session).await.map(|()| Told::Done),
            Self::BeginReport { session } => control.begin_report(session).await.map(Told::Time),
            Self::Report { session, inventory } => {
                control.report(session, &inventory).await.map(Told::Reconciled)
            }
            Self::Take { session, limit, lease } => {
                control.take(session, limit, lease).await.map(Told::Commands)
            }
            Self::Extend { held, lease } => control.extend(&held, lease).await.map(|()| Told::Done),
            Self::Complete { held, outcome } => control.complete(&held, &outcome).await.map(|()| Told::Done),
        };
        told.unwrap_or_else(Told::from)
    }
}

impl From<Refused> for Told {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Replaced => Self::Replaced,
            Refused::Unreachable { reason } => Self::Unreachable { reason },
            Refused::Denied { code, message } => Self::Denied { code, message },
        }
    }
}

impl Told {
    /// What was refused, where it was.
    pub(super) fn refused(self) -> Result<Self, Refused> {
        match self {
            Self::Replaced => Err(Refused::Replaced),
            Self::Unreachable { reason } => Err(Refused::Unreachable { reason }),
            Self::Denied { code, message } => Err(Refused::Denied { code, message }),
            told => Ok(told),
        }
    }
}
