//! What a group does last, in one statement: [`Last`].

use apportion::store::eval::{Effects, Needs, RowEffect};
use apportion::store::{Key, Kind, Row, StoreError, TableId, Value};
use apportion::time::Timestamp;

use crate::load::{Fetch, Making, Wait, last_at};
use crate::log::stand;
use crate::statement::{Cell, Fetched};
use crate::tables::Tables;
use crate::write::updates;

/// One statement that locks what a group changes or guards, updates, and writes the log. Postgres only.
///
/// It sees what was committed before it began. So it is right only where the rows that it locks are those that the group was
/// judged over: they are among its answers, and where they are others what it wrote is undone. What changed one of
/// them was committed before it began then, and so were the records of that, which it sees where they wait for a position.
#[derive(Debug)]
pub(crate) struct Last {
    fetch: Fetch,
    /// Which of the answers tells what was written.
    told: usize,
    /// How many rows each of its parts must update.
    updated: Vec<usize>,
}

/// What it did.
pub(crate) struct Done {
    /// The rows that are locked.
    pub(crate) rows: Vec<(TableId, Key, Row)>,
    /// Whether the records have positions; none where somebody else has the head.
    pub(crate) stand: Option<bool>,
    /// The time of the last commit before it.
    pub(crate) last_at: Timestamp,
    /// How many rows each of its parts had to update.
    pub(crate) expected: Vec<usize>,
    /// How many it did.
    pub(crate) changed: Vec<Value>,
}

impl Last {
    /// The statement for what a group changes, beside what it has inserted. None where it has nothing to write or to lock.
    pub(crate) fn new(
        tables: &Tables,
        needs: &Needs,
        changed: &[RowEffect],
        effects: &Effects,
        at: Timestamp,
    ) -> Option<Self> {
        if effects.records.is_empty() {
            return None;
        }
        let mut making = Making::new(tables);
        making.locked(needs, Some(Wait::Long));
        let told = making.parts();
        let locked = making.locked_rows()?;
        let when = format!("(SELECT n FROM {locked}) >= 0");
        let union = &mut making.union;
        let (texts, updated): (Vec<_>, Vec<_>) =
            updates(tables, &mut union.params, changed, &when).into_iter().unzip();
        let counts: Vec<_> = texts.iter().map(|text| union.with(text)).collect();
        let taken = stand(tables, union, effects, at, &format!(" WHERE {when}"));
        let head = tables.names.table("kernel_head");
        let last_at = format!("(SELECT {} FROM {head} h WHERE h.id = 1)", last_at(tables));
        let mut columns = vec![("d.free".into(), Cell::Of(Kind::Bool)), (last_at, Cell::Of(Kind::Time))];
        let int = Cell::Of(Kind::Int);
        columns.extend(counts.iter().map(|name| (format!("(SELECT count(*) FROM {name})"), int)));
        union.part(columns, format!("FROM (VALUES (1)) x LEFT JOIN {taken} d ON true"));
        Some(Self { fetch: making.finish()?, told, updated })
    }

    pub(crate) fn statement(&self) -> &crate::statement::Statement {
        &self.fetch.statement
    }

    /// Reads the answers.
    pub(crate) fn read(&self, tables: &Tables, answers: Vec<Fetched>) -> Result<Done, StoreError> {
        let told = answers.iter().find(|answer| answer.branch == self.told);
        let mut values = told.map_or_else(Vec::new, |told| told.values.clone()).into_iter();
        let stand = match values.next() {
            Some(Value::Bool(free)) => Some(free),
            _ => None,
        };
        let last_at = match values.next() {
            Some(Value::Time(at)) => at,
            _ => Timestamp::MIN,
        };
        let changed = values.collect();
        Ok(Done {
            last_at,
            rows: self.fetch.rows(tables, answers)?,
            stand,
            expected: self.updated.clone(),
            changed,
        })
    }
}
