//! Where a crowd is: accounts, machines, queues and trainings, with ids that everybody knows.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;
use uuid::Uuid;

use crate::ControlPlane;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib};
use crate::entity::{Limits, NodeId, QueueId, RunAsk, TrainingId, UserId};
use crate::plane::{
    NewNode, NewQueue, NewRun, NewTraining, NewUser, Options, QueueQuota, QueueTerms, RunPolicy,
};
use crate::store::Store;

const USERS: u32 = 6;
const TRAININGS: u32 = 20;
pub(super) const NODES: u32 = 16;
const GPUS_EACH: u32 = 2;

pub(super) fn node(number: u32) -> NodeId {
    Uuid::from_u128(0x1_0000 + u128::from(number)).into()
}

fn user(number: u32) -> UserId {
    Uuid::from_u128(0x2_0000 + u128::from(number)).into()
}

fn queue(number: u32) -> QueueId {
    Uuid::from_u128(0x3_0000 + u128::from(number)).into()
}

fn training(number: u32) -> TrainingId {
    Uuid::from_u128(0x4_0000 + u128::from(number)).into()
}

/// A control plane of the crowd. Every state of a run ends soon beside the leases, so that sweeps have something to do.
pub(super) fn plane(store: Arc<dyn Store>, lease: Duration) -> Arc<ControlPlane> {
    let ms = Duration::from_millis;
    let runs = RunPolicy::default().starting(lease * 4).silence(lease * 4).uploading(lease * 4);
    let runs = runs.backoff(ms(20), ms(200));
    Arc::new(ControlPlane::with(store, Options::default().runs(runs)))
}

/// How many commits it takes to furnish the place, about.
pub(super) const COMMITS: u32 = 4 + USERS * (2 + TRAININGS) + NODES;

/// Makes everything that is there before the first run.
pub(super) async fn furnish(plane: &ControlPlane) {
    let thousand = |count: u32| GpuMilli::from_u32(count * 1000);
    plane.default_queue().await.unwrap();
    let company = QueueTerms::new("company");
    let company = QueueTerms { gpu: QueueQuota::of(thousand(24)), ..company };
    plane.create_queue(NewQueue::new("company").id(queue(0)).terms(company)).await.unwrap();
    for (number, name, quota) in [
        (1, "research", QueueQuota::of(thousand(10)).borrowing(thousand(8))),
        (2, "sales", QueueQuota::of(thousand(8)).lending(thousand(4))),
    ] {
        let terms = QueueTerms { parent: Some(queue(0)), gpu: quota, ..QueueTerms::new(name) };
        plane.create_queue(NewQueue::new(name).id(queue(number)).terms(terms)).await.unwrap();
    }
    for number in 0..USERS {
        // The last one may not have all that is asked for.
        let gpu_milli_limit = (number == USERS - 1).then(|| thousand(5));
        let limits = Limits { node_limit: NODES, gpu_milli_limit, ..Limits::default() };
        let new = NewUser::new(format!("user-{number}@example.org"), "Ada").id(user(number)).limits(limits);
        let mut made = plane.create_user(new).await.unwrap();
        made.value.activated = true;
        plane.repositories().users().update(made).await.unwrap();
        for at in 0..TRAININGS {
            let new = NewTraining::new(user(number), format!("training-{at}"), "ohxw");
            plane.create_training(new.id(training(number * TRAININGS + at))).await.unwrap();
        }
    }
    for number in 0..NODES {
        let new = NewNode::new(user(0), format!("node-{number}")).id(node(number));
        let new = new.cpu(CpuMilli::from_u32(64_000)).memory(MemoryMib::from_u32(256_000));
        plane.register_node(new.gpus(GPUS_EACH, "A100")).await.unwrap();
    }
}

/// A run that somebody wants.
pub(super) fn any_run(random: &mut Pcg64Mcg) -> NewRun {
    let run = NewRun::of(training(random.random_range(0..USERS * TRAININGS)));
    let run = match random.random_range(0..3_u32) {
        0 => run,
        number => run.queue(queue(number)),
    };
    let run = run.priority(random.random_range(-1..3)).max_failures(random.random_range(0..6));
    let run = if random.random_bool(0.5) { run.estimate_ms(random.random_range(1..2000)) } else { run };
    run.ask(any_ask(random))
}

/// What a run asks for: whole GPUs, shares, gangs over several nodes, gangs that share a GPU, and none at all.
fn any_ask(random: &mut Pcg64Mcg) -> RunAsk {
    let (members, spread, gpus, milli) = match random.random_range(0..100_u32) {
        0..35 => (1, false, 1, 1000),
        35..50 => (1, false, 2, 1000),
        50..60 => (4, true, 1, 1000),
        60..65 => (3, false, 1, 300),
        65..95 => (1, false, 1, random.random_range(2..8) * 100),
        _ => (1, false, 0, 1000),
    };
    RunAsk {
        members,
        spread,
        gpus,
        gpu_milli: GpuMilli::from_u32(milli),
        cpu: CpuMilli::from_u32(random.random_range(0..8) * 500),
        memory: MemoryMib::from_u32(random.random_range(0..8) * 1000),
        ..RunAsk::default()
    }
}
