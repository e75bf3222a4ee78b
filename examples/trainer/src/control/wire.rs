//! The lines that go between a worker and the control plane.

use std::time::Duration;

use apportion::entity::{LeaseId, RunCause};
use apportion::plane::{Acting, Artifact, NewStatus, NodeSession, RunLease};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Refused, Result};

/// The longest line: a run's configuration may have 64 KiB, and it may have a thousand images.
pub(super) const MAX_LINE: usize = 4 << 20;

/// A question, with the key of who asks.
#[derive(Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) key: String,
    pub(super) ask: Ask,
}

/// What is asked: the methods of [`Remote`](super::Remote).
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    Join,
    Heartbeat { session: NodeSession },
    Report { session: NodeSession, running: Vec<LeaseId> },
    Claim { session: NodeSession, worker: String, lease: Duration },
    Renew { held: RunLease, lease: Duration },
    Begin { held: RunLease },
    Tell { held: RunLease, message: NewStatus },
    Uploading { held: RunLease },
    Complete { held: RunLease, artifact: Artifact },
    Fail { held: RunLease, cause: RunCause, info: Option<String> },
    Return { held: RunLease, reason: String },
    Release { held: RunLease },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Told(Value),
    Refused(Refused),
}

impl Ask {
    /// Asks the control plane, on behalf of whose key it was.
    pub(super) async fn of(self, agent: &Acting) -> Result<Value> {
        match self {
            Self::Join => told(agent.join_node().await?),
            Self::Heartbeat { session } => told(agent.heartbeat(session).await?),
            Self::Report { session, running } => told(agent.report_leases(session, &running).await?),
            Self::Claim { session, worker, lease } => told(agent.claim_run(session, &worker, lease).await?),
            Self::Renew { held, lease } => told(agent.renew_lease(&held, lease).await?),
            Self::Begin { held } => told(agent.begin_run(&held).await.map(drop)?),
            Self::Tell { held, message } => told(agent.tell(&held, message).await?.sequence),
            Self::Uploading { held } => told(agent.uploading_run(&held).await?),
            Self::Complete { held, artifact } => told(agent.complete_run(&held, &artifact).await.map(drop)?),
            Self::Fail { held, cause, info } => {
                told(agent.fail_run(&held, cause, info.as_deref()).await.map(drop)?)
            }
            Self::Return { held, reason } => told(agent.return_run(&held, &reason).await.map(drop)?),
            Self::Release { held } => told(agent.release_lease(&held).await?),
        }
    }
}

fn told(what: impl Serialize) -> Result<Value> {
    serde_json::to_value(what).map_err(|error| Refused::Unreachable { reason: error.to_string() })
}
