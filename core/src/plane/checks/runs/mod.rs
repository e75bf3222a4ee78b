//! Runs of trainings: submitted, prepared, worked on, and ended.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unchecked_time_subtraction,
    reason = "a check fails by panicking"
)]

mod agents;
mod ends;
mod late;
mod leases;
mod meanwhile;
mod prepare;
mod races;
mod submit;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use super::World;
use crate::entity::{
    Entity as _, Entry, GPU_LEASES, GpuLease, LOGS, LeaseId, MediaType, QueueId, RUN_PULSES, RunId, RunPulse,
    RunState, TRAININGS, TrainingId, TrainingImage, TrainingImageId, TrainingImageState, TrainingRun, UserId,
};
use crate::error::{Error, Result};
use crate::plane::leases::Grant;
use crate::plane::{NewQueue, NewRun, NewTraining, RunLease, Worker};
use crate::store::{Batch, Json, Scan, Store, StoreExt as _, Write};
use crate::time::ManualClock;

/// Checks runs of trainings on a store that was opened with [`TABLES`](crate::entity::TABLES) and with this clock, which is moved on.
/// The store keeps what the checks wrote.
///
/// # Panics
/// Where something is not as it is documented.
pub async fn check_runs(store: Arc<dyn Store>, clock: Arc<ManualClock>) {
    let world = World::new(store, clock);
    world.cloud.default_queue().await.unwrap();
    Box::pin(submit::check_submit(&world)).await;
    Box::pin(prepare::check_prepare(&world)).await;
    Box::pin(worker::check_worker(&world)).await;
    Box::pin(ends::check_ends(&world)).await;
    Box::pin(agents::check_agents(&world)).await;
    Box::pin(late::check_late(&world)).await;
    Box::pin(races::check_races(&world)).await;
    Box::pin(meanwhile::check_meanwhile(&world)).await;
    Box::pin(leases::check_leases(&world)).await;
    let report = world.cloud.audit().await.unwrap();
    assert!(report.is_clean(), "{:?}", report.drifts);
}

const DAY: Duration = Duration::from_hours(24);

/// How long a worker has a lease without renewing it.
const HOUR: Duration = Duration::from_hours(1);

/// A user with a training, and a queue.
struct Lab {
    owner: UserId,
    training: TrainingId,
    queue: QueueId,
}

impl Lab {
    async fn new(world: &World) -> Self {
        let lab = Self { owner: world.user().await, training: world.id().into(), queue: world.id().into() };
        lab.add_training(world, lab.training).await;
        let queue = NewQueue::new(format!("queue-{}", lab.queue)).id(lab.queue);
        world.cloud.create_queue(queue).await.unwrap();
        lab
    }

    /// Another training of the owner.
    async fn add_training(&self, world: &World, id: TrainingId) {
        let new = NewTraining::new(self.owner, "portraits", "ohxw").id(id);
        let config = Json::new(&serde_json::json!({ "steps": 100 })).unwrap();
        world.cloud.create_training(new.config(config)).await.unwrap();
    }

    /// Images of the training, in a state.
    async fn images(&self, world: &World, many: usize, state: TrainingImageState) -> Vec<TrainingImageId> {
        let now = world.now().await;
        let (mut writes, mut ids) = (Vec::new(), Vec::new());
        for _ in 0..many {
            let id = TrainingImageId::new(world.id());
            let image = TrainingImage {
                id,
                training_id: self.training,
                name: format!("{id}.png"),
                url: format!("trainings/{}/images/{id}.png", self.training),
                media_type: MediaType::Png,
                size_bytes: 77,
                text: "ohxw, portrait".into(),
                state,
                upload_until: None,
                created_at: now,
                updated_at: now,
            };
            writes.push(Write::Insert(image.to_row()));
            writes.push(Write::record(&TRAININGS, self.training, "images", 1));
            writes.push(Write::record(&TRAININGS, self.training, "image_bytes", 77));
            ids.push(id);
        }
        world.put(writes).await;
        ids
    }

    fn ask(&self) -> NewRun {
        NewRun::of(self.training).queue(self.queue)
    }

    async fn submit(&self, world: &World) -> RunId {
        world.cloud.submit_run(self.ask()).await.unwrap().id
    }

    /// A run that waits for its GPUs.
    async fn ready(&self, world: &World) -> RunId {
        let id = self.submit(world).await;
        world.advance().await;
        assert_eq!(world.run(id).await.state, RunState::WaitingForGpu);
        id
    }

    /// A run that a worker has a lease of.
    async fn held(&self, world: &World) -> RunLease {
        let run = self.ready(world).await;
        world.claim(run).await
    }

    /// A run that trains.
    async fn training(&self, world: &World) -> RunLease {
        let lease = self.held(world).await;
        world.cloud.begin_run(&lease).await.unwrap();
        lease
    }

    /// How many live runs are counted on the owner's account.
    async fn counted(&self, world: &World) -> u32 {
        world.cloud.repositories().quotas().require(self.owner).await.unwrap().runs
    }
}

impl World {
    async fn put(&self, writes: Vec<Write>) {
        let batch = Batch { writes, ..Batch::new(self.cloud.ids.next_id(), "check") };
        self.cloud.store.commit(batch).await.unwrap();
    }

    async fn run(&self, id: RunId) -> Entry<TrainingRun> {
        self.cloud.repositories().training_runs().require(id).await.unwrap()
    }

    async fn pulse(&self, id: RunId) -> RunPulse {
        let row = self.cloud.store.get(&RUN_PULSES, id).await.unwrap().value.unwrap();
        RunPulse::from_row(&row).unwrap()
    }

    async fn lease(&self, id: LeaseId) -> GpuLease {
        let row = self.cloud.store.get(&GPU_LEASES, id).await.unwrap().value.unwrap();
        GpuLease::from_row(&row).unwrap()
    }

    /// Lets everything that is due go on.
    async fn advance(&self) {
        self.cloud.advance_runs(1000).await.unwrap();
    }

    /// Leases GPUs for a run that waits for them, which no worker has taken yet.
    async fn grant(&self, id: RunId) -> LeaseId {
        let granted = self.cloud.grant_runs(&[Grant { run: id, nodes: Vec::new(), rental: None }]).await;
        granted.into_iter().next().unwrap().unwrap().id
    }

    /// Leases GPUs for a run that waits for them, to a worker.
    async fn claim(&self, id: RunId) -> RunLease {
        let lease = self.grant(id).await;
        let claimed = self.cloud.claim_run(&Worker::new("worker-1"), HOUR).await.unwrap().unwrap();
        assert_eq!((claimed.lease.run, claimed.lease.lease), (id, lease), "another check has left a lease");
        claimed.lease
    }

    /// How often this is logged of a run.
    async fn logged(&self, id: RunId, title: &str, description: &str) -> usize {
        let of_run = Scan::of(&LOGS).by("logs_subject").with(id);
        let rows = self.cloud.store.scan_all(of_run).await.unwrap();
        let same = |row: &&crate::store::Row| {
            row.text("title").unwrap() == title && row.text("description").unwrap() == description
        };
        rows.iter().filter(same).count()
    }

    /// Whether anything of what a run holds on to is left.
    async fn pins_nothing(&self, id: RunId) {
        let run = self.run(id).await;
        assert!(run.state.is_terminal(), "{run:?}");
        let pins = (run.training_id, run.queue_id, run.state_deadline);
        assert_eq!(pins, (None, None, None));
        assert!(run.ended_at.is_some());
        assert!(self.copies(id).await.iter().all(|copy| copy.image_id.is_none()));
    }

    async fn copies(&self, id: RunId) -> Vec<crate::entity::TrainingRunImage> {
        let of_run = Scan::of(&crate::entity::TRAINING_RUN_IMAGES).with(id);
        let rows = self.cloud.store.scan_all(of_run).await.unwrap();
        rows.iter().map(|row| crate::entity::TrainingRunImage::from_row(row).unwrap()).collect()
    }
}

/// Refuses what is not refused for the state of something.
#[expect(clippy::needless_pass_by_value, reason = "it is asked of what was just answered")]
fn wrong_state<T: std::fmt::Debug>(answer: Result<T>) {
    assert!(matches!(answer, Err(Error::WrongState { .. })), "{answer:?}");
}
