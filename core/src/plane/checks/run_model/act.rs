//! What is done to the control plane and to the model alike.

use std::time::Duration;

use super::expected::Answer;
use super::facts::Rows;
use super::state::Model;
use super::words::{Artefact, Says};
use crate::ControlPlane;
use crate::entity::{LeaseId, NodeId, RunId, TrainingImageId};
use crate::error::Result;
use crate::plane::{Artifact, LeaseStanding, NewRun, NewStatus, NodeSession, RunLease};

/// Why leases are given up.
pub(super) const GIVEN_UP: &str = "somebody has looked";
/// Why nodes are.
pub(super) const BURNT: &str = "it burnt";

#[derive(Clone, Debug)]
pub(super) enum Act {
    Submit(Box<NewRun>),
    Abort(RunId),
    Abandon(LeaseId),
    Resize(TrainingImageId),
    Say(RunLease, Says),
    SweepRuns,
    SweepLeases,
    Advance,
    Join(NodeId),
    Dead(NodeId),
    Report(NodeId, u32, Vec<LeaseId>),
}

impl Act {
    /// Whether it is one batch, or many of which each is done or not: so that it can be cut off and raced.
    pub(super) const fn is_simple(&self) -> bool {
        !matches!(self, Self::Advance | Self::Join(_) | Self::Dead(_) | Self::Report(..))
    }

    /// Whether its commits are many, of which it loses some where it is disturbed.
    pub(super) const fn is_sweep(&self) -> bool {
        matches!(self, Self::SweepRuns | Self::SweepLeases)
    }

    /// Does it to the control plane.
    pub(super) async fn carry_out(&self, cloud: &ControlPlane) -> Answer {
        self.carried_out(cloud).await.map_err(|error| error.code())
    }

    async fn carried_out(&self, cloud: &ControlPlane) -> Result<String> {
        Ok(match self {
            Self::Submit(request) => cloud.submit_run((**request).clone()).await?.state.to_string(),
            Self::Abort(run) => cloud.abort_run(*run, "enough").await?.state.to_string(),
            Self::Abandon(lease) => {
                cloud.abandon_lease(*lease, GIVEN_UP).await?;
                String::new()
            }
            Self::Resize(image) => cloud.resize_image(*image).await?.state.to_string(),
            Self::Say(shown, says) => said(cloud, shown, *says).await?,
            Self::SweepRuns => {
                let swept = cloud.sweep_runs().await?;
                let (runs, heard, requeued, ended) = (swept.runs, swept.heard, swept.requeued, swept.ended);
                format!("{runs} runs, {heard} heard, {requeued} requeued, {ended} ended")
            }
            Self::SweepLeases => {
                let swept = cloud.sweep_leases().await?;
                format!("{} expired, {} charged", swept.expired, swept.charged)
            }
            Self::Advance => {
                let advanced = cloud.advance_runs(1000).await?;
                format!("{} preparing, {} ready", advanced.preparing, advanced.ready)
            }
            Self::Join(node) => format!("session {}", cloud.join_node(*node).await?.0),
            Self::Dead(node) => format!("{} leases", cloud.mark_node_dead(*node, BURNT).await?.leases),
            Self::Report(node, session, running) => {
                let released = cloud.report_leases(*node, NodeSession(*session), running).await?;
                format!("{released} released")
            }
        })
    }
}

async fn said(cloud: &ControlPlane, shown: &RunLease, says: Says) -> Result<String> {
    Ok(match says {
        Says::Begin => cloud.begin_run(shown).await?.state.to_string(),
        Says::Tell(message) => {
            let message = NewStatus::of("training").message_id(format!("m-{message}"));
            format!("message {}", cloud.tell(shown, message).await?.sequence)
        }
        Says::Upload => cloud.uploading_run(shown).await?,
        Says::Complete(artefact) => {
            let sha256 = if artefact == Artefact::Unreadable { "x".repeat(64) } else { "aB".repeat(32) };
            let told = Artifact::new(artefact.key(shown), artefact.bytes(), sha256);
            cloud.complete_run(shown, &told).await?.state.to_string()
        }
        Says::Fail(cause) => cloud.fail_run(shown, cause, None).await?.state.to_string(),
        Says::Renew(seconds) => match cloud.renew_lease(shown, Duration::from_secs(seconds.into())).await? {
            LeaseStanding::Held(until) => format!("held until {until}"),
            LeaseStanding::Stop(reason) => format!("stop: {reason}"),
        },
        Says::GiveBack => cloud.return_run(shown, "it stops").await?.state.to_string(),
        Says::Release => {
            cloud.release_lease(shown).await?;
            String::new()
        }
    })
}

impl Model {
    /// Does it to the model. What a disturbed sweep came to is seen in the rows.
    pub(super) fn act(&mut self, act: &Act, seen: Option<&Rows>) -> Answer {
        match act {
            Act::Submit(request) => self.submit(request),
            Act::Abort(run) => self.abort(*run),
            Act::Abandon(lease) => self.abandon(*lease),
            Act::Resize(image) => self.resize(*image),
            Act::Say(shown, says) => self.say(shown, *says),
            Act::SweepRuns => Ok(self.sweep_runs(seen)),
            Act::SweepLeases => Ok(self.sweep_leases(seen)),
            Act::Advance => Ok(self.advance()),
            Act::Join(node) => self.join(*node),
            Act::Dead(node) => self.dead(*node),
            Act::Report(node, session, running) => self.report(*node, *session, running),
        }
    }
}
