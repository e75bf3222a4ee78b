//! An application's own rows, written in the same batches as the operations.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apportion::amount::{CpuMilli, MemoryMib};
use apportion::entity::{InstanceId, InstanceState, Limits, TABLES, UserId};
use apportion::id::{IdSource, TimeOrderedIds};
use apportion::plane::{LaunchRequest, NewNode, NewUser, Operation, Options};
use apportion::sched::Policy;
use apportion::store::memory::MemoryStore;
use apportion::store::{Batch, Change, Column, Metrics, NewRow, NoMetrics, StoreExt, Table, Test, Write};
use apportion::time::{ManualClock, Timestamp};
use apportion::{ControlPlane, Error};
use uuid::Uuid;

static DONE: Table = Table::new("done", &[Column::uuid("id"), Column::int("count").counter()], &["id"]);
const ROW: Uuid = Uuid::nil();

struct Cloud {
    plane: ControlPlane,
    store: Arc<MemoryStore>,
    ids: Arc<dyn IdSource>,
    user: UserId,
}

impl Cloud {
    /// A user, nodes of 4 cores, and the application's row, which says that nothing is done.
    async fn new(nodes: u32, policy: Policy) -> Self {
        Self::with(nodes, policy, Arc::new(NoMetrics)).await
    }

    async fn with(nodes: u32, policy: Policy, metrics: Arc<dyn Metrics>) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let ids: Arc<dyn IdSource> = Arc::new(TimeOrderedIds::seeded(clock.clone(), 1));
        let tables: Vec<_> = TABLES.iter().copied().chain([&DONE]).collect();
        let store = Arc::new(MemoryStore::new(&tables, clock).unwrap().with_metrics(metrics));
        let plane =
            ControlPlane::with(store.clone(), Options::default().ids(ids.clone()).policy(policy).seed(7));
        let limits = Limits::default().instances(1_000).nodes(1_000);
        let user = plane.create_user(NewUser::new("ada@example.org", "Ada").limits(limits)).await.unwrap().id;
        for node in 0..nodes {
            let node = NewNode::new(user, format!("node-{node}"))
                .cpu(CpuMilli::from_u32(4_000))
                .memory(MemoryMib::from_u32(8_000));
            plane.register_node(node).await.unwrap();
        }
        let row = NewRow::new(&DONE).set("id", ROW).set("count", 0_u32);
        store.commit(Batch::new(ids.next_id(), "begin").with(Write::Insert(row))).await.unwrap();
        Self { plane, store, ids, user }
    }

    fn launch(&self, name: &str, cores: u32) -> (InstanceId, Operation) {
        let id = InstanceId::new(self.ids.next_id());
        let request = LaunchRequest::new(self.user, name).id(id).cpu(CpuMilli::from_u32(cores * 1_000));
        (id, Operation::Launch(Box::new(request)))
    }

    async fn done(&self) -> i64 {
        self.store.get(&DONE, ROW).await.unwrap().value.unwrap().int("count").unwrap()
    }

    async fn live(&self) -> u64 {
        let report = self.plane.audit().await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        report.live_instances
    }
}

/// Sets the row to `to`, if it says `from`.
fn step(from: i64, to: i64) -> Vec<Write> {
    vec![Write::patch(&DONE, ROW, vec![Test::eq("count", from)], vec![("count", Change::Set(to.into()))])]
}

#[tokio::test]
async fn the_applications_row_changes_exactly_when_an_operation_happens() {
    let cloud = Cloud::new(1, Policy::BestFit).await;
    let (first, one) = cloud.launch("one", 3);
    let operations =
        vec![one, cloud.launch("two", 2).1, Operation::Delete(first), cloud.launch("three", 4).1];
    let mut seen = Vec::new();
    let mut done = 0;
    let outcomes = cloud
        .plane
        .apply_many_with(operations, |at, decided| {
            seen.push((at, decided.map(|instance| instance.name.to_string()).map_err(Error::code)));
            let to = i64::try_from(at).unwrap() + 1;
            // What is answered for a refused operation is dropped, so the next one tests what was before.
            if decided.is_ok() { step(std::mem::replace(&mut done, to), to) } else { step(-1, -1) }
        })
        .await;
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, true]);
    let names =
        [(0, Ok("one".into())), (1, Err("no_capacity")), (2, Ok("one".into())), (3, Ok("three".into()))];
    assert_eq!(seen, names);
    assert_eq!((cloud.done().await, cloud.live().await), (4, 1));
}

#[tokio::test]
async fn nothing_happens_behind_an_operation_whose_application_row_was_changed_meanwhile() {
    let cloud = Cloud::new(2, Policy::BestFit).await;
    let change = Write::patch(&DONE, ROW, vec![], vec![("count", Change::Add(100))]);
    cloud.store.commit(Batch::new(cloud.ids.next_id(), "elsewhere").with(change)).await.unwrap();
    let operations = ["one", "two", "three"].map(|name| cloud.launch(name, 1).1).to_vec();
    let outcomes = cloud
        .plane
        .apply_many_with(operations, |at, _| {
            let at = i64::try_from(at).unwrap();
            step(at, at + 1)
        })
        .await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(Error::Conflict { .. }))), "{outcomes:?}");
    assert_eq!((cloud.done().await, cloud.live().await), (100, 0));
    // What was decided and did not happen takes no room.
    let full = cloud.launch("full", 4).1;
    assert!(cloud.plane.apply_many(vec![full]).await[0].is_ok());
}

#[derive(Debug, Default)]
struct Groups(AtomicUsize);

impl Metrics for Groups {
    fn group(&self, _: usize, _: usize, _: Duration) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn an_instance_is_launched_and_deleted_in_one_commit_and_its_room_is_given_out_again() {
    let groups = Arc::new(Groups::default());
    let cloud = Cloud::with(1, Policy::BestFit, groups.clone()).await;
    let mut operations = Vec::new();
    for name in ["one", "two", "three"] {
        let (id, launch) = cloud.launch(name, 4);
        operations.extend([launch, Operation::Delete(id)]);
    }
    let (last, launch) = cloud.launch("last", 3);
    operations.extend([launch, cloud.launch("too-much", 2).1]);
    let before = groups.0.load(Ordering::Relaxed);
    let outcomes = cloud.plane.apply_many(operations.clone()).await;
    assert_eq!(groups.0.load(Ordering::Relaxed) - before, 1, "one commit for all");
    let states: Vec<_> =
        outcomes.iter().map(|outcome| outcome.as_ref().ok().map(|entry| entry.state)).collect();
    let (running, deleted) = (Some(InstanceState::Running), Some(InstanceState::Deleted));
    assert_eq!(states, [running, deleted, running, deleted, running, deleted, running, None]);
    assert!(matches!(outcomes[7], Err(Error::NoCapacity(_))));
    assert_eq!(cloud.live().await, 1);
    // What was answered is what is stored, and repeating it changes nothing.
    let stored =
        cloud.plane.repositories().instances().require(outcomes[1].as_ref().unwrap().id).await.unwrap();
    assert_eq!(&stored, outcomes[1].as_ref().unwrap());
    let again = cloud.plane.apply_many(operations).await;
    assert_eq!(again[1].as_ref().unwrap(), &stored);
    // After a deletion the next operation on the instance waits: it is decided on what is then there.
    let turns = vec![Operation::Delete(last), Operation::Delete(last), Operation::Stop(last)];
    let turns = cloud.plane.apply_many(turns).await;
    assert_eq!(turns[0].as_ref().unwrap(), turns[1].as_ref().unwrap());
    assert!(matches!(turns[2], Err(Error::WrongState { .. })));
    assert_eq!(cloud.live().await, 0);
}

#[tokio::test]
async fn a_node_drawn_at_random_does_not_depend_on_what_else_was_asked() {
    let mut nodes = Vec::new();
    for asked_before in [0, 3] {
        let cloud = Cloud::new(50, Policy::Random).await;
        for _ in 0..asked_before {
            let request = LaunchRequest::new(cloud.user, "other").cpu(CpuMilli::from_u32(1_000));
            cloud.plane.dry_run(&request).await.unwrap();
        }
        let mut chosen = Vec::new();
        for number in 0..8 {
            let id = InstanceId::new(Uuid::from_u128(number << 7));
            let request =
                LaunchRequest::new(cloud.user, format!("no-{number}")).id(id).cpu(CpuMilli::from_u32(1_000));
            let node = cloud.plane.launch(request).await.unwrap().node_id.unwrap();
            chosen.push(
                cloud.plane.repositories().compute_nodes().require(node).await.unwrap().name.to_string(),
            );
        }
        nodes.push(chosen);
    }
    assert_eq!(nodes[0], nodes[1]);
    let distinct: std::collections::BTreeSet<_> = nodes[0].iter().collect();
    assert!(distinct.len() > 1, "{distinct:?}");
}
