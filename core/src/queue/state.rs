//! What waits, what runs, and on what: [`Queue`].

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::claims::Claims;
use super::elsewhere::Elsewhere;
use super::job::{Job, Running};
use super::nodes::Nodes;
use super::order::{Crowd, Standing, standing};
use super::pending::Pending;
use super::plan::Plan;
use super::policy::LineKind;
use super::resources::Resources;
use super::round::Round;
use super::running::RunningSet;
use super::settings::Settings;
use super::shares::{Accounts, Shares};
use super::tree::{InvalidTree, QueueNode, QueueTree};
use super::trial::Trial;
use crate::sched::{Cluster, InvalidNode, NodeState, PlaceError, Placement, Scheduler, TaskMix};
use crate::time::Timestamp;

/// What waits and what runs, the nodes, the quotas and who has used how much.
///
/// It is kept up to date by whoever drives it, and decides when asked ([`tick`](Self::tick)). The same calls in the same
/// order give the same plans.
#[derive(Debug, Clone)]
pub struct Queue {
    settings: Settings,
    scheduler: Scheduler,
    nodes: Nodes,
    pub(super) tree: QueueTree,
    pub(super) accounts: Accounts,
    pub(super) pending: Pending,
    pub(super) running: RunningSet,
    claims: Claims,
    crowd: Crowd,
    pub(super) elsewhere: FxHashMap<Uuid, Elsewhere>,
}

/// Something that the queue cannot take in; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unacceptable {
    /// There is no queue of this id.
    #[error("no queue {queue}")]
    UnknownQueue {
        /// The queue that the job names.
        queue: Uuid,
    },
    /// The run waits or runs already.
    #[error("run {job} is known already")]
    Known {
        /// The run.
        job: Uuid,
    },
    /// No such run waits.
    #[error("no run {job} waits")]
    NotPending {
        /// The run.
        job: Uuid,
    },
    /// The placements are not those of the gang: as many, each of its demand.
    #[error("the placements are not what run {job} asks for")]
    OtherAsk {
        /// The run.
        job: Uuid,
    },
    /// What the run is said to hold is not there.
    #[error("run {job} cannot hold what it is said to")]
    Placement {
        /// The run.
        job: Uuid,
        /// What is in the way.
        #[source]
        source: PlaceError,
    },
}

impl Queue {
    /// A queue with nothing in it.
    pub fn new(settings: Settings, tree: QueueTree) -> Self {
        Self {
            scheduler: Scheduler::new(settings.placement, 0),
            pending: Pending::new(&settings),
            settings,
            nodes: Nodes::default(),
            tree,
            accounts: Accounts::default(),
            running: RunningSet::default(),
            claims: Claims::default(),
            crowd: Crowd::default(),
            elsewhere: FxHashMap::default(),
        }
    }

    /// How it decides.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Lets it decide in another way from now on.
    pub fn set_settings(&mut self, settings: Settings) {
        let order = |settings: &Settings| (settings.policy, settings.reservations > 0);
        if order(&settings) != order(&self.settings) {
            self.pending.reorder(&settings);
        }
        if settings.placement != self.settings.placement {
            let mix = self.scheduler.mix().clone();
            self.scheduler = Scheduler::new(settings.placement, 0).with_mix(mix);
        }
        if settings.decay != self.settings.decay {
            self.accounts.stale();
        }
        self.settings = settings;
    }

    /// Tells what is typical, which [`sched::Policy::Fgd`](crate::sched::Policy::Fgd) places by.
    pub fn set_mix(&mut self, mix: TaskMix) {
        self.scheduler.set_mix(mix);
    }

    /// The queues, with what is charged to them.
    pub const fn tree(&self) -> &QueueTree {
        &self.tree
    }

    /// Adds or changes a queue. What waits or runs in it stays.
    pub fn set_queue(&mut self, node: QueueNode) -> Result<(), InvalidTree> {
        self.tree.set(node)
    }

    /// Removes a queue in which nothing waits or runs.
    pub fn remove_queue(&mut self, queue: Uuid) -> Result<(), InvalidTree> {
        if self.tree.get(queue).is_some() && self.pending.iter().any(|entry| entry.job.queue == queue) {
            return Err(InvalidTree::InUse { queue });
        }
        self.tree.remove(queue)
    }

    /// The nodes as they are now.
    pub const fn cluster(&self) -> &Cluster {
        &self.nodes.cluster
    }

    /// What the runs of the queue could have of all nodes together: what shares are shares of.
    pub const fn capacity(&self) -> Resources {
        self.nodes.total
    }

    /// Takes in a node as it is now, with what runs on it already taken off.
    pub fn upsert_node(&mut self, node: &NodeState) -> Result<(), InvalidNode> {
        self.nodes.upsert(node, &self.running)
    }

    /// Forgets a node. What runs there runs until it is told to have ended. Answers whether the node was there.
    pub fn remove_node(&mut self, node: Uuid) -> bool {
        self.nodes.remove(node)
    }

    /// Opens or closes a node for what is to start. Answers whether the node is there.
    pub fn set_schedulable(&mut self, node: Uuid, schedulable: bool) -> bool {
        self.nodes.cluster.set_schedulable(&node, schedulable)
    }

    /// Gives an account another weight than 1000 thousandths; with none it comes after all that have one.
    pub fn set_weight(&mut self, account: Uuid, weight_milli: u32) {
        self.accounts.set_weight(account, weight_milli);
    }

    /// Adds to what an account has used in a period ([`Decay::period_of`](super::Decay::period_of)): each amount times
    /// the seconds for which it was held.
    pub fn add_use(&mut self, account: Uuid, period: i64, amount_seconds: Resources) {
        self.accounts.add_use(account, period, amount_seconds);
    }

    /// Lets a run wait for its turn.
    pub fn submit(&mut self, job: Job) -> Result<(), Unacceptable> {
        if self.tree.get(job.queue).is_none() {
            return Err(Unacceptable::UnknownQueue { queue: job.queue });
        }
        if self.pending.get(job.id).is_some() || self.running.get(job.id).is_some() {
            return Err(Unacceptable::Known { job: job.id });
        }
        self.pending.add(job);
        Ok(())
    }

    /// Takes a run out of those that wait.
    pub fn withdraw(&mut self, job: Uuid) -> Option<Job> {
        self.claims.drop_claimant(job);
        self.pending.remove(job).map(|entry| entry.job)
    }

    /// A run that waits has started, with what it was given.
    pub fn start(
        &mut self,
        job: Uuid,
        placements: Vec<Placement>,
        now: Timestamp,
    ) -> Result<(), Unacceptable> {
        let known = &self.pending.get(job).ok_or(Unacceptable::NotPending { job })?.job;
        self.take_in(Running { job: known.clone(), started: now, placements, stopping: false })?;
        self.claims.drop_claimant(job);
        self.pending.remove(job);
        Ok(())
    }

    /// Takes in a run that runs already, of which the queue did not know.
    pub fn restore(&mut self, run: Running) -> Result<(), Unacceptable> {
        if self.tree.get(run.job.queue).is_none() {
            return Err(Unacceptable::UnknownQueue { queue: run.job.queue });
        }
        if self.pending.get(run.job.id).is_some() || self.running.get(run.job.id).is_some() {
            return Err(Unacceptable::Known { job: run.job.id });
        }
        self.take_in(run)
    }

    /// A run was asked to stop, for the sake of another one if it was preempted. It holds everything until it has
    /// [ended](Self::end). Answers whether it runs.
    pub fn stopping(&mut self, run: Uuid, claimant: Option<Uuid>) -> bool {
        if !self.running.stop(run) {
            return false;
        }
        if let Some(claimant) = claimant.filter(|claimant| self.pending.get(*claimant).is_some()) {
            self.claims.add(claimant, run);
        }
        true
    }

    /// A run has ended, and holds nothing any more. One that is to go on later is [submitted](Self::submit) again, with
    /// what it has done so far.
    pub fn end(&mut self, run: Uuid) -> Option<Running> {
        self.let_go_elsewhere(run);
        let held = self.running.remove(run)?;
        for placement in &held.run.placements {
            // The node may have gone, and come back without it.
            drop(self.nodes.cluster.release(placement));
        }
        self.tree.release(held.run.job.queue, held.total);
        self.accounts.free(held.run.job.account, held.total);
        self.claims.ended(run);
        Some(held.run)
    }

    /// A run that waits.
    pub fn pending(&self, job: Uuid) -> Option<&Job> {
        self.pending.get(job).map(|entry| &entry.job)
    }

    /// How many wait.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// All that wait, in no particular order.
    pub fn iter_pending(&self) -> impl Iterator<Item = &Job> {
        self.pending.iter().map(|entry| &entry.job)
    }

    /// A run that holds what it was given.
    pub fn running(&self, run: Uuid) -> Option<&Running> {
        self.running.get(run).map(|held| &held.run)
    }

    /// How many run.
    pub fn running_count(&self) -> usize {
        self.running.len()
    }

    /// All that run, by their ids.
    pub fn iter_running(&self) -> impl Iterator<Item = &Running> {
        self.running.iter().map(|held| &held.run)
    }

    /// Decides who starts now, who stops, and what is kept for whom.
    ///
    /// Nothing of it has happened: what has is told by [`start`](Self::start), [`stopping`](Self::stopping) and
    /// [`end`](Self::end). If nothing is told, the next tick decides the same again.
    pub fn tick(&mut self, now: Timestamp) -> Plan {
        let claims = std::mem::take(&mut self.claims);
        let (plan, kept, lapsed) = {
            let mut round = self.round(now);
            let lapsed = round.settle_claims(&claims);
            round.run();
            (std::mem::take(&mut round.plan), std::mem::take(&mut round.kept), lapsed)
        };
        self.claims = claims;
        self.claims.remember(kept);
        for claimant in lapsed {
            self.claims.drop_claimant(claimant);
        }
        plan
    }

    pub(super) const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// What a decision is made on. What it does to nodes and quotas is taken back when it is dropped.
    pub(super) fn round(&mut self, now: Timestamp) -> Round<'_> {
        self.pending.wake(now);
        self.accounts.refresh(now, &self.settings.decay);
        let standing = if self.settings.policy.rules().line == LineKind::Standing {
            let runs = (&mut self.pending, &mut self.running);
            let gpu_milli = self.nodes.total.gpu_milli;
            standing(self.settings.policy, now, gpu_milli, runs, &self.accounts, &mut self.crowd)
        } else {
            Standing::default()
        };
        let shares = Shares::new(&self.accounts, self.nodes.total);
        let trial = Trial::new(&mut self.nodes.cluster, &mut self.scheduler, &mut self.tree);
        Round::new(now, &self.settings, (&self.pending, &self.running), shares, trial, standing)
    }

    fn take_in(&mut self, run: Running) -> Result<(), Unacceptable> {
        let (job, ask) = (run.job.id, &run.job.ask);
        let members = u32::try_from(run.placements.len());
        if members != Ok(ask.members()) || run.placements.iter().any(|at| at.demand != *ask.demand()) {
            return Err(Unacceptable::OtherAsk { job });
        }
        for (at, placement) in run.placements.iter().enumerate() {
            if let Err(source) = self.nodes.cluster.hold(placement) {
                for held in run.placements.iter().take(at) {
                    drop(self.nodes.cluster.release(held));
                }
                return Err(Unacceptable::Placement { job, source });
            }
        }
        let total = ask.total();
        self.tree.charge(run.job.queue, total);
        self.accounts.hold(run.job.account, total);
        self.running.add(run);
        Ok(())
    }
}
