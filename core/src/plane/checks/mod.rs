//! What machines promise on every store, as checks that run on any of them.
#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

mod commands;
mod compared;
mod crowd;
mod cut;
mod hostile;
mod images;
mod import;
mod instances;
mod late;
mod left_behind;
mod limits;
mod machine;
mod model;
mod moves;
mod node_deletion;
mod node_life;
mod quarantine;
mod rentals;
mod reports;
mod resize;
mod run_model;
mod runs;
mod saved;
mod trainings;

pub use compared::{ModelSize, ModelStores};
pub use crowd::{CrowdPart, CrowdParts, CrowdPhase, CrowdReport, CrowdSize, be_part_of_crowd, check_crowd};
pub use model::check_machine_model;
pub use run_model::check_run_model;
pub use runs::check_runs;
pub use trainings::check_trainings;

pub(crate) use trainings::waiting_run;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ControlPlane;
use crate::amount::CpuMilli;
use crate::entity::{Limits, NodeId, UserId};
use crate::id::{IdSource as _, TimeOrderedIds};
use crate::identity::IdentityOptions;
use crate::plane::{NewNode, NewUser, Options, RunPolicy};
use crate::store::Store;
use crate::time::{ManualClock, Timestamp};

/// Checks machines on a store that was opened with [`TABLES`](crate::entity::TABLES) and with this clock, which is moved on. The
/// store keeps what the checks wrote.
///
/// # Panics
/// Where something is not as it is documented.
pub async fn check_machines(store: Arc<dyn Store>, clock: Arc<ManualClock>) {
    let world = World::new(store, clock);
    node_life::check_node_life(&world).await;
    commands::check_commands(&world).await;
    images::check_images(&world).await;
    Box::pin(instances::check_instances(&world)).await;
    Box::pin(reports::check_reports(&world)).await;
    quarantine::check_quarantine(&world).await;
    Box::pin(left_behind::check_left_behind(&world)).await;
    limits::check_limits(&world).await;
    Box::pin(moves::check_moves(&world)).await;
    Box::pin(hostile::check_hostile(&world)).await;
    Box::pin(node_deletion::check_node_deletion(&world)).await;
    Box::pin(import::check_import(&world)).await;
}

/// Checks rented machines, as [`check_machines`] checks the others.
///
/// # Panics
/// Where something is not as it is documented.
pub async fn check_rentals(store: Arc<dyn Store>, clock: Arc<ManualClock>) {
    let cloud = Arc::new(plane_over(store, &clock));
    let world = World { cloud, clock, made: AtomicU64::new(0) };
    Box::pin(rentals::check_rentals(&world)).await;
}

fn plane_over(store: Arc<dyn Store>, clock: &Arc<ManualClock>) -> ControlPlane {
    let ids = Arc::new(TimeOrderedIds::new(Arc::<ManualClock>::clone(clock)));
    ControlPlane::with(
        store,
        Options::default().identity(IdentityOptions::default()).rentals(rentals::options()).ids(ids),
    )
}

/// A control plane with a clock that is moved by hand.
#[derive(Debug)]
struct World {
    cloud: Arc<ControlPlane>,
    clock: Arc<ManualClock>,
    made: AtomicU64,
}

impl World {
    fn new(store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Self {
        let cloud = Arc::new(plane_over(store, &clock));
        Self { cloud, clock, made: AtomicU64::new(0) }
    }

    /// A number that was not given before.
    fn fresh(&self) -> u64 {
        self.made.fetch_add(1, Ordering::Relaxed)
    }

    /// A new id.
    fn id(&self) -> uuid::Uuid {
        TimeOrderedIds::new(Arc::<ManualClock>::clone(&self.clock)).next_id()
    }

    /// What time the store has.
    async fn now(&self) -> Timestamp {
        self.cloud.store().read(Vec::new()).await.unwrap().now
    }

    /// Another control plane, over this store.
    fn over(&self, store: Arc<dyn Store>) -> ControlPlane {
        plane_over(store, &self.clock)
    }

    /// Another control plane over the same store, which decides so over runs.
    fn with_runs(&self, runs: RunPolicy) -> ControlPlane {
        ControlPlane { runs, ..self.over(Arc::clone(&self.cloud.store)) }
    }

    /// A user who may act.
    async fn user(&self) -> UserId {
        let new = NewUser::new(format!("user-{}@example.org", self.fresh()), "Ada");
        let new = new.limits(Limits { instance_limit: 100, node_limit: 100, ..Limits::default() });
        let mut user = self.cloud.create_user(new).await.unwrap();
        user.value.activated = true;
        self.cloud.repositories().users().update(user).await.unwrap().id
    }

    /// A node of a user, with room.
    async fn node(&self, owner: UserId) -> NodeId {
        let node = NewNode::new(owner, format!("node-{}", self.fresh())).cpu(CpuMilli::from_u32(64_000));
        self.cloud.register_node(node).await.unwrap().id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::TABLES;
    use crate::store::memory::MemoryStore;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn machines_hold_on_the_reference_store() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let store = Arc::new(MemoryStore::new(TABLES, Arc::<ManualClock>::clone(&clock)).unwrap());
        check_machines(store, clock).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn runs_hold_on_the_reference_store() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let store = Arc::new(MemoryStore::new(TABLES, Arc::<ManualClock>::clone(&clock)).unwrap());
        check_runs(store, clock).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn trainings_hold_on_the_reference_store() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let store = Arc::new(MemoryStore::new(TABLES, Arc::<ManualClock>::clone(&clock)).unwrap());
        check_trainings(store, clock).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn rented_machines_hold_on_the_reference_store() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let store = Arc::new(MemoryStore::new(TABLES, Arc::<ManualClock>::clone(&clock)).unwrap());
        check_rentals(store, clock).await;
    }

    #[tokio::test]
    async fn in_the_end_nothing_is_left_of_what_was_rented_whatever_the_provider_does() {
        for seed in 100..150 {
            let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
            let store = Arc::new(MemoryStore::new(TABLES, Arc::<ManualClock>::clone(&clock)).unwrap());
            let cloud = Arc::new(plane_over(store, &clock));
            let world = World { cloud, clock, made: AtomicU64::new(0) };
            Box::pin(rentals::check_any_lies(&world, seed)).await;
        }
    }
}
