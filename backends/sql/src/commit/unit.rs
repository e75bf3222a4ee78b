//! One unit of work from the inside: lock, judge, write, log.

use apportion::store::eval::{Effects, Group, Loaded, Needs};
use apportion::store::{Prepared, Receipt, StoreError, Value};
use apportion::time::Timestamp;

use super::turns::Place;
use super::{Committing, Wrote};
use crate::connection::{Failure, Session};
use crate::load::{self, Fetch, State, Wait};
use crate::log::Log;
use crate::write::{Written, steps, write};

/// How often more is fetched for a group: what a write needs follows from its row, so once is nearly always enough.
const MAX_FETCHES: u32 = 16;

/// How a group was judged.
pub(super) struct Judged {
    pub(super) answers: Vec<Result<Receipt, StoreError>>,
    pub(super) effects: Effects,
    pub(super) at: Timestamp,
}

/// Whether records are made of what is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Records {
    Made,
    /// It is judged again.
    Left,
}

impl Committing {
    /// Judges and writes; says what was written.
    pub(super) async fn inside<S: Session>(
        &self,
        session: &mut S,
        members: &[&Prepared],
        stepwise: bool,
        place: &mut Place<'_>,
    ) -> Result<(Vec<Result<Receipt, StoreError>>, Wrote), Failure> {
        let mut loaded = Loaded::new();
        let mut state = State::default();
        let needs = Needs::of(&self.tables.schema, members.iter().copied());
        let lock = load::lock(&self.tables, &needs, Wait::Long);
        self.take_in(session, lock, &mut loaded, &mut state).await?;
        self.fetch(session, &needs, &mut loaded, &mut state).await?;
        let Judged { answers, effects, at } =
            self.judged(session, members, &mut loaded, &mut state, place, Records::Made).await?;
        if effects.receipts.is_empty() {
            return Ok((answers, Wrote::Nothing));
        }
        let stages = if stepwise { self.stages(&loaded, members, at) } else { None };
        let statements = stages.unwrap_or_else(|| write(&self.tables, &effects.rows));
        self.run(session, &statements).await?;
        place.pass();
        let wrote = self.log(session, &effects, at, &state).write(session, &self.tables).await?;
        let changed: Vec<_> = effects.rows.into_iter().filter(|effect| effect.before.is_some()).collect();
        place.decided(at, &changed, None);
        place.written();
        Ok((answers, Wrote::of(wrote)))
    }

    /// Judges, fetching what turns out to be needed.
    pub(super) async fn judged<S: Session>(
        &self,
        session: &mut S,
        members: &[&Prepared],
        loaded: &mut Loaded,
        state: &mut State,
        place: &Place<'_>,
        records: Records,
    ) -> Result<Judged, Failure> {
        for _ in 0..MAX_FETCHES {
            let judged = self.judge_at(loaded, members, state, place, records);
            match loaded.misses() {
                Some(more) => self.fetch(session, &more, loaded, state).await?,
                None => return Ok(judged),
            }
        }
        Err(Failure::Store(StoreError::Unavailable {
            reason: "what the group needs could not be fetched".into(),
            source: None,
        }))
    }

    /// Judges from what is known, at the time that it is in the group's place.
    pub(super) fn judge_at(
        &self,
        loaded: &Loaded,
        members: &[&Prepared],
        state: &State,
        place: &Place<'_>,
        records: Records,
    ) -> Judged {
        let at = place.time(self.clock.now().max(state.last_at));
        let (answers, effects) = self.judge(loaded, members, at, records);
        Judged { answers, effects, at }
    }

    async fn fetch<S: Session>(
        &self,
        session: &mut S,
        needs: &Needs,
        loaded: &mut Loaded,
        state: &mut State,
    ) -> Result<(), Failure> {
        loaded.expect(needs);
        self.take_in(session, load::fetch(&self.tables, needs), loaded, state).await
    }

    /// Asks, where there is anything to ask, and takes the answers in.
    pub(super) async fn take_in<S: Session>(
        &self,
        session: &mut S,
        fetch: Option<Fetch>,
        loaded: &mut Loaded,
        state: &mut State,
    ) -> Result<(), Failure> {
        if let Some(fetch) = fetch {
            let rows = session.rows(&fetch.statement).await?;
            fetch.absorb(&self.tables, rows, loaded, state)?;
        }
        Ok(())
    }

    fn judge(
        &self,
        loaded: &Loaded,
        members: &[&Prepared],
        at: Timestamp,
        records: Records,
    ) -> (Vec<Result<Receipt, StoreError>>, Effects) {
        let mut group = Group::new(&self.tables.schema, loaded, at, None);
        if records == Records::Left {
            group = group.without_records();
        }
        let answers = members.iter().map(|member| group.judge(member)).collect();
        (answers, group.finish())
    }

    /// The statements of one member's writes, one write after the other: an order in which every one is allowed,
    /// since it is the order in which they were judged.
    fn stages(&self, loaded: &Loaded, members: &[&Prepared], at: Timestamp) -> Option<Vec<Written>> {
        let [member] = members else { return None };
        let mut prefix = Prepared::clone(member);
        let mut stages = Vec::with_capacity(member.writes.len());
        for count in 1..=member.writes.len() {
            prefix.writes = member.writes.get(..count)?.to_vec();
            stages.push(self.judge(loaded, &[&prefix], at, Records::Left).1.rows);
        }
        Some(steps(stages).iter().flat_map(|step| write(&self.tables, step)).collect())
    }

    /// Runs statements that write, each of which must change as many rows as it is for.
    pub(super) async fn run<S: Session>(
        &self,
        session: &mut S,
        statements: &[Written],
    ) -> Result<(), Failure> {
        for Written { statement, rows } in statements {
            let changed = match rows.as_slice() {
                [_] => vec![Value::Int(i64::try_from(session.execute(statement).await?).unwrap_or(-1))],
                _ => session.rows(statement).await?.pop().map_or_else(Vec::new, |told| told.values),
            };
            changed_as_expected(rows, &changed)?;
        }
        Ok(())
    }

    pub(super) fn log<S: Session>(
        &self,
        session: &S,
        effects: &Effects,
        at: Timestamp,
        state: &State,
    ) -> Log {
        // Somebody else's transaction may last: it must not keep the head from everybody.
        let gives = self.stamps && session.may_retry();
        Log::new(&self.tables, effects, at, state.head, gives)
    }
}

/// Fails where the parts of a statement have changed other numbers of rows than they must.
pub(super) fn changed_as_expected(expected: &[usize], changed: &[Value]) -> Result<(), Failure> {
    let rows = expected.iter().map(|rows| Value::Int(i64::try_from(*rows).unwrap_or(i64::MAX)));
    if rows.eq(changed.iter().cloned()) {
        return Ok(());
    }
    Err(Failure::Store(StoreError::corrupt(
        "the database",
        None,
        "",
        format!("a statement for {expected:?} rows changed {changed:?}"),
    )))
}
