//! Working ahead: what a group does before the one in front of it is durable.
//!
//! The rows that a group inserts are most of its work, and nobody waits for them. So it looks everything up without
//! locking it, judges, and inserts, while the group in front is still being made durable. When its turn comes it locks what
//! it changes or guards, and judges again over what is there now, under all locks. Where the same rows are to be inserted
//! what is left is little: the counters, the log, the commit. Where not, it is undone and begins again, in its turn.

use std::collections::{BTreeMap, BTreeSet};

use apportion::store::eval::{Effects, Loaded, Needs, RowEffect};
use apportion::store::{Key, Op, Prepared, Receipt, StoreError, TableId};
use apportion::time::Timestamp;
use futures_util::future::join;

use super::turns::Place;
use super::unit::{Judged, Records, changed_as_expected};
use super::{Committing, Wrote};
use crate::connection::{Failure, Session};
use crate::last::{Done, Last};
use crate::load::{self, State, Wait};
use crate::log::stamp_what_waits;
use crate::tables::Tables;
use crate::write::write;

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
        let statements = write(&self.tables, &inserted);
        let expected = Expected { inserted, accepted: trusts };
        let until = Place::patience();
        // What is left to do is settled while the rows are on their way.
        let settling = async {
            place.decide_soon(until).await?;
            place.pass();
            self.settle(members, &needs, &mut loaded, &state, place, &expected)
        };
        let (written, settled) = join(self.run(session, &statements), settling).await;
        if trusts && matches!(written, Err(Failure::Constraint(_))) {
            place.distrust();
        }
        written?;
        let settled = settled?;
        place.end_soon(until).await?;
        match settled {
            Settled::Last(answers, last) => {
                let done = last.read(&self.tables, session.rows(last.statement()).await?)?;
                self.together(session, &needs, &mut loaded, done, place).await.map(|wrote| (answers, wrote))
            }
            Settled::Rest(rest) => {
                self.in_steps(session, members, &needs, (loaded, state), place, (rest, &expected)).await
            }
        }
    }

    /// What is left to do, as far as it can be told from what is known.
    fn settle(
        &self,
        members: &[&Prepared],
        needs: &Needs,
        loaded: &mut Loaded,
        state: &State,
        place: &mut Place<'_>,
        expected: &Expected,
    ) -> Result<Settled, Failure> {
        place.presume(loaded, needs);
        let judged = self.judge_at(loaded, members, state, place, Records::Made);
        if loaded.has_missed() {
            return Ok(Settled::Rest(None));
        }
        let rest = self.left(judged, expected)?;
        if !place.is_among_itself() || moves_references(&self.tables, &rest.changed) {
            return Ok(Settled::Rest(Some(rest)));
        }
        let Some(last) = Last::new(&self.tables, needs, &rest.changed, &rest.effects, rest.at) else {
            return Ok(Settled::Rest(Some(rest)));
        };
        place.decided(rest.at, rest.changed);
        Ok(Settled::Last(rest.answers, last))
    }

    /// The end of a group that has written everything together.
    async fn together<S: Session>(
        &self,
        session: &mut S,
        needs: &Needs,
        loaded: &mut Loaded,
        done: Done,
        place: &Place<'_>,
    ) -> Result<Wrote, Failure> {
        if loaded.renew(needs, done.rows) {
            place.met_a_stranger();
            return Err(Failure::Serialization);
        }
        changed_as_expected(&done.expected, &done.changed)?;
        place.written();
        if done.stand == Some(false) {
            stamp_what_waits(session, &self.tables).await?;
        }
        Ok(Wrote::of(done.stand == Some(true)))
    }

    /// The end of a group that locks first, and then writes what follows from what it sees.
    async fn in_steps<S: Session>(
        &self,
        session: &mut S,
        members: &[&Prepared],
        needs: &Needs,
        (mut loaded, mut state): (Loaded, State),
        place: &mut Place<'_>,
        (rest, expected): (Option<Rest>, &Expected),
    ) -> Result<(Vec<Result<Receipt, StoreError>>, Wrote), Failure> {
        let mut differs = rest.is_none();
        if let Some(lock) = load::lock(&self.tables, needs, Wait::Long) {
            let rows = session.rows(&lock.statement).await?;
            if loaded.renew(needs, lock.rows(&self.tables, rows)?) {
                // Somebody else has changed them, whose clock may be ahead.
                let now = load::fetch_state(&self.tables);
                self.take_in(session, now, &mut loaded, &mut state).await?;
                place.met_a_stranger();
                differs = true;
            }
        }
        let rest = match rest {
            Some(rest) if !differs => rest,
            _ => {
                let made = Records::Made;
                let judged =
                    self.judged(session, members, &mut loaded, &mut state, place, made).await?;
                self.left(judged, expected)?
            }
        };
        let Rest { answers, at, changed, effects } = rest;
        if effects.receipts.is_empty() {
            return Ok((answers, Wrote::Nothing));
        }
        self.run(session, &write(&self.tables, &changed)).await?;
        let wrote = self.log(session, &effects, at, &state).write(session, &self.tables).await?;
        place.decided(at, changed);
        place.written();
        Ok((answers, Wrote::of(wrote)))
    }

    /// What is left to do of what was judged, once everything is inserted that is expected.
    fn left(&self, judged: Judged, expected: &Expected) -> Result<Rest, Failure> {
        let Judged { answers, mut effects, at } = judged;
        let in_any_order = is_in_any_order(&self.tables, &effects);
        let (to_insert, changed) = apart(std::mem::take(&mut effects.rows));
        let refuses = expected.accepted && answers.iter().any(Result::is_err);
        if refuses || !in_any_order || !are_same(&expected.inserted, &to_insert) {
            return Err(Failure::Serialization);
        }
        Ok(Rest { answers, at, changed, effects })
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
        let left = Records::Left;
        let judged = self.judged(session, members, &mut loaded, &mut state, place, left).await?;
        Ok(Foreseen { loaded, state, judged })
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

/// What is left to be done once rows are inserted.
struct Rest {
    answers: Vec<Result<Receipt, StoreError>>,
    at: Timestamp,
    changed: Vec<RowEffect>,
    effects: Effects,
}

/// The same, as it is done.
enum Settled {
    /// All of it with one statement.
    Last(Vec<Result<Receipt, StoreError>>, Last),
    /// Step by step; none where more must be known first.
    Rest(Option<Rest>),
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

/// Whether an update changes what a row refers to. Whoever has the other row locked is waited for then, and at the end of
/// the statement.
fn moves_references(tables: &Tables, changed: &[RowEffect]) -> bool {
    changed.iter().any(|effect| {
        let (Some(before), Some(after)) = (&effect.before, &effect.after) else { return false };
        let mut references = tables.schema.table(effect.table).references.iter();
        let moves = |at: &usize| before.values().get(*at) != after.values().get(*at);
        references.any(|reference| reference.columns.iter().any(moves))
    })
}
