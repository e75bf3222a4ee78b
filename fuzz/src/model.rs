//! The contract of a store, judged over plain maps.

use std::collections::BTreeMap;

use apportion::store::Value;
use uuid::Uuid;

use crate::script::{How, Which};

/// A row: its values in declared order, its revision and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The values.
    pub cells: Vec<Value>,
    /// Raised by updates.
    pub revision: i64,
    /// Raised by every write.
    pub version: i64,
}

/// What a write does.
#[derive(Clone, Debug)]
pub enum Op {
    /// Inserts, or leaves what is there where the flag is set.
    Insert(Vec<Value>, bool),
    /// Changes these columns at this revision.
    Update(i64, Vec<(usize, Value)>),
    /// Deletes at this revision.
    Delete(i64),
    /// Requires this revision.
    Guard(i64),
    /// Adds to the counter; the flag says whether ceilings are judged.
    Adjust(i64, bool),
    /// Changes the counter where it is at most this.
    Patch(Option<i64>, How, i64),
}

/// A write of one row.
#[derive(Clone, Debug)]
pub struct Write {
    /// The table.
    pub table: Which,
    /// The key.
    pub id: i64,
    /// What is done.
    pub op: Op,
}

/// Rows by table and key, and the feed as text.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The rows.
    pub rows: BTreeMap<(Which, i64), Row>,
    /// For each record its batch and its changes.
    pub feed: Vec<(Uuid, Vec<String>)>,
}

/// The position of a table's counter.
pub fn counter(table: Which) -> usize {
    match table {
        Which::Owners => 2,
        Which::Items => 5,
        Which::Pulses => 1,
    }
}

/// A table's name.
pub fn name(table: Which) -> &'static str {
    match table {
        Which::Owners => "owners",
        Which::Items => "items",
        Which::Pulses => "pulses",
    }
}

/// Columns of another row's key: reference, column, parent.
fn references(table: Which) -> &'static [(&'static str, usize, Which)] {
    match table {
        Which::Owners => &[],
        Which::Items => &[("items_owner", 1, Which::Owners), ("items_parent", 2, Which::Items)],
        Which::Pulses => &[("pulses_owner", 0, Which::Owners)],
    }
}

fn unique(table: Which) -> Option<(&'static str, &'static [usize])> {
    match table {
        Which::Owners => Some(("owners_name", &[1])),
        Which::Items => Some(("items_owner_tag", &[1, 3])),
        Which::Pulses => None,
    }
}

fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

impl Model {
    /// Commits a batch: gives its position in the feed, or which write is refused and why.
    pub fn commit(&mut self, id: Uuid, writes: &[Write]) -> Result<Option<u64>, (usize, String)> {
        let mut next = self.clone();
        let mut touched = Vec::new();
        for (at, write) in writes.iter().enumerate() {
            next.write(write, &mut touched).map_err(|cause| (at, cause))?;
        }
        let changes: Vec<_> = touched.iter().filter_map(|row| self.change(&next, *row)).collect();
        let position = (!changes.is_empty()).then(|| {
            next.feed.push((id, changes));
            next.feed.len() as u64
        });
        *self = next;
        Ok(position)
    }

    fn write(&mut self, write: &Write, touched: &mut Vec<(Which, i64)>) -> Result<(), String> {
        let place = (write.table, write.id);
        let before = self.rows.get(&place).cloned();
        let (mut after, judged) = match (&write.op, &before) {
            (Op::Insert(_, true), Some(_)) => return Ok(()),
            (Op::Insert(_, false), Some(_)) => {
                return Err(format!("duplicate {} {}", name(write.table), write.id));
            }
            (Op::Insert(cells, _), None) => {
                let row = Row { cells: cells.clone(), revision: 1, version: 0 };
                (row, true)
            }
            (_, None) => return Err("missing".into()),
            (Op::Update(revision, _) | Op::Delete(revision) | Op::Guard(revision), Some(row))
                if *revision != row.revision =>
            {
                return Err(format!("conflict {revision} {}", row.revision));
            }
            (Op::Guard(_), Some(_)) => return Ok(()),
            (Op::Delete(_), Some(_)) => {
                self.nobody_refers(place)?;
                self.rows.remove(&place);
                touch(touched, place);
                return Ok(());
            }
            (Op::Update(_, set), Some(row)) => {
                let mut row = row.clone();
                for (at, value) in set {
                    row.cells[*at] = value.clone();
                }
                row.revision += 1;
                (row, false)
            }
            (Op::Adjust(delta, admit), Some(row)) => (counted(row, write.table, |was| was + delta), *admit),
            (Op::Patch(test, how, value), Some(row)) => {
                let was = int(&row.cells[counter(write.table)]).unwrap();
                if test.is_some_and(|most| was > most) {
                    let column = if write.table == Which::Owners {
                        "used"
                    } else if write.table == Which::Items {
                        "count"
                    } else {
                        "seen"
                    };
                    return Err(format!("test {column}"));
                }
                let patched = counted(row, write.table, |was| match how {
                    How::Add => was + value,
                    How::Set => *value,
                    How::Max => was.max(*value),
                });
                (patched, true)
            }
        };
        after.version += 1;
        self.check(place, before.as_ref(), &after, judged)?;
        self.rows.insert(place, after);
        touch(touched, place);
        Ok(())
    }

    fn check(
        &self,
        place: (Which, i64),
        before: Option<&Row>,
        after: &Row,
        judged: bool,
    ) -> Result<(), String> {
        let (table, id) = place;
        if let Some((unique, columns)) = unique(table) {
            let key = |row: &Row| -> Vec<Value> { columns.iter().map(|at| row.cells[*at].clone()).collect() };
            let wanted = key(after);
            let taken = self
                .rows
                .iter()
                .find(|((of, other), row)| *of == table && *other != id && key(row) == wanted);
            if let Some(((_, other), _)) = taken.filter(|_| !wanted.contains(&Value::Null)) {
                return Err(format!("duplicate {unique} {other}"));
            }
        }
        for (reference, at, parent) in references(table) {
            let Some(named) = int(&after.cells[*at]) else {
                continue;
            };
            let there = (*parent, named) == place || self.rows.contains_key(&(*parent, named));
            if !there {
                return Err(format!("no_parent {reference}"));
            }
        }
        let now = int(&after.cells[counter(table)]).unwrap();
        if table == Which::Owners && now < 0 {
            return Err("invariant owners_used_not_negative".into());
        }
        if table == Which::Items && now > 9 {
            return Err("invariant items_count_small".into());
        }
        let was = before.map_or(0, |row| int(&row.cells[counter(table)]).unwrap());
        if table == Which::Owners
            && judged
            && let Some(cap) = int(&after.cells[3])
            && now > was
            && now > cap
        {
            return Err(format!("ceiling owners_cap {cap} {was} {}", now - was));
        }
        Ok(())
    }

    fn nobody_refers(&self, place: (Which, i64)) -> Result<(), String> {
        for table in [Which::Owners, Which::Items, Which::Pulses] {
            for (reference, at, parent) in references(table) {
                let refers = self.rows.iter().any(|((of, id), row)| {
                    *of == table
                        && (*of, *id) != place
                        && *parent == place.0
                        && int(&row.cells[*at]) == Some(place.1)
                });
                if refers {
                    return Err(format!("still_referenced {reference} {}", name(table)));
                }
            }
        }
        Ok(())
    }

    /// What a batch did to a row, as the feed tells it; nothing for what stays out of the feed.
    fn change(&self, next: &Self, place: (Which, i64)) -> Option<String> {
        if place.0 == Which::Pulses {
            return None;
        }
        let (before, after) = (self.rows.get(&place), next.rows.get(&place));
        let secret = |at: usize| place.0 == Which::Items && at == 6;
        let shown = |row: &Row| -> Vec<(usize, Value)> {
            let cells = row.cells.iter().cloned().enumerate();
            cells
                .filter(|(at, value)| !secret(*at) && before.is_none_or(|before| before.cells[*at] != *value))
                .collect()
        };
        let (verb, revision, version, cells) = match (before, after) {
            (None, Some(row)) => ("Insert", row.revision, row.version, shown(row)),
            (Some(_), Some(row)) => ("Update", row.revision, row.version, shown(row)),
            (Some(row), None) => ("Delete", row.revision, row.version + 1, Vec::new()),
            (None, None) => return None,
        };
        Some(format!("{} {} {verb} {revision} {version} {cells:?}", name(place.0), place.1))
    }
}

fn counted(row: &Row, table: Which, change: impl Fn(i64) -> i64) -> Row {
    let mut row = row.clone();
    let cell = &mut row.cells[counter(table)];
    *cell = Value::Int(change(int(cell).unwrap()));
    row
}

fn touch(touched: &mut Vec<(Which, i64)>, place: (Which, i64)) {
    if !touched.contains(&place) {
        touched.push(place);
    }
}
