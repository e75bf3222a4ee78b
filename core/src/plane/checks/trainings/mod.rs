//! What trainings promise on every store, as checks that run on any of them.
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a check fails by panicking")]

mod deletion;
mod images;
mod limits;
mod queues;
mod rows;
mod work;

pub(crate) use rows::waiting_run;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{World, plane_over};
use crate::store::Store;
use crate::time::ManualClock;

/// Checks trainings on a store that was opened with [`TABLES`](crate::entity::TABLES) and with this clock, which is moved on. The
/// store keeps what the checks wrote.
///
/// # Panics
/// Where something is not as it is documented.
pub async fn check_trainings(store: Arc<dyn Store>, clock: Arc<ManualClock>) {
    let cloud = Arc::new(plane_over(store, &clock));
    let world = World { cloud, clock, made: AtomicU64::new(0) };
    work::check_work(&world).await;
    limits::check_training_limits(&world).await;
    images::check_training_images(&world).await;
    queues::check_queues(&world).await;
    deletion::check_user_deletion(&world).await;
    let report = world.cloud.audit().await.unwrap();
    assert!(report.is_clean(), "{report:?}");
}
