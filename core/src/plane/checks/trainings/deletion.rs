//! Users who are deleted, with everything of trainings that is only theirs.

use std::sync::Arc;
use std::time::Duration;

use super::super::World;
use super::super::cut::Cut;
use super::rows::waiting_run;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    ACCOUNT_USES, AccountUse, BindingState, Entity as _, FAIR_SHARES, GPU_LEASES, GpuLease, LEASE_GPUS,
    LEASE_NODES, LEASE_RENEWALS, LeaseGpu, LeaseId, LeaseNode, LeaseRenewal, RENTALS, RUN_PULSES, Rental,
    RentalState, RunId, RunPulse, RunState, StatusTold, TRAINING_IMAGES, TRAINING_RUN_IMAGES, TRAINING_RUNS,
    TRAINING_STATUSES, TRAININGS, TrainingRun, TrainingStatus, UserId,
};
use crate::error::Error;
use crate::plane::Standing;
use crate::store::{Scan, StoreExt as _, Table, Write};
use crate::time::Clock as _;

pub(super) async fn check_user_deletion(world: &World) {
    what_has_not_ended_stands_in_the_way(world).await;
    everything_of_trainings_goes_with_a_user(world).await;
    what_was_cut_off_is_finished(world).await;
    one_held_lease_of_many_runs_stands_in_the_way(world).await;
}

/// What is kept of trainings.
const OF_TRAININGS: [&Table; 13] = [
    &TRAININGS,
    &TRAINING_IMAGES,
    &TRAINING_RUNS,
    &TRAINING_RUN_IMAGES,
    &TRAINING_STATUSES,
    &RUN_PULSES,
    &GPU_LEASES,
    &LEASE_RENEWALS,
    &LEASE_NODES,
    &LEASE_GPUS,
    &RENTALS,
    &FAIR_SHARES,
    &ACCOUNT_USES,
];

/// How many rows of each of those there are.
async fn counted(world: &World) -> Vec<(&'static str, usize)> {
    let mut counted = Vec::new();
    for table in OF_TRAININGS {
        let rows = world.cloud.store().scan_all(Scan::of(table).limit(1000)).await.unwrap();
        counted.push((table.name, rows.len()));
    }
    counted
}

/// A lease of a run, which is released or not.
fn lease(world: &World, (run, account_id): (RunId, UserId), attempt: u32, released: bool) -> GpuLease {
    let now = world.clock.now();
    GpuLease {
        id: world.id().into(),
        run_id: None,
        of_run: run,
        attempt,
        account_id,
        queue_id: None,
        state: if released { BindingState::Released } else { BindingState::Releasing },
        token: 1,
        worker: None,
        node_id: None,
        session: None,
        gpu_milli: GpuMilli::ZERO,
        cpu_milli: CpuMilli::ZERO,
        memory_mib: MemoryMib::ZERO,
        storage_mib: StorageMib::ZERO,
        charged_until: now,
        reason: None,
        created_at: now,
        bound_at: None,
        released_at: released.then_some(now),
    }
}

fn rental(world: &World, of_lease: LeaseId, state: RentalState) -> Rental {
    let now = world.clock.now();
    Rental {
        id: world.id().into(),
        lease_id: None,
        of_lease,
        provider: "mock".into(),
        offer: "1".into(),
        instance_id: None,
        state,
        gpus: 1,
        gpu_model: "A100".into(),
        price_micros: 1,
        tries: 0,
        status_info: None,
        ready_until: now,
        created_at: now,
        rented_at: None,
        ended_at: (state != RentalState::Releasing).then_some(now),
        updated_at: now,
        answered_at: None,
        missing_since: None,
    }
}

/// A user with two trainings, and an ended run with so many statuses and two leases.
async fn with_everything(world: &World, statuses: u32) -> UserId {
    let (owner, now) = (world.user().await, world.clock.now());
    world.training(owner).await;
    let training = world.training(owner).await;
    let images = [world.uploaded(training.id).await, world.uploaded(training.id).await];
    let run = world.live_run(&training, &images).await;
    let mut writes =
        vec![Write::Insert(RunPulse { run_id: run, sequence: statuses.into(), heard_at: now }.to_row())];
    for sequence in 1..=statuses {
        let status = TrainingStatus {
            id: world.id().into(),
            run_id: run,
            sequence: sequence.into(),
            attempt: 1,
            message_id: None,
            status: "training_progress".into(),
            told: StatusTold::default(),
            created_at: now,
        };
        writes.push(Write::Insert(status.to_row()));
    }
    for attempt in [1, 2] {
        let lease = lease(world, (run, owner), attempt, true);
        let (lease_id, of_node, of_gpu) = (lease.id, world.id().into(), world.id().into());
        let node = LeaseNode {
            lease_id,
            of_node,
            node_id: None,
            members: 1,
            cpu_milli: CpuMilli::ZERO,
            memory_mib: MemoryMib::ZERO,
            storage_mib: StorageMib::ZERO,
            gpu_milli: GpuMilli::ZERO,
        };
        let gpu = LeaseGpu { lease_id, of_gpu, gpu_id: None, milli: GpuMilli::from_u32(1000) };
        let renewal = LeaseRenewal { lease_id, token: 1, expires_at: now };
        writes.extend([lease.to_row(), node.to_row(), gpu.to_row(), renewal.to_row()].map(Write::Insert));
        writes.push(Write::Insert(rental(world, lease_id, RentalState::Released).to_row()));
    }
    let used = AccountUse {
        account_id: owner,
        period: 1,
        gpu_milli_seconds: 1,
        cpu_milli_seconds: 1,
        memory_mib_seconds: 1,
    };
    writes.push(Write::Insert(used.to_row()));
    world.write(writes).await;
    world.end_run(run).await;
    world.cloud.set_fair_share(owner, 500).await.unwrap();
    owner
}

async fn what_has_not_ended_stands_in_the_way(world: &World) {
    let owner = world.user().await;
    let training = world.training(owner).await;
    let run = world.live_run(&training, &[]).await;
    let plan = world.cloud.plan_user_deletion(owner).await.unwrap();
    assert_eq!(plan.stands, [Standing::LiveRuns(1)]);
    let refused = world.cloud.delete_user(owner).await;
    assert!(matches!(refused, Err(Error::StillUsed { kind: "user", by: "training_runs" })), "{refused:?}");
    world.end_run(run).await;
    let held = lease(world, (run, owner), 1, false);
    world.write(vec![Write::Insert(held.to_row())]).await;
    assert_eq!(world.cloud.plan_user_deletion(owner).await.unwrap().stands, [Standing::HeldLeases(1)]);
    let refused = world.cloud.delete_user(owner).await;
    assert!(matches!(refused, Err(Error::StillUsed { kind: "user", by: "gpu_leases" })), "{refused:?}");
    let released =
        GpuLease { state: BindingState::Released, released_at: Some(world.clock.now()), ..held.clone() };
    let open = rental(world, held.id, RentalState::Releasing);
    let release = Write::update(&GPU_LEASES, held.id, 1, released.plain());
    world.write(vec![release, Write::Insert(open.to_row())]).await;
    assert!(world.training_row(training.id).await.is_some(), "nothing was deleted");
    let refused = world.cloud.delete_user(owner).await;
    assert!(matches!(refused, Err(Error::StillUsed { kind: "user", by: "rentals" })), "{refused:?}");
    let ended = rental(world, held.id, RentalState::Released);
    world.write(vec![Write::update(&RENTALS, open.id, 1, ended.plain())]).await;
    world.cloud.delete_user(owner).await.unwrap();
}

async fn one_held_lease_of_many_runs_stands_in_the_way(world: &World) {
    let (owner, now) = (world.user().await, world.clock.now());
    let mut ids: Vec<RunId> = (0..1001).map(|_| world.id().into()).collect();
    ids.sort_unstable();
    let rows = ids.iter().map(|&id| {
        let run = waiting_run((id, owner), world.id().into(), world.id().into(), now);
        let (state, ended_at) = (RunState::Aborted, Some(now));
        let ended =
            TrainingRun { training_id: None, queue_id: None, state_deadline: None, state, ended_at, ..run };
        Write::Insert(ended.to_row())
    });
    world.write(rows.collect()).await;
    assert_eq!(world.cloud.plan_user_deletion(owner).await.unwrap().stands, []);
    // Of the last one in every order.
    let held = lease(world, (ids[1000], owner), 1, false);
    world.write(vec![Write::Insert(held.to_row())]).await;
    assert_eq!(world.cloud.plan_user_deletion(owner).await.unwrap().stands, [Standing::HeldLeases(1)]);
    let refused = world.cloud.delete_user(owner).await;
    assert!(matches!(refused, Err(Error::StillUsed { kind: "user", by: "gpu_leases" })), "{refused:?}");
    world.cloud.repositories().training_runs().require(ids[0]).await.unwrap();
    let leases = [Write::delete(&GPU_LEASES, held.id, 1)];
    let runs = ids.iter().map(|&id| Write::delete(&TRAINING_RUNS, id, 1));
    world.write(leases.into_iter().chain(runs).collect()).await;
    world.cloud.delete_user(owner).await.unwrap();
}

async fn everything_of_trainings_goes_with_a_user(world: &World) {
    let before = counted(world).await;
    let stays = with_everything(world, 2).await;
    let with_one = counted(world).await;
    assert!(before.iter().zip(&with_one).all(|(before, with)| before.1 < with.1), "{with_one:?}");
    // More statuses than go at once.
    let owner = with_everything(world, 2_100).await;
    let plan = world.cloud.plan_user_deletion(owner).await.unwrap();
    for goes in [("trainings", 2), ("training_runs", 1), ("fair_shares", 1), ("account_uses", 1)] {
        assert!(plan.goes.contains(&goes) && plan.stands.is_empty(), "{plan:?}");
    }
    world.cloud.delete_user(owner).await.unwrap();
    assert_eq!(counted(world).await, with_one);
    assert_eq!(world.cloud.repositories().users().get(owner).await.unwrap(), None);
    world.cloud.delete_user(stays).await.unwrap();
    assert_eq!(counted(world).await, before);
}

async fn what_was_cut_off_is_finished(world: &World) {
    let before = counted(world).await;
    for batches in 0.. {
        let owner = with_everything(world, 3).await;
        let cut = Cut::after(world.cloud.store(), batches);
        let done = world.over(Arc::new(cut)).delete_user(owner).await;
        assert!(world.cloud.audit().await.unwrap().is_clean(), "cut off after {batches}");
        if done.is_err() {
            let made = world.cloud.create_training(world.new_training(owner)).await;
            assert!(
                batches == 0 || matches!(made, Err(Error::Denied { .. })),
                "it is being deleted: {made:?}"
            );
            world.cloud.delete_user(owner).await.unwrap();
        }
        assert_eq!(counted(world).await, before, "cut off after {batches}");
        if done.is_ok() {
            assert!(batches > 3, "it goes in steps");
            return;
        }
        world.clock.advance(Duration::from_secs(1));
    }
}
