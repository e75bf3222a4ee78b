//! A store's tables in its database, and the pieces of text about them: [`Tables`].

use std::sync::Arc;

use apportion::store::{Key, Kind, Row, Schema, StoreError, TableInfo, Value};
use apportion::time::Timestamp;

use crate::names::{Dialect, Names};
use crate::source::Given;
use crate::statement::{Cell, Fetched};
use crate::union::Selected;

/// The declarations of a store, and what its tables are called.
#[derive(Clone, Debug)]
pub struct Tables {
    pub(crate) schema: Arc<Schema>,
    pub(crate) names: Names,
}

impl Tables {
    /// Tables of these declarations, with these names.
    pub fn new(schema: Arc<Schema>, names: Names) -> Self {
        Self { schema, names }
    }

    /// The declarations.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The names.
    pub fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.names.dialect()
    }

    pub(crate) fn table(&self, info: &TableInfo) -> String {
        self.names.table(info.table.name)
    }

    /// The select list of a whole row of the table called `alias`.
    pub(crate) fn row_columns(&self, info: &TableInfo, alias: &str) -> Vec<Selected> {
        let mut columns: Vec<Selected> =
            info.table.columns.iter().map(|column| self.selected(alias, column.name, column.kind)).collect();
        columns.push((format!("{alias}.\"revision\""), Cell::Of(Kind::Int)));
        columns.push((format!("{alias}.\"version\""), Cell::Of(Kind::Int)));
        columns
    }

    /// The select list of the primary key.
    pub(crate) fn key_columns(&self, info: &TableInfo, alias: &str) -> Vec<Selected> {
        let columns = info.key.iter().filter_map(|at| info.table.columns.get(*at));
        columns.map(|column| self.selected(alias, column.name, column.kind)).collect()
    }

    fn selected(&self, alias: &str, name: &str, kind: Kind) -> Selected {
        let cast = match (self.dialect(), kind) {
            (Dialect::Postgres, Kind::Json { .. }) => "::text",
            _ => "",
        };
        (format!("{alias}.\"{name}\"{cast}"), Cell::Of(kind))
    }

    /// `t."a" = s.c0 AND t."b" = s.c1` for these columns.
    pub(crate) fn matches(info: &TableInfo, columns: &[usize]) -> String {
        let named = columns.iter().filter_map(|at| info.table.columns.get(*at)).enumerate();
        let equal: Vec<_> = named.map(|(at, column)| format!("t.\"{}\" = s.c{at}", column.name)).collect();
        equal.join(" AND ")
    }

    /// A text from `FROM` on: the row `t` of a unique key for each of some `rows`.
    pub(crate) fn look_up(&self, rows: &str, info: &TableInfo, columns: &[usize]) -> String {
        let matches = match (self.dialect(), columns.split_last()) {
            (Dialect::Postgres, Some((last, first @ [_, ..]))) => Self::matches_in_order(info, first, *last),
            _ => Self::matches(info, columns),
        };
        look_up(self.dialect(), rows, &self.table(info), "t", &matches)
    }

    /// The same as [`Tables::matches`], put so that no other index than the key's own serves it. One that begins with
    /// the same columns looks as good to a database that has not counted the rows yet, and then reads all of an owner's
    /// rows for one.
    fn matches_in_order(info: &TableInfo, first: &[usize], last: usize) -> String {
        let Some(column) = info.table.columns.get(last) else { return String::new() };
        let (name, at) = (column.name, first.len());
        let nulls = if column.nullable { " NULLS FIRST" } else { "" };
        format!(
            "{} AND t.\"{name}\" >= s.c{at} AND t.\"{name}\" <= s.c{at} ORDER BY t.\"{name}\"{nulls}",
            Self::matches(info, first)
        )
    }

    /// `t."a", t."b"` for these columns.
    pub(crate) fn list(info: &TableInfo, columns: &[usize], alias: &str) -> String {
        let named = columns.iter().filter_map(|at| info.table.columns.get(*at));
        let list: Vec<_> = named.map(|column| format!("{alias}.\"{}\"", column.name)).collect();
        list.join(", ")
    }

    /// Keys, or values of an order, column by column.
    pub(crate) fn given(info: &TableInfo, columns: &[usize], keys: &[Key]) -> Vec<Given> {
        let kinds = columns.iter().filter_map(|at| info.table.columns.get(*at)).enumerate();
        let column = |(at, kind): (usize, Kind)| {
            let values = keys.iter().map(|key| key.values().get(at).cloned().unwrap_or_default());
            Given::Values(kind, values.collect())
        };
        kinds.map(|(at, declared)| column((at, declared.kind))).collect()
    }

    /// The row in an answer whose columns are those of [`Tables::row_columns`], then others.
    pub(crate) fn row(info: &TableInfo, values: &mut Vec<Value>) -> Result<Row, StoreError> {
        let more = values.split_off(info.table.columns.len().min(values.len()));
        let number = |at: usize, name| match more.get(at) {
            Some(Value::Int(number)) => Ok(*number),
            _ => Err(StoreError::corrupt(info.table.name, None, name, "expected an integer")),
        };
        for (value, column) in values.iter().zip(info.table.columns) {
            if value.is_null() && !column.nullable {
                return Err(StoreError::corrupt(
                    info.table.name,
                    None,
                    column.name,
                    "null where none may be",
                ));
            }
        }
        let row = Row::from_parts(
            info.table,
            std::mem::take(values),
            number(0, "revision")?,
            number(1, "version")?,
        );
        *values = more;
        row
    }
}

/// Reads the columns of an answer of the store's own tables, one after the other.
pub(crate) struct Own<'f> {
    what: &'static str,
    values: std::slice::Iter<'f, Value>,
}

impl<'f> Own<'f> {
    pub(crate) fn new(what: &'static str, fetched: &'f Fetched) -> Self {
        Self { what, values: fetched.values.iter() }
    }

    fn wrong(&self, expected: &str) -> StoreError {
        StoreError::corrupt(self.what, None, "", format!("expected {expected}"))
    }

    pub(crate) fn opt_int(&mut self) -> Result<Option<i64>, StoreError> {
        match self.values.next() {
            Some(Value::Int(number)) => Ok(Some(*number)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong("an integer")),
        }
    }

    pub(crate) fn position(&mut self) -> Result<u64, StoreError> {
        let number = self.opt_int()?;
        number.and_then(|number| u64::try_from(number).ok()).ok_or_else(|| self.wrong("a position"))
    }

    pub(crate) fn opt_uuid(&mut self) -> Result<Option<uuid::Uuid>, StoreError> {
        match self.values.next() {
            Some(Value::Uuid(id)) => Ok(Some(*id)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong("a uuid")),
        }
    }

    pub(crate) fn uuid(&mut self) -> Result<uuid::Uuid, StoreError> {
        self.opt_uuid()?.ok_or_else(|| self.wrong("a uuid"))
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, StoreError> {
        match self.values.next() {
            Some(Value::Time(at)) => Ok(*at),
            _ => Err(self.wrong("a time")),
        }
    }

    pub(crate) fn bool(&mut self) -> Result<bool, StoreError> {
        match self.values.next() {
            Some(Value::Bool(value)) => Ok(*value),
            _ => Err(self.wrong("a boolean")),
        }
    }

    pub(crate) fn text(&mut self) -> Result<&'f str, StoreError> {
        match self.values.next() {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(self.wrong("a text")),
        }
    }
}

/// A text from `FROM` on: for each of some `rows` the one that `matches` in a table that is called `alias`.
///
/// It says how, too: the index is looked into for each row. A join the other way round, or over the whole table, may
/// look cheaper while a table is small, and a database remembers its plans.
pub(crate) fn look_up(dialect: Dialect, rows: &str, table: &str, alias: &str, matches: &str) -> String {
    match dialect {
        Dialect::Postgres => format!(
            "FROM {rows} CROSS JOIN LATERAL (SELECT * FROM {table} {alias} WHERE {matches} LIMIT 1) {alias}"
        ),
        Dialect::Sqlite => format!("FROM {rows} CROSS JOIN {table} {alias} WHERE {matches}"),
    }
}
