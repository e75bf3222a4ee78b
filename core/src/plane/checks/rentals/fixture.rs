//! Runs with leases for which machines are rented, and a provider that lies where it is told to.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::entity::{
    BindingEvent, BindingState, DisplayName, Entity as _, Entry, GPU_LEASES, GPUS, Gpu, GpuLease, LEASE_GPUS,
    LeaseGpu, LeaseId, PageRequest, QUOTAS, RUN_QUEUE_USES, Rental, RentalFilter, RentalId, RunAsk, RunQueue,
    RunState, TRAINING_RUNS, Training, TrainingRun, UserId,
};
use crate::error::Result;
use crate::plane::checks::{World, waiting_run};
use crate::plane::leases::Grant;
use crate::plane::{Asked, JanitorPass};
use crate::rent::mock::{Lies, MockProvider};
use crate::rent::{Offer, RentalOptions, RentalProvider as _};
use crate::store::{Batch, Json, NewRow, Scan, StoreExt as _, Write};
use crate::time::Timestamp;

/// How long a machine has to be missing.
pub(in crate::plane::checks) const GRACE: Duration = Duration::from_secs(30);
/// How long the provider has.
pub(super) const READY: Duration = Duration::from_mins(5);

/// What the control planes of checks know about renting.
pub(in crate::plane::checks) fn options() -> RentalOptions {
    RentalOptions::new("conform").grace(GRACE).ready_within(READY)
}

/// What the labels begin with.
pub(super) fn prefix() -> String {
    options().prefix()
}

/// A provider of its own, and what is rented of it.
#[derive(Debug)]
pub(super) struct Renting<'w> {
    pub(super) world: &'w World,
    pub(super) provider: Arc<MockProvider>,
}

impl<'w> Renting<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        Self::seeded(world, 7)
    }

    pub(super) fn seeded(world: &'w World, seed: u64) -> Self {
        let provider = Arc::new(MockProvider::new(format!("mock-{}", world.fresh()), seed));
        Self { world, provider }
    }

    /// From now on the provider is honest but for this.
    pub(super) fn lies(&self, set: impl FnOnce(&mut Lies)) {
        let mut lies = Lies::default();
        set(&mut lies);
        self.provider.lies(lies);
    }

    async fn commit(&self, writes: Vec<Write>) {
        let batch = Batch { writes, ..Batch::new(self.world.id(), "check") };
        self.world.cloud.store().commit(batch).await.unwrap();
    }

    /// A run with a lease for which a machine of so many GPUs is to be rented.
    pub(super) async fn intend(&self, gpus: u32) -> (RentalId, LeaseId) {
        let (owner, now) = (self.world.user().await, self.world.now().await);
        let (training, queue) = (self.training(owner, now), queue(now));
        let run = self.run_of(&training, &queue, gpus, now);
        let used = NewRow::new(&RUN_QUEUE_USES).set("queue_id", queue.id);
        let there = [queue.to_row(), used].map(Write::Ensure);
        let new = [training.to_row(), run.to_row()].map(Write::Insert);
        let counted = ["trainings", "runs"].map(|column| Write::admit(&QUOTAS, owner, column, 1));
        self.commit(there.into_iter().chain(new).chain(counted).collect()).await;
        let grant = Grant { run: run.id, nodes: Vec::new(), rental: None };
        let lease = self.world.cloud.grant_runs(&[grant]).await.pop().unwrap().unwrap();
        let offer = Offer::new("o", gpus, "A100", 1_000_000);
        let rental = options().intend(
            self.world.id().into(),
            lease.id,
            self.provider.name(),
            &offer,
            lease.created_at,
        );
        self.commit(vec![Write::Insert(rental.to_row())]).await;
        (rental.id, lease.id)
    }

    fn training(&self, owner: UserId, now: Timestamp) -> Training {
        Training {
            id: self.world.id().into(),
            owner_id: owner,
            name: DisplayName::new("training").unwrap(),
            config: Json::empty(),
            trigger_word: "word".into(),
            base_model: None,
            image_limit: 1,
            image_bytes_limit: 1,
            images: 0,
            image_bytes: 0,
            created_at: now,
            updated_at: now,
        }
    }

    fn run_of(&self, training: &Training, queue: &RunQueue, gpus: u32, now: Timestamp) -> TrainingRun {
        let ids = (self.world.id().into(), training.owner_id);
        TrainingRun {
            ask: RunAsk { gpus, rent_micros: Some(2_000_000), ..RunAsk::default() },
            state_deadline: Some(now.plus(READY)),
            ..waiting_run(ids, training.id, queue.id, now)
        }
    }

    pub(super) async fn row(&self, rental: RentalId) -> Rental {
        self.world.cloud.repositories().rentals().require(rental).await.unwrap().value
    }

    pub(super) async fn lease(&self, lease: LeaseId) -> Entry<GpuLease> {
        self.world.cloud.repositories().gpu_leases().require(lease).await.unwrap()
    }

    pub(super) async fn run(&self, lease: LeaseId) -> TrainingRun {
        let run = self.lease(lease).await.of_run;
        self.world.cloud.repositories().training_runs().require(run).await.unwrap().value
    }

    pub(super) async fn is_released(&self, lease: LeaseId) -> bool {
        let (lease, run) = (self.lease(lease).await, self.run(lease).await);
        let released = lease.state == BindingState::Released;
        assert_eq!(released, lease.released_at.is_some());
        assert!(!released || lease.run_id.is_none());
        assert!(!released || !run.state.has_lease(), "the run goes on without GPUs");
        released
    }

    /// The GPUs of a rental, each with what the lease holds of it.
    pub(super) async fn gpus(&self, rental: RentalId) -> Vec<(Gpu, LeaseGpu)> {
        let row = self.row(rental).await;
        let store = self.world.cloud.store();
        let held = Scan::of(&LEASE_GPUS).by("lease_gpus_lease").with(row.of_lease);
        let held = store.scan_all(held).await.unwrap();
        let held = held.iter().map(|row| LeaseGpu::from_row(row).unwrap());
        let mut gpus = Vec::new();
        for part in held {
            let gpu = store.get(&GPUS, part.of_gpu).await.unwrap().value;
            assert!(gpu.is_some() || part.gpu_id.is_none(), "what is gone is held by nobody");
            if let Some(gpu) = gpu {
                gpus.push((Gpu::from_row(&gpu).unwrap(), part));
            }
        }
        gpus
    }

    /// The run goes on without the lease: somebody else released it, or its worker is to release it.
    pub(super) async fn give_up(&self, lease: LeaseId) {
        let run = self.run(lease).await;
        let (entry, now) = (self.lease(lease).await, self.world.now().await);
        let mut given = entry.value.clone();
        if !matches!(given.state, BindingState::Reserved | BindingState::Bound) {
            return;
        }
        given.state = given.state.on(BindingEvent::Release).unwrap();
        given.run_id = None;
        let run_entry = self.world.cloud.repositories().training_runs().require(run.id).await.unwrap();
        let state = vec![("state", "queued".into()), ("updated_at", now.into())];
        self.commit(vec![
            Write::update(&GPU_LEASES, lease, entry.revision, given.plain()),
            Write::update(&TRAINING_RUNS, run.id, run_entry.revision, state),
        ])
        .await;
    }

    /// The run ends before a worker has begun: its lease is released at once.
    pub(super) async fn abort(&self, lease: LeaseId) {
        let run = self.run(lease).await.id;
        let Entry { value: mut run, revision } =
            self.world.cloud.repositories().training_runs().require(run).await.unwrap();
        if !run.state.has_lease() {
            return;
        }
        let mut batch = Batch::new(self.world.id(), "check");
        let now = self.world.now().await;
        self.world.cloud.give_up_lease(&mut batch, &mut run, "aborted", now).await.unwrap();
        run.state = RunState::Queued;
        batch.push(Write::update(&TRAINING_RUNS, run.id, revision, run.plain()));
        self.world.cloud.store().commit(batch).await.unwrap();
    }

    pub(super) async fn ask(&self) -> Asked {
        self.world.cloud.rent_pending(&*self.provider).await.unwrap()
    }

    pub(super) async fn pass(&self) -> JanitorPass {
        self.world.clock.advance(Duration::from_secs(1));
        self.world.cloud.janitor_pass(&*self.provider).await.unwrap()
    }

    /// Does something until it is done, or its call to the provider never ends: then the process that did it is gone.
    pub(super) async fn until_hung<T>(&self, done: impl Future<Output = Result<T>>) -> Option<T> {
        let mut done = pin!(done);
        std::future::poll_fn(|context| match done.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done.unwrap())),
            Poll::Pending if self.provider.has_hung() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    pub(super) async fn rows(&self) -> Vec<Rental> {
        let provider = Some(self.provider.name().to_owned());
        let all = RentalFilter { provider, state: None };
        let page = self.world.cloud.repositories().rentals().list(all, PageRequest::default()).await.unwrap();
        page.entries.into_iter().map(|entry| entry.value).collect()
    }

    /// Gives everything up, and sees that two passes later nothing is left: no machine, no GPU, no lease.
    pub(super) async fn end(&self) {
        for row in self.rows().await {
            self.give_up(row.of_lease).await;
        }
        self.settle().await;
        for row in self.rows().await {
            assert!(!row.state.may_be_there(), "{row:?}");
            assert!(self.is_released(row.of_lease).await);
            assert!(self.gpus(row.id).await.is_empty());
        }
        assert_eq!(self.provider.there(&prefix()), []);
        self.audit().await;
    }

    /// Every counter says what the rows say.
    pub(super) async fn audit(&self) {
        assert_eq!(self.world.cloud.audit().await.unwrap().drifts, []);
    }

    /// The provider becomes honest, everything that is late has come; then two passes.
    pub(super) async fn settle(&self) {
        self.provider.lies(Lies::default());
        for _ in 0..10 {
            self.provider.tick();
        }
        self.world.clock.advance(READY);
        for _ in 0..2 {
            self.world.clock.advance(GRACE);
            self.pass().await;
        }
    }
}

fn queue(now: Timestamp) -> RunQueue {
    RunQueue {
        id: RunQueue::DEFAULT,
        name: "default".into(),
        parent_id: None,
        weight_milli: 1000,
        gpu_milli: None,
        gpu_milli_borrowing: None,
        gpu_milli_lending: None,
        cpu_milli: None,
        cpu_milli_borrowing: None,
        cpu_milli_lending: None,
        memory_mib: None,
        memory_mib_borrowing: None,
        memory_mib_lending: None,
        created_at: now,
        updated_at: now,
    }
}
