//! A state of the file that stands still: [`View`], what every read is answered from.

use std::sync::{Arc, OnceLock};

use apportion::store::{
    Answer, Changes, Cursor, Query, Record, Row, ScanPlan, Schema, StoreError, TableId, TableInfo,
};
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase};

use crate::codec::{decode_record, decode_row};
use crate::error::storage;
use crate::layout::{LOG, Layout, State, bytes_table};

type BytesTable = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Entry = Result<(Vec<u8>, Row), StoreError>;

/// The state after one commit. Tables are opened when they are first asked for, and stay open with it.
pub(crate) struct View {
    schema: Arc<Schema>,
    layout: Arc<Layout>,
    transaction: ReadTransaction,
    tables: Vec<TableView>,
    log: OnceLock<ReadOnlyTable<u64, &'static [u8]>>,
    pub(crate) state: State,
}

struct TableView {
    rows: OnceLock<BytesTable>,
    orders: Vec<OnceLock<BytesTable>>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("state", &self.state).finish_non_exhaustive()
    }
}

impl View {
    /// The last committed state, which is known to be `state`.
    pub(crate) fn open(
        database: &Database,
        schema: &Arc<Schema>,
        layout: &Arc<Layout>,
        state: State,
    ) -> Result<Self, StoreError> {
        let table = |orders: usize| TableView {
            rows: OnceLock::new(),
            orders: (0..orders).map(|_| OnceLock::new()).collect(),
        };
        let tables = layout.tables().iter().map(|names| table(names.orders.len()));
        Ok(Self {
            schema: Arc::clone(schema),
            layout: Arc::clone(layout),
            transaction: database.begin_read().map_err(storage)?,
            tables: tables.collect(),
            log: OnceLock::new(),
            state,
        })
    }

    pub(crate) fn answer(&self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        queries.iter().map(|query| self.one(query)).collect()
    }

    fn one(&self, query: &Query) -> Result<Answer, StoreError> {
        match query {
            Query::Get { table, key } => {
                let info = self.schema.plan_get(table, key)?;
                Ok(Answer::Row(self.row(info, &info.key_bytes(key))?))
            }
            Query::Scan(scan) => {
                let plan = self.schema.plan(scan)?;
                Ok(Answer::Page(plan.page(self.entries(&plan)?)?))
            }
            Query::Count(scan) => {
                let plan = self.schema.plan(scan)?;
                Ok(Answer::Count(plan.count(self.entries(&plan)?)?))
            }
            _ => Err(StoreError::invalid("query", "this backend does not know this kind")),
        }
    }

    fn row(&self, info: &TableInfo, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let found = self.rows(info.id)?.get(key).map_err(storage)?;
        let pads = &self.layout.table(info.id)?.pads;
        found.map(|bytes| decode_row(info, pads, key, bytes.value())).transpose()
    }

    /// The entries of a plan in its direction, each with its row.
    fn entries<'v>(&'v self, plan: &'v ScanPlan) -> Result<Box<dyn Iterator<Item = Entry> + 'v>, StoreError> {
        if plan.is_empty() {
            return Ok(Box::new(std::iter::empty()));
        }
        let info = self.schema.table(plan.table);
        let pads = &self.layout.table(plan.table)?.pads;
        let table = match plan.order {
            None => self.rows(plan.table)?,
            Some(order) => self.order(plan.table, order)?,
        };
        let found = match &plan.upper {
            Some(upper) => table.range::<&[u8]>(plan.lower.as_slice()..upper.as_slice()),
            None => table.range::<&[u8]>(plan.lower.as_slice()..),
        };
        let order = plan.order.and_then(|order| info.orders.get(order));
        let entries = directed(found.map_err(storage)?, plan.descending).map(move |found| {
            let (entry, value) = found.map_err(storage)?;
            let entry = entry.value().to_vec();
            let row = match order {
                None => decode_row(info, pads, &entry, value.value())?,
                Some(order) => {
                    let unreadable = || {
                        StoreError::corrupt(info.table.name, None, order.name, "an unreadable index entry")
                    };
                    let key = info.entry_key(order, &entry).ok_or_else(unreadable)?;
                    let lost = || {
                        let key = info.decode_key(key);
                        StoreError::corrupt(
                            info.table.name,
                            key,
                            order.name,
                            "an index entry without its row",
                        )
                    };
                    self.row(info, key)?.ok_or_else(lost)?
                }
            };
            Ok((entry, row))
        });
        Ok(Box::new(entries))
    }

    /// The records behind a cursor.
    pub(crate) fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        let log = self.log()?;
        let found = log.get(after.position).map_err(storage)?;
        let found = found.map(|bytes| decode_record(&self.schema, after.position, bytes.value()));
        let batch = found.transpose()?.map(|record| record.batch);
        after.check(limit, self.state.low_water, self.state.head, batch)?;
        let mut records: Vec<Arc<Record>> = Vec::new();
        for entry in log
            .range(after.position.saturating_add(1)..)
            .map_err(storage)?
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
        {
            let (position, bytes) = entry.map_err(storage)?;
            let record = decode_record(&self.schema, position.value(), bytes.value())?;
            records.push(Arc::new(record));
        }
        let next = records.last().map_or(after, |record| record.cursor());
        let lag = self.state.head.position.saturating_sub(next.position);
        Ok(Changes::new(records, next, lag))
    }

    fn rows(&self, id: TableId) -> Result<&BytesTable, StoreError> {
        let place = self.tables.get(id.index()).map(|table| &table.rows);
        let names = self.layout.table(id)?;
        self.opened(place, &names.rows)
    }

    fn order(&self, id: TableId, order: usize) -> Result<&BytesTable, StoreError> {
        let place = self.tables.get(id.index()).and_then(|table| table.orders.get(order));
        let name = self.layout.table(id)?.orders.get(order).map_or("", String::as_str);
        self.opened(place, name)
    }

    fn opened<'v>(
        &self,
        place: Option<&'v OnceLock<BytesTable>>,
        name: &str,
    ) -> Result<&'v BytesTable, StoreError> {
        let place = place.ok_or_else(|| StoreError::invalid("table", "of another schema"))?;
        if let Some(table) = place.get() {
            return Ok(table);
        }
        let table = self.transaction.open_table(bytes_table(name)).map_err(storage)?;
        Ok(place.get_or_init(|| table))
    }

    fn log(&self) -> Result<&ReadOnlyTable<u64, &'static [u8]>, StoreError> {
        if let Some(log) = self.log.get() {
            return Ok(log);
        }
        let log = self.transaction.open_table(LOG).map_err(storage)?;
        Ok(self.log.get_or_init(|| log))
    }

    /// The transaction, for what copies the whole file.
    pub(crate) fn transaction(&self) -> &ReadTransaction {
        &self.transaction
    }
}

fn directed<'i, T>(
    items: impl DoubleEndedIterator<Item = T> + 'i,
    descending: bool,
) -> Box<dyn Iterator<Item = T> + 'i> {
    if descending { Box::new(items.rev()) } else { Box::new(items) }
}
