//! How values are bound to a statement and read from its rows.

use std::sync::Arc;

use apportion::store::{Json, Kind, StoreError, Value};
use apportion::time::Timestamp;
use apportion_sql::{Branch, Cell, Failure, Fetched, Param, Statement};
use futures_util::TryStreamExt as _;
use sqlx_core::arguments::Arguments as _;
use sqlx_core::column::{Column as _, ColumnOrigin};
use sqlx_core::decode::Decode;
use sqlx_core::encode::Encode;
use sqlx_core::query::query_with;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_core::type_info::TypeInfo as _;
use sqlx_core::types::Type;
use sqlx_core::value::ValueRef as _;
use sqlx_sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow, SqliteValueRef};
use uuid::Uuid;

use crate::error::failure;

/// Runs a statement and reads all its rows.
pub(crate) async fn rows(
    connection: &mut SqliteConnection,
    statement: &Statement,
) -> Result<Vec<Fetched>, Failure> {
    let arguments = arguments(&statement.params)?;
    let mut stream = query_with(AssertSqlSafe(statement.sql.as_str()), arguments).fetch(connection);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await.map_err(failure)? {
        rows.push(fetched(&row, &statement.branches)?);
    }
    Ok(rows)
}

/// Runs a statement and says how many rows it changed.
pub(crate) async fn execute(
    connection: &mut SqliteConnection,
    statement: &Statement,
) -> Result<u64, Failure> {
    let arguments = arguments(&statement.params)?;
    let done = query_with(AssertSqlSafe(statement.sql.as_str()), arguments).execute(connection).await;
    Ok(done.map_err(failure)?.rows_affected())
}

fn arguments(params: &[Param]) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    for param in params {
        match param {
            Param::One(_, value) => bind(&mut arguments, value)?,
            Param::Bytes(bytes) => add(&mut arguments, bytes.clone())?,
            Param::Rows(rows) => add(&mut arguments, rows.clone())?,
            Param::Many(..) | Param::ManyBytes(_) => return Err(unbindable("an array")),
        }
    }
    Ok(arguments)
}

fn bind(arguments: &mut SqliteArguments, value: &Value) -> Result<(), StoreError> {
    match value {
        Value::Null => add(arguments, None::<i64>),
        Value::Bool(value) => add(arguments, i64::from(*value)),
        Value::Int(value) => add(arguments, *value),
        Value::Uuid(value) => add(arguments, *value),
        Value::Time(value) => add(arguments, value.as_micros()),
        Value::Text(value) => add(arguments, Arc::clone(value)),
        Value::Json(value) => add(arguments, value.as_str()),
    }
}

fn add<'a, T: Encode<'a, Sqlite> + Type<Sqlite>>(
    arguments: &mut SqliteArguments,
    value: T,
) -> Result<(), StoreError> {
    arguments.add(value).map_err(|_| unbindable("a value"))
}

fn unbindable(what: &str) -> StoreError {
    StoreError::Unavailable { reason: format!("SQLite cannot bind {what}"), source: None }
}

fn fetched(row: &SqliteRow, branches: &[Branch]) -> Result<Fetched, StoreError> {
    let number = match branches {
        [] => return Ok(Fetched { branch: 0, values: Vec::new(), bytes: Vec::new() }),
        _ => match cell(row, 0, Cell::Of(Kind::Int), true)? {
            Read::Value(Value::Int(number)) => usize::try_from(number).ok(),
            _ => None,
        },
    };
    let branch = number.and_then(|number| branches.get(number));
    let (Some(number), Some(branch)) = (number, branch) else {
        return Err(StoreError::corrupt("the file", None, "", "an answer to no question"));
    };
    let only = branches.len() == 1;
    let mut out =
        Fetched { branch: number, values: Vec::with_capacity(branch.columns.len()), bytes: Vec::new() };
    for (at, expected) in &branch.columns {
        match cell(row, *at, *expected, only)? {
            Read::Value(value) => out.values.push(value),
            Read::Bytes(bytes) => {
                out.values.push(Value::Null);
                out.bytes.push(bytes);
            }
        }
    }
    Ok(out)
}

/// What a column holds.
enum Read {
    Value(Value),
    Bytes(Vec<u8>),
}

/// Reads one column. `only` says that the statement has one branch, so that a column's origin is that of the value.
fn cell(row: &SqliteRow, at: usize, expected: Cell, only: bool) -> Result<Read, StoreError> {
    let corrupt = |reason: String| {
        let (table, column) = if only { origin(row, at) } else { (String::new(), String::new()) };
        let table = if table.is_empty() { "the file".into() } else { table };
        StoreError::corrupt(&table, None, &column, reason)
    };
    let found = row.try_get_raw(at).map_err(|_| corrupt("the column is missing".into()))?;
    let read = match expected {
        Cell::Of(_) if found.is_null() => return Ok(Read::Value(Value::Null)),
        Cell::Of(kind) => value(found, kind).map(Read::Value),
        Cell::Bytes => bytes(found).map(Read::Bytes),
    };
    read.map_err(corrupt)
}

/// The table and the name of a column.
fn origin(row: &SqliteRow, at: usize) -> (String, String) {
    let Some(column) = row.columns().get(at) else { return (String::new(), String::new()) };
    match column.origin() {
        ColumnOrigin::Table(origin) => (origin.table.to_string(), origin.name.to_string()),
        _ => (String::new(), column.name().to_owned()),
    }
}

fn value(found: SqliteValueRef<'_>, kind: Kind) -> Result<Value, String> {
    match kind {
        Kind::Bool => match integer(found, "a boolean")? {
            0 => Ok(Value::Bool(false)),
            1 => Ok(Value::Bool(true)),
            other => Err(format!("expected a boolean, found the integer {other}")),
        },
        Kind::Int => integer(found, "an integer").map(Value::Int),
        Kind::Time => {
            let micros = integer(found, "a time")?;
            let time = Timestamp::from_micros(micros);
            // A timestamp stops at the ends of its range, which a stored one never left.
            if time.as_micros() == micros { Ok(Value::Time(time)) } else { Err("a time out of range".into()) }
        }
        Kind::Uuid => {
            let bytes = stored::<&[u8]>(found, "BLOB", "a uuid")?;
            let uuid = Uuid::from_slice(bytes);
            uuid.map(Value::Uuid).map_err(|_| format!("expected a uuid, found {} bytes", bytes.len()))
        }
        Kind::Text { .. } => stored::<&str>(found, "TEXT", "text").map(Value::from),
        Kind::Json { .. } => {
            let text = stored::<&str>(found, "TEXT", "json")?;
            Json::parse(text).map(Value::Json).map_err(|_| "expected json, found other text".into())
        }
        _ => Err("a kind that this backend does not know".into()),
    }
}

fn bytes(found: SqliteValueRef<'_>) -> Result<Vec<u8>, String> {
    stored::<&[u8]>(found, "BLOB", "bytes").map(<[u8]>::to_vec)
}

fn integer(found: SqliteValueRef<'_>, expected: &str) -> Result<i64, String> {
    stored(found, "INTEGER", expected)
}

/// A value of one storage class. SQLite would convert another silently.
fn stored<'r, T: Decode<'r, Sqlite>>(
    found: SqliteValueRef<'r>,
    class: &str,
    expected: &str,
) -> Result<T, String> {
    let is = found.type_info().name().to_owned();
    if is != class {
        return Err(format!("expected {expected}, found {is}"));
    }
    T::decode(found).map_err(|_| format!("expected {expected}, found something unreadable"))
}

#[cfg(test)]
mod tests;
