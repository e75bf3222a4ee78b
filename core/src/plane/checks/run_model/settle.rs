//! How a sequence begins, and how it ends: everything that is left comes to its end, and nothing is left of anything.

use std::sync::Arc;

use super::act::Act;
use super::run::Run;
use super::state::{Model, Node, Queue, Training, User};
use super::step::Step;
use super::words::{Artefact, Says};
use super::{BEGIN, Checked, ModelStores};
use crate::ControlPlane;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{BindingState, GPUS, Limits, NodeState, RunAsk};
use crate::error::Result as Answered;
use crate::id::TimeOrderedIds;
use crate::plane::checks::rentals;
use crate::plane::{NewNode, NewQueue, NewRun, NewTraining, NewUser, QueueQuota, QueueTerms};
use crate::rent::Offer;
use crate::rent::mock::{Lies, MockProvider};
use crate::store::{Scan, StoreExt as _};
use crate::time::{Clock as _, ManualClock};

/// The GPUs of each node; the last one has no agent yet.
const NODES: [(u32, &str); 3] = [(2, "H100"), (4, "H100"), (2, "A100")];
/// How many trainings each user has.
const TRAININGS: usize = 6;

impl<'s> Run<'s> {
    /// Some accounts with trainings, queues and nodes, and a provider of more.
    pub(super) async fn new(stores: &'s dyn ModelStores) -> Result<Self, String> {
        let clock = Arc::new(ManualClock::new(BEGIN));
        let ids = Arc::new(TimeOrderedIds::seeded(Arc::<ManualClock>::clone(&clock), 7));
        let store = stores.fresh(Arc::clone(&clock)).await;
        let provider = Arc::new(MockProvider::new("mock", 7));
        provider.offer(Offer::new("one", 1, "B200", 1_000_000));
        provider.offer(Offer::new("two", 2, "B200", 2_000_000));
        provider.offer(Offer::new("dear", 1, "B200", 4_000_000));
        let model = Model::new(clock.now());
        let mut run = Self {
            stores,
            clock,
            ids,
            cloud: None,
            schedulers: Vec::new(),
            provider,
            model,
            seen: super::facts::Rows::default(),
        };
        run.open(&store);
        run.fill().await.map_err(|error| error.to_string())?;
        // Every third training has two images.
        for training in (0..run.model.trainings.len()).step_by(3).flat_map(|at| [at; 2]) {
            run.image(u8::try_from(training).unwrap_or(0)).await?;
        }
        for node in 0..NODES.len() - 1 {
            run.act(&Act::Join(run.model.nodes[node].id)).await?;
        }
        run.compare().await?;
        Ok(run)
    }

    async fn fill(&mut self) -> Answered<()> {
        let cloud = Arc::clone(self.cloud());
        for (at, (gpus, runs)) in [(None, 9), (Some(5000), 9), (Some(3000), 3)].into_iter().enumerate() {
            let limits = Limits { node_limit: 9, run_limit: runs, training_limit: 99, ..Limits::default() };
            let limits = Limits { gpu_milli_limit: gpus.map(GpuMilli::from_u32), ..limits };
            let new = NewUser::new(format!("user-{at}@example.org"), "Ada").limits(limits);
            let mut user = cloud.create_user(new).await?;
            user.value.activated = true;
            let id = cloud.repositories().users().update(user).await?.id;
            self.model.users.push(User { id, limits });
            for _ in 0..TRAININGS {
                let new = NewTraining::new(id, "portraits", "ohxw").id(self.new_id().into());
                let id = cloud.create_training(new).await?.id;
                self.model.trainings.push(Training { id, user: at });
            }
        }
        cloud.default_queue().await?;
        let default = Queue {
            id: ControlPlane::DEFAULT_QUEUE,
            parent: None,
            own: None,
            borrowing: None,
            lending: None,
        };
        self.model.queues.push(default);
        // A queue with two parts, of which each borrows of the other what that lends.
        for (parent, own, borrowing, lending) in
            [(None, 0, None, None), (Some(1), 2000, Some(1000), None), (Some(1), 2000, None, Some(1000))]
        {
            let id = self.new_id().into();
            let mut terms = QueueTerms::new(format!("queue-{}", self.model.queues.len()));
            terms.parent = parent.map(|at: usize| self.model.queues[at].id);
            let milli = |amount: i64| GpuMilli::new(amount).ok();
            terms.gpu = QueueQuota {
                nominal: milli(own),
                borrowing: borrowing.and_then(milli),
                lending: lending.and_then(milli),
            };
            cloud.create_queue(NewQueue::new("").id(id).terms(terms)).await?;
            self.model.queues.push(Queue { id, parent, own: Some(own), borrowing, lending });
        }
        for (at, (gpus, model)) in NODES.into_iter().enumerate() {
            let new = NewNode::new(self.model.users[0].id, format!("node-{at}")).gpus(gpus, model);
            let new = new.cpu(CpuMilli::from_u32(16_000)).memory(MemoryMib::from_u32(6000));
            let id = cloud.register_node(new.storage(StorageMib::from_u32(400))).await?.id;
            let rows = cloud.store().scan_all(Scan::of(&GPUS).by("gpus_node_slot").with(id)).await?;
            let gpus_of = rows.iter().map(|row| row.id("id")).collect::<std::result::Result<Vec<_>, _>>()?;
            self.model.nodes.push(Node {
                id,
                state: NodeState::Active,
                session: None,
                model,
                gpus: gpus_of,
                total: [i64::from(gpus) * 1000, 16_000, 6000, 400],
            });
        }
        Ok(())
    }

    /// Everybody finishes what they can, somebody looks after the rest; the provider is honest, and has nothing any more.
    pub(super) async fn settle(&mut self) -> Checked {
        self.provider.lies(Lies::default());
        for at in 0..self.model.nodes.len() {
            if self.model.nodes[at].state == NodeState::Dead {
                self.do_and_compare(Act::Join(self.model.nodes[at].id)).await?;
            }
        }
        for at in 0..self.model.images.len() {
            self.do_and_compare(Act::Resize(self.model.images[at].id)).await?;
        }
        self.finish_work().await?;
        for at in 0..self.model.runs.len() {
            if self.model.runs[at].is_live() {
                self.do_and_compare(Act::Abort(self.model.runs[at].id)).await?;
            }
        }
        for at in 0..self.model.leases.len() {
            if !self.model.leases[at].holds() || self.model.rental_of(at).is_some() {
                continue;
            }
            let id = self.model.leases[at].id;
            let shown = self.model.taken.iter().find(|shown| shown.lease == id).copied();
            match shown {
                Some(shown) if at % 2 == 0 => self.do_and_compare(Act::Say(shown, Says::Release)).await?,
                _ => self.do_and_compare(Act::Abandon(id)).await?,
            }
        }
        for _ in 0..10 {
            self.provider.tick();
        }
        self.step(Step::Wait { seconds: 1000 }).await?;
        for _ in 0..4 {
            self.step(Step::Wait { seconds: 60 }).await?;
            self.step(Step::Janitor).await?;
        }
        self.nothing_is_left()?;
        self.everything_can_be_given().await
    }

    async fn do_and_compare(&mut self, act: Act) -> Checked {
        self.wait(1);
        self.act(&act).await?;
        self.compare().await
    }

    /// Workers that still have their run finish it.
    async fn finish_work(&mut self) -> Checked {
        for shown in self.model.taken.clone() {
            let Some(at) = self.model.lease_at(shown.lease) else { continue };
            let lease = &self.model.leases[at];
            if lease.is_own && lease.state == BindingState::Bound && at % 3 != 0 {
                for says in [Says::Begin, Says::Upload, Says::Complete(Artefact::Right)] {
                    self.do_and_compare(Act::Say(shown, says)).await?;
                }
            }
        }
        Ok(())
    }

    fn nothing_is_left(&self) -> Checked {
        let model = &self.model;
        if let Some(at) = model.runs.iter().position(super::state::TrainingRun::is_live) {
            return Err(format!("run {at} has not ended: {:?}", model.runs[at]));
        }
        if let Some(lease) = model.held().next() {
            return Err(format!("something is still held: {lease:?}"));
        }
        if let Some(rental) = model.rentals.iter().find(|rental| rental.state.may_be_there()) {
            return Err(format!("something is still rented: {rental:?}"));
        }
        let there = self.provider.there(&rentals::options().prefix());
        if !there.is_empty() || !self.provider.foreign_touched().is_empty() {
            return Err(format!("something is paid for that nobody wants: {there:?}"));
        }
        let gpus: usize = model.nodes.iter().map(|node| node.gpus.len()).sum();
        if self.seen.gpus.len() != gpus || self.seen.gpus.iter().any(|gpu| !gpu.used_milli.is_zero()) {
            return Err(format!("not all gpus are free: {:?}", self.seen.gpus));
        }
        for (at, run) in model.runs.iter().enumerate() {
            let leases = model.leases.iter().filter(|lease| lease.run == at);
            let held = leases.filter_map(|lease| Some((lease.released_at?, lease.since)));
            let sum: i64 = held.map(|(to, from)| (to.as_micros() - from.as_micros()) / 1000).sum();
            let billed = self.seen.runs.iter().find(|row| row.id == run.id).map(|row| row.held_ms);
            if billed.and_then(|billed| i64::try_from(billed).ok()) != Some(sum) {
                return Err(format!("run {at} held GPUs for {sum} ms, and {billed:?} are billed"));
            }
        }
        Ok(())
    }

    /// Every scheduler sees that all GPUs are free, and that nothing is charged to any queue: it gives everything again.
    async fn everything_can_be_given(&mut self) -> Checked {
        self.limit(0, None, 9).await?;
        // What is left of this queue is what is its own, all of it.
        self.quota(1, [Some(3), Some(0), Some(0)]).await?;
        self.compare().await?;
        for scheduler in 0..u8::try_from(self.schedulers.len()).unwrap_or(0) {
            for (queue, members, gpus) in [(0, 4, 2), (2, 3, 1)] {
                let ask = RunAsk { members, gpus, ..RunAsk::default() };
                let new = NewRun::of(self.model.trainings[0].id).id(self.new_id().into()).ask(ask);
                let new = new.queue(self.model.queues[queue].id);
                self.do_and_compare(Act::Submit(Box::new(new))).await?;
                self.step(Step::Tick { scheduler, is_blind: false, raced_by: None }).await?;
                let Some(lease) = self.model.held().next() else {
                    return Err(format!(
                        "nothing is held, and scheduler {scheduler} does not give everything"
                    ));
                };
                let run = self.model.runs[lease.run].id;
                self.do_and_compare(Act::Abort(run)).await?;
            }
        }
        Ok(())
    }
}
