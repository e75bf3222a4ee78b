//! The contract once more, as plainly as it can be said: rows of four numbers, and every rule written out by hand.
//!
//! It reads no declaration and shares no code with the evaluator. Keys and references are checked against all rows,
//! whether the write changed them or not.

use std::collections::BTreeMap;

use apportion::store::{Batch, Cause, Change, Is, Key, NewRow, RowChange, Test, Value, Verb, Write};
use uuid::Uuid;

use crate::steps::{Kind, Numbers, Step, Steps, malformed};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) numbers: Numbers,
    pub(crate) revision: i64,
    pub(crate) version: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model(pub(crate) BTreeMap<(Kind, i64), Line>);

/// What is to become of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Accepted, with what the feed tells.
    Done(Vec<RowChange>),
    Refused(usize, Cause),
    Invalid,
}

impl Model {
    fn revision(&self, kind: Kind, id: i64, off: i64) -> i64 {
        self.0.get(&(kind, id)).map_or(1, |line| line.revision) + off
    }

    /// The batch that the steps ask for, decided on these rows.
    pub(crate) fn batch(&self, batch: Uuid, steps: &Steps) -> Batch {
        let mut made = Batch::new(batch, "test");
        for (kind, id, step) in steps {
            let (table, key) = (kind.table(), Key::new([Value::Int(*id)]));
            let revision = |off: &i64| self.revision(*kind, *id, *off);
            let row = |numbers: &Numbers| {
                let columns = numbers.iter().enumerate();
                columns.fold(NewRow::new(table).set("id", *id), |row, (at, number)| {
                    row.set(kind.column(at), *number)
                })
            };
            made.push(match step {
                Step::Insert(numbers) => Write::Insert(row(numbers)),
                Step::Ensure(numbers) => Write::Ensure(row(numbers)),
                Step::Update(off, set) => {
                    let set = set.iter().enumerate();
                    let set = set.filter_map(|(at, number)| Some((kind.column(at), Value::from((*number)?))));
                    Write::update(table, key, revision(off), set.collect())
                }
                Step::Delete(off) => Write::delete(table, key, revision(off)),
                Step::Guard(off) => Write::guard(table, key, revision(off)),
                Step::Adjust(by, true) => Write::admit(table, key, kind.column(3), *by),
                Step::Adjust(by, false) => Write::record(table, key, kind.column(3), *by),
                Step::Patch(test, change) => {
                    let tests = test.iter().map(|(at, is)| Test::new(kind.column(*at), is.clone()));
                    Write::patch(table, key, tests.collect(), vec![(kind.column(3), change.clone())])
                }
            });
        }
        made
    }

    /// Judges the steps, revisions taken from `decided`, and changes the rows where they are accepted.
    pub(crate) fn judge(&mut self, decided: &Self, steps: &Steps) -> Verdict {
        if malformed(steps) {
            return Verdict::Invalid;
        }
        let mut after = self.clone();
        for (at, (kind, id, step)) in steps.iter().enumerate() {
            let revision = |off: &i64| decided.revision(*kind, *id, *off);
            if let Err(cause) = after.apply((*kind, *id), step, revision) {
                return Verdict::Refused(at, cause);
            }
        }
        let changes = self.changes(&after, steps);
        *self = after;
        Verdict::Done(changes)
    }

    fn apply(&mut self, at: (Kind, i64), step: &Step, revision: impl Fn(&i64) -> i64) -> Result<(), Cause> {
        let found = self.0.get(&at).copied();
        let fresh = |numbers: &Numbers| Line { numbers: *numbers, revision: 1, version: 1 };
        let right = |line: Line, off: &i64| {
            let (expected, found) = (revision(off), line.revision);
            if expected == found { Ok(line) } else { Err(Cause::Conflict { expected, found }) }
        };
        let (mut line, admit) = match (step, found) {
            (Step::Insert(_), Some(_)) => {
                let unique = at.0.table().name;
                return Err(Cause::Duplicate { unique, owner: key(at.1) });
            }
            (Step::Ensure(_), Some(_)) => return Ok(()),
            (Step::Insert(numbers) | Step::Ensure(numbers), None) => {
                return self.put(at, None, fresh(numbers), true);
            }
            (_, None) => return Err(Cause::Missing),
            (Step::Guard(off), Some(line)) => return right(line, off).map(drop),
            (Step::Delete(off), Some(line)) => {
                right(line, off)?;
                self.named_by_nobody(at)?;
                self.0.remove(&at);
                return Ok(());
            }
            (Step::Update(off, set), Some(line)) => {
                let mut line = right(line, off)?;
                for (place, number) in line.numbers.iter_mut().zip(set) {
                    *place = number.unwrap_or(*place);
                }
                line.revision += 1;
                (line, false)
            }
            (Step::Adjust(by, admit), Some(mut line)) => {
                line.numbers[3] = Some(line.numbers[3].ok_or(overflow(at.0))? + by);
                (line, *admit)
            }
            (Step::Patch(test, change), Some(mut line)) => {
                if let Some((column, is)) = test
                    && !holds(is, line.numbers[*column])
                {
                    return Err(Cause::TestFailed { column: at.0.column(*column) });
                }
                line.numbers[3] = match change {
                    Change::Add(by) => Some(line.numbers[3].ok_or(overflow(at.0))? + by),
                    Change::Set(value) => number(value),
                    Change::Max(value) => line.numbers[3].max(number(value)),
                    other => panic!("an unknown change {other:?}"),
                };
                (line, true)
            }
        };
        line.version += 1;
        self.put(at, found, line, admit)
    }

    fn put(&mut self, at: (Kind, i64), before: Option<Line>, line: Line, admit: bool) -> Result<(), Cause> {
        let [a, b, c, d] = line.numbers;
        let keys: &[(&'static str, &[usize])] = match at.0 {
            Kind::Parent => &[("parents_tag", &[0])],
            Kind::Child => &[("children_slot", &[0, 2]), ("children_turn", &[3])],
        };
        for (unique, columns) in keys {
            let of =
                |line: &Line| columns.iter().map(|column| line.numbers[*column]).collect::<Option<Vec<_>>>();
            let mine = of(&line);
            let same = self.0.iter().find(|(other, line)| {
                other.0 == at.0 && other.1 != at.1 && mine.is_some() && of(line) == mine
            });
            if let Some((owner, _)) = same {
                return Err(Cause::Duplicate { unique, owner: key(owner.1) });
            }
        }
        if at.0 == Kind::Child {
            let there = |kind, id: i64| self.0.contains_key(&(kind, id)) || (kind, id) == at;
            if a.is_some_and(|parent| !there(Kind::Parent, parent)) {
                return Err(Cause::NoParent { reference: "children_parent" });
            }
            if b.is_some_and(|peer| !there(Kind::Child, peer)) {
                return Err(Cause::NoParent { reference: "children_peer" });
            }
        }
        let broken = match at.0 {
            Kind::Parent if d < Some(0) => Some("parents_used_least"),
            Kind::Parent if c > Some(2) => Some("parents_level_most"),
            Kind::Child if c.zip(d).is_some_and(|(slot, turn)| slot > turn) => Some("children_slot_turn"),
            _ => None,
        };
        if let Some(rule) = broken {
            return Err(Cause::Invariant { rule });
        }
        let used = before.and_then(|before| before.numbers[3]).unwrap_or(0);
        if let (Kind::Parent, Some(limit), Some(wanted), true) = (at.0, b, d, admit)
            && wanted > limit
            && wanted > used
        {
            let (rule, asked) = ("parents_used_cap", wanted - used);
            return Err(Cause::Ceiling { rule, limit, used, asked });
        }
        self.0.insert(at, line);
        Ok(())
    }

    fn named_by_nobody(&self, at: (Kind, i64)) -> Result<(), Cause> {
        let column = usize::from(at.0 == Kind::Child);
        let others = self.0.iter().filter(|(other, _)| other.0 == Kind::Child && **other != at);
        for (_, line) in others {
            if line.numbers[column] == Some(at.1) {
                let reference = if column == 0 { "children_parent" } else { "children_peer" };
                return Err(Cause::StillReferenced { reference, by: "children" });
            }
        }
        Ok(())
    }

    fn changes(&self, after: &Self, steps: &Steps) -> Vec<RowChange> {
        let mut changes: Vec<RowChange> = Vec::new();
        for (kind, id, step) in steps {
            let (old, new) = (self.0.get(&(*kind, *id)), after.0.get(&(*kind, *id)));
            // An adjust of the same row may follow; its place is that of the write that changed it first.
            if matches!((step, old), (Step::Guard(_), _) | (Step::Ensure(_), Some(_))) {
                continue;
            }
            if old == new
                || changes.iter().any(|known| known.table == kind.table().name && known.key == key(*id))
            {
                continue;
            }
            let shown = |line: &Line| -> Vec<(&'static str, Value)> {
                let numbers = line.numbers.iter().enumerate();
                numbers.map(|(at, number)| (kind.column(at), Value::from(*number))).collect()
            };
            let (verb, revision, version, columns) = match (old, new) {
                (None, Some(new)) => {
                    let mut columns = vec![("id", Value::Int(*id))];
                    columns.extend(shown(new));
                    (Verb::Insert, new.revision, new.version, columns)
                }
                (Some(old), Some(new)) => {
                    let mut columns = shown(new);
                    columns.retain(|column| !shown(old).contains(column));
                    (Verb::Update, new.revision, new.version, columns)
                }
                (Some(old), None) => (Verb::Delete, old.revision, old.version + 1, Vec::new()),
                (None, None) => continue,
            };
            let (table, key) = (kind.table().name, key(*id));
            changes.push(RowChange { table, key, verb, revision, version, columns });
        }
        changes
    }
}

pub(crate) fn key(id: i64) -> Key {
    Key::new([Value::Int(id)])
}

fn overflow(kind: Kind) -> Cause {
    Cause::Overflow { column: kind.column(3) }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

fn holds(is: &Is, found: Option<i64>) -> bool {
    match (is, found) {
        (Is::Null, found) => found.is_none(),
        (_, None) => false,
        (Is::NotNull, Some(_)) => true,
        (Is::Eq(value), found) => found == number(value),
        (Is::Ge(value), found) => found >= number(value),
        (Is::Lt(value), found) => found < number(value),
        (other, _) => panic!("an unknown test {other:?}"),
    }
}
