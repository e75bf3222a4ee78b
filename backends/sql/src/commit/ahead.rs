//! Working ahead: what a group does before the one in front of it is durable.
//!
//! The rows that a group inserts are most of its work, and nobody waits for them. So it judges over rows as the last groups
//! left them, asks for what is not known of them, and inserts, while the group in front is still being made durable. Where that
//! one had not decided yet, it judges again meanwhile, by what that one decides. What is left is one statement, which locks what
//! the group changes or guards, updates, and writes the log ([`Last`]), and the commit. Where what it locks is not as it was
//! judged over, or other rows would have to be inserted, it is undone and begins again, in its turn.

use std::collections::{BTreeMap, BTreeSet};

use apportion::store::eval::{Effects, Loaded, Needs, RowEffect};
use apportion::store::{Key, Op, Prepared, Receipt, StoreError, TableId};
use apportion::time::Timestamp;
use futures_util::future::join;

use super::turns::Place;
use super::unit::{Judged, Records, changed_as_expected};
use super::{Committing, Wrote};
use crate::connection::{Failure, Session};
use crate::last::Last;
use crate::load::{self, Fetch, State, Wait};
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
        let trust = Trust { new: place.trusts(), known: place.is_among_itself() };
        // Mostly the group in front has decided by now, and what is judged is judged for good.
        let records = if trust.known && place.decide_now() { Records::Made } else { Records::Left };
        // What can be judged from what is known is, while the unit of work begins.
        let guess = async { self.guess(members, &needs, place, trust, records) };
        let (begun, guess) = join(session.begin(), guess).await;
        begun?;
        let seen = self.foresee(session, members, guess, place, trust).await?;
        let Foreseen { mut loaded, state, judged: foreseen, asked, records } = seen;
        if foreseen.effects.receipts.is_empty() {
            return Ok((foreseen.answers, Wrote::Nothing));
        }
        if !is_in_any_order(&self.tables, &foreseen.effects) {
            place.wait().await;
            session.refresh();
            return self.inside(session, members, false, place).await;
        }
        let (inserted, rest) = apart(foreseen);
        let statements = write(&self.tables, &inserted);
        let expected = Expected { inserted, asked };
        // What is left to do is settled while the rows are on their way.
        let settling = async {
            place.decide_soon().await?;
            place.pass();
            let rest = match records {
                Records::Made => Some(rest),
                Records::Left => self.judge_again(members, &needs, &mut loaded, &state, place, &expected)?,
            };
            Ok::<_, Failure>(self.settle(&needs, &loaded, place, trust, rest))
        };
        let (written, settled) = join(self.run(session, &statements), settling).await;
        let ended = async {
            written?;
            let settled = settled?;
            place.end_soon().await?;
            match settled {
                Settled::Last(answers, last) => {
                    let wrote = self.together(session, &needs, &mut loaded, &last, place).await?;
                    Ok((answers, wrote))
                }
                Settled::Rest(rest) => {
                    self.in_steps(session, members, &needs, (loaded, state), place, (rest, &expected)).await
                }
            }
        };
        let ended = ended.await;
        if trust.new && matches!(ended, Err(Failure::Constraint(_))) {
            place.distrust();
        }
        ended
    }

    /// Judges by what the groups in front have decided. None where more must be known.
    fn judge_again(
        &self,
        members: &[&Prepared],
        needs: &Needs,
        loaded: &mut Loaded,
        state: &State,
        place: &Place<'_>,
        expected: &Expected,
    ) -> Result<Option<Rest>, Failure> {
        place.presume(loaded, needs);
        let judged = self.judge_at(loaded, members, state, place, Records::Made);
        if loaded.has_missed() { Ok(None) } else { self.left(judged, expected).map(Some) }
    }

    /// How what is left is done.
    fn settle(
        &self,
        needs: &Needs,
        loaded: &Loaded,
        place: &mut Place<'_>,
        trust: Trust,
        rest: Option<Rest>,
    ) -> Settled {
        let Some(rest) = rest else { return Settled::Rest(None) };
        if !trust.known || moves_references(&self.tables, &rest.changed) {
            return Settled::Rest(Some(rest));
        }
        let Some(last) = Last::new(&self.tables, needs, &rest.changed, &rest.effects, rest.at) else {
            return Settled::Rest(Some(rest));
        };
        place.decided(rest.at, &rest.changed, Some((needs, loaded)));
        Settled::Last(rest.answers, last)
    }

    /// The end of a group that has written everything together.
    async fn together<S: Session>(
        &self,
        session: &mut S,
        needs: &Needs,
        loaded: &mut Loaded,
        last: &Last,
        place: &Place<'_>,
    ) -> Result<Wrote, Failure> {
        let done = last.read(&self.tables, session.rows(last.statement()).await?)?;
        place.saw(done.last_at);
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
                let judged = self.judged(session, members, &mut loaded, &mut state, place, made).await?;
                self.left(judged, expected)?
            }
        };
        let Rest { answers, at, changed, effects } = rest;
        if effects.receipts.is_empty() {
            return Ok((answers, Wrote::Nothing));
        }
        self.run(session, &write(&self.tables, &changed)).await?;
        let wrote = self.log(session, &effects, at, &state).write(session, &self.tables).await?;
        place.decided(at, &changed, Some((needs, &loaded)));
        place.written();
        Ok((answers, Wrote::of(wrote)))
    }

    /// What is left to do of what was judged, once everything is inserted that is expected.
    fn left(&self, judged: Judged, expected: &Expected) -> Result<Rest, Failure> {
        let in_any_order = is_in_any_order(&self.tables, &judged.effects);
        let (to_insert, rest) = apart(judged);
        // Of whom not everything was asked, it would not be certain.
        let is_doubtful =
            |(at, answer): (usize, &Result<_, _>)| answer.is_err() && !expected.asked.contains(&at);
        if rest.answers.iter().enumerate().any(is_doubtful)
            || !in_any_order
            || !are_same(&expected.inserted, &to_insert)
        {
            return Err(Failure::Serialization);
        }
        Ok(rest)
    }

    /// Judges from what is known; with what must be asked first, where that is not enough.
    fn guess(
        &self,
        members: &[&Prepared],
        needs: &Needs,
        place: &Place<'_>,
        trust: Trust,
        records: Records,
    ) -> Guess {
        let mut loaded = Loaded::new();
        loaded.expect(needs);
        let unknown = if trust.known { place.presume(&mut loaded, needs) } else { needs.clone() };
        if !trust.new {
            let ask = load::foresee(&self.tables, &unknown, None);
            return Guess { loaded, ask, judged: None, records };
        }
        loaded.presume_parents(needs);
        let ensured = ensured(members);
        if !(unknown.locks.is_empty() && ensured.is_empty() && place.has_seen()) {
            let ask = load::foresee(&self.tables, &unknown, Some(&ensured));
            return Guess { loaded, ask, judged: None, records };
        }
        // The receipt of a batch that is repeated would be met at the end.
        let judged = self.judge_at(&loaded, members, &State::default(), place, records);
        Guess { loaded, ask: None, judged: Some(judged), records }
    }

    /// Judges before anything is locked.
    ///
    /// What is taken for granted can be what a member is refused for. So whoever is refused is judged again, over all that
    /// there is to ask for it.
    async fn foresee<S: Session>(
        &self,
        session: &mut S,
        members: &[&Prepared],
        guess: Guess,
        place: &Place<'_>,
        trust: Trust,
    ) -> Result<Foreseen, Failure> {
        let Guess { mut loaded, ask, judged: mut guessed, mut records } = guess;
        let mut state = State::default();
        self.take_in(session, ask, &mut loaded, &mut state).await?;
        let mut asked = BTreeSet::new();
        if !trust.new && !trust.known {
            asked.extend(0..members.len());
        }
        loop {
            let judged = if let Some(judged) = guessed.take().filter(|_| !loaded.has_missed()) {
                judged
            } else {
                self.judged(session, members, &mut loaded, &mut state, place, records).await?
            };
            place.saw(state.last_at);
            let refused = judged.answers.iter().enumerate().filter(|(_, answer)| answer.is_err());
            let doubtful: Vec<_> = refused.map(|(at, _)| at).filter(|at| !asked.contains(at)).collect();
            if doubtful.is_empty() {
                return Ok(Foreseen { loaded, state, judged, asked, records });
            }
            let some = doubtful.iter().filter_map(|at| members.get(*at).copied());
            let needs = Needs::of(&self.tables.schema, some);
            loaded.expect_anew(&needs);
            let all = load::foresee(&self.tables, &needs, None);
            self.take_in(session, all, &mut loaded, &mut state).await?;
            asked.extend(doubtful);
            // It is seen without what those in front have decided, by which it is judged again.
            records = Records::Left;
        }
    }
}

/// What is taken for granted.
#[derive(Clone, Copy)]
struct Trust {
    /// Rows that are inserted are new, and those that they refer to are there.
    new: bool,
    /// Nobody else changes the rows that the last groups changed or guarded.
    known: bool,
}

/// What is known before anything was asked.
struct Guess {
    loaded: Loaded,
    /// What must be asked.
    ask: Option<Fetch>,
    /// None where something must be.
    judged: Option<Judged>,
    /// Left where it is judged again.
    records: Records,
}

/// What was seen before anything was locked.
struct Foreseen {
    loaded: Loaded,
    state: State,
    judged: Judged,
    /// The members of whom everything was asked.
    asked: BTreeSet<usize>,
    /// Left where it is judged again.
    records: Records,
}

/// What must still be so when it is judged again.
struct Expected {
    /// The rows that are inserted.
    inserted: Vec<RowEffect>,
    /// The members that may be refused.
    asked: BTreeSet<usize>,
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

/// The rows that are inserted, and what is left to be done then.
fn apart(judged: Judged) -> (Vec<RowEffect>, Rest) {
    let Judged { answers, mut effects, at } = judged;
    let rows = std::mem::take(&mut effects.rows).into_iter();
    let (inserted, changed) = rows.partition(|effect| effect.before.is_none());
    (inserted, Rest { answers, at, changed, effects })
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
