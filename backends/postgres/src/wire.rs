//! How values are bound to a statement and read from its rows.

use std::sync::Arc;

use apportion::store::{Json, Kind, StoreError, Value};
use apportion::time::Timestamp;
use apportion_sql::{Branch, Cell, Fetched, Param};
use chrono::{DateTime, Utc};
use sqlx_core::arguments::Arguments as _;
use sqlx_core::column::Column as _;
use sqlx_core::decode::Decode;
use sqlx_core::encode::{Encode, IsNull};
use sqlx_core::error::BoxDynError;
use sqlx_core::row::Row as _;
use sqlx_core::types::Type;
use sqlx_postgres::{PgArgumentBuffer, PgArguments, PgHasArrayType, PgRow, PgTypeInfo, PgValueRef, Postgres};
use uuid::Uuid;

/// What is bound, in order.
pub(crate) fn arguments(params: &[Param]) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    for param in params {
        match param {
            Param::One(kind, value) => one(&mut arguments, *kind, value)?,
            Param::Many(kind, values) => many(&mut arguments, *kind, values)?,
            Param::Bytes(bytes) => add(&mut arguments, bytes.as_slice())?,
            Param::ManyBytes(many) => {
                let all: Vec<_> = many.iter().map(Vec::as_slice).collect();
                add(&mut arguments, all)?;
            }
            Param::Rows(_) => return Err(unbindable("rows as one text")),
        }
    }
    Ok(arguments)
}

fn one(arguments: &mut PgArguments, kind: Kind, value: &Value) -> Result<(), StoreError> {
    match kind {
        Kind::Bool => add(arguments, bool_of(value)?),
        Kind::Int => add(arguments, int_of(value)?),
        Kind::Uuid => add(arguments, uuid_of(value)?),
        Kind::Time => add(arguments, time_of(value)?),
        _ => add(arguments, text_of(value)?),
    }
}

fn many(arguments: &mut PgArguments, kind: Kind, values: &[Value]) -> Result<(), StoreError> {
    match kind {
        Kind::Bool => add(arguments, each(values, bool_of)?),
        Kind::Int => add(arguments, each(values, int_of)?),
        Kind::Uuid => add(arguments, each(values, uuid_of)?),
        Kind::Time => add(arguments, each(values, time_of)?),
        _ => add(arguments, each(values, text_of)?),
    }
}

type Bound<T> = Result<Option<T>, StoreError>;

fn each<'v, T>(
    values: &'v [Value],
    read: impl Fn(&'v Value) -> Bound<T>,
) -> Result<Vec<Option<T>>, StoreError> {
    values.iter().map(read).collect()
}

fn bool_of(value: &Value) -> Bound<bool> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(value) => Ok(Some(*value)),
        _ => Err(unbindable("another kind as a boolean")),
    }
}

fn int_of(value: &Value) -> Bound<i64> {
    match value {
        Value::Null => Ok(None),
        Value::Int(value) => Ok(Some(*value)),
        _ => Err(unbindable("another kind as an integer")),
    }
}

fn uuid_of(value: &Value) -> Bound<Uuid> {
    match value {
        Value::Null => Ok(None),
        Value::Uuid(value) => Ok(Some(*value)),
        _ => Err(unbindable("another kind as a uuid")),
    }
}

fn time_of(value: &Value) -> Bound<Micros> {
    match value {
        Value::Null => Ok(None),
        Value::Time(value) => Ok(Some(Micros(value.as_micros() - EPOCH_MICROS))),
        _ => Err(unbindable("another kind as a time")),
    }
}

fn text_of(value: &Value) -> Bound<&str> {
    match value {
        Value::Null => Ok(None),
        Value::Text(value) => Ok(Some(value)),
        Value::Json(value) => Ok(Some(value.as_str())),
        _ => Err(unbindable("another kind as a text")),
    }
}

fn add<'a, T: Encode<'a, Postgres> + Type<Postgres>>(
    arguments: &mut PgArguments,
    value: T,
) -> Result<(), StoreError> {
    arguments.add(value).map_err(|_| unbindable("a value"))
}

fn unbindable(what: &str) -> StoreError {
    crate::error::unavailable(format!("{what} cannot be bound"))
}

/// A row of an answer, read as its branch says.
pub(crate) fn fetched(row: &PgRow, branches: &[Branch]) -> Result<Fetched, StoreError> {
    let mut fetched = Fetched { branch: 0, values: Vec::new(), bytes: Vec::new() };
    if branches.is_empty() {
        return Ok(fetched);
    }
    let number: Option<i64> = get(row, 0)?;
    let known = number.and_then(|number| usize::try_from(number).ok());
    let (number, branch) = known
        .and_then(|number| Some((number, branches.get(number)?)))
        .ok_or_else(|| corrupt(row, 0, "a row of no branch"))?;
    fetched.branch = number;
    fetched.values.reserve(branch.columns.len());
    for (at, cell) in &branch.columns {
        match cell {
            Cell::Of(kind) => fetched.values.push(value(row, *at, *kind)?),
            Cell::Bytes => {
                fetched.values.push(Value::Null);
                fetched.bytes.push(get::<Vec<u8>>(row, *at)?.unwrap_or_default());
            }
        }
    }
    Ok(fetched)
}

fn value(row: &PgRow, at: usize, kind: Kind) -> Result<Value, StoreError> {
    Ok(match kind {
        Kind::Bool => get::<bool>(row, at)?.into(),
        Kind::Int => get::<i64>(row, at)?.into(),
        Kind::Uuid => get::<Uuid>(row, at)?.into(),
        Kind::Time => get::<Micros>(row, at)?.map(|micros| time(row, at, micros)).transpose()?.into(),
        Kind::Json { .. } => match get::<&str>(row, at)? {
            Some(text) => Value::Json(Json::from_stored(text).map_err(|reason| corrupt(row, at, &reason))?),
            None => Value::Null,
        },
        _ => get::<&str>(row, at)?.map_or(Value::Null, |text| Value::Text(Arc::from(text))),
    })
}

fn time(row: &PgRow, at: usize, micros: Micros) -> Result<Timestamp, StoreError> {
    let since_1970 = micros.0.checked_add(EPOCH_MICROS);
    let known = since_1970.filter(|micros| Timestamp::from_micros(*micros).as_micros() == *micros);
    known.map(Timestamp::from_micros).ok_or_else(|| corrupt(row, at, "a time outside the years 1 to 9999"))
}

fn get<'r, T: Decode<'r, Postgres> + Type<Postgres>>(
    row: &'r PgRow,
    at: usize,
) -> Result<Option<T>, StoreError> {
    row.try_get(at).map_err(|_| corrupt(row, at, "it is of another type than was asked for"))
}

fn corrupt(row: &PgRow, at: usize, reason: &str) -> StoreError {
    let column = row.columns().get(at).map_or("", |column| column.name());
    StoreError::corrupt("an answer", None, column, reason)
}

/// The start of 2000, from which Postgres counts.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A moment as Postgres has it. The driver's own conversion panics on an infinite one.
#[derive(Clone, Copy, Debug)]
struct Micros(i64);

impl Type<Postgres> for Micros {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Micros {
    fn array_type_info() -> PgTypeInfo {
        <DateTime<Utc> as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for Micros {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode_by_ref(&self.0, buffer)
    }
}

impl Decode<'_, Postgres> for Micros {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(i64::from_be_bytes(value.as_bytes()?.try_into()?)))
    }
}

#[cfg(test)]
mod tests;
