//! The engine over the reference store.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    AccountId, BindingState, Entity as _, GpuLeaseFilter, Limits, QueueId, RunAsk, RunPulse, RunQueue,
    RunQueueUse, RunState, TABLES, Training, TrainingId, UserId,
};
use crate::plane::{LeaseStanding, NewNode, NewUser, Worker};
use crate::queue::QueuePolicy;
use crate::store::memory::MemoryStore;
use crate::store::{Batch, Fingerprint, Json, StoreExt as _, Write};
use crate::time::{ManualClock, Timestamp};

struct World {
    clock: Arc<ManualClock>,
    plane: Arc<ControlPlane>,
    scheduler: RunScheduler,
    ada: UserId,
}

impl World {
    /// Nodes with four GPUs each.
    async fn new(nodes: u32) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let store = Arc::new(MemoryStore::new(TABLES, clock.clone()).unwrap());
        let plane = Arc::new(ControlPlane::new(store));
        let ada = plane
            .create_user(NewUser::new("ada@example.org", "Ada").limits(Limits::default().nodes(10)))
            .await
            .unwrap()
            .id;
        for at in 0..nodes {
            let mut node = NewNode::new(ada, format!("node-{at}"));
            (node.gpus, node.gpu_model) = (4, Some("H100".to_owned()));
            (node.cpu, node.memory, node.storage) =
                (CpuMilli::from_u32(64_000), MemoryMib::from_u32(1 << 18), StorageMib::from_u32(1 << 20));
            plane.register_node(node).await.unwrap();
        }
        let world = Self {
            scheduler: RunScheduler::new(Arc::clone(&plane), Settings::new(QueuePolicy::Backfill)),
            clock,
            plane,
            ada,
        };
        world.queue(RunQueue::DEFAULT, None).await;
        world
    }

    async fn commit(&self, writes: Vec<Write>) {
        let batch = Batch { writes, ..Batch::new(self.plane.ids.next_id(), "test") };
        self.plane.store.commit(batch).await.unwrap();
    }

    fn now(&self) -> Timestamp {
        use crate::time::Clock as _;
        self.clock.now()
    }

    async fn queue(&self, id: QueueId, gpus: Option<u32>) {
        let now = self.now();
        let queue = RunQueue {
            id,
            name: id.to_string(),
            parent_id: None,
            weight_milli: 1000,
            gpu_milli: gpus.map(|gpus| GpuMilli::from_u32(gpus * 1000)),
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
        };
        let none = RunQueueUse {
            queue_id: id,
            gpu_milli: GpuMilli::ZERO,
            cpu_milli: CpuMilli::ZERO,
            memory_mib: MemoryMib::ZERO,
            epoch: 0,
        };
        self.commit(vec![Write::Insert(queue.to_row()), Write::Insert(none.to_row())]).await;
    }

    async fn submit(&self, queue: QueueId, priority: i64, ask: RunAsk) -> RunId {
        let now = self.now();
        let training = Training {
            id: TrainingId::new(self.plane.new_id()),
            owner_id: self.ada,
            name: crate::entity::DisplayName::new("t").unwrap(),
            config: Json::empty(),
            trigger_word: "x".into(),
            base_model: None,
            image_limit: 1,
            image_bytes_limit: 1,
            images: 0,
            image_bytes: 0,
            created_at: now,
            updated_at: now,
        };
        let run = TrainingRun {
            id: RunId::new(self.plane.new_id()),
            owner_id: self.ada,
            training_id: Some(training.id),
            of_training: training.id,
            queue_id: Some(queue),
            config: Json::empty(),
            trigger_word: "x".into(),
            base_model: None,
            ask,
            request_fingerprint: Fingerprint::of(b"x"),
            priority,
            estimate_ms: None,
            min_runtime_ms: 0,
            due: None,
            not_before: None,
            state: RunState::Queued,
            state_deadline: Some(now.plus(Duration::from_hours(1))),
            images_left: 0,
            attempt: 0,
            max_failures: 3,
            failures: 0,
            preemptions: 0,
            cause: None,
            status_info: None,
            kept_ms: 0,
            held_ms: 0,
            artifact_key: None,
            artifact_bytes: None,
            artifact_sha256: None,
            created_at: now,
            updated_at: now,
            ended_at: None,
        };
        let pulse = RunPulse { run_id: run.id, sequence: 0, heard_at: now };
        let rows = [training.to_row(), run.to_row(), pulse.to_row()];
        let counted =
            ["trainings", "runs"].map(|column| Write::admit(&crate::entity::QUOTAS, self.ada, column, 1));
        self.commit(rows.map(Write::Insert).into_iter().chain(counted).collect()).await;
        run.id
    }

    async fn state(&self, run: RunId) -> RunState {
        self.plane.repositories().training_runs().require(run).await.unwrap().value.state
    }

    async fn clean(&self) {
        let report = self.plane.audit().await.unwrap();
        assert!(report.is_clean(), "{:?}", report.drifts);
    }

    async fn used(&self, account: AccountId) -> i64 {
        let quota = self.plane.repositories().quotas().require(account).await.unwrap().value;
        quota.gpu_milli.get()
    }
}

fn gang(members: u32, gpus: u32) -> RunAsk {
    RunAsk { members, gpus, ..RunAsk::default() }
}

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_gang_is_given_whole_taken_renewed_and_given_back_by_its_worker() {
    let world = World::new(2).await;
    let (plane, scheduler) = (&world.plane, &world.scheduler);
    let first = world.submit(RunQueue::DEFAULT, 0, gang(2, 3)).await;
    let second = world.submit(RunQueue::DEFAULT, 0, gang(1, 4)).await;
    let ticked = scheduler.tick().await.unwrap();
    assert_eq!(ticked.granted.iter().map(|(run, _)| *run).collect::<Vec<_>>(), [first], "{ticked:?}");
    assert_eq!(world.state(first).await, RunState::Starting);
    assert_eq!(world.used(world.ada).await, 6000);
    world.clean().await;
    let why = scheduler.why_pending(second).await.unwrap();
    assert!(!why.reasons.is_empty(), "{why:?}");

    let claimed = plane.claim_run(&Worker::new("w"), MINUTE).await.unwrap().unwrap();
    assert_eq!((claimed.run.id, claimed.gpus.len(), claimed.lease.token), (first, 6, 1));
    assert_eq!(plane.claim_run(&Worker::new("w"), MINUTE).await.unwrap(), None, "nothing else was given");
    world.clock.advance(MINUTE / 2);
    let standing = plane.renew_lease(&claimed.lease, MINUTE).await.unwrap();
    assert_eq!(standing, LeaseStanding::Held(world.now().plus(MINUTE)));

    // Silence takes the run from the worker, and not the GPUs.
    world.clock.advance(2 * MINUTE);
    assert!(plane.renew_lease(&claimed.lease, MINUTE).await.is_err(), "it was not renewed in time");
    assert_eq!(plane.sweep_leases().await.unwrap().expired, 1);
    assert_eq!((world.state(first).await, world.used(world.ada).await), (RunState::Queued, 6000));
    assert!(scheduler.tick().await.unwrap().granted.is_empty(), "nothing is free");
    world.clean().await;

    // However late it comes, the worker knows that nothing runs any more.
    plane.release_lease(&claimed.lease).await.unwrap();
    plane.release_lease(&claimed.lease).await.unwrap();
    assert_eq!(world.used(world.ada).await, 0);
    world.clean().await;
    let leases = plane.repositories().gpu_leases();
    let of_run = GpuLeaseFilter { of_run: Some(first), state: None };
    let page = leases.list(of_run.clone(), crate::entity::PageRequest::default()).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    let held = page.entries[0].value.held(world.now());
    let run = plane.repositories().training_runs().require(first).await.unwrap().value;
    assert_eq!(u128::from(run.held_ms), held.as_millis());
    assert_eq!(held, MINUTE / 2 + 2 * MINUTE);

    // Another attempt has another fence.
    let again = scheduler.tick().await.unwrap();
    assert_eq!(again.granted.len(), 1, "{again:?}");
    let other = plane.claim_run(&Worker::new("w"), MINUTE).await.unwrap().unwrap();
    if other.run.id == first {
        assert_eq!(other.lease.attempt, 2);
    }
    assert!(plane.renew_lease(&claimed.lease, MINUTE).await.is_err(), "the name of a worker is no proof");
}

#[tokio::test]
async fn use_is_charged_in_advance_and_what_was_not_used_comes_back() {
    let world = World::new(1).await;
    let run = world.submit(RunQueue::DEFAULT, 0, gang(1, 2)).await;
    world.scheduler.tick().await.unwrap();
    let used = || async {
        let rows =
            world.plane.store.scan_all(crate::store::Scan::of(&crate::entity::ACCOUNT_USES)).await.unwrap();
        rows.iter().map(|row| row.int("gpu_milli_seconds").unwrap()).sum::<i64>()
    };
    assert_eq!(used().await, 2000 * 300, "five minutes in advance");
    world.clock.advance(6 * MINUTE);
    assert_eq!(world.plane.sweep_leases().await.unwrap().charged, 1);
    assert_eq!(used().await, 2000 * 60 * 11);
    let lease = world.plane.lease_of_run(run).await.unwrap().unwrap();
    world.clock.advance(MINUTE);
    world.plane.abandon_lease(lease, "the machine burned").await.unwrap();
    assert_eq!(used().await, 2000 * 60 * 7, "seven minutes were held");
    world.clean().await;
}

#[tokio::test]
async fn many_schedulers_give_every_gpu_once_and_pass_no_quota() {
    let world = World::new(4).await;
    let limited = QueueId::new(world.plane.new_id());
    world.queue(limited, Some(3)).await;
    for at in 0..30 {
        let queue = if at % 2 == 0 { limited } else { RunQueue::DEFAULT };
        world.submit(queue, 0, gang(1, 1)).await;
    }
    let ticks = (0..8).map(|_| {
        let plane = Arc::clone(&world.plane);
        tokio::spawn(async move {
            let scheduler = RunScheduler::new(plane, Settings::new(QueuePolicy::Backfill));
            let mut granted = 0;
            for _ in 0..6 {
                granted += scheduler.tick().await.unwrap().granted.len();
            }
            granted
        })
    });
    let mut granted = 0;
    for tick in ticks.collect::<Vec<_>>() {
        granted += tick.await.unwrap();
    }
    assert_eq!(granted, 16, "sixteen GPUs");
    world.clean().await;
    let held = world.plane.store.get(&crate::entity::RUN_QUEUE_USES, limited).await.unwrap().value.unwrap();
    assert!(held.int("gpu_milli").unwrap() <= 3000);
    assert_eq!(world.used(world.ada).await, 16_000);
}

#[tokio::test]
async fn a_run_of_higher_priority_gets_the_place_of_a_lower_one_when_that_has_stopped() {
    let world = World::new(1).await;
    let (plane, scheduler) = (&world.plane, &world.scheduler);
    let low = world.submit(RunQueue::DEFAULT, 0, gang(1, 4)).await;
    scheduler.tick().await.unwrap();
    let claimed = plane.claim_run(&Worker::new("w"), MINUTE).await.unwrap().unwrap();
    world.clock.advance(Duration::from_secs(10));
    let high = world.submit(RunQueue::DEFAULT, 5, gang(1, 2)).await;
    let ticked = scheduler.tick().await.unwrap();
    assert_eq!(ticked.preempted, [(low, high)], "{ticked:?}");
    assert!(scheduler.tick().await.unwrap().preempted.is_empty(), "it is stopping already");
    assert_eq!(world.state(low).await, RunState::Queued);
    let standing = plane.renew_lease(&claimed.lease, MINUTE).await.unwrap();
    assert_eq!(standing, LeaseStanding::Stop("preempted".to_owned()));
    plane.release_lease(&claimed.lease).await.unwrap();
    let ticked = scheduler.tick().await.unwrap();
    assert_eq!(ticked.granted.iter().map(|(run, _)| *run).collect::<Vec<_>>(), [high], "{ticked:?}");
    let leases = plane.repositories().gpu_leases();
    let reserved = GpuLeaseFilter { of_run: None, state: Some(BindingState::Reserved) };
    assert_eq!(leases.list(reserved, crate::entity::PageRequest::default()).await.unwrap().entries.len(), 1);
    world.clean().await;
}

#[tokio::test]
async fn a_node_that_is_given_up_frees_what_is_leased_there_and_its_runs_go_on_elsewhere() {
    let world = World::new(2).await;
    let (plane, scheduler) = (&world.plane, &world.scheduler);
    let alone = world.submit(RunQueue::DEFAULT, 0, gang(1, 4)).await;
    let wide = world.submit(RunQueue::DEFAULT, 0, gang(2, 2)).await;
    scheduler.tick().await.unwrap();
    let mut claimed = plane.claim_run(&Worker::new("w"), MINUTE).await.unwrap().unwrap();
    if claimed.run.id != alone {
        claimed = plane.claim_run(&Worker::new("w"), MINUTE).await.unwrap().unwrap();
    }
    let node = claimed.gpus[0].node.unwrap();
    let abandoned = plane.mark_node_dead(node, "it burned").await.unwrap();
    assert_eq!((abandoned.instances, abandoned.leases), (0, 1));
    assert_eq!(plane.mark_node_dead(node, "it burned").await.unwrap().leases, 0, "once is enough");
    assert_eq!(world.state(alone).await, RunState::Queued);
    assert!(plane.renew_lease(&claimed.lease, MINUTE).await.is_err());
    world.clean().await;
    // The other node is taken by the gang, whose members are there both.
    assert_eq!((world.state(wide).await, world.used(world.ada).await), (RunState::Starting, 4000));
    assert!(scheduler.tick().await.unwrap().granted.is_empty());
}
