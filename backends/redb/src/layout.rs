//! Where things are kept in the file: the names of redb's tables, and what their keys and values are.

use apportion::store::{Cursor, Schema, StoreError, TableId, Value};
use apportion::time::Timestamp;
use redb::TableDefinition;
use uuid::Uuid;

/// Bytes to bytes: rows by encoded primary key, and the entries of an order, whose values are empty.
pub(crate) type Bytes<'n> = TableDefinition<'n, &'static [u8], &'static [u8]>;

/// A table of bytes by its name.
pub(crate) fn bytes_table(name: &str) -> Bytes<'_> {
    TableDefinition::new(name)
}

/// The kind and version of the file, and the state that every commit changes.
pub(crate) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("apportion.meta");
/// The declarations of the tables, by name.
pub(crate) const DECLARED: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("apportion.tables");
/// Records by position.
pub(crate) const LOG: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("apportion.log");
/// What is stored under batch ids. UUIDs order as numbers as they do as bytes.
pub(crate) const RECEIPTS: TableDefinition<'static, u128, &[u8]> = TableDefinition::new("apportion.receipts");

/// The version of the file's own format, in `META`.
pub(crate) const FORMAT_KEY: &str = "format";
/// The format that this build reads and writes.
pub(crate) const FORMAT: u64 = 1;
/// The state that every commit changes, in `META`.
pub(crate) const STATE_KEY: &str = "state";
/// Present in a backup until it is whole, in `META`.
pub(crate) const UNFINISHED_KEY: &str = "unfinished";

/// The name of the table that keeps the rows of a declared table.
pub(crate) fn rows_name(table: &str) -> String {
    format!("rows.{table}")
}

/// The name of the table that keeps the entries of an order.
pub(crate) fn order_name(table: &str, order: &str) -> String {
    format!("order.{table}.{order}")
}

/// The names of a schema's tables, by their places in it.
#[derive(Debug)]
pub(crate) struct Layout {
    tables: Vec<TableLayout>,
}

/// The names of one declared table's tables.
#[derive(Debug)]
pub(crate) struct TableLayout {
    pub(crate) rows: String,
    pub(crate) orders: Vec<String>,
    /// What rows hold in columns that they were written without.
    pub(crate) pads: Vec<Option<Value>>,
}

impl Layout {
    /// The layout of a schema; `pads` gives each table's.
    pub(crate) fn new(schema: &Schema, pads: impl Fn(&str) -> Vec<Option<Value>>) -> Self {
        let tables = schema.tables().iter().map(|info| TableLayout {
            rows: rows_name(info.table.name),
            orders: info.orders.iter().map(|order| order_name(info.table.name, order.name)).collect(),
            pads: pads(info.table.name),
        });
        Self { tables: tables.collect() }
    }

    pub(crate) fn tables(&self) -> &[TableLayout] {
        &self.tables
    }

    pub(crate) fn table(&self, id: TableId) -> Result<&TableLayout, StoreError> {
        self.tables.get(id.index()).ok_or_else(|| StoreError::invalid("table", "of another schema"))
    }
}

/// What every commit changes beside rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The last record.
    pub(crate) head: Cursor,
    /// The last record that was pruned.
    pub(crate) low_water: Cursor,
    /// The time of the last commit.
    pub(crate) last_at: Timestamp,
}

impl State {
    pub(crate) const NEW: Self =
        Self { head: Cursor::START, low_water: Cursor::START, last_at: Timestamp::MIN };

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(56);
        for cursor in [self.head, self.low_water] {
            out.extend_from_slice(&cursor.position.to_be_bytes());
            out.extend_from_slice(cursor.batch.as_bytes());
        }
        out.extend_from_slice(&self.last_at.as_micros().to_be_bytes());
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let head = cursor(&mut bytes)?;
        let low_water = cursor(&mut bytes)?;
        let micros = i64::from_be_bytes(take(&mut bytes)?);
        let last_at = Timestamp::from_micros(micros);
        let sound = bytes.is_empty() && last_at.as_micros() == micros && low_water.position <= head.position;
        sound.then_some(Self { head, low_water, last_at })
    }
}

fn cursor(bytes: &mut &[u8]) -> Option<Cursor> {
    Some(Cursor { position: u64::from_be_bytes(take(bytes)?), batch: Uuid::from_bytes(take(bytes)?) })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}
