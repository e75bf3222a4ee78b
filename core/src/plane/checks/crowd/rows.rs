//! What is stored when everything has come to its end.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::feed::Told;
use super::judge::Facts;
use crate::ControlPlane;
use crate::entity::{
    ACCOUNT_USES, AccountUse, BindingState, Entity, GPU_LEASES, GPUS, GpuLease, NODE_LEDGERS, QUOTAS,
    RUN_QUEUE_USES, RunState, TRAINING_RUNS, TrainingRun,
};
use crate::store::{Scan, StoreExt as _, Table};

/// All rows of a table.
async fn all<E: Entity>(plane: &ControlPlane, table: &'static Table) -> Vec<E> {
    let rows = plane.store.scan_all(Scan::of(table)).await.unwrap();
    rows.iter().map(|row| E::from_row(row).unwrap()).collect()
}

/// Looks at what is left, and answers the runs by their states.
pub(super) async fn judge(
    plane: &ControlPlane,
    facts: &Facts,
    told: &Told,
    wrong: &mut Vec<String>,
) -> BTreeMap<Uuid, RunState> {
    let audit = plane.audit().await.unwrap();
    wrong.extend(audit.drifts.iter().map(|drift| format!("{drift:?}")));
    nothing_is_held(plane, wrong).await;
    let leases: Vec<GpuLease> = all(plane, &GPU_LEASES).await;
    let runs: Vec<TrainingRun> = all(plane, &TRAINING_RUNS).await;
    every_run_has_ended(&runs, facts, told, wrong);
    what_was_held_is_billed(&runs, &leases, wrong);
    let uses: Vec<AccountUse> = all(plane, &ACCOUNT_USES).await;
    what_was_held_is_charged(&leases, &uses, wrong);
    for lease in leases.iter().filter(|lease| lease.state != BindingState::Released) {
        wrong.push(format!("{lease:?} is not released"));
    }
    runs.iter().map(|run| (run.id.uuid(), run.state)).collect()
}

/// Every GPU is free, and nothing of nodes, queues and accounts is charged.
async fn nothing_is_held(plane: &ControlPlane, wrong: &mut Vec<String>) {
    let amounts: &[&'static str] = &["gpu_milli", "cpu_milli", "memory_mib"];
    for (table, columns) in [
        (&GPUS, &["used_milli"][..]),
        (&NODE_LEDGERS, amounts),
        (&RUN_QUEUE_USES, amounts),
        (&QUOTAS, &["gpu_milli", "cpu_milli", "memory_mib", "runs"]),
    ] {
        for row in plane.store.scan_all(Scan::of(table)).await.unwrap() {
            for column in columns {
                let held = row.int(column).unwrap();
                if held != 0 {
                    wrong.push(format!("{held} is left in {}.{column} of {:?}", table.name, row.key()));
                }
            }
        }
    }
}

/// Every run that was asked for is there and has ended, once; and there is no other one.
fn every_run_has_ended(runs: &[TrainingRun], facts: &Facts, told: &Told, wrong: &mut Vec<String>) {
    let by_id: BTreeMap<Uuid, &TrainingRun> = runs.iter().map(|run| (run.id.uuid(), run)).collect();
    for (id, answered) in &facts.submitted {
        if *answered && !by_id.contains_key(&id.uuid()) {
            wrong.push(format!("run {id} was submitted, and is lost"));
        }
    }
    for run in runs {
        if !facts.submitted.contains_key(&run.id) {
            wrong.push(format!("nobody has submitted run {}", run.id));
        }
        let ends = told.runs.get(&run.id.uuid()).map_or(0, |run| run.ends);
        if !run.state.is_terminal() || ends != 1 || run.ended_at.is_none() {
            wrong.push(format!("run {} is {} and has ended {ends} times", run.id, run.state));
        }
    }
}

/// For each run the time is counted for which its leases held something.
fn what_was_held_is_billed(runs: &[TrainingRun], leases: &[GpuLease], wrong: &mut Vec<String>) {
    let mut held: BTreeMap<Uuid, u128> = BTreeMap::new();
    for lease in leases {
        let Some(released) = lease.released_at else { continue };
        *held.entry(lease.of_run.uuid()).or_default() += lease.held(released).as_millis();
    }
    for run in runs {
        let held = held.get(&run.id.uuid()).copied().unwrap_or_default();
        if u128::from(run.held_ms) != held {
            wrong.push(format!("run {} is billed {} ms, and was held for {held}", run.id, run.held_ms));
        }
    }
}

/// Each account is charged what its leases held, times the seconds for which they did.
fn what_was_held_is_charged(leases: &[GpuLease], uses: &[AccountUse], wrong: &mut Vec<String>) {
    let mut held: BTreeMap<Uuid, [u128; 3]> = BTreeMap::new();
    for lease in leases {
        let Some(released) = lease.released_at else { continue };
        let micros = lease.held(released).as_micros();
        let amounts = [lease.gpu_milli.get(), lease.cpu_milli.get(), lease.memory_mib.get()];
        for (sum, amount) in held.entry(lease.account_id.uuid()).or_default().iter_mut().zip(amounts) {
            *sum += u128::try_from(amount).unwrap() * micros / 1_000_000;
        }
    }
    let mut charged: BTreeMap<Uuid, [u128; 3]> = BTreeMap::new();
    for one in uses {
        let amounts = [one.gpu_milli_seconds, one.cpu_milli_seconds, one.memory_mib_seconds];
        for (sum, amount) in charged.entry(one.account_id.uuid()).or_default().iter_mut().zip(amounts) {
            *sum += u128::from(amount);
        }
    }
    // Who held nothing of all that has no row.
    held.retain(|_, sums| *sums != [0; 3]);
    charged.retain(|_, sums| *sums != [0; 3]);
    if held != charged {
        wrong.push(format!("accounts are charged {charged:?}, and held {held:?}"));
    }
}
