//! Committing a group: lock, judge, write, log, one commit.

mod ahead;
mod known;
mod part;
mod turns;
mod unit;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apportion::store::eval::Needs;
use apportion::store::{Cause, Key, Op, Prepared, PreparedWrite, Receipt, Refusal, StoreError, TableId};
use apportion::time::Clock;

use crate::connection::{Failure, Session};
use crate::load::{self, Wait};
use crate::names::Dialect;
use crate::queue::Baton;
use crate::tables::Tables;
use part::{Next, Part, lost, not_given, not_tried, refused_row};
use turns::{Place, Turns};

/// How groups are committed.
#[derive(Debug)]
pub struct Committing {
    /// The tables.
    pub tables: Tables,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Whether a group gives its records their positions, where nobody else is about to. Only at READ COMMITTED, where
    /// taking that right never conflicts; elsewhere others do it. Always in SQLite.
    pub stamps: bool,
    /// None where groups do not take turns.
    turns: Option<Turns>,
    /// Whether records were left without positions.
    unstamped: AtomicBool,
}

/// The answers of a group so far.
type Answers = Vec<Option<Result<Receipt, StoreError>>>;

/// What a unit of work wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrote {
    /// Everything was refused, or repeated.
    Nothing,
    /// Everything that there is to write.
    Everything,
    /// Everything but the positions of its records.
    ButPositions,
}

impl Wrote {
    const fn of(positions: bool) -> Self {
        if positions { Self::Everything } else { Self::ButPositions }
    }
}

impl Committing {
    /// Commits groups into these tables.
    pub fn new(tables: Tables, clock: Arc<dyn Clock>, stamps: bool) -> Self {
        Self { tables, clock, stamps, turns: None, unstamped: AtomicBool::new(false) }
    }

    /// Has groups take turns, and each do what it can before its turn comes. Only where a statement sees what was
    /// committed before it began, as at READ COMMITTED, and rows can be locked.
    pub fn working_ahead(mut self) -> Self {
        self.turns = Some(Turns::default());
        self
    }

    /// Whether since this was last asked a group has left records without positions, so that somebody is to
    /// stamp them.
    pub fn take_unstamped(&self) -> bool {
        self.unstamped.swap(false, Ordering::AcqRel)
    }

    /// Judges and commits a group in as few units of work as possible, and answers each member.
    ///
    /// A unit that meets somebody else's commit begins again; one that cannot get a lock goes on without those who need
    /// it; one that the database refuses again and again is split. What is committed is a prefix of what was accepted:
    /// after a failure that leaves a member's outcome open, later ones are not tried. `pause` says how long to wait before
    /// a repetition. `baton` is handed on as soon as the next group may begin.
    pub async fn commit<S: Session>(
        &self,
        session: &mut S,
        members: &[Prepared],
        pause: &(dyn Fn(u32) -> Duration + Send + Sync),
        baton: Option<Baton>,
    ) -> Vec<Result<Receipt, StoreError>> {
        // Somebody else's transaction may last, and takes no turn.
        let turns = self.turns.as_ref().filter(|_| session.may_retry());
        let mut place = Place::new(turns, baton);
        let mut answers: Answers = members.iter().map(|_| None).collect();
        let mut parts: VecDeque<Part> = self.apart(members).into_iter().map(Part::new).collect();
        let mut broken: Option<StoreError> = None;
        while let Some(part) = parts.pop_front() {
            if let Some(error) = &broken {
                part.answer(&mut answers, |_| Err(not_tried(error)));
                continue;
            }
            match self.unit(session, members, &part, &mut place).await {
                Ok(done) => part.answer(&mut answers, |at| done.get(at).cloned().unwrap_or_else(lost)),
                Err(failure) => {
                    place.come_late();
                    let next = part.after(failure, session.may_retry(), self.tables.dialect());
                    match &next {
                        Next::Again(tries) => tokio::time::sleep(pause(*tries)).await,
                        Next::Free => {
                            session.hurry();
                            let rest = self.free(session, members, part, &mut answers).await;
                            if !rest.members.is_empty() {
                                parts.push_front(rest);
                            }
                            continue;
                        }
                        _ => {}
                    }
                    broken = self.follow(next, part, members, &mut parts, &mut answers);
                }
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or_else(lost)).collect()
    }

    /// The places of members that may share a unit of work. What one inserts and another changes or deletes would leave
    /// no trace, or another, in the database, which could not tell that somebody else has the key or a value of it at the
    /// moment: its records would stand in the wrong order. In SQLite nobody else is there.
    fn apart(&self, members: &[Prepared]) -> Vec<Vec<usize>> {
        let mut runs = vec![Vec::with_capacity(members.len())];
        let mut inserted: HashSet<(TableId, &Key)> = HashSet::new();
        let changes = |write: &PreparedWrite| matches!(write.op, Op::Update(..) | Op::Delete(_));
        let inserts = |write: &PreparedWrite| matches!(write.op, Op::Insert(_) | Op::Ensure(_));
        let is_alone = self.tables.dialect() == Dialect::Sqlite
            || !members.iter().flat_map(|member| &member.writes).any(changes);
        for (at, member) in members.iter().enumerate() {
            if !is_alone {
                let mut later = member.writes.iter().filter(|write| changes(write));
                if later.any(|write| inserted.contains(&(write.table, &write.key))) {
                    runs.push(Vec::new());
                    inserted.clear();
                }
                let new = member.writes.iter().filter(|write| inserts(write));
                inserted.extend(new.map(|write| (write.table, &write.key)));
            }
            if let Some(run) = runs.last_mut() {
                run.push(at);
            }
        }
        runs
    }

    /// Does what follows from a failure; gives the error that ends the group.
    fn follow(
        &self,
        next: Next,
        part: Part,
        members: &[Prepared],
        parts: &mut VecDeque<Part>,
        answers: &mut Answers,
    ) -> Option<StoreError> {
        match next {
            Next::Again(tries) => {
                parts.push_front(Part { tries, ..part });
                None
            }
            Next::Stepwise => {
                parts.push_front(Part { tries: part.tries + 1, stepwise: true, ..part });
                None
            }
            Next::Split => {
                let (first, second) = part.members.split_at(part.members.len() / 2);
                for half in [second, first] {
                    let members = half.to_vec();
                    parts.push_front(Part { members, tries: 0, stepwise: false, freed: part.freed });
                }
                None
            }
            // It was followed already.
            Next::Free => None,
            Next::Refuse(error) => {
                part.answer(answers, |_| Err(error.clone()));
                None
            }
            Next::RefuseDelete => {
                let member = part.members.first().and_then(|at| members.get(*at));
                let error =
                    member.and_then(|member| self.named_from_outside(member)).unwrap_or_else(refused_row);
                part.answer(answers, |_| Err(error.clone()));
                None
            }
            Next::End(error) => {
                part.answer(answers, |_| Err(error.clone()));
                Some(error)
            }
            Next::Unknown => {
                for at in &part.members {
                    if let (Some(answer), Some(member)) = (answers.get_mut(*at), members.get(*at)) {
                        *answer = Some(Err(StoreError::Unknown { id: member.id }));
                    }
                }
                Some(StoreError::Unavailable {
                    reason: "the outcome of an earlier batch is unknown".into(),
                    source: None,
                })
            }
        }
    }

    /// Answers those of a part that need a row which somebody else keeps locked, and gives the others. Waiting once more
    /// would keep all of them waiting for what a few need.
    async fn free<S: Session>(
        &self,
        session: &mut S,
        members: &[Prepared],
        part: Part,
        answers: &mut Answers,
    ) -> Part {
        let needs = |places: &[usize]| {
            Needs::of(&self.tables.schema, places.iter().filter_map(|at| members.get(*at)))
        };
        // Where that cannot be told the part is split instead.
        let kept = self.kept_by_others(session, &needs(&part.members)).await.unwrap_or_default();
        let is_kept = |at: &usize| {
            let mut locks = needs(&[*at]).locks.into_iter();
            locks.any(|locks| locks.keys.into_iter().any(|key| kept.contains(&(locks.table, key))))
        };
        let (waits, goes_on) = part.members.iter().partition(|at| is_kept(at));
        Part { members: waits, ..part }.answer(answers, |_| Err(not_given()));
        Part { members: goes_on, tries: 0, stepwise: false, freed: true }
    }

    /// Which of the rows that are to be locked somebody else has locked.
    async fn kept_by_others<S: Session>(
        &self,
        session: &mut S,
        needs: &Needs,
    ) -> Result<BTreeSet<(TableId, Key)>, Failure> {
        let tables = &self.tables;
        let (Some(free), Some(all)) =
            (load::lock(tables, needs, Wait::Never), load::fetch_locked(tables, needs))
        else {
            return Ok(BTreeSet::new());
        };
        session.begin().await?;
        let looked = async {
            let free = free.keys(tables, session.rows(&free.statement).await?)?;
            let all = all.keys(tables, session.rows(&all.statement).await?)?;
            Ok(all.difference(&free).cloned().collect())
        };
        let kept = looked.await;
        session.rollback().await?;
        kept
    }

    /// A row that a table of the application's own refers to cannot be deleted, either. The database does not say
    /// which of several it is: the first is named.
    fn named_from_outside(&self, member: &Prepared) -> Option<StoreError> {
        let delete = |write: &PreparedWrite| matches!(write.op, Op::Delete(_));
        let at = member.writes.iter().position(delete)?;
        let write = member.writes.get(at)?;
        let cause = Cause::StillReferenced {
            reference: "a foreign key of the application",
            by: "a table of the application",
        };
        let table = self.tables.schema.table(write.table).table.name;
        Some(Refusal::new(at, table, write.key.clone(), cause).into())
    }

    /// One unit of work. It is undone where it fails.
    async fn unit<S: Session>(
        &self,
        session: &mut S,
        members: &[Prepared],
        part: &Part,
        place: &mut Place<'_>,
    ) -> Result<Vec<Result<Receipt, StoreError>>, Failure> {
        let mine: Vec<_> = part.members.iter().filter_map(|at| members.get(*at)).collect();
        let ahead = place.may_work_ahead(&mine);
        if !ahead && place.wait().await {
            session.refresh();
        }
        let done = if ahead {
            self.ahead(session, &mine, place).await
        } else {
            session.begin().await?;
            self.inside(session, &mine, part.stepwise, place).await
        };
        match done {
            Ok((answers, Wrote::Nothing)) => session.rollback().await.map(|()| answers),
            Ok((answers, wrote)) => {
                session.note_written();
                let committed = session.commit().await;
                place.ended();
                // Not before they can be seen. What is not certainly committed may be.
                self.unstamped.fetch_or(wrote == Wrote::ButPositions, Ordering::AcqRel);
                committed.map(|()| answers)
            }
            Err(failure) => {
                // Where it cannot be undone its owner gives the session up, which undoes it.
                drop(session.rollback().await);
                Err(failure)
            }
        }
    }
}

/// How long to wait before a repetition: longer each time, and by a random part, so that those who met do not meet
/// again. `random` is from 0 to 1.
pub fn backoff(tries: u32, random: f64) -> Duration {
    let most = Duration::from_millis(2) * 2_u32.saturating_pow(tries.min(6));
    most.mul_f64(random.clamp(0.0, 1.0))
}
