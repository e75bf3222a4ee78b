use async_trait::async_trait;
use uuid::Uuid;

use super::*;
use crate::amount::{CpuMilli, MemoryMib};
use crate::entity::{Limits, TABLES, UserId};
use crate::error::Error;
use crate::id::TimeOrderedIds;
use crate::plane::{LaunchRequest, NewNode, NewUser, Operation, Options};
use crate::store::memory::MemoryStore;
use crate::store::{
    Batch, Changes, Cursor, Prune, Pruned, Query, Reads, Receipt, Resolution, Schema, Snapshot, StoreError,
};
use crate::time::{ManualClock, Timestamp};

/// What a transaction is to others: a copy of the store, whose changes they do not see, without a feed.
#[derive(Debug)]
struct Inside(MemoryStore);

fn refused() -> StoreError {
    StoreError::invalid("snapshot", "not inside a transaction")
}

#[async_trait]
impl Store for Inside {
    fn schema(&self) -> &Schema {
        self.0.schema()
    }
    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        self.0.read(queries).await
    }
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Err(refused())
    }
    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        self.0.commit_many(batches).await
    }
    async fn resolve(&self, _id: Uuid) -> Result<Resolution, StoreError> {
        Err(refused())
    }
    async fn changes(&self, _after: Cursor, _limit: u32) -> Result<Changes, StoreError> {
        Err(refused())
    }
    async fn prune(&self, _prune: Prune) -> Result<Pruned, StoreError> {
        Err(refused())
    }
    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A store with one user, and one node of three GPUs on which an instance has one; made again, it has the same rows.
async fn world() -> (Arc<MemoryStore>, UserId, InstanceId) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let store = Arc::new(MemoryStore::new(TABLES, clock.clone()).unwrap());
    let ids = Arc::new(TimeOrderedIds::seeded(clock, 1));
    let plane = ControlPlane::with(store.clone(), Options::default().ids(ids));
    let limits = Limits { instance_limit: 9, node_limit: 1, ..Limits::default() };
    let user = plane.create_user(NewUser::new("ada@example.org", "Ada").limits(limits)).await.unwrap().id;
    let node = NewNode::new(user, "a").cpu(CpuMilli::from_u32(9_000)).memory(MemoryMib::from_u32(9_000));
    plane.register_node(node.gpus(3, "A100")).await.unwrap();
    let old = plane.launch(whole(user, "old")).await.unwrap().id;
    (store, user, old)
}

fn whole(user: UserId, name: &str) -> LaunchRequest {
    LaunchRequest::new(user, format!("job-{name}")).gpus(1)
}

/// A control plane, the same inside a transaction, the user and the instance that is there.
async fn begun() -> (ControlPlane, ControlPlane, UserId, InstanceId) {
    let ((store, user, old), (copy, ..)) = (world().await, world().await);
    let plane = ControlPlane::new(store);
    let inside = plane.within(Arc::new(Inside(Arc::into_inner(copy).unwrap())));
    (plane, inside, user, old)
}

#[tokio::test]
async fn what_is_launched_in_a_transaction_is_free_again_when_it_was_not_committed() {
    let (plane, inside, user, _) = begun().await;
    inside.launch(whole(user, "a")).await.unwrap();
    // The second one has to know of the first, which no feed tells of.
    let many = inside.apply_many(vec![Operation::Launch(Box::new(whole(user, "b")))]).await;
    assert!(many.iter().all(Result::is_ok), "{many:?}");
    let full = inside.launch(whole(user, "c")).await.unwrap_err();
    assert!(matches!(full, Error::NoCapacity(_)), "{full}");
    // Nor does anybody else plan with the room of a transaction that is under way.
    let full = plane.launch(whole(user, "c")).await.unwrap_err();
    assert!(matches!(full, Error::NoCapacity(_)), "{full}");
    drop(inside);
    plane.launch(whole(user, "c")).await.unwrap();
    plane.launch(whole(user, "d")).await.unwrap();
    let audit = plane.audit().await.unwrap();
    assert!(audit.drifts.is_empty() && audit.live_instances == 3, "{audit:?}");
}

#[tokio::test]
async fn room_that_a_transaction_gives_back_is_nobody_elses_before_it_is_committed() {
    let (plane, inside, user, old) = begun().await;
    let many = inside.apply_many(vec![Operation::Delete(old)]).await;
    assert!(many.iter().all(Result::is_ok), "{many:?}");
    plane.launch(whole(user, "a")).await.unwrap();
    plane.launch(whole(user, "b")).await.unwrap();
    // With the instance that is still there the node is full, and known to be.
    let full = plane.launch(whole(user, "c")).await.unwrap_err();
    assert!(matches!(full, Error::NoCapacity(_)), "{full}");
    drop(inside);
    plane.delete(old).await.unwrap();
    plane.launch(whole(user, "c")).await.unwrap();
}

#[tokio::test]
async fn repositories_in_a_transaction_read_what_was_done_in_it() {
    let (plane, inside, user, old) = begun().await;
    let new = inside.launch(whole(user, "a")).await.unwrap().id;
    inside.delete(old).await.unwrap();
    for (plane, sees) in [(&inside, true), (&plane, false)] {
        assert_eq!(plane.repositories().instances().get(new).await.unwrap().is_some(), sees);
        let old = plane.repositories().instances().require(old).await.unwrap();
        assert_eq!(old.node_id.is_none(), sees);
    }
    assert!(inside.audit().await.is_err());
}
