//! What identity and access promise on every store, as checks that run on any of them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a check fails by panicking"
)]

mod access;
mod accounts;
mod audit;
mod connections;
mod grants;
mod keys;
mod login;
mod personal;
mod profile;
mod roles;
mod second_factor;
mod secrets;
mod sessions;
mod views;

pub use secrets::{Overheard, check_secrets};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{HostKey, IdentityOptions, KeyRing, PasswordPolicy, SeededEntropy};
use crate::ControlPlane;
use crate::amount::CpuMilli;
use crate::entity::{Entry, InstanceId, NodeId, User, UserId};
use crate::id::{IdSource as _, TimeOrderedIds};
use crate::plane::{LaunchRequest, NewNode, NewUser, Options};
use crate::store::{Batch, Receipt, Store, StoreError, StoreExt as _, Write};
use crate::time::ManualClock;

/// Checks identity and access on a store that was opened with [`TABLES`](crate::entity::TABLES) and with this clock, which is
/// moved on. The store has to be empty, and keeps what the checks wrote.
///
/// # Panics
/// Where something is not as it is documented.
pub async fn check_identity(store: Arc<dyn Store>, clock: Arc<ManualClock>) {
    let world = World::new(store, clock);
    accounts::check_accounts(&world).await;
    keys::check_keys(&world).await;
    connections::check_connections(&world).await;
    roles::a_role_is_given_and_taken_and_its_name_is_nobody_elses(&world).await;
    roles::what_a_role_allows_is_there_once_however_many_say_so(&world).await;
    roles::a_role_that_somebody_has_is_not_deleted(&world).await;
    profile::a_profile_and_limits_are_changed_and_logged_once(&world).await;
    grants::a_thing_is_shared_once_and_again_until_it_is_taken_back(&world).await;
    grants::what_cannot_be_shared_is_refused(&world).await;
    grants::a_grant_that_has_ended_is_purged_and_a_prolonged_one_is_not(&world).await;
    login::check_login(&world).await;
    sessions::check_sessions(&world).await;
    second_factor::check_second_factor(&world).await;
    access::check_access(&world).await;
    personal::check_personal(&world).await;
    views::check_views(&world).await;
    audit::check_audit(&world).await;
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
            .connections(connections::policy())
            .entropy(Arc::new(SeededEntropy::new(1)))
            // A hash of the least cost: what it costs is not what is checked here.
            .passwords(PasswordPolicy::default().cost(64, 1, 1));
        // Ids of the time that is moved: what happened under one is known for a week of it.
        let ids = Arc::new(TimeOrderedIds::new(Arc::<ManualClock>::clone(&clock)));
        let cloud = Arc::new(ControlPlane::with(store, Options::default().identity(identity).ids(ids)));
        Self { cloud, clock, made: AtomicU64::new(0) }
    }

    /// Commits some writes as they are.
    async fn commit(&self, writes: Vec<Write>) -> Result<Receipt, StoreError> {
        let ids = TimeOrderedIds::new(Arc::<ManualClock>::clone(&self.clock));
        let mut batch = Batch::new(ids.next_id(), "check");
        batch.writes = writes;
        self.cloud.store().commit(batch).await
    }

    /// A number that was not given before.
    fn next(&self) -> u64 {
        self.made.fetch_add(1, Ordering::Relaxed)
    }

    /// A new id.
    fn fresh(&self) -> uuid::Uuid {
        TimeOrderedIds::new(Arc::<ManualClock>::clone(&self.clock)).next_id()
    }

    /// A new user, of an address that nobody has.
    async fn user(&self) -> Entry<User> {
        let number = self.next();
        self.cloud.create_user(NewUser::new(format!("user-{number}@example.org"), "Ada")).await.unwrap()
    }

    /// A node of a user, with room.
    async fn node(&self, owner: UserId) -> NodeId {
        let number = self.next();
        let node = NewNode::new(owner, format!("node-{number}")).cpu(CpuMilli::from_u32(64_000));
        self.cloud.register_node(node).await.unwrap().id
    }

    /// An instance of a user on a node.
    async fn instance(&self, owner: UserId, node: NodeId) -> InstanceId {
        let number = self.next();
        let request = LaunchRequest::new(owner, format!("instance-{number}")).on_node(node);
        self.cloud.launch(request).await.unwrap().id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::TABLES;
    use crate::store::memory::MemoryStore;
    use crate::time::Timestamp;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn identity_and_access_hold_on_the_reference_store() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let store = Arc::new(MemoryStore::new(TABLES, Arc::<ManualClock>::clone(&clock)).unwrap());
        check_identity(store, clock).await;
    }
}
