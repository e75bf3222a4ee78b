//! GPU leases that schedulers give: taken, renewed, lost, preempted, and given back on evidence only.

mod rented;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::super::cut::Cut;
use super::{Lab, World};
use crate::amount::{GpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    ACCOUNT_USES, BindingState, GpuLeaseFilter, NodeId, PageRequest, RUN_QUEUE_USES, RunAsk, RunId, RunState,
    TrainingRunFilter,
};
use crate::error::Error;
use crate::plane::{
    ClaimedRun, LeaseStanding, NewNode, NewQueue, NewRun, NewStatus, NewTraining, QueueQuota, RunScheduler,
    Worker,
};
use crate::queue::{QueuePolicy, Settings};
use crate::store::{Scan, StoreExt as _};

const MINUTE: Duration = Duration::from_mins(1);

pub(super) async fn check_leases(world: &World) {
    quiet(world).await;
    Box::pin(a_gang_is_given_whole_and_given_back_by_its_worker(world)).await;
    Box::pin(what_is_given_back_keeps_its_place_in_the_queue(world)).await;
    Box::pin(use_is_charged_in_advance_and_what_was_not_used_comes_back(world)).await;
    Box::pin(a_run_of_higher_priority_gets_the_place_of_a_lower_one_when_that_has_stopped(world)).await;
    Box::pin(nobody_stops_for_a_run_that_waits_no_longer(world)).await;
    Box::pin(a_node_that_is_given_up_frees_what_is_leased_there(world)).await;
    Box::pin(who_comes_back_under_an_old_name_inherits_nothing(world)).await;
    Box::pin(rented::check_rented(world)).await;
    Box::pin(many_schedulers_give_every_gpu_once_and_pass_no_quota(world)).await;
    Box::pin(many_workers_take_every_lease_once(world)).await;
}

/// A user with nodes of four GPUs each, and a scheduler.
struct Pool {
    lab: Lab,
    nodes: Vec<NodeId>,
    scheduler: RunScheduler,
}

impl Pool {
    async fn new(world: &World, nodes: u32) -> Self {
        quiet(world).await;
        let lab = Lab::new(world).await;
        let mut pool = Self { nodes: Vec::new(), scheduler: scheduler(world), lab };
        for _ in 0..nodes {
            let node = NewNode::new(pool.lab.owner, format!("pool-{}", world.fresh())).gpus(4, "H100");
            let node = node.memory(MemoryMib::from_u32(1 << 18)).storage(StorageMib::from_u32(1 << 20));
            pool.nodes.push(world.cloud.register_node(node).await.unwrap().id);
        }
        pool
    }

    /// Another run of the owner, of a training of its own.
    async fn submit(&self, world: &World, new: impl FnOnce(NewRun) -> NewRun) -> RunId {
        let training = world.id().into();
        world
            .cloud
            .create_training(NewTraining::new(self.lab.owner, "t", "ohxw").id(training))
            .await
            .unwrap();
        world.cloud.submit_run(new(NewRun::of(training).queue(self.lab.queue))).await.unwrap().id
    }

    async fn granted(&self) -> Vec<RunId> {
        self.scheduler.tick().await.unwrap().granted.into_iter().map(|(run, _)| run).collect()
    }

    /// GPU thousandths that are charged to the owner.
    async fn charged(&self, world: &World) -> i64 {
        world.cloud.repositories().quotas().require(self.lab.owner).await.unwrap().gpu_milli.get()
    }

    /// Takes the nodes away again.
    async fn end(self, world: &World) {
        quiet(world).await;
        for node in self.nodes {
            world.cloud.delete_node(node).await.unwrap();
        }
    }
}

fn scheduler(world: &World) -> RunScheduler {
    RunScheduler::new(
        Arc::new(world.over(Arc::clone(&world.cloud.store))),
        Settings::new(QueuePolicy::Backfill),
    )
}

fn gang(members: u32, gpus: u32) -> RunAsk {
    RunAsk { members, gpus, models: vec!["H100".to_owned()], ..RunAsk::default() }
}

async fn claim(world: &World) -> ClaimedRun {
    world.cloud.claim_run(&Worker::new("w"), MINUTE).await.unwrap().unwrap()
}

/// Ends every run that has not ended, and releases every lease.
pub(super) async fn quiet(world: &World) {
    for state in RunState::ALL.iter().filter(|state| !state.is_terminal()) {
        let filter = TrainingRunFilter { state: Some(*state), ..TrainingRunFilter::default() };
        let page = PageRequest::default().limit(1000);
        let live = world.cloud.repositories().training_runs().list(filter, page).await.unwrap();
        for run in live.entries {
            world.cloud.abort_run(run.value.id, "the check is over").await.unwrap();
        }
    }
    for state in [BindingState::Reserved, BindingState::Bound, BindingState::Releasing] {
        let filter = GpuLeaseFilter { of_run: None, state: Some(state) };
        let page = PageRequest::default().limit(1000);
        let held = world.cloud.repositories().gpu_leases().list(filter, page).await.unwrap();
        for lease in held.entries {
            world.cloud.abandon_lease(lease.value.id, "the check is over").await.unwrap();
        }
    }
}

async fn clean(world: &World) {
    let report = world.cloud.audit().await.unwrap();
    assert!(report.is_clean(), "{:?}", report.drifts);
}

async fn a_gang_is_given_whole_and_given_back_by_its_worker(world: &World) {
    let pool = Pool::new(world, 2).await;
    let first = pool.submit(world, |run| run.ask(gang(2, 3))).await;
    let second = pool.submit(world, |run| run.ask(gang(1, 4))).await;
    assert_eq!(pool.granted().await, [first]);
    assert_eq!(world.run(first).await.state, RunState::Starting);
    assert_eq!(pool.charged(world).await, 6000);
    clean(world).await;
    let why = pool.scheduler.why_pending(second).await.unwrap();
    assert!(!why.reasons.is_empty(), "{why:?}");

    let claimed = claim(world).await;
    assert_eq!((claimed.run.id, claimed.gpus.len(), claimed.lease.token), (first, 6, 1));
    let none = world.cloud.claim_run(&Worker::new("w"), MINUTE).await.unwrap();
    assert_eq!(none, None, "nothing else was given");
    world.clock.advance(MINUTE / 2);
    let standing = world.cloud.renew_lease(&claimed.lease, MINUTE).await.unwrap();
    assert!(matches!(standing, LeaseStanding::Held(_)), "{standing:?}");

    // Silence takes the run from the worker, and not the GPUs.
    world.clock.advance(2 * MINUTE);
    super::wrong_state(world.cloud.renew_lease(&claimed.lease, MINUTE).await);
    super::wrong_state(world.cloud.begin_run(&claimed.lease).await);
    assert_eq!(world.cloud.sweep_leases().await.unwrap().expired, 1);
    assert_eq!((world.run(first).await.state, pool.charged(world).await), (RunState::Queued, 6000));
    assert_eq!(pool.granted().await, [], "nothing is free");
    clean(world).await;

    // However late it comes, the worker knows that nothing runs any more.
    world.cloud.release_lease(&claimed.lease).await.unwrap();
    world.cloud.release_lease(&claimed.lease).await.unwrap();
    assert_eq!(pool.charged(world).await, 0);
    clean(world).await;
    let lease = world.lease(claimed.lease.lease).await;
    let held = lease.held(world.now().await);
    let run = world.run(first).await;
    assert_eq!(u128::from(run.held_ms), held.as_millis(), "what is billed is what was held");
    assert!(held >= MINUTE / 2 + 2 * MINUTE);
    super::wrong_state(world.cloud.renew_lease(&claimed.lease, MINUTE).await);
    pool.end(world).await;
}

async fn what_is_given_back_keeps_its_place_in_the_queue(world: &World) {
    let pool = Pool::new(world, 1).await;
    let first = pool.submit(world, |run| run.ask(gang(1, 4))).await;
    let second = pool.submit(world, |run| run.ask(gang(1, 4))).await;
    assert_eq!(pool.granted().await, [first]);
    let claimed = claim(world).await;
    world.cloud.begin_run(&claimed.lease).await.unwrap();
    world.cloud.return_run(&claimed.lease, "the worker is to stop").await.unwrap();
    assert_eq!(pool.charged(world).await, 0);
    clean(world).await;
    assert_eq!(pool.granted().await, [first], "{second} was submitted later");
    assert_eq!(claim(world).await.lease.attempt, 2);
    pool.end(world).await;
}

async fn use_is_charged_in_advance_and_what_was_not_used_comes_back(world: &World) {
    let pool = Pool::new(world, 1).await;
    let used = || async {
        let of_account = Scan::of(&ACCOUNT_USES).with(pool.lab.owner);
        let rows = world.cloud.store.scan_all(of_account).await.unwrap();
        rows.iter().map(|row| row.int("gpu_milli_seconds").unwrap()).sum::<i64>()
    };
    let run = pool.submit(world, |run| run.ask(gang(1, 2))).await;
    assert_eq!(pool.granted().await, [run]);
    assert_eq!(used().await, 2000 * 300, "five minutes in advance");
    world.clock.advance(6 * MINUTE);
    assert_eq!(world.cloud.sweep_leases().await.unwrap().charged, 1);
    let lease = world.cloud.lease_of_run(run).await.unwrap().unwrap().value.id;
    world.clock.advance(MINUTE);
    world.cloud.abandon_lease(lease, "the machine burned").await.unwrap();
    let held = world.lease(lease).await.held(world.now().await);
    let billed = 2 * i64::try_from(held.as_micros()).unwrap() / 1000;
    assert_eq!(used().await, billed, "what was held, and nothing else");
    clean(world).await;
    pool.end(world).await;
}

async fn a_run_of_higher_priority_gets_the_place_of_a_lower_one_when_that_has_stopped(world: &World) {
    let pool = Pool::new(world, 1).await;
    let low = pool.submit(world, |run| run.ask(gang(1, 4))).await;
    assert_eq!(pool.granted().await, [low]);
    let claimed = claim(world).await;
    world.clock.advance(Duration::from_secs(10));
    let high = pool.submit(world, |run| run.ask(gang(1, 2)).priority(5)).await;
    let ticked = pool.scheduler.tick().await.unwrap();
    assert_eq!(ticked.preempted, [(low, high)], "{ticked:?}");
    assert_eq!(pool.scheduler.tick().await.unwrap().preempted, [], "it is stopping already");
    let run = world.run(low).await;
    assert_eq!((run.state, run.preemptions, run.failures), (RunState::Queued, 1, 0));
    let standing = world.cloud.renew_lease(&claimed.lease, MINUTE).await.unwrap();
    assert_eq!(standing, LeaseStanding::Stop("preempted".to_owned()));
    world.cloud.release_lease(&claimed.lease).await.unwrap();
    assert_eq!(pool.granted().await, [high]);
    clean(world).await;
    pool.end(world).await;
}

async fn nobody_stops_for_a_run_that_waits_no_longer(world: &World) {
    let pool = Pool::new(world, 1).await;
    let low = pool.submit(world, |run| run.ask(gang(1, 4))).await;
    assert_eq!(pool.granted().await, [low]);
    claim(world).await;
    let high = pool.submit(world, |run| run.ask(gang(1, 2)).priority(5)).await;
    let sees = Arc::new(Cut::never(&world.cloud.store));
    let cloud = Arc::clone(&world.cloud);
    sees.race(async move { drop(cloud.abort_run(high, "").await.unwrap()) });
    let plane = Arc::new(world.over(sees));
    let ticked = RunScheduler::new(plane, Settings::new(QueuePolicy::Backfill)).tick().await.unwrap();
    assert_eq!((ticked.preempted, world.run(high).await.state), (Vec::new(), RunState::Aborted));
    assert_eq!(world.run(low).await.state, RunState::Starting);
    pool.end(world).await;
}

async fn a_node_that_is_given_up_frees_what_is_leased_there(world: &World) {
    let pool = Pool::new(world, 2).await;
    let alone = pool.submit(world, |run| run.ask(gang(1, 4))).await;
    assert_eq!(pool.granted().await, [alone]);
    let claimed = claim(world).await;
    let node = claimed.gpus[0].node.unwrap();
    let abandoned = world.cloud.mark_node_dead(node, "it burned").await.unwrap();
    assert_eq!((abandoned.instances, abandoned.leases), (0, 1));
    assert_eq!(world.cloud.mark_node_dead(node, "it burned").await.unwrap().leases, 0, "once is enough");
    assert_eq!(world.run(alone).await.state, RunState::Queued);
    super::wrong_state(world.cloud.renew_lease(&claimed.lease, MINUTE).await);
    assert_eq!(pool.charged(world).await, 0);
    clean(world).await;
    pool.end(world).await;
}

async fn who_comes_back_under_an_old_name_inherits_nothing(world: &World) {
    let pool = Pool::new(world, 1).await;
    let node = pool.nodes[0];
    let session = world.cloud.join_node(node).await.unwrap();
    let run = pool.submit(world, |run| run.ask(gang(1, 4))).await;
    assert_eq!(pool.granted().await, [run]);
    let worker = Worker::new("w").on(node, session);
    let claimed = world.cloud.claim_run(&worker, MINUTE).await.unwrap().unwrap();
    world.cloud.begin_run(&claimed.lease).await.unwrap();

    let again = world.cloud.join_node(node).await.unwrap();
    super::wrong_state(world.cloud.claim_run(&worker, MINUTE).await);
    let worker = Worker::new("w").on(node, again);
    assert_eq!(world.cloud.claim_run(&worker, MINUTE).await.unwrap(), None);
    super::wrong_state(world.cloud.report_leases(node, session, &[]).await);
    let kept = world.cloud.report_leases(node, again, &[claimed.lease.lease]).await.unwrap();
    assert_eq!((kept, pool.charged(world).await), (0, 4000), "it says that something runs still");
    assert_eq!(world.cloud.report_leases(node, again, &[]).await.unwrap(), 1);
    assert_eq!(world.cloud.report_leases(node, again, &[]).await.unwrap(), 0, "once is enough");
    assert_eq!(pool.charged(world).await, 0);
    super::wrong_state(world.cloud.tell(&claimed.lease, NewStatus::of("training")).await);
    super::wrong_state(world.cloud.renew_lease(&claimed.lease, MINUTE).await);
    clean(world).await;

    // The next attempt has another fence, whatever the worker is called.
    world.clock.advance(world.run(run).await.not_before.unwrap().since(world.now().await));
    assert_eq!(pool.granted().await, [run]);
    let next = world.cloud.claim_run(&worker, MINUTE).await.unwrap().unwrap();
    assert_eq!((next.lease.run, next.lease.attempt), (run, 2));
    super::wrong_state(world.cloud.begin_run(&claimed.lease).await);
    world.cloud.begin_run(&next.lease).await.unwrap();
    pool.end(world).await;
}

async fn many_schedulers_give_every_gpu_once_and_pass_no_quota(world: &World) {
    let pool = Pool::new(world, 3).await;
    let limited = world.id().into();
    let quota = QueueQuota::of(GpuMilli::from_u32(3000));
    let queue = NewQueue::new(format!("limited-{}", world.fresh())).id(limited);
    world.cloud.create_queue(queue).await.unwrap();
    let kept = world.cloud.repositories().run_queues().require(limited).await.unwrap();
    let terms = crate::plane::QueueTerms::of(&kept).gpu(quota);
    world.cloud.change_queue(limited, kept.revision, terms).await.unwrap();
    for at in 0..24 {
        let queue = if at % 2 == 0 { limited } else { pool.lab.queue };
        pool.submit(world, |run| run.ask(gang(1, 1)).queue(queue)).await;
    }
    let ticks = (0..6).map(|_| {
        let scheduler = scheduler(world);
        tokio::spawn(async move {
            let mut granted = Vec::new();
            for _ in 0..8 {
                granted.extend(scheduler.tick().await.unwrap().granted);
            }
            granted
        })
    });
    let mut granted = Vec::new();
    for tick in join_all(ticks).await {
        granted.extend(tick.unwrap());
    }
    assert_eq!(granted.len(), 12, "twelve GPUs");
    granted.sort_unstable();
    granted.dedup_by_key(|(run, _)| *run);
    assert_eq!(granted.len(), 12, "nobody got two leases");
    clean(world).await;
    let held = world.cloud.store.get(&RUN_QUEUE_USES, limited).await.unwrap().value.unwrap();
    assert!(held.int("gpu_milli").unwrap() <= 3000);
    assert_eq!(pool.charged(world).await, 12_000);
    pool.end(world).await;
}

async fn many_workers_take_every_lease_once(world: &World) {
    let pool = Pool::new(world, 2).await;
    for _ in 0..8 {
        pool.submit(world, |run| run.ask(gang(1, 1))).await;
    }
    assert_eq!(pool.granted().await.len(), 8);
    let claims = (0..32).map(|at| {
        let cloud = Arc::clone(&world.cloud);
        tokio::spawn(async move {
            loop {
                // Whoever loses every race to others asks again.
                match cloud.claim_run(&Worker::new(format!("w-{at}")), MINUTE).await {
                    Err(Error::Conflict { .. }) => {}
                    answer => return answer.unwrap(),
                }
            }
        })
    });
    let mut taken = Vec::new();
    for claim in join_all(claims).await {
        taken.extend(claim.unwrap().map(|claimed| (claimed.lease.lease, claimed.lease.token)));
    }
    assert_eq!(taken.len(), 8);
    assert!(taken.iter().all(|(_, token)| *token == 1), "{taken:?}");
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), 8, "no lease has two workers");
    clean(world).await;
    pool.end(world).await;
}
