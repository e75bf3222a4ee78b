//! Random queues in which some runs run and some wait.

use proptest::prelude::*;
use uuid::Uuid;

use super::super::{Ask, Job, Queue, QueueNode, QueuePolicy, QueueTree, Quota, Settings};
use super::kit::{at, demand, id, node, secs, submit, tick};
use crate::sched::GpuDemand;

/// A queue under random quotas in which some run and some wait.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) policy: QueuePolicy,
    nodes: u64,
    /// The queues: which of those before each is under, and its quota.
    queues: Vec<(usize, Quota)>,
    /// Who runs already, then who waits.
    jobs: Vec<(Sample, bool)>,
    quantum: u64,
}

#[derive(Debug, Clone)]
struct Sample {
    queue: usize,
    account: u128,
    priority: i32,
    members: u32,
    gpu: GpuDemand,
    spread: bool,
    preemptible: bool,
    estimate: Option<u64>,
    min_runtime: u64,
    submitted: u64,
}

/// When everything is decided.
pub(super) const NOW: u64 = 1_000;
/// GPUs of a node: so few that most states are full.
const GPUS: usize = 4;

fn quota() -> impl Strategy<Value = Quota> {
    let limit = |most: i64| prop_oneof![4 => Just(None), 1 => (0..most).prop_map(|gpus| Some(gpus * 1000))];
    (prop::option::weighted(0.85, 0_i64..8), limit(6), limit(6)).prop_map(|(nominal, borrowing, lending)| {
        Quota { nominal: nominal.map(|gpus| gpus * 1000), borrowing, lending }
    })
}

fn gpu() -> impl Strategy<Value = GpuDemand> {
    prop_oneof![
        1 => Just(GpuDemand::None),
        8 => (1_u32..5).prop_map(GpuDemand::Whole),
        3 => prop::sample::select(vec![250, 500, 750]).prop_map(|milli| GpuDemand::Share(crate::amount::GpuMilli::new(milli).unwrap())),
    ]
}

fn sample() -> impl Strategy<Value = Sample> {
    let what =
        (0_usize..5, 0_u128..3, 0_i32..3, prop_oneof![2 => Just(1_u32), 1 => 2_u32..4], gpu(), any::<bool>());
    let when =
        (prop::bool::weighted(0.95), prop::option::weighted(0.7, 1_u64..2_000), 0_u64..1_200, 0_u64..NOW);
    (what, when).prop_map(
        |(
            (queue, account, priority, members, gpu, spread),
            (preemptible, estimate, min_runtime, submitted),
        )| {
            let min_runtime = min_runtime.saturating_sub(900);
            Sample {
                queue,
                account,
                priority,
                members,
                gpu,
                spread,
                preemptible,
                estimate,
                min_runtime,
                submitted,
            }
        },
    )
}

pub(super) fn world() -> impl Strategy<Value = World> {
    let jobs = prop::collection::vec((sample(), any::<bool>()), 2..18);
    let policy = prop::sample::select(QueuePolicy::ALL.to_vec());
    let queues = prop::collection::vec((0_usize..3, quota()), 2..6);
    let quantum = prop_oneof![Just(0), 0_u64..400];
    (policy, 1_u64..5, queues, jobs, quantum).prop_map(|(policy, nodes, queues, jobs, quantum)| World {
        policy,
        nodes,
        queues,
        jobs,
        quantum,
    })
}

/// The queues, each under one before it.
fn tree(queues: &[(usize, Quota)]) -> QueueTree {
    let mut tree = QueueTree::new();
    for (at, (parent, quota)) in queues.iter().enumerate() {
        let node = match at {
            0 => QueueNode::new(name(0)),
            _ => QueueNode::under(name(at), name(parent % at)),
        };
        let quota = if at == 0 && quota.nominal == Some(0) { Quota::default() } else { *quota };
        tree.set(node.gpus(quota)).unwrap();
    }
    tree
}

fn name(queue: usize) -> Uuid {
    id(9_000 + u128::try_from(queue).unwrap())
}

pub(super) fn queue(world: &World) -> Queue {
    let mut settings = Settings::new(QueuePolicy::Backfill);
    settings.quantum = secs(world.quantum);
    let mut queue = Queue::new(settings.clone(), tree(&world.queues));
    for number in 0..world.nodes {
        queue.upsert_node(&node(number, GPUS)).unwrap();
    }
    let job = |(number, sample): (u128, &Sample)| Job {
        priority: sample.priority,
        preemptible: sample.preemptible,
        estimate: sample.estimate.map(secs),
        min_runtime: secs(sample.min_runtime),
        ..Job::new(
            id(number),
            name(sample.queue % world.queues.len()),
            id(100 + sample.account),
            at(sample.submitted),
            Ask::gang(demand(sample.gpu), sample.members, sample.spread).unwrap(),
        )
    };
    let (runs, waits): (Vec<_>, Vec<_>) = (1_u128..).zip(&world.jobs).partition(|(_, (_, runs))| *runs);
    for (number, (sample, _)) in runs {
        submit(&mut queue, [job((number, sample))]);
        tick(&mut queue, at(sample.submitted));
    }
    for (number, (sample, _)) in waits {
        submit(&mut queue, [job((number, sample))]);
    }
    settings.policy = world.policy;
    queue.set_settings(settings);
    queue
}
