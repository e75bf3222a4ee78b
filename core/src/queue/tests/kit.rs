//! Small queues for tests, with ids and times as plain numbers.

use std::time::Duration;

use uuid::Uuid;

use super::super::{Ask, Job, Plan, Preemption, Queue, QueueNode, QueuePolicy, QueueTree, Quota, Settings};
use crate::amount::{CpuMilli, MemoryMib, StorageMib};
use crate::sched::{Demand, GpuDemand, GpuState, NodeState};
use crate::time::Timestamp;

pub(super) const fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// The only queue of most tests.
pub(super) const ALL: Uuid = id(1_000_000);

/// A moment so many seconds after the beginning.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(seconds))
}

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// So many whole GPUs and nothing else.
pub(super) fn gpus(count: u32) -> Demand {
    demand(if count == 0 { GpuDemand::None } else { GpuDemand::Whole(count) })
}

/// GPUs and nothing else.
pub(super) fn demand(gpu: GpuDemand) -> Demand {
    Demand::new(CpuMilli::ZERO, MemoryMib::ZERO, StorageMib::ZERO, gpu, vec![]).unwrap()
}

/// A node of so many idle GPUs.
pub(super) fn node(number: u64, gpus: usize) -> NodeState {
    NodeState {
        gpus: vec![GpuState::IDLE; gpus],
        ..NodeState::empty(id(u128::from(number) + 10_000), number)
    }
}

/// A queue over so many nodes of eight GPUs.
pub(super) fn queue(settings: Settings, tree: QueueTree, nodes: u64) -> Queue {
    let mut queue = Queue::new(settings, tree);
    (0..nodes).for_each(|number| queue.upsert_node(&node(number, 8)).unwrap());
    queue
}

/// One without limits, under a policy.
pub(super) fn plain(policy: QueuePolicy, nodes: u64) -> Queue {
    queue(Settings::new(policy), QueueTree::single(ALL), nodes)
}

/// Queues 1, 2, … under a root without anything of its own, each with so many GPUs.
pub(super) fn siblings(gpus: &[i64]) -> QueueTree {
    let mut tree = QueueTree::new();
    tree.set(QueueNode::new(ALL).gpus(Quota::nominal(0))).unwrap();
    for (number, gpus) in (1..).zip(gpus) {
        tree.set(QueueNode::under(id(number), ALL).gpus(Quota::nominal(gpus * 1000))).unwrap();
    }
    tree
}

/// A job of so many GPUs on one node, of account 1, submitted as many seconds after the beginning as its number is.
pub(super) fn job(number: u64, gpus_asked: u32) -> Job {
    let ask = Ask::one(gpus(gpus_asked));
    Job::new(id(number.into()), ALL, id(1), at(number), ask)
}

/// A job of so many members of so many GPUs.
pub(super) fn gang(number: u64, members: u32, gpus_each: u32) -> Job {
    Job { ask: Ask::gang(gpus(gpus_each), members, false).unwrap(), ..job(number, 1) }
}

pub(super) fn submit(queue: &mut Queue, jobs: impl IntoIterator<Item = Job>) {
    jobs.into_iter().for_each(|job| queue.submit(job).unwrap());
}

/// The numbers of the runs that a plan starts.
pub(super) fn granted(plan: &Plan) -> Vec<u128> {
    plan.grants.iter().map(|grant| grant.job.as_u128()).collect()
}

/// The numbers of those that a plan stops, with those that get their place.
pub(super) fn stopped(plan: &Plan) -> Vec<(u128, u128)> {
    let pair = |at: &Preemption| (at.victim.as_u128(), at.claimant.as_u128());
    plan.preemptions.iter().map(pair).collect()
}

/// Starts what a plan starts.
pub(super) fn start(queue: &mut Queue, plan: Plan, now: Timestamp) {
    plan.grants.into_iter().for_each(|grant| queue.start(grant.job, grant.placements, now).unwrap());
}

/// Starts what may start now, and says what.
pub(super) fn tick(queue: &mut Queue, now: Timestamp) -> Vec<u128> {
    let plan = queue.tick(now);
    let numbers = granted(&plan);
    start(queue, plan, now);
    numbers
}

/// Carries a plan out: what starts has started, and what stops has stopped and waits again.
pub(super) fn carry_out(queue: &mut Queue, plan: Plan, now: Timestamp) {
    for preemption in &plan.preemptions {
        queue.stopping(preemption.victim, Some(preemption.claimant));
    }
    let victims: Vec<Uuid> = plan.preemptions.iter().map(|preemption| preemption.victim).collect();
    start(queue, plan, now);
    for victim in victims {
        let run = queue.end(victim).unwrap();
        let done = run.job.done + now.since(run.started);
        queue.submit(Job { done, attempt: run.job.attempt + 1, ..run.job }).unwrap();
    }
}
