//! What a scheduler has seen: read whole at first, and then what the feed says has changed.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::convert::{HeldOn, Models, job, pending, placements};
use crate::entity::{
    ACCOUNT_USES, AccountUse, BindingState, COMPUTE_NODES, Entity as _, FAIR_SHARES, FairShare, GPU_LEASES,
    GPUS, GpuLease, LEASE_GPUS, LEASE_NODES, LeaseGpu, LeaseNode, NODE_LEDGERS, NODE_LIFECYCLES, RUN_QUEUES,
    RunState, TRAINING_RUNS, TrainingRun,
};
use crate::error::{Error, Result};
use crate::plane::leases::{node_of, tree_of};
use crate::plane::view::View;
use crate::queue::{Queue, QueueTree, Resources, Running, Settings};
use crate::rent::OfferQuery;
use crate::sched::Tag;
use crate::store::{
    Cursor, Key, MAX_CHANGES, Record, Row, Scan, Snapshot, SnapshotExt as _, Store, StoreError,
    StoreExt as _, Table,
};

/// How many rows are read again at once.
const AT_ONCE: usize = 500;

/// What a scheduler has seen.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) queue: Queue,
    /// The nodes, with everything taken off that is taken.
    pub(super) view: View,
    /// The run of each lease that holds something.
    pub(super) leases: FxHashMap<Uuid, Uuid>,
    /// The kinds of the tasks that leases are of on each node: the view knows those of instances only.
    kinds: FxHashMap<Uuid, Vec<(Uuid, Tag)>>,
    /// The runs that wait and for which a machine may be rented, with what that has to be.
    pub(super) rentable: BTreeMap<Uuid, OfferQuery>,
    models: Models,
    uses: FxHashMap<(Uuid, i64), Resources>,
    changed: Changed,
}

/// What the feed said has changed, and was not looked at yet.
#[derive(Debug, Default)]
struct Changed {
    runs: BTreeSet<Uuid>,
    leases: BTreeSet<Uuid>,
    shares: BTreeSet<Uuid>,
    uses: BTreeSet<Key>,
    gpus: BTreeSet<Uuid>,
    nodes: BTreeSet<Uuid>,
    queues: bool,
}

impl Known {
    /// Reads everything.
    pub(super) async fn read(store: &dyn Store, settings: Settings) -> Result<Self> {
        let snapshot = store.snapshot().await?;
        let mut view = View::new(snapshot.cursor());
        view.skip = snapshot.already_seen().iter().copied().collect();
        let mut models = Models::new();
        for table in [&COMPUTE_NODES, &NODE_LIFECYCLES, &NODE_LEDGERS, &GPUS] {
            snapshot.each(Scan::of(table), &mut |row| view.take_row(row)).await?;
        }
        let mut gpus = Vec::new();
        snapshot
            .each(Scan::of(&GPUS), &mut |row| {
                gpus.push(row.clone());
                Ok(())
            })
            .await?;
        gpus.iter().try_for_each(|row| note_model(&mut models, row))?;
        let mut queues = Vec::new();
        snapshot
            .each(Scan::of(&RUN_QUEUES), &mut |row| {
                queues.push(row.clone());
                Ok(())
            })
            .await?;
        let queue = Queue::new(settings, tree_of(&queues)?);
        let changed = Changed::default();
        let mut known = Self {
            queue,
            view,
            leases: FxHashMap::default(),
            kinds: FxHashMap::default(),
            rentable: BTreeMap::new(),
            models,
            uses: FxHashMap::default(),
            changed,
        };
        for node in known.view.cluster.iter().map(|node| node.id).collect::<Vec<_>>() {
            known.changed.nodes.insert(node);
        }
        known.read_rest(&*snapshot).await?;
        drop(snapshot);
        known.settle(store).await?;
        Ok(known)
    }

    /// Notes everything that is to be looked at.
    async fn read_rest(&mut self, snapshot: &dyn Snapshot) -> Result<()> {
        let changed = &mut self.changed;
        for state in RunState::ALL.iter().filter(|state| !state.is_terminal()) {
            let live = Scan::of(&TRAINING_RUNS).by("training_runs_state").with(state.as_str());
            snapshot
                .each(live, &mut |row| {
                    changed.runs.insert(row.id::<()>("id")?.uuid());
                    Ok(())
                })
                .await?;
        }
        for state in BindingState::ALL.iter().filter(|state| state.holds()) {
            let live = Scan::of(&GPU_LEASES).by("gpu_leases_state").with(state.as_str());
            snapshot
                .each(live, &mut |row| {
                    changed.leases.insert(row.id::<()>("id")?.uuid());
                    Ok(())
                })
                .await?;
        }
        snapshot
            .each(Scan::of(&FAIR_SHARES), &mut |row| {
                changed.shares.insert(row.id::<()>("account_id")?.uuid());
                Ok(())
            })
            .await?;
        snapshot
            .each(Scan::of(&ACCOUNT_USES), &mut |row| {
                changed.uses.insert(row.key());
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// How far the feed was followed.
    pub(super) const fn cursor(&self) -> Cursor {
        self.view.cursor
    }

    /// Takes in what has changed; `false` where the feed cannot be followed from here any more.
    pub(super) async fn follow(&mut self, store: &dyn Store) -> Result<bool> {
        loop {
            let changes = match store.changes(self.view.cursor, MAX_CHANGES).await {
                Err(StoreError::CursorExpired { .. } | StoreError::CursorForeign { .. }) => return Ok(false),
                changes => changes?,
            };
            changes.records.iter().for_each(|record| self.note(record));
            self.view.take_records(&changes.records)?;
            if changes.lag == 0 {
                break;
            }
        }
        self.settle(store).await?;
        Ok(true)
    }

    /// Notes what a record says has changed.
    fn note(&mut self, record: &Record) {
        for change in &record.changes {
            let changed = &mut self.changed;
            let (table, id) = (change.table, change.key.values().first().and_then(uuid_of));
            let Some(id) = id else { continue };
            match table {
                name if name == TRAINING_RUNS.name => drop(changed.runs.insert(id)),
                name if name == GPU_LEASES.name => drop(changed.leases.insert(id)),
                name if name == FAIR_SHARES.name => drop(changed.shares.insert(id)),
                name if name == ACCOUNT_USES.name => drop(changed.uses.insert(change.key.clone())),
                name if name == GPUS.name => drop(changed.gpus.insert(id)),
                name if name == RUN_QUEUES.name => changed.queues = true,
                name if [COMPUTE_NODES.name, NODE_LIFECYCLES.name, NODE_LEDGERS.name].contains(&name) => {
                    changed.nodes.insert(id);
                }
                _ => {}
            }
        }
    }

    /// Looks at everything that has changed. A row is read as it is now, which may be later than the feed was followed: it will
    /// be told again, and is then the same.
    async fn settle(&mut self, store: &dyn Store) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        if changed.queues {
            self.take_queues(store).await?;
        }
        for row in read(store, &GPUS, changed.gpus.iter().map(|id| (*id).into())).await?.into_values() {
            note_model(&mut self.models, &row)?;
            if let Some(node) = row.opt_id::<()>("node_id")? {
                self.changed.nodes.insert(node.uuid());
            }
        }
        let shares = read(store, &FAIR_SHARES, changed.shares.iter().map(|id| (*id).into())).await?;
        for account in changed.shares {
            let weight = shares
                .get(&account.into())
                .map(FairShare::from_row)
                .transpose()?
                .map_or(1000, |share| share.weight_milli);
            self.queue.set_weight(account, weight);
        }
        self.take_uses(store, changed.uses).await?;
        self.take_runs(store, &changed.leases, &changed.runs).await?;
        let touched = changed.nodes.into_iter().chain(std::mem::take(&mut self.changed.nodes));
        touched.collect::<BTreeSet<_>>().into_iter().try_for_each(|node| self.take_node(node))
    }

    async fn take_queues(&mut self, store: &dyn Store) -> Result<()> {
        let rows = store.scan_all(Scan::of(&RUN_QUEUES)).await?;
        let tree: QueueTree = tree_of(&rows)?;
        let wanted: BTreeMap<Uuid, Row> =
            rows.into_iter().filter_map(|row| Some((row.key().as_uuid()?, row))).collect();
        let gone: Vec<Uuid> =
            self.queue.tree().iter().map(|node| node.id).filter(|id| !wanted.contains_key(id)).collect();
        // Parents before their children: in the order in which the tree took them.
        for node in tree.iter() {
            let Some(row) = wanted.get(&node.id) else { continue };
            self.queue.set_queue(node_of(row)?).map_err(|error| does_not_fit("parent_id", &error))?;
        }
        for queue in gone.into_iter().rev() {
            // What still waits or runs there is told to have gone by the feed, and then the queue goes with the next change.
            drop(self.queue.remove_queue(queue));
        }
        Ok(())
    }

    async fn take_uses(&mut self, store: &dyn Store, keys: BTreeSet<Key>) -> Result<()> {
        for row in read(store, &ACCOUNT_USES, keys.into_iter()).await?.into_values() {
            let used = AccountUse::from_row(&row)?;
            let amount = |column| row.int(column);
            let now = Resources {
                gpu_milli: amount("gpu_milli_seconds")?,
                cpu_milli: amount("cpu_milli_seconds")?,
                memory_mib: amount("memory_mib_seconds")?,
            };
            let (account, period) = (used.account_id.uuid(), used.period);
            let before = self.uses.insert((account, period), now).unwrap_or(Resources::ZERO);
            self.queue.add_use(account, period, now.minus(before));
        }
        Ok(())
    }

    /// Takes in runs and leases: first what holds nothing any more, then what holds something, then what waits.
    async fn take_runs(
        &mut self,
        store: &dyn Store,
        leases: &BTreeSet<Uuid>,
        runs: &BTreeSet<Uuid>,
    ) -> Result<()> {
        let mut rows = read(store, &GPU_LEASES, leases.iter().map(|id| (*id).into())).await?;
        let holds = |row: &Row| Ok::<_, Error>(GpuLease::from_row(row)?.state.holds());
        let mut live = Vec::new();
        for id in leases {
            match rows.remove(&(*id).into()) {
                Some(row) if holds(&row)? => live.push(GpuLease::from_row(&row)?),
                _ => {
                    if self.leases.remove(id).is_some() {
                        self.touch_nodes_of(*id);
                        self.queue.end(*id);
                    }
                }
            }
        }
        let needed: BTreeSet<Uuid> =
            runs.iter().copied().chain(live.iter().map(|lease| lease.of_run.uuid())).collect();
        let rows = read(store, &TRAINING_RUNS, needed.iter().map(|id| (*id).into())).await?;
        for id in runs {
            self.queue.withdraw(*id);
            self.rentable.remove(id);
        }
        for lease in live {
            self.take_lease(store, &lease, rows.get(&lease.of_run.into())).await?;
        }
        for id in runs {
            let Some(row) = rows.get(&(*id).into()) else { continue };
            let run = TrainingRun::from_row(row)?;
            if let Some(job) = pending(&run, &self.models) {
                self.rentable.extend(OfferQuery::of(&run.ask).map(|query| (*id, query)));
                // A queue that was deleted meanwhile is told by the feed, and the run with it.
                drop(self.queue.submit(job));
            }
        }
        Ok(())
    }

    async fn take_lease(&mut self, store: &dyn Store, lease: &GpuLease, run: Option<&Row>) -> Result<()> {
        let id = lease.id.uuid();
        let stopping = lease.state == BindingState::Releasing;
        if self.leases.contains_key(&id) {
            if stopping {
                self.queue.stopping(id, None);
            }
            return Ok(());
        }
        let Some((run, queue)) = run.map(TrainingRun::from_row).transpose()?.zip(lease.queue_id) else {
            return Ok(());
        };
        // What the lease is charged to does not change with the run.
        let run = TrainingRun { queue_id: Some(queue), ..run };
        let Some(job) = job(&run, id, &self.models) else { return Ok(()) };
        let held = self.held(store, lease).await?;
        let Some(placements) = placements(&job.ask, &held) else { return Ok(()) };
        for on in &held {
            self.give_room(on, &job.ask);
            self.changed.nodes.insert(on.node);
        }
        let kinds: Vec<(Uuid, Tag)> =
            placements.iter().filter_map(|at| Some((at.node, at.demand.tag()?))).collect();
        let running = Running { job, started: lease.created_at, placements, stopping };
        if self.queue.restore(running).is_ok() {
            self.leases.insert(id, lease.of_run.uuid());
            for (node, kind) in kinds {
                self.kinds.entry(node).or_default().push((id, kind));
            }
        }
        Ok(())
    }

    /// What a lease holds, node by node.
    async fn held(&self, store: &dyn Store, lease: &GpuLease) -> Result<Vec<HeldOn>> {
        let nodes = store.scan_all(Scan::of(&LEASE_NODES).by("lease_nodes_lease").with(lease.id)).await?;
        let gpus = store.scan_all(Scan::of(&LEASE_GPUS).by("lease_gpus_lease").with(lease.id)).await?;
        let mut held = Vec::with_capacity(nodes.len());
        for row in &nodes {
            let part = LeaseNode::from_row(row)?;
            let node = part.of_node.uuid();
            held.push(HeldOn { node, members: part.members, gpus: Vec::new() });
        }
        for row in &gpus {
            let of = LeaseGpu::from_row(row)?;
            for on in &mut held {
                let Some(node) = self.view.node(on.node) else { continue };
                if let Some(place) = node.gpus.iter().position(|gpu| gpu.id == of.of_gpu.uuid()) {
                    on.gpus.push((u32::try_from(place).unwrap_or(u32::MAX), of.milli.get()));
                }
            }
        }
        Ok(held)
    }

    /// Lets the queue see a node with room for what is about to be held there: what is held is already off the view.
    fn give_room(&mut self, on: &HeldOn, ask: &crate::queue::Ask) {
        let Some(mut state) = self.queue.cluster().get(&on.node).or_else(|| self.view.state(on.node)) else {
            return;
        };
        let (demand, members) = (ask.demand(), i64::from(on.members));
        state.cpu_free = state.cpu_free.max(demand.cpu().get() * members);
        state.memory_free = state.memory_free.max(demand.memory().get() * members);
        state.storage_free = state.storage_free.max(demand.storage().get() * members);
        for (gpu, milli) in &on.gpus {
            if let Some(gpu) = usize::try_from(*gpu).ok().and_then(|gpu| state.gpus.get_mut(gpu)) {
                gpu.free_milli = gpu.free_milli.max(*milli);
            }
        }
        drop(self.queue.upsert_node(&state));
    }

    fn touch_nodes_of(&mut self, lease: Uuid) {
        let nodes: Vec<Uuid> = self
            .queue
            .running(lease)
            .map(|run| run.placements.iter().map(|at| at.node).collect())
            .unwrap_or_default();
        for node in &nodes {
            if let Some(kinds) = self.kinds.get_mut(node) {
                kinds.retain(|(of, _)| *of != lease);
            }
        }
        self.changed.nodes.extend(nodes);
    }

    /// Lets the queue see a node as it is.
    fn take_node(&mut self, node: Uuid) -> Result<()> {
        match self.view.state(node) {
            Some(mut state) => {
                for (_, kind) in self.kinds.get(&node).into_iter().flatten() {
                    state.running.add(*kind, 1);
                }
                self.queue.upsert_node(&state).map_err(|error| does_not_fit("node_ledgers", &error))?;
            }
            None => drop(self.queue.remove_node(node)),
        }
        Ok(())
    }
}

/// The rows that are there, by their keys.
async fn read(
    store: &dyn Store,
    table: &'static Table,
    keys: impl Iterator<Item = Key>,
) -> Result<BTreeMap<Key, Row>> {
    let keys: Vec<Key> = keys.collect();
    let mut rows = BTreeMap::new();
    for some in keys.chunks(AT_ONCE) {
        let asked = some.iter().map(|key| (table, key.clone())).collect();
        let found = store.get_many(asked).await?.value;
        rows.extend(found.into_iter().flatten().map(|row| (row.key(), row)));
    }
    Ok(rows)
}

/// Notes the memory of a GPU as that of its model, where no other one has less.
fn note_model(models: &mut Models, row: &Row) -> Result<()> {
    let Some(memory) = row.opt_int("memory_mib")? else { return Ok(()) };
    let memory = crate::amount::MemoryMib::new(memory).map_err(|error| does_not_fit("memory_mib", &error))?;
    let known = models.entry(row.text("model")?.to_owned()).or_insert(memory);
    *known = (*known).min(memory);
    Ok(())
}

fn uuid_of(value: &crate::store::Value) -> Option<Uuid> {
    match value {
        crate::store::Value::Uuid(id) => Some(*id),
        _ => None,
    }
}

fn does_not_fit(column: &'static str, error: &dyn std::fmt::Display) -> Error {
    StoreError::corrupt(RUN_QUEUES.name, None, column, error.to_string()).into()
}
