//! A worker of the crowd: mostly it works, and sometimes it does everything that a worker can do wrong.

mod deeds;
mod graves;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use super::diary::{Diary, Note};
use super::words::{Why, Word};
use super::{CrowdPart, CrowdPhase};
use crate::ControlPlane;
use crate::entity::{LeaseId, NodeId};
use crate::error::{Error, Result};
use crate::plane::{LeaseStanding, NodeSession, RunLease, Worker};
use crate::time::{Clock, Timestamp};
use graves::Grave;

/// How many leases that are over a worker remembers, to speak of them again.
const REMEMBERED: usize = 8;

/// A worker.
#[derive(Debug)]
pub(super) struct Hand {
    plane: Arc<ControlPlane>,
    clock: Arc<dyn Clock>,
    phase: CrowdPhase,
    random: Pcg64Mcg,
    diary: Diary,
    /// What it is called, in all of its lives, in each process that comes after another.
    name: String,
    /// For how long it takes a lease.
    lease: Duration,
    /// The node as whose agent it works.
    agent: Option<(NodeId, NodeSession)>,
    /// How often it has come back.
    lives: u32,
    /// What it took, in all of its lives, with the token.
    taken: BTreeMap<LeaseId, u32>,
    /// What it had when it died.
    graves: Vec<Grave>,
    /// Leases that it has let go of, or lost.
    past: Vec<RunLease>,
}

/// A lease that a worker has.
#[derive(Clone, Copy, Debug)]
struct Held {
    lease: RunLease,
    /// Until when it is its own, unless it says more.
    until: Timestamp,
}

impl Hand {
    pub(super) fn new(
        plane: &Arc<ControlPlane>,
        clock: &Arc<dyn Clock>,
        phase: &CrowdPhase,
        part: &CrowdPart,
        number: u32,
    ) -> Self {
        let name = format!("worker-{}-{number}", part.number);
        let seed = part.seed ^ (u64::from(part.generation) << 32 | u64::from(part.number * 100 + number));
        Self {
            plane: Arc::clone(plane),
            clock: Arc::clone(clock),
            phase: phase.clone(),
            random: Pcg64Mcg::seed_from_u64(seed),
            diary: Diary::of(part, &name, Arc::clone(clock)),
            name,
            lease: part.lease,
            agent: None,
            lives: 0,
            taken: BTreeMap::new(),
            graves: Vec::new(),
            past: Vec::new(),
        }
    }

    /// Lives until the crowd is at its end; as the agent of a node where one is named.
    pub(super) async fn live(mut self, node: Option<NodeId>) {
        self.diary.note(&Note::Born);
        if let Some(node) = node {
            self.join(node).await;
        }
        while !self.phase.is_over() {
            self.visit_graves().await;
            self.speak_of_the_past().await;
            match self.claim().await {
                Some(held) => self.act(held).await,
                None => self.pause(5, 40).await,
            }
        }
        while !self.graves.is_empty() {
            self.visit_graves().await;
            self.pause(5, 40).await;
        }
    }

    async fn claim(&mut self) -> Option<Held> {
        let worker = self.worker(self.agent);
        match self.plane.claim_run(&worker, self.lease).await {
            Ok(None) => None,
            Ok(Some(claimed)) => {
                let lease = claimed.lease;
                let gpus = claimed.gpus.iter().map(|gpu| (gpu.id, gpu.milli)).collect();
                self.diary.note(&Note::Claimed { lease, gpus, lives: self.lives });
                if lease.token == 0 {
                    self.wrong(format!("{lease:?} was claimed without a token"));
                }
                // It may have had this lease in another life, but then it is another one by its token.
                if self.taken.insert(lease.lease, lease.token).is_some_and(|before| before >= lease.token) {
                    self.wrong(format!("{} has inherited {lease:?}", self.name));
                }
                Some(Held { lease, until: claimed.until })
            }
            Err(error) if error.is_retryable() => {
                if error.is_unknown() {
                    self.diary.note(&Note::Unsure);
                }
                None
            }
            Err(error) => panic!("{}: {error:?}", self.name),
        }
    }

    fn worker(&self, agent: Option<(NodeId, NodeSession)>) -> Worker {
        let worker = Worker::new(self.name.clone());
        match agent {
            Some((node, session)) => worker.on(node, session),
            None => worker,
        }
    }

    /// Renews a lease; `false` where it is lost, or is to be given up.
    async fn renew(&self, held: &mut Held) -> bool {
        let renewed = answered(|| self.plane.renew_lease(&held.lease, self.lease)).await;
        let Some(LeaseStanding::Held(until)) = renewed else { return false };
        held.until = until;
        true
    }

    /// Says everything that can be said of a run by who has this lease, which is over.
    async fn say_stale(&mut self, lease: &RunLease, why: Why) {
        for word in Word::OF_A_RUN {
            self.say(word, lease, why).await;
        }
    }

    async fn say(&mut self, word: Word, lease: &RunLease, why: Why) {
        let refused = loop {
            match word.say(&self.plane, lease).await {
                Ok(()) => break None,
                Err(error @ Error::WrongState { .. }) => break Some(error.to_string()),
                // Nothing is known yet: it is said again.
                Err(error) if error.is_retryable() => self.pause(1, 10).await,
                Err(error) => panic!("{word:?} of {lease:?}, {why:?}: {error:?}"),
            }
        };
        self.diary.note(&Note::Stale { word, why, refused });
    }

    /// Says something of a lease of long ago, now and then.
    async fn speak_of_the_past(&mut self) {
        if self.past.is_empty() || !self.random.random_bool(0.03) {
            return;
        }
        let lease = self.past[self.random.random_range(0..self.past.len())];
        let word = Word::OF_A_RUN[self.random.random_range(0..Word::OF_A_RUN.len())];
        self.say(word, &lease, Why::Ended).await;
    }

    fn remember(&mut self, lease: RunLease) {
        if self.past.len() == REMEMBERED {
            self.past.remove(0);
        }
        self.past.push(lease);
    }

    /// Gives back what is held by a lease that was taken away. Nothing of it is used any more.
    async fn release(&mut self, lease: RunLease) {
        self.diary.note(&Note::Idle { lease: lease.lease });
        // Until somebody has seen that it was not renewed, it is not to be released.
        while answered(|| self.plane.release_lease(&lease)).await.is_none() {
            self.pause(5, 30).await;
        }
        self.remember(lease);
    }

    fn wrong(&mut self, what: String) {
        self.diary.note(&Note::Wrong { what });
    }

    async fn pause(&mut self, from_ms: u64, to_ms: u64) {
        let pause = Duration::from_millis(self.random.random_range(from_ms..to_ms));
        tokio::time::sleep(pause).await;
    }

    /// Waits until it is later than that by this machine's clock, which no store is behind.
    async fn until(&self, moment: Timestamp) {
        while self.clock.now() <= moment {
            let left = moment.since(self.clock.now()) + Duration::from_millis(1);
            tokio::time::sleep(left).await;
        }
    }
}

/// What the answer is to something that is said until it is answered; none where it is refused for the state of something.
async fn answered<T, F: Future<Output = Result<T>>>(ask: impl Fn() -> F) -> Option<T> {
    loop {
        match ask().await {
            Ok(answer) => return Some(answer),
            Err(Error::WrongState { .. }) => return None,
            Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(3)).await,
            Err(error) => panic!("{error:?}"),
        }
    }
}
