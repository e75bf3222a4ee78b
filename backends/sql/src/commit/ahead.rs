//! Working ahead: what a group does before the one in front of it is durable.
//!
//! The rows that a group inserts are most of its work, and nobody waits for them. So it looks everything up without
//! locking it, judges, and inserts, while the group in front is still being made durable. When its turn comes it locks what
//! it changes or guards, and judges again over what is there now, under all locks. Where the same rows are to be inserted
//! what is left is little: the counters, the log, the commit. Where not, it is undone and begins again, in its turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use apportion::store::eval::{Effects, Loaded, Needs, RowEffect};
use apportion::store::{Key, Op, Prepared, Receipt, StoreError, TableId};
use apportion::time::Timestamp;
use tokio::sync::{Mutex, MutexGuard};

use super::unit::Judged;
use super::{Committing, Wrote};
use crate::connection::{Failure, Session};
use crate::load::{self, State, Wait};
use crate::log::Log;
use crate::queue::Baton;
use crate::tables::Tables;
use crate::write::{Written, write};

/// How long a group that has inserted rows waits for its turn. Others may wait for those rows, and whoever has the turn for
/// others: no database sees that circle, so it is cut here.
const PATIENCE: Duration = Duration::from_millis(500);

/// Whose turn it is, of the groups of a store.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Held by the group that decides: from where it judges for good to where all is written.
    deciding: Mutex<Decided>,
    /// Held by the group that writes its log, until that is durable.
    ending: Mutex<()>,
    /// For how many more groups is looked up what the database would tell.
    doubts: AtomicU32,
}

/// How many groups look everything up once the database has refused rows.
const DOUBTING: u32 = 64;

/// What the last group decided, which is about to be durable.
#[derive(Debug)]
struct Decided {
    at: Timestamp,
    /// The rows that it changes.
    changed: Vec<RowEffect>,
}

impl Default for Decided {
    fn default() -> Self {
        Self { at: Timestamp::MIN, changed: Vec::new() }
    }
}

/// A group's place among those of a store.
pub(super) struct Place<'c> {
    /// None where groups do not take turns.
    turns: Option<&'c Turns>,
    /// Nothing was tried, and the turn has not come.
    early: bool,
    deciding: Option<MutexGuard<'c, Decided>>,
    ending: Option<MutexGuard<'c, ()>>,
    /// The right of the next group to begin.
    baton: Option<Baton>,
}

impl<'c> Place<'c> {
    pub(super) fn new(turns: Option<&'c Turns>, baton: Option<Baton>) -> Self {
        Self { turns, early: turns.is_some(), deciding: None, ending: None, baton }
    }

    /// Whether members are worth working ahead for: they insert, and nothing is deleted, which has to come first.
    pub(super) fn may_work_ahead(&self, members: &[&Prepared]) -> bool {
        let mut ops = members.iter().flat_map(|member| &member.writes).map(|write| &write.op);
        self.early
            && ops.clone().any(|op| matches!(op, Op::Insert(_) | Op::Ensure(_)))
            && !ops.any(|op| matches!(op, Op::Delete(_)))
    }

    /// Whether rows that are inserted may be taken for new, and those that they refer to for there. Mostly they are, and
    /// the database refuses them where not; then the group begins again, and those behind it look first for a while.
    fn trusts(&self) -> bool {
        let fewer = |doubts: u32| doubts.checked_sub(1);
        self.turns.is_some_and(|turns| turns.doubts.fetch_update(Relaxed, Relaxed, fewer).is_err())
    }

    fn distrust(&self) {
        if let Some(turns) = self.turns {
            turns.doubts.store(DOUBTING, Relaxed);
        }
    }

    /// Whatever is tried from now on waits for the turn first.
    pub(super) fn come_late(&mut self) {
        self.early = false;
    }

    /// Waits for the turn, and until the group in front is durable; says whether that was waited for.
    pub(super) async fn wait(&mut self) -> bool {
        let waits = self.turns.is_some() && self.ending.is_none();
        self.decide().await;
        self.end().await;
        waits
    }

    /// Waits for the turn to decide.
    async fn decide(&mut self) {
        self.early = false;
        if let (Some(turns), None) = (self.turns, &self.deciding) {
            self.deciding = Some(turns.deciding.lock().await);
        }
    }

    /// Waits for that turn while others may wait for this group.
    async fn decide_soon(&mut self) -> Result<(), Failure> {
        let waited = tokio::time::timeout(PATIENCE, self.decide()).await;
        waited.map_err(|_| Failure::Serialization)
    }

    /// Waits until the group in front is durable.
    async fn end(&mut self) {
        if let (Some(turns), None) = (self.turns, &self.ending) {
            self.ending = Some(turns.ending.lock().await);
        }
    }

    /// Lets the next group begin if the one in front is durable.
    fn pass_if_last(&mut self) {
        if let (Some(turns), None) = (self.turns, &self.ending) {
            self.ending = turns.ending.try_lock().ok();
        }
        if self.ending.is_some() {
            self.pass();
        }
    }

    /// Lets the next group begin.
    pub(super) fn pass(&mut self) {
        if self.deciding.is_some()
            && let Some(baton) = self.baton.take()
        {
            baton.pass();
        }
    }

    /// A group's time, no earlier than that of the group in front.
    pub(super) fn time(&self, at: Timestamp) -> Timestamp {
        self.deciding.as_ref().map_or(at, |decided| at.max(decided.at))
    }

    /// Lets the next group decide: all is written.
    pub(super) fn decided(&mut self, at: Timestamp, changed: Vec<RowEffect>) {
        if let Some(mut decided) = self.deciding.take() {
            *decided = Decided { at, changed };
        }
    }

    /// The commit has been answered.
    pub(super) fn ended(&mut self) {
        self.ending = None;
    }
}

impl Committing {
    /// The same as [`Committing::inside`], but inserting before the group's turn.
    pub(super) async fn ahead<S: Session>(
        &self,
        session: &mut S,
        members: &[&Prepared],
        place: &mut Place<'_>,
    ) -> Result<(Vec<Result<Receipt, StoreError>>, Wrote), Failure> {
        let needs = Needs::of(&self.tables.schema, members.iter().copied());
        let mut trusts = place.trusts();
        let mut seen = self.foresee(session, members, &needs, place, trusts).await?;
        if trusts && seen.judged.answers.iter().any(Result::is_err) {
            // What a member is refused for first can be something that was taken for granted.
            place.distrust();
            trusts = false;
            seen = self.foresee(session, members, &needs, place, false).await?;
        }
        let Foreseen { mut loaded, mut state, judged: foreseen } = seen;
        if foreseen.effects.receipts.is_empty() {
            return Ok((foreseen.answers, Wrote::Nothing));
        }
        if !is_in_any_order(&self.tables, &foreseen.effects) {
            if place.wait().await {
                session.refresh();
            }
            return self.inside(session, members, false, place).await;
        }
        let (inserted, _) = apart(foreseen.effects.rows);
        let written = self.run(session, &write(&self.tables, &inserted)).await;
        if trusts && matches!(written, Err(Failure::Constraint(_))) {
            place.distrust();
        }
        written?;

        place.decide_soon().await?;
        place.pass_if_last();
        if let Some(decided) = &place.deciding {
            loaded.presume(&needs, &decided.changed);
        }
        // All of this while the group in front is being made durable.
        let expected = Expected { inserted, accepted: trusts };
        let mut rest = self.rest(session, members, &mut loaded, &mut state, place, &expected).await?;
        place.end().await;
        place.pass();
        if let Some(lock) = load::lock(&self.tables, &needs, Wait::Long) {
            let rows = session.rows(&lock.statement).await?;
            if loaded.renew(&needs, lock.rows(&self.tables, rows)?) {
                // Somebody else has changed them, whose clock may be ahead.
                let now = load::fetch_state(&self.tables);
                self.take_in(session, now, &mut loaded, &mut state).await?;
                rest = self.rest(session, members, &mut loaded, &mut state, place, &expected).await?;
            }
        }
        let Rest { answers, at, changed, updates, log } = rest;
        let Some(log) = log else { return Ok((answers, Wrote::Nothing)) };
        self.run(session, &updates).await?;
        let wrote = Wrote::of(log.write(session, &self.tables).await?);
        place.decided(at, changed);
        Ok((answers, wrote))
    }

    /// Judges before anything is locked. Where it `trusts`, what is inserted is taken for new, and what it refers to for
    /// there.
    async fn foresee<S: Session>(
        &self,
        session: &mut S,
        members: &[&Prepared],
        needs: &Needs,
        place: &Place<'_>,
        trusts: bool,
    ) -> Result<Foreseen, Failure> {
        let mut loaded = Loaded::new();
        let mut state = State::default();
        loaded.expect(needs);
        let asked = trusts.then(|| ensured(members));
        if trusts {
            loaded.presume_parents(needs);
        }
        let all = load::foresee(&self.tables, needs, asked.as_deref());
        self.take_in(session, all, &mut loaded, &mut state).await?;
        let judged = self.judged(session, members, &mut loaded, &mut state, place).await?;
        Ok(Foreseen { loaded, state, judged })
    }

    /// Judges again, where everything that is to be inserted is inserted.
    async fn rest<S: Session>(
        &self,
        session: &mut S,
        members: &[&Prepared],
        loaded: &mut Loaded,
        state: &mut State,
        place: &Place<'_>,
        expected: &Expected,
    ) -> Result<Rest, Failure> {
        let Judged { answers, mut effects, at } = self.judged(session, members, loaded, state, place).await?;
        let in_any_order = is_in_any_order(&self.tables, &effects);
        let (to_insert, changed) = apart(std::mem::take(&mut effects.rows));
        let refuses = expected.accepted && answers.iter().any(Result::is_err);
        if refuses || !in_any_order || !are_same(&expected.inserted, &to_insert) {
            return Err(Failure::Serialization);
        }
        let updates = write(&self.tables, &changed);
        let log = (!effects.receipts.is_empty()).then(|| self.log(session, &effects, at, state));
        Ok(Rest { answers, at, changed, updates, log })
    }
}

/// What was seen before anything was locked.
struct Foreseen {
    loaded: Loaded,
    state: State,
    judged: Judged,
}

/// What must still be so when it is judged again.
struct Expected {
    /// The rows that are inserted.
    inserted: Vec<RowEffect>,
    /// Everything is accepted: something was taken for granted, and a refusal would not be certain.
    accepted: bool,
}

/// What is left to be written once rows are inserted.
struct Rest {
    answers: Vec<Result<Receipt, StoreError>>,
    at: Timestamp,
    changed: Vec<RowEffect>,
    updates: Vec<Written>,
    /// None where everything is refused.
    log: Option<Log>,
}

/// The rows that are inserted only where they are not there, which they often are.
fn ensured(members: &[&Prepared]) -> Vec<(TableId, Vec<Key>)> {
    let mut keys: BTreeMap<TableId, BTreeSet<Key>> = BTreeMap::new();
    for write in members.iter().flat_map(|member| &member.writes) {
        if matches!(write.op, Op::Ensure(_)) {
            keys.entry(write.table).or_default().insert(write.key.clone());
        }
    }
    keys.into_iter().map(|(table, keys)| (table, keys.into_iter().collect())).collect()
}

/// Rows that are inserted, and others.
fn apart(rows: Vec<RowEffect>) -> (Vec<RowEffect>, Vec<RowEffect>) {
    rows.into_iter().partition(|effect| effect.before.is_none())
}

fn are_same(some: &[RowEffect], others: &[RowEffect]) -> bool {
    let is_same = |(one, other): (&RowEffect, &RowEffect)| {
        one.table == other.table && one.key == other.key && one.after == other.after
    };
    some.len() == others.len() && some.iter().zip(others).all(is_same)
}

/// Whether rows may be inserted before others are updated: nothing is deleted, and no update gives up or takes a value that
/// has one owner.
fn is_in_any_order(tables: &Tables, effects: &Effects) -> bool {
    effects.rows.iter().all(|effect| {
        let Some(after) = &effect.after else { return false };
        let Some(before) = &effect.before else { return true };
        let orders = &tables.schema.table(effect.table).orders;
        let mut single = orders.iter().filter(|order| order.unique).flat_map(|order| &order.columns);
        single.all(|at| before.values().get(*at) == after.values().get(*at))
    })
}
