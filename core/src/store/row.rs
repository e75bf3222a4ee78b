//! Rows as they are stored ([`Row`]), keys ([`Key`]), and rows to be inserted ([`NewRow`]).

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::error::StoreError;
use super::table::{Column, Role, Table};
use super::value::{Json, Value};
use crate::id::Id;
use crate::time::Timestamp;

/// The values of a primary key, in its declared order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[Value]>);

impl Key {
    /// A key of several columns.
    pub fn new(values: impl IntoIterator<Item = Value>) -> Self {
        Self(values.into_iter().collect())
    }

    /// The values.
    pub fn values(&self) -> &[Value] {
        &self.0
    }

    /// The only value, where it is a UUID.
    pub fn as_uuid(&self) -> Option<Uuid> {
        match self.0.as_ref() {
            [Value::Uuid(id)] => Some(*id),
            _ => None,
        }
    }
}

impl<T> From<Id<T>> for Key {
    fn from(id: Id<T>) -> Self {
        Self::from(id.uuid())
    }
}
impl From<Uuid> for Key {
    fn from(id: Uuid) -> Self {
        Self(Arc::new([Value::Uuid(id)]))
    }
}
impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(Arc::new([Value::from(text)]))
    }
}
impl<A: Into<Value>, B: Into<Value>> From<(A, B)> for Key {
    fn from((a, b): (A, B)) -> Self {
        Self(Arc::new([a.into(), b.into()]))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

/// A stored row: its values in the order of the table's columns, its revision and its version.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    pub(crate) table: TableRef,
    pub(crate) values: Vec<Value>,
    pub(crate) revision: i64,
    pub(crate) version: i64,
}

/// A table compared by name, so that rows of one table read through two schemas are alike.
#[derive(Clone, Copy)]
pub(crate) struct TableRef(pub(crate) &'static Table);

impl PartialEq for TableRef {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}
impl Eq for TableRef {}

impl Row {
    /// A row as a backend read it. `values` must be in the order of the table's columns; missing ones at the end
    /// take the declared defaults.
    pub fn from_parts(
        table: &'static Table,
        mut values: Vec<Value>,
        revision: i64,
        version: i64,
    ) -> Result<Self, StoreError> {
        for column in table.columns.get(values.len()..).unwrap_or_default() {
            let Some(fallback) = column.fallback() else {
                return Err(StoreError::corrupt(
                    table.name,
                    None,
                    column.name,
                    "the column is missing and has no default",
                ));
            };
            values.push(fallback);
        }
        if values.len() > table.columns.len() {
            return Err(StoreError::corrupt(table.name, None, "", "more values than declared columns"));
        }
        Ok(Self { table: TableRef(table), values, revision, version })
    }

    /// The table that the row is of.
    pub fn table(&self) -> &'static Table {
        self.table.0
    }

    /// The values, in the order of the table's columns.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Raised by every `Update`: what a decision that read plain columns guards.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Raised by every write.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The primary key.
    pub fn key(&self) -> Key {
        Key::new(self.table().key.iter().map(|name| self.get(name).cloned().unwrap_or_default()))
    }

    /// A column's value; `None` where the table has no such column.
    pub fn get(&self, column: &str) -> Option<&Value> {
        let at = self.table().columns.iter().position(|declared| declared.name == column)?;
        self.values.get(at)
    }

    fn wrong(&self, column: &'static str, expected: &'static str) -> StoreError {
        StoreError::corrupt(self.table().name, Some(self.key()), column, expected)
    }

    /// An integer column.
    pub fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        self.opt_int(column)?.ok_or_else(|| self.wrong(column, "expected an integer"))
    }

    /// An integer column that may be null.
    pub fn opt_int(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        match self.get(column) {
            Some(Value::Int(value)) => Ok(Some(*value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(column, "expected an integer")),
        }
    }

    /// A boolean column.
    pub fn bool(&self, column: &'static str) -> Result<bool, StoreError> {
        self.opt_bool(column)?.ok_or_else(|| self.wrong(column, "expected a boolean"))
    }

    /// A boolean column that may be null.
    pub fn opt_bool(&self, column: &'static str) -> Result<Option<bool>, StoreError> {
        match self.get(column) {
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(column, "expected a boolean")),
        }
    }

    /// A UUID column, as the id of a `T`.
    pub fn id<T>(&self, column: &'static str) -> Result<Id<T>, StoreError> {
        self.opt_id(column)?.ok_or_else(|| self.wrong(column, "expected a uuid"))
    }

    /// A UUID column that may be null, as the id of a `T`.
    pub fn opt_id<T>(&self, column: &'static str) -> Result<Option<Id<T>>, StoreError> {
        match self.get(column) {
            Some(Value::Uuid(value)) => Ok(Some(Id::new(*value))),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(column, "expected a uuid")),
        }
    }

    /// A time column.
    pub fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.opt_time(column)?.ok_or_else(|| self.wrong(column, "expected a time"))
    }

    /// A time column that may be null.
    pub fn opt_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        match self.get(column) {
            Some(Value::Time(value)) => Ok(Some(*value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(column, "expected a time")),
        }
    }

    /// A text column.
    pub fn text(&self, column: &'static str) -> Result<&str, StoreError> {
        self.opt_text(column)?.ok_or_else(|| self.wrong(column, "expected text"))
    }

    /// A text column that may be null.
    pub fn opt_text(&self, column: &'static str) -> Result<Option<&str>, StoreError> {
        match self.get(column) {
            Some(Value::Text(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(column, "expected text")),
        }
    }

    /// A JSON column that may be null.
    pub fn opt_json(&self, column: &'static str) -> Result<Option<&Json>, StoreError> {
        match self.get(column) {
            Some(Value::Json(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(column, "expected json")),
        }
    }

    /// A column decoded from an integer or a text by `decode`, which says no to what it does not know.
    pub fn decode<'a, T>(
        &'a self,
        column: &'static str,
        decode: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, StoreError> {
        self.get(column)
            .and_then(decode)
            .ok_or_else(|| self.wrong(column, "not a value that this column can hold"))
    }
}

#[expect(clippy::missing_fields_in_debug, reason = "the table names the struct, and its columns the values")]
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct(self.table().name);
        for (column, value) in self.table().columns.iter().zip(&self.values) {
            if column.role == Role::Secret {
                out.field(column.name, &"(secret)");
            } else {
                out.field(column.name, value);
            }
        }
        out.field("revision", &self.revision).field("version", &self.version).finish()
    }
}

/// A row to be inserted. Columns that are left out take their default, or null where that is allowed.
#[derive(Clone)]
pub struct NewRow {
    pub(crate) table: &'static Table,
    pub(crate) values: Vec<(&'static str, Value)>,
}

impl NewRow {
    /// An empty row of `table`.
    pub fn new(table: &'static Table) -> Self {
        Self { table, values: Vec::with_capacity(table.columns.len()) }
    }

    /// The row as it is once it was inserted.
    pub(crate) fn as_inserted(&self) -> Result<Row, StoreError> {
        let value = |column: &Column| {
            let given = self.values.iter().find(|(name, _)| *name == column.name);
            let value = given.map(|(_, value)| value.clone()).or_else(|| column.fallback());
            value.ok_or_else(|| StoreError::invalid(column.name, "a value is needed"))
        };
        let values: Result<Vec<Value>, StoreError> = self.table.columns.iter().map(value).collect();
        Row::from_parts(self.table, values?, 1, 1)
    }

    /// Gives a column its value.
    pub fn set(mut self, column: &'static str, value: impl Into<Value>) -> Self {
        self.values.push((column, value.into()));
        self
    }
}

impl fmt::Debug for NewRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.values.iter().map(|(name, value)| (name, visible(self.table, name, value)));
        f.debug_tuple(self.table.name).field(&shown.collect::<Vec<_>>()).finish()
    }
}

/// A value that may be printed: a secret column's is replaced.
pub(crate) fn visible(table: &Table, column: &str, value: &Value) -> Value {
    let secret =
        table.columns.iter().any(|declared| declared.name == column && declared.role == Role::Secret);
    if secret { Value::Text(Arc::from("(secret)")) } else { value.clone() }
}
