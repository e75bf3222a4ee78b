//! The feed from its beginning, and what must hold at every position of it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::entity::{BindingState, GPU_LEASES, GPUS, LEASE_GPUS, RunState, TRAINING_RUNS};
use crate::store::{Cursor, MAX_CHANGES, Record, RowChange, Store, Value, Verb};

/// A lease, as the feed has told it so far.
#[derive(Debug)]
pub(super) struct LeaseTold {
    pub(super) run: Uuid,
    pub(super) state: String,
    pub(super) token: i64,
    gpu_milli: i64,
    /// Whether it is its run's own.
    own: bool,
}

/// A run, as the feed has told it so far.
#[derive(Debug, Default)]
pub(super) struct RunTold {
    pub(super) state: String,
    /// How often it came to an end.
    pub(super) ends: u32,
    /// By how many commits it was completed.
    pub(super) completed: u32,
    /// The number of its last lease.
    attempt: i64,
    /// Its own lease.
    lease: Option<Uuid>,
}

/// What the feed has told, and what was wrong with it.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) leases: BTreeMap<Uuid, LeaseTold>,
    pub(super) runs: BTreeMap<Uuid, RunTold>,
    /// How many commits there were of each operation.
    pub(super) operations: BTreeMap<String, u64>,
    pub(super) records: u64,
    pub(super) wrong: Vec<String>,
    /// What each GPU says is held of it.
    used: BTreeMap<Uuid, i64>,
    /// What leases hold of each GPU.
    held: BTreeMap<Uuid, BTreeMap<Uuid, i64>>,
}

/// What a record has changed.
#[derive(Debug, Default)]
struct Touched {
    gpus: BTreeSet<Uuid>,
    leases: BTreeSet<Uuid>,
}

/// Replays the whole feed.
pub(super) async fn replay(store: &dyn Store) -> Told {
    let (mut told, mut after) = (Told::default(), Cursor::START);
    loop {
        let changes = store.changes(after, MAX_CHANGES).await.unwrap();
        for record in &changes.records {
            told.take(record);
        }
        after = changes.next;
        if changes.lag == 0 {
            return told;
        }
    }
}

impl Told {
    fn take(&mut self, record: &Record) {
        self.records += 1;
        if record.position != self.records {
            self.wrong(record, "it is not the next one");
        }
        *self.operations.entry(record.operation.clone()).or_default() += 1;
        let mut touched = Touched::default();
        for change in &record.changes {
            let ids: Vec<Uuid> = change.key.values().iter().filter_map(uuid_of).collect();
            match (change.table, ids.as_slice()) {
                (table, [gpu]) if table == GPUS.name => {
                    self.used.extend(int(change, "used_milli").map(|used| (*gpu, used)));
                    touched.gpus.insert(*gpu);
                }
                (table, [lease, gpu]) if table == LEASE_GPUS.name => {
                    self.take_held(change, *lease, *gpu);
                    touched.gpus.insert(*gpu);
                    touched.leases.insert(*lease);
                }
                (table, [lease]) if table == GPU_LEASES.name => {
                    self.take_lease(record, change, *lease);
                    touched.leases.insert(*lease);
                }
                (table, [run]) if table == TRAINING_RUNS.name => self.take_run(record, change, *run),
                _ => {}
            }
        }
        self.look(record, &touched);
    }

    fn take_held(&mut self, change: &RowChange, lease: Uuid, gpu: Uuid) {
        let held = self.held.entry(gpu).or_default();
        match column(change, "gpu_id") {
            Some(Value::Null) => drop(held.remove(&lease)),
            Some(_) => drop(held.insert(lease, int(change, "milli").unwrap_or_default())),
            None => {}
        }
    }

    fn take_lease(&mut self, record: &Record, change: &RowChange, id: Uuid) {
        if change.verb == Verb::Insert {
            let run = column(change, "of_run").and_then(uuid_of).unwrap_or_default();
            let attempt = int(change, "attempt").unwrap_or_default();
            let of = self.runs.entry(run).or_default();
            if attempt != of.attempt + 1 {
                let told = format!("run {run} has attempt {attempt} behind {}", of.attempt);
                self.wrong(record, &told);
            }
            self.runs.entry(run).or_default().attempt = attempt;
            let gpu_milli = int(change, "gpu_milli").unwrap_or_default();
            let state = text(change, "state").unwrap_or_default();
            let token = int(change, "token").unwrap_or_default();
            self.leases.insert(id, LeaseTold { run, state, token, gpu_milli, own: false });
        }
        let Some(lease) = self.leases.get_mut(&id) else {
            return self.wrong(record, &format!("lease {id} was never given"));
        };
        let (run, before) = (lease.run, lease.state.clone());
        let raised = int(change, "token").map_or(0, |token| token - lease.token);
        lease.token += raised;
        lease.state = text(change, "state").unwrap_or(lease.state.clone());
        let (after, own) = (lease.state.clone(), column(change, "run_id").map(|run| !run.is_null()));
        lease.own = own.unwrap_or(lease.own);
        let claimed = change.verb == Verb::Update && before == "reserved" && after == "bound";
        if raised != i64::from(claimed) {
            self.wrong(record, &format!("lease {id} became {after} with a token {raised} higher"));
        }
        if !may_become(&before, &after) {
            self.wrong(record, &format!("lease {id} became {after} from {before}"));
        }
        let Some(own) = own else { return };
        let of = self.runs.entry(run).or_default();
        let other = of.lease.filter(|other| *other != id);
        if own {
            of.lease = Some(id);
        } else if of.lease == Some(id) {
            of.lease = None;
        }
        if let (true, Some(other)) = (own, other) {
            self.wrong(record, &format!("run {run} has lease {id}, and still {other}"));
        }
    }

    fn take_run(&mut self, record: &Record, change: &RowChange, id: Uuid) {
        let run = self.runs.entry(id).or_default();
        run.completed += u32::from(record.operation == "run.complete");
        let Some(state) = text(change, "state").filter(|state| *state != run.state) else { return };
        let before = std::mem::replace(&mut run.state, state.clone());
        let is_end = |state: &str| RunState::ALL.iter().any(|end| end.is_terminal() && end.as_str() == state);
        run.ends += u32::from(is_end(&state));
        if is_end(&before) {
            self.wrong(record, &format!("run {id} became {state} behind its end, {before}"));
        }
    }

    /// What must hold behind every record.
    fn look(&mut self, record: &Record, touched: &Touched) {
        let mut wrong = Vec::new();
        let nothing = BTreeMap::new();
        for gpu in &touched.gpus {
            let held = self.held.get(gpu).unwrap_or(&nothing);
            let sum: i64 = held.values().sum();
            let used = self.used.get(gpu).copied().unwrap_or_default();
            if sum > 1000 || (held.len() > 1 && held.values().any(|milli| *milli == 1000)) {
                wrong.push(format!("GPU {gpu} has several owners: {held:?}"));
            }
            if used != sum {
                wrong.push(format!("GPU {gpu} says {used} where {held:?} are held"));
            }
        }
        for id in &touched.leases {
            let Some(lease) = self.leases.get(id) else { continue };
            let held: i64 = self.held.values().filter_map(|held| held.get(id)).sum();
            let is_over = lease.state == BindingState::Released.as_str();
            if held != if is_over { 0 } else { lease.gpu_milli } {
                wrong.push(format!(
                    "lease {id}, which is {}, holds {held} of {}",
                    lease.state, lease.gpu_milli
                ));
            }
        }
        for what in wrong {
            self.wrong(record, &what);
        }
    }

    fn wrong(&mut self, record: &Record, what: &str) {
        self.wrong.push(format!("record {}, {}: {what}", record.position, record.operation));
    }
}

/// Whether a lease can be in one state behind another: it never goes back.
fn may_become(before: &str, after: &str) -> bool {
    let place = |state: &str| BindingState::ALL.iter().position(|of| of.as_str() == state);
    place(before) <= place(after)
}

fn column<'c>(change: &'c RowChange, name: &str) -> Option<&'c Value> {
    change.columns.iter().find(|(column, _)| *column == name).map(|(_, value)| value)
}

fn int(change: &RowChange, name: &str) -> Option<i64> {
    match column(change, name) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    }
}

fn text(change: &RowChange, name: &str) -> Option<String> {
    match column(change, name) {
        Some(Value::Text(text)) => Some(text.to_string()),
        _ => None,
    }
}

fn uuid_of(value: &Value) -> Option<Uuid> {
    match value {
        Value::Uuid(id) => Some(*id),
        _ => None,
    }
}
