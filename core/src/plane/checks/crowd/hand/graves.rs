//! What is left of a worker that died: a lease that it told nobody of, and somebody who comes back under its name.

use rand::RngExt as _;

use super::{Hand, Held, answered};
use crate::entity::{BindingState, NodeId};
use crate::error::Error;
use crate::plane::checks::crowd::diary::Note;
use crate::plane::checks::crowd::words::{Why, Word, forged};
use crate::plane::{NodeSession, RunLease};
use crate::time::Timestamp;

/// A lease that a worker had when it died. What it has begun goes on until somebody has looked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grave {
    lease: RunLease,
    until: Timestamp,
    /// When somebody looks.
    found: Timestamp,
}

impl Hand {
    /// Dies, and comes back after a while with nothing but its name.
    pub(super) async fn die(&mut self, held: &Held) {
        let after = self.lease.mul_f64(self.random.random_range(0.0..3.0));
        let found = self.clock.now().plus(after);
        self.graves.push(Grave { lease: held.lease, until: held.until, found });
        self.pause(0, 60).await;
        self.lives += 1;
        self.diary.note(&Note::Born);
        // It knows which lease its name has had, and that of every lease the first token is 1: that is not enough.
        let lease = held.lease;
        for guess in forged(&lease) {
            let word = Word::OF_A_RUN[self.random.random_range(0..Word::OF_A_RUN.len())];
            self.say(word, &guess, Why::Dead).await;
        }
        if let Some((node, session)) = self.agent {
            self.join(node).await;
            self.claim_as_before(node, session).await;
        }
    }

    /// Joins as the agent of a node. Nothing of what an earlier one has begun runs any more, and it says so.
    pub(super) async fn join(&mut self, node: NodeId) {
        let Some(session) = answered(|| self.plane.join_node(node)).await else {
            return self.wrong(format!("{node} could not be joined"));
        };
        self.agent = Some((node, session));
        let graves = std::mem::take(&mut self.graves);
        for grave in &graves {
            self.diary.note(&Note::Idle { lease: grave.lease.lease });
        }
        if answered(|| self.plane.report_leases(node, session, &[])).await.is_none() {
            self.wrong(format!("the last agent of {node} was not heard"));
        }
        for Grave { lease, .. } in graves {
            let kept = answered(|| self.plane.repositories().gpu_leases().require(lease.lease)).await;
            if kept.is_none_or(|kept| kept.state != BindingState::Released) {
                self.wrong(format!("{lease:?} is held behind the report of its node"));
            }
            self.say_stale(&lease, Why::Ended).await;
            self.remember(lease);
        }
    }

    /// Claims as the agent of a node that has another one now.
    async fn claim_as_before(&mut self, node: NodeId, session: NodeSession) {
        let worker = self.worker(Some((node, session)));
        let refused = loop {
            match self.plane.claim_run(&worker, self.lease).await {
                Ok(None) => break None,
                Ok(Some(claimed)) => {
                    self.wrong(format!("a replaced agent was given {:?}", claimed.lease));
                    break None;
                }
                Err(error @ Error::WrongState { .. }) => break Some(error.to_string()),
                Err(error) if error.is_retryable() => self.pause(1, 10).await,
                Err(error) => panic!("{error:?}"),
            }
        };
        self.diary.note(&Note::Stale { word: Word::Claim, why: Why::Replaced, refused });
    }

    /// Looks after what this worker had when it died: whoever answers for it says that nothing of it runs any more, and not before
    /// that is so.
    pub(super) async fn visit_graves(&mut self) {
        let now = self.clock.now();
        let (found, rest) =
            std::mem::take(&mut self.graves).into_iter().partition(|grave| grave.found <= now);
        self.graves = rest;
        let found: Vec<Grave> = found;
        for Grave { lease, until, .. } in found {
            // Where it was found in time, what the dead one would say still counts.
            if until < self.clock.now() {
                self.say_stale(&lease, Why::Expired).await;
            }
            self.diary.note(&Note::Idle { lease: lease.lease });
            if answered(|| self.plane.abandon_lease(lease.lease, "its worker died")).await.is_none() {
                // It was answered for by a call of which nobody knew what came.
                let kept = answered(|| self.plane.repositories().gpu_leases().require(lease.lease)).await;
                if kept.is_none_or(|kept| kept.state != BindingState::Released) {
                    self.wrong(format!("{lease:?} could not be abandoned"));
                }
            }
            self.say_stale(&lease, Why::Ended).await;
            self.remember(lease);
        }
    }
}
