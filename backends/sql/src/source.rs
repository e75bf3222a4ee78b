//! Rows of values as something that a statement reads from: [`source`].

use apportion::store::{Kind, Value};

use crate::names::Dialect;
use crate::statement::{Cell, Param};
use crate::union::Params;

/// A column of such rows.
#[derive(Debug)]
pub(crate) enum Given {
    /// Values of one kind, or null.
    Values(Kind, Vec<Value>),
    /// Bytes.
    Bytes(Vec<Vec<u8>>),
}

/// A text to stand behind `FROM`: rows of these columns, called `s`, with the columns `c0`, `c1` and so on, and `n`,
/// which numbers the rows from 1. All columns are equally long.
pub(crate) fn source(params: &mut Params, dialect: Dialect, columns: Vec<Given>) -> String {
    match dialect {
        Dialect::Postgres => arrays(params, columns),
        Dialect::Sqlite => json_rows(params, &columns),
    }
}

/// How a column of such rows is written in an expression.
pub(crate) fn cell(dialect: Dialect, at: usize, cell: Cell) -> String {
    match (dialect, cell) {
        // An array of documents is bound as an array of texts.
        (Dialect::Postgres, Cell::Of(Kind::Json { .. })) => format!("s.c{at}::jsonb"),
        _ => format!("s.c{at}"),
    }
}

fn arrays(params: &mut Params, columns: Vec<Given>) -> String {
    let mut arrays = Vec::with_capacity(columns.len());
    let mut names = Vec::with_capacity(columns.len());
    for (at, column) in columns.into_iter().enumerate() {
        let (param, name) = match column {
            Given::Values(kind, values) => (Param::Many(kind, values), array_type(kind)),
            Given::Bytes(bytes) => (Param::ManyBytes(bytes), "bytea"),
        };
        arrays.push(format!("{}::{name}[]", params.bind(param)));
        names.push(format!("c{at}"));
    }
    format!("unnest({}) WITH ORDINALITY AS s({}, n)", arrays.join(", "), names.join(", "))
}

const fn array_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "boolean",
        Kind::Int => "bigint",
        Kind::Uuid => "uuid",
        Kind::Time => "timestamptz",
        _ => "text",
    }
}

/// SQLite has no arrays: the rows are bound as one JSON text, in which UUIDs and bytes are written in hexadecimal.
fn json_rows(params: &mut Params, columns: &[Given]) -> String {
    let rows = columns.iter().map(Given::len).max().unwrap_or_default();
    let mut text = String::with_capacity(rows * columns.len() * 24);
    text.push('[');
    for row in 0..rows {
        if row > 0 {
            text.push(',');
        }
        for (at, column) in columns.iter().enumerate() {
            text.push(if at == 0 { '[' } else { ',' });
            column.write(row, &mut text);
        }
        text.push(']');
    }
    text.push(']');
    let expressions = columns.iter().enumerate().map(|(at, column)| match column {
        Given::Values(Kind::Uuid, _) | Given::Bytes(_) => format!("unhex(value ->> {at}) AS c{at}"),
        Given::Values(..) => format!("value ->> {at} AS c{at}"),
    });
    let expressions: Vec<_> = expressions.collect();
    let rows = params.bind(Param::Rows(text));
    format!("(SELECT key + 1 AS n, {} FROM jsonb_each({rows})) AS s", expressions.join(", "))
}

impl Given {
    fn len(&self) -> usize {
        match self {
            Self::Values(_, values) => values.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    fn write(&self, row: usize, text: &mut String) {
        match self {
            Self::Bytes(bytes) => push_hex(text, bytes.get(row).map_or(&[][..], Vec::as_slice)),
            Self::Values(_, values) => match values.get(row) {
                None | Some(Value::Null) => text.push_str("null"),
                Some(Value::Bool(value)) => text.push(if *value { '1' } else { '0' }),
                Some(Value::Int(number)) => text.push_str(&number.to_string()),
                Some(Value::Time(at)) => text.push_str(&at.as_micros().to_string()),
                Some(Value::Uuid(id)) => push_hex(text, id.as_bytes()),
                Some(Value::Text(value)) => push_text(text, value),
                Some(Value::Json(json)) => push_text(text, json.as_str()),
            },
        }
    }
}

fn push_text(text: &mut String, value: &str) {
    // A string is always valid JSON content.
    text.push_str(&serde_json::Value::from(value).to_string());
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |at: u8| DIGITS.get(usize::from(at)).copied().unwrap_or('0');
    text.push('"');
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text.push('"');
}
