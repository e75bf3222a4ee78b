//! What identity and access promise on every store, as checks that run on any of them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a check fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{HostKey, IdentityOptions, KeyRing, PasswordPolicy, SeededEntropy};
use crate::ControlPlane;
use crate::entity::{Entry, User};
use crate::plane::{NewUser, Options};
use crate::store::Store;
use crate::time::ManualClock;

/// Checks identity and access on a store that was opened with [`TABLES`](crate::entity::TABLES) and with this clock, which is
/// moved on. The store has to be empty, and keeps what the checks wrote.
///
/// # Panics
/// Where something is not as it is documented.
pub async fn check_identity(store: Arc<dyn Store>, clock: Arc<ManualClock>) {
    let world = World::new(store, clock);
    let _ = world.user().await;
}

/// A control plane with a clock that is moved by hand, and short forms of what checks do.
#[derive(Debug)]
struct World {
    cloud: Arc<ControlPlane>,
    clock: Arc<ManualClock>,
    made: AtomicU64,
}

impl World {
    fn new(store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Self {
        let identity = IdentityOptions::default()
            .keys(KeyRing::new(HostKey::new(1, [7; 32])))
            .entropy(Arc::new(SeededEntropy::new(1)))
            // A hash of the least cost: what it costs is not what is checked here.
            .passwords(PasswordPolicy::default().cost(64, 1, 1));
        let cloud = Arc::new(ControlPlane::with(store, Options::default().identity(identity)));
        Self { cloud, clock, made: AtomicU64::new(0) }
    }

    /// A new user, of an address that nobody has.
    async fn user(&self) -> Entry<User> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        self.cloud.create_user(NewUser::new(format!("user-{number}@example.org"), "Ada")).await.unwrap()
    }
}
