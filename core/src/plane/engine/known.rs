//! What a scheduler has seen: read whole at first, and then what the feed says has changed.
//!
//! `known/terms.rs` takes in queues, shares and use, `known/runs.rs` runs and leases, with the nodes that these hold.

mod runs;
mod terms;

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::convert::Models;
use crate::entity::{
    ACCOUNT_USES, BindingState, COMPUTE_NODES, FAIR_SHARES, GPU_LEASES, GPUS, NODE_LEDGERS, NODE_LIFECYCLES,
    RUN_QUEUES, RunState, TRAINING_RUNS,
};
use crate::error::{Error, Result};
use crate::plane::leases::tree_of;
use crate::plane::view::View;
use crate::queue::{Queue, Resources, Settings};
use crate::rent::OfferQuery;
use crate::sched::{Cluster, Tag};
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
        let mut view = View::new(snapshot.cursor(), Cluster::for_policy(settings.placement));
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
        self.take_shares(store, changed.shares).await?;
        self.take_uses(store, changed.uses).await?;
        self.take_runs(store, &changed.leases, &changed.runs).await?;
        let touched = changed.nodes.into_iter().chain(std::mem::take(&mut self.changed.nodes));
        touched.collect::<BTreeSet<_>>().into_iter().try_for_each(|node| self.take_node(node))
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
