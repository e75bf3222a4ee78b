//! What is stored and what the model knows, as lines under names.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::compared::{Facts, parsed, rows_of};
use super::state::{Amounts, Model};
use crate::entity::{
    ACCOUNT_USES, AccountUse, GPU_LEASES, GPUS, Gpu, GpuLease, LEASE_GPUS, LEASE_NODES, LEASE_RENEWALS,
    LeaseGpu, LeaseNode, LeaseRenewal, NODE_HEARTBEATS, NODE_LEDGERS, NODE_LIFECYCLES, NodeHeartbeat,
    NodeLedger, NodeLifecycle, QUOTAS, Quota, RENTALS, RUN_PULSES, RUN_QUEUE_USES, Rental, RunCause,
    RunPulse, RunQueueUse, TRAINING_RUNS, TRAINING_STATUSES, TrainingRun, TrainingStatus,
};
use crate::id::Id;
use crate::store::{Store, Table};

/// All rows of runs and leases, as they are at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rows {
    pub(super) lives: Vec<NodeLifecycle>,
    pub(super) heard: Vec<NodeHeartbeat>,
    pub(super) ledgers: Vec<NodeLedger>,
    pub(super) gpus: Vec<Gpu>,
    pub(super) runs: Vec<TrainingRun>,
    pub(super) pulses: Vec<RunPulse>,
    pub(super) statuses: Vec<TrainingStatus>,
    pub(super) leases: Vec<GpuLease>,
    pub(super) renewals: Vec<LeaseRenewal>,
    pub(super) parts: Vec<LeaseNode>,
    pub(super) held: Vec<LeaseGpu>,
    pub(super) rentals: Vec<Rental>,
    pub(super) quotas: Vec<Quota>,
    pub(super) queues: Vec<RunQueueUse>,
    pub(super) uses: Vec<AccountUse>,
}

impl Rows {
    pub(super) async fn read(store: &dyn Store) -> Result<Self, String> {
        const TABLES: [&Table; 15] = [
            &NODE_LIFECYCLES,
            &NODE_HEARTBEATS,
            &NODE_LEDGERS,
            &GPUS,
            &TRAINING_RUNS,
            &RUN_PULSES,
            &TRAINING_STATUSES,
            &GPU_LEASES,
            &LEASE_RENEWALS,
            &LEASE_NODES,
            &LEASE_GPUS,
            &RENTALS,
            &QUOTAS,
            &RUN_QUEUE_USES,
            &ACCOUNT_USES,
        ];
        let mut pages = rows_of(store, &TABLES).await?;
        let mut next = || pages.next().unwrap_or_default();
        Ok(Self {
            lives: parsed(&next())?,
            heard: parsed(&next())?,
            ledgers: parsed(&next())?,
            gpus: parsed(&next())?,
            runs: parsed(&next())?,
            pulses: parsed(&next())?,
            statuses: parsed(&next())?,
            leases: parsed(&next())?,
            renewals: parsed(&next())?,
            parts: parsed(&next())?,
            held: parsed(&next())?,
            rentals: parsed(&next())?,
            quotas: parsed(&next())?,
            queues: parsed(&next())?,
            uses: parsed(&next())?,
        })
    }
}

/// What the places of ids are called.
struct Names(BTreeMap<Uuid, String>);

impl Names {
    fn of(model: &Model) -> Self {
        let mut names = BTreeMap::new();
        let mut name = |id: Uuid, what: &str, at: usize| drop(names.insert(id, format!("{what} {at}")));
        model.users.iter().enumerate().for_each(|(at, it)| name(it.id.uuid(), "user", at));
        model.queues.iter().enumerate().for_each(|(at, it)| name(it.id.uuid(), "queue", at));
        model.trainings.iter().enumerate().for_each(|(at, it)| name(it.id.uuid(), "training", at));
        model.runs.iter().enumerate().for_each(|(at, it)| name(it.id.uuid(), "run", at));
        model.leases.iter().enumerate().for_each(|(at, it)| name(it.id.uuid(), "lease", at));
        model.rentals.iter().enumerate().for_each(|(at, it)| name(it.id.uuid(), "rental", at));
        for (at, node) in model.nodes.iter().enumerate() {
            name(node.id.uuid(), "node", at);
            node.gpus.iter().enumerate().for_each(|(slot, gpu)| name(gpu.uuid(), &format!("gpu {at}"), slot));
        }
        Self(names)
    }

    fn get<E>(&self, id: Id<E>) -> String {
        self.0.get(&id.uuid()).cloned().unwrap_or_else(|| id.to_string())
    }

    fn some<E>(&self, id: Option<Id<E>>) -> Option<String> {
        id.map(|id| self.get(id))
    }
}

/// What is stored.
pub(super) fn stored(model: &Model, rows: &Rows) -> Facts {
    let names = Names::of(model);
    let mut facts = Facts::new();
    let mut fact = |name: String, fact: String| drop(facts.insert(name, fact));
    for row in &rows.lives {
        fact(format!("{} is", names.get(row.node_id)), row.state.to_string());
    }
    for row in &rows.heard {
        fact(format!("{} hears", names.get(row.node_id)), format!("session {}", row.session));
    }
    for row in &rows.ledgers {
        let held = [row.gpu_milli.get(), row.cpu_milli.get(), row.memory_mib.get(), row.storage_mib.get()];
        fact(format!("{} holds", names.get(row.node_id)), format!("{held:?}"));
    }
    for row in &rows.gpus {
        fact(names.get(row.id), format!("{} used, {}", row.used_milli.get(), row.health));
    }
    for row in &rows.runs {
        let name = names.get(row.id);
        let artifact = row.artifact_key.as_ref().zip(row.artifact_bytes);
        let pins = (names.some(row.training_id), names.some(row.queue_id));
        let counts = (row.attempt, row.failures, row.preemptions, row.images_left);
        let times = (row.not_before, row.state_deadline, row.ended_at);
        fact(name.clone(), run((row.state.as_str(), row.cause.map(RunCause::as_str)), counts, &pins, times));
        fact(format!("{name} held"), format!("{} ms", row.held_ms));
        fact(format!("{name} made"), format!("{artifact:?}"));
    }
    for row in &rows.pulses {
        let told = rows.statuses.iter().filter(|status| status.run_id == row.run_id).count();
        let fact_of = format!("{} at {}, {told} messages", row.sequence, row.heard_at);
        fact(format!("{} tells", names.get(row.run_id)), fact_of);
    }
    for row in &rows.leases {
        let name = names.get(row.id);
        let renewal = rows.renewals.iter().find(|renewal| renewal.lease_id == row.id);
        let amounts = [row.gpu_milli.get(), row.cpu_milli.get(), row.memory_mib.get(), row.storage_mib.get()];
        let pins = (names.some(row.run_id), names.some(row.queue_id));
        fact(name.clone(), lease(row.state.as_str(), &pins, row.reason.as_deref()));
        let whose = (row.worker.clone(), names.some(row.node_id), row.session);
        let until = renewal.map(|renewal| (renewal.token, renewal.expires_at));
        fact(format!("{name} of"), format!("{} {}", names.get(row.of_run), row.attempt));
        fact(format!("{name} taken"), format!("{:?} {} {until:?}", whose, row.token));
        let times = (row.created_at, row.charged_until, row.released_at);
        fact(format!("{name} charged"), format!("{amounts:?} {} {times:?}", names.get(row.account_id)));
    }
    for row in &rows.parts {
        let amounts = [row.gpu_milli.get(), row.cpu_milli.get(), row.memory_mib.get(), row.storage_mib.get()];
        let name = format!("{} on {}", names.get(row.lease_id), names.get(row.of_node));
        fact(name, format!("{} {amounts:?} held {}", row.members, row.node_id.is_some()));
    }
    for row in &rows.held {
        let name = format!("{} has {}", names.get(row.lease_id), names.get(row.of_gpu));
        fact(name, format!("{} held {}", row.milli.get(), row.gpu_id.is_some()));
    }
    for row in &rows.rentals {
        let pins = (row.lease_id.is_some(), row.ended_at.is_some());
        fact(names.get(row.id), format!("{} of {} {pins:?}", row.state, names.get(row.of_lease)));
    }
    for row in &rows.quotas {
        let held = [row.gpu_milli.get(), row.cpu_milli.get(), row.memory_mib.get(), row.storage_mib.get()];
        fact(format!("{} uses", names.get(row.account_id)), format!("{} runs, {held:?}", row.runs));
    }
    for row in &rows.queues {
        let held = [row.gpu_milli.get(), row.cpu_milli.get(), row.memory_mib.get()];
        fact(format!("{} uses", names.get(row.queue_id)), format!("{held:?}"));
    }
    for row in &rows.uses {
        let sums = [row.gpu_milli_seconds, row.cpu_milli_seconds, row.memory_mib_seconds];
        if sums != [0; 3] {
            fact(format!("{} spent in {}", names.get(row.account_id), row.period), format!("{sums:?}"));
        }
    }
    facts
}

type Moment = Option<crate::time::Timestamp>;
type Pins = (Option<String>, Option<String>);

fn run(
    (state, cause): (&str, Option<&str>),
    (attempt, failures, preemptions, left): (u32, u32, u32, u32),
    pins: &Pins,
    (not_before, deadline, ended): (Moment, Moment, Moment),
) -> String {
    format!(
        "{state} by {cause:?}, attempt {attempt}, {failures} failures, {preemptions} preemptions, {left} images left, {pins:?}, not \
         before {not_before:?}, deadline {deadline:?}, ended {ended:?}"
    )
}

fn lease(state: &str, pins: &Pins, reason: Option<&str>) -> String {
    format!("{state} {pins:?} {reason:?}")
}

/// What the model knows.
pub(super) fn known(model: &Model) -> Facts {
    let names = Names::of(model);
    let mut facts = Facts::new();
    let mut fact = |name: String, fact: String| drop(facts.insert(name, fact));
    for (at, node) in model.nodes.iter().enumerate() {
        fact(format!("node {at} is"), node.state.to_string());
        if let Some(session) = node.session {
            fact(format!("node {at} hears"), format!("session {session}"));
        }
        fact(format!("node {at} holds"), format!("{:?}", model.held_on(at)));
        for gpu in &node.gpus {
            fact(names.get(*gpu), format!("{} used, healthy", model.held_of(*gpu)));
        }
    }
    for (at, it) in model.runs.iter().enumerate() {
        let live = it.is_live();
        let pins =
            (live.then(|| format!("training {}", it.training)), live.then(|| format!("queue {}", it.queue)));
        let left = u32::try_from(it.waits_for.len()).unwrap_or(u32::MAX);
        let counts = (it.attempt, it.failures, it.preemptions, left);
        let times = (it.not_before, it.deadline, it.ended_at);
        let why = (it.state.as_str(), it.cause.map(RunCause::as_str));
        fact(format!("run {at}"), run(why, counts, &pins, times));
        fact(format!("run {at} held"), format!("{} ms", it.held_ms));
        let artifact = it.artifact.as_ref().map(|(key, bytes)| (key, *bytes));
        fact(format!("run {at} made"), format!("{artifact:?}"));
        let told = it.messages.len();
        fact(format!("run {at} tells"), format!("{} at {}, {told} messages", it.told, it.heard_at));
    }
    for (at, it) in model.leases.iter().enumerate() {
        let (run, holds) = (&model.runs[it.run], it.holds());
        let pins =
            (it.is_own.then(|| format!("run {}", it.run)), holds.then(|| format!("queue {}", run.queue)));
        fact(format!("lease {at}"), lease(it.state.as_str(), &pins, it.reason.as_deref()));
        fact(format!("lease {at} of"), format!("run {} {}", it.run, it.attempt));
        let whose = (it.worker.clone(), it.node.map(|node| format!("node {node}")), it.session);
        let until = Some((it.token, it.expires_at));
        fact(format!("lease {at} taken"), format!("{:?} {} {until:?}", whose, it.token));
        let times = (it.since, it.charged_until, it.released_at);
        fact(format!("lease {at} charged"), format!("{:?} user {} {times:?}", it.amounts, run.user));
        for part in &it.parts {
            let name = format!("lease {at} on node {}", part.node);
            fact(name, format!("{} {:?} held {holds}", part.members, part.amounts));
        }
        for (gpu, milli) in &it.gpus {
            // What was of a rented machine that is gone is held by nobody, even where its lease is not over.
            let there = model.nodes.iter().any(|node| node.gpus.contains(gpu))
                || model.rentals.iter().any(|rental| rental.gpus.contains(gpu));
            fact(format!("lease {at} has {}", names.get(*gpu)), format!("{milli} held {}", holds && there));
        }
    }
    for (at, it) in model.rentals.iter().enumerate() {
        let there = it.state.may_be_there();
        fact(format!("rental {at}"), format!("{} of lease {} {:?}", it.state, it.lease, (there, !there)));
        for gpu in &it.gpus {
            fact(names.get(*gpu), format!("{} used, healthy", model.held_of(*gpu)));
        }
    }
    for (at, user) in model.users.iter().enumerate() {
        let held = model.charged_to(at);
        fact(format!("user {at} uses"), format!("{} runs, {held:?}", model.live_runs_of(at)));
        for (period, sums) in model.spent(at) {
            fact(format!("{} spent in {period}", names.get(user.id)), format!("{sums:?}"));
        }
    }
    for at in 0..model.queues.len() {
        let [gpu, cpu, memory, _]: Amounts = model.used_of(at);
        fact(format!("queue {at} uses"), format!("{:?}", [gpu, cpu, memory]));
    }
    facts
}
