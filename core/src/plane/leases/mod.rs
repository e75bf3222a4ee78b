//! GPU leases: what a run holds, for how long, and who may say that it holds it no longer.
//!
//! `grant.rs` gives, `claim.rs` is the worker's taking and renewing, `release.rs` gives back, `expire.rs` looks for those that
//! were not heard, and `spend.rs` is what holding costs.

mod claim;
mod expire;
mod grant;
mod queues;
mod release;
mod spend;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use claim::{ClaimedRun, LeaseStanding, LeasedGpu, Worker};
pub use expire::LeasesSwept;
pub(in crate::plane) use grant::{Grant, GrantNode, GrantRental};
pub(in crate::plane) use queues::{node_of, tree_of};
pub(in crate::plane) use release::HeldRows;

use super::ControlPlane;
use super::users::Happened;
use crate::entity::{
    ACCOUNT_USES, AccountUse, BindingState, Entity as _, Entry, GPU_LEASES, GpuLease, LEASE_RENEWALS,
    LeaseId, QUOTAS, RunId, TRAINING_RUNS, TrainingRun, entry,
};
use crate::error::{Error, Result};
use crate::queue::{Decay, Resources};
use crate::store::{
    Answer, Batch, Change, Is, Key, Mode, Page, Query, Row, Scan, Store, StoreExt as _, Table, Test, Value,
    Write,
};
use crate::time::Timestamp;
use spend::spent;

/// How often a lease and its run are looked at until they fit together. A lease never becomes a run's own again, so the second look
/// is the last one, unless somebody has changed rows by hand.
pub(in crate::plane) const LOOKS: usize = 4;
/// For how long a lease is charged in advance.
const SLICE: Duration = Duration::from_mins(5);

/// What a worker shows when it says something of a run: the lease that it took, and the number of its taking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunLease {
    /// The run.
    pub run: RunId,
    /// The lease.
    pub lease: LeaseId,
    /// The number of the run's attempt.
    pub attempt: u32,
    /// The fencing token.
    pub token: u32,
}

impl RunLease {
    /// A lease that a worker has kept.
    pub const fn new(run: RunId, lease: LeaseId, attempt: u32, token: u32) -> Self {
        Self { run, lease, attempt, token }
    }

    /// What is read to judge it: [`ShownRows`].
    pub(in crate::plane) fn queries(&self) -> [Query; 3] {
        [
            Query::Get { table: &TRAINING_RUNS, key: self.run.into() },
            Query::Get { table: &GPU_LEASES, key: self.lease.into() },
            Query::Get { table: &LEASE_RENEWALS, key: self.lease.into() },
        ]
    }

    /// Whether this is what the last worker shows that took the lease.
    pub(in crate::plane) fn is_of(&self, lease: &GpuLease) -> bool {
        (lease.of_run, lease.attempt, lease.token) == (self.run, self.attempt, self.token)
    }
}

/// The rows behind what a worker shows, as they are read: beside whatever else its word is decided on.
#[derive(Debug)]
pub(in crate::plane) struct ShownRows {
    pub(in crate::plane) run: Option<Row>,
    pub(in crate::plane) lease: Option<Row>,
    renewal: Option<Row>,
}

impl ShownRows {
    /// The first answers, to [`RunLease::queries`].
    pub(in crate::plane) fn of(answers: &mut impl Iterator<Item = Answer>) -> Self {
        let mut row = || answers.next().and_then(Answer::into_row);
        Self { run: row(), lease: row(), renewal: row() }
    }

    /// The run and the lease, where the lease is still that of the worker who shows it.
    pub(in crate::plane) fn judged(&self, shown: &RunLease, now: Timestamp) -> Result<Shown> {
        let (Some(run), Some(lease), Some(renewal)) = (&self.run, &self.lease, &self.renewal) else {
            return Err(Error::not_found(GpuLease::KIND, shown.lease));
        };
        let (run, lease) = (entry::<TrainingRun>(run)?, entry::<GpuLease>(lease)?);
        if lease.value.of_run != shown.run {
            return Err(Error::not_found(GpuLease::KIND, shown.lease));
        }
        if !shown.is_of(&lease.value) {
            return Err(over(WORKING, Over::Anothers));
        }
        if lease.value.run_id.is_none() || lease.value.state != BindingState::Bound {
            return Err(over(WORKING, Over::Is(lease.value.state)));
        }
        if renewal.time("expires_at")? <= now {
            return Err(over(WORKING, Over::Expired));
        }
        Ok(Shown { run, lease, now })
    }
}

/// The rows behind what a worker shows, which is still so.
#[derive(Clone, Debug)]
pub(in crate::plane) struct Shown {
    pub(in crate::plane) run: Entry<TrainingRun>,
    pub(in crate::plane) lease: Entry<GpuLease>,
    pub(in crate::plane) now: Timestamp,
}

impl ControlPlane {
    /// The run and the lease as a worker shows them; `WrongState` where the lease is not its own any more, or is over, `NotFound`
    /// where there is none.
    pub(in crate::plane) async fn shown(&self, shown: &RunLease) -> Result<Shown> {
        let reads = self.store.read(shown.queries().into()).await?;
        ShownRows::of(&mut reads.answers.into_iter()).judged(shown, reads.now)
    }

    /// Adds to what an account has used, from one moment to another.
    fn charge_use(batch: &mut Batch, lease: &GpuLease, span: (Timestamp, Timestamp)) {
        for (period, used) in spent(charge_of(lease), lease.created_at, span, &Decay::default()) {
            let none = AccountUse {
                account_id: lease.account_id,
                period,
                gpu_milli_seconds: 0,
                cpu_milli_seconds: 0,
                memory_mib_seconds: 0,
            };
            batch.push(Write::Ensure(none.to_row()));
            batch.writes.extend(uses(lease, period, used, 1));
        }
    }

    fn lease_log(&self, operation: &'static str, lease: &GpuLease, told: &str, now: Timestamp) -> Write {
        let (actor, kind, subject) = (None, GpuLease::KIND, lease.id.uuid());
        self.log(Happened { operation, actor, kind, subject, description: told }, now)
    }
}

/// Whether a run is as one is whose own the lease is. The two are read one after the other: where it is not so, the lease has changed
/// since it was read, and whoever decides over both has to look again.
pub(in crate::plane) fn still_of(lease: &GpuLease, run: &TrainingRun) -> bool {
    lease.run_id.is_none() || (run.state.has_lease() && run.attempt == lease.attempt)
}

/// All rows of a scan of which the first page was read.
pub(in crate::plane) async fn whole(store: &dyn Store, scan: Scan, first: Page) -> Result<Vec<Row>> {
    let mut rows = first.rows;
    if first.next.is_some() {
        rows.extend(store.scan_all(scan.after(first.next)).await?);
    }
    Ok(rows)
}

/// Adds what tests in the batch that the lease is still the holder's, and not over.
pub(in crate::plane) fn still_holds(
    batch: &mut Batch,
    shown: &RunLease,
    lease: &Entry<GpuLease>,
    now: Timestamp,
) {
    held_until(batch, shown, lease.revision, (now, now));
}

/// The same, and holds it until then, where it is not held for longer.
fn held_until(batch: &mut Batch, shown: &RunLease, revision: i64, (now, until): (Timestamp, Timestamp)) {
    let mine = vec![Test::eq("token", i64::from(shown.token)), Test::new("expires_at", Is::Gt(now.into()))];
    batch.push(Write::guard(&GPU_LEASES, shown.lease, revision));
    let set = vec![("expires_at", Change::Max(until.into()))];
    batch.push(Write::patch(&LEASE_RENEWALS, shown.lease, mine, set));
}

/// What a lease holds that is a matter of queues and shares.
pub(in crate::plane) fn charge_of(lease: &GpuLease) -> Resources {
    Resources {
        gpu_milli: lease.gpu_milli.get(),
        cpu_milli: lease.cpu_milli.get(),
        memory_mib: lease.memory_mib.get(),
    }
}

/// The writes that charge a lease to its account, or with `times` of -1 take that back.
fn of_account(lease: &GpuLease, times: i64) -> impl Iterator<Item = Write> {
    let account = lease.account_id;
    let amounts = [
        ("gpu_milli", lease.gpu_milli.get()),
        ("cpu_milli", lease.cpu_milli.get()),
        ("memory_mib", lease.memory_mib.get()),
        ("storage_mib", lease.storage_mib.get()),
    ];
    adjusted(&QUOTAS, account.into(), amounts, times, Mode::Admit)
}

/// The writes that add amounts to columns of a row so many times, what is nothing left out.
fn adjusted(
    table: &'static Table,
    key: Key,
    amounts: impl IntoIterator<Item = (&'static str, i64)>,
    times: i64,
    mode: Mode,
) -> impl Iterator<Item = Write> {
    let changed = amounts.into_iter().filter(|(_, amount)| *amount != 0);
    changed.map(move |(column, amount)| Write::Adjust {
        table,
        key: key.clone(),
        column,
        delta: amount * times,
        mode,
    })
}

fn uses(lease: &GpuLease, period: i64, used: Resources, times: i64) -> impl Iterator<Item = Write> {
    let amounts = [
        ("gpu_milli_seconds", used.gpu_milli),
        ("cpu_milli_seconds", used.cpu_milli),
        ("memory_mib_seconds", used.memory_mib),
    ];
    adjusted(&ACCOUNT_USES, (lease.account_id, period).into(), amounts, times, Mode::Record)
}

/// What everything comes to that a worker says of its run.
const WORKING: &str = "working on its run";

/// Why somebody is not heard who shows a lease.
#[derive(Clone, Copy, Debug)]
enum Over {
    /// Another worker has it, or never anybody had it so.
    Anothers,
    /// It was not renewed in time: it is the worker's no longer, and what it holds is held still.
    Expired,
    /// It is in a state in which that is not said.
    Is(BindingState),
}

/// What somebody is told whose lease is not, or not any more, what they take it for: what it is, and what they do next.
fn over(event: &'static str, why: Over) -> Error {
    let state = match why {
        Over::Anothers => "taken by another worker",
        Over::Expired => "expired, until its worker has stopped and releases it",
        Over::Is(BindingState::Releasing) => "releasing, until its worker has stopped and releases it",
        Over::Is(state) => state.as_str(),
    };
    let allowed = match why {
        Over::Expired | Over::Is(BindingState::Releasing) => vec!["releasing it"],
        Over::Is(BindingState::Bound) => vec!["completing its run", "failing it", "giving it back"],
        Over::Is(BindingState::Reserved) => vec!["taking it"],
        Over::Anothers | Over::Is(BindingState::Released) => Vec::new(),
    };
    Error::WrongState { kind: GpuLease::KIND, state, event, allowed }
}

/// The write that tests in the batch that a lease was not renewed since its renewals were read.
fn not_renewed(lease: LeaseId, renewal: &Row) -> Write {
    let same = |column| Test::eq(column, renewal.get(column).cloned().unwrap_or(Value::Null));
    Write::patch(&LEASE_RENEWALS, lease, ["token", "expires_at"].map(same).into(), Vec::new())
}
