//! Tables, log and receipts as ordered maps over encoded keys.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use uuid::Uuid;

use crate::store::error::{IdProblem, StoreError};
use crate::store::eval::{Effects, RowEffect, Source, is_too_old, oldest_kept_id};
use crate::store::kernel::{CONSUMERS, prune_bound};
use crate::store::keycode;
use crate::store::log::{Changes, Cursor, Prune, Pruned, Record, Resolution, Stored};
use crate::store::query::{Answer, Query, Reads};
use crate::store::row::{Key, Row};
use crate::store::schema::{ScanPlan, Schema, TableId};
use crate::store::value::Value;
use crate::time::Timestamp;

/// Encoded entries of an order, each with its row.
type Entries<'s> = Box<dyn Iterator<Item = Result<(&'s [u8], Row), StoreError>> + 's>;

/// The whole content of a store. Cloning shares every part until it is next written.
#[derive(Clone, Debug)]
pub(super) struct State {
    schema: Arc<Schema>,
    tables: Vec<Arc<TableData>>,
    log: Arc<BTreeMap<u64, Arc<Record>>>,
    low_water: Cursor,
    receipts: Arc<BTreeMap<Uuid, Stored>>,
    pub(super) last_at: Timestamp,
}

#[derive(Clone, Debug, Default)]
struct TableData {
    rows: BTreeMap<Vec<u8>, Arc<Row>>,
    /// For each order the entries, each with the bytes of its primary key.
    orders: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl State {
    pub(super) fn new(schema: Arc<Schema>) -> Self {
        let table = |orders: usize| {
            Arc::new(TableData { rows: BTreeMap::new(), orders: vec![BTreeMap::new(); orders] })
        };
        let tables = schema.tables().iter().map(|info| table(info.orders.len())).collect();
        Self {
            schema,
            tables,
            log: Arc::default(),
            low_water: Cursor::START,
            receipts: Arc::default(),
            last_at: Timestamp::MIN,
        }
    }

    /// Behind the last record.
    pub(super) fn head(&self) -> Cursor {
        self.log.last_key_value().map_or(self.low_water, |(_, record)| record.cursor())
    }

    pub(super) fn read(&self, queries: &[Query], clock: Timestamp) -> Result<Reads, StoreError> {
        let answers: Result<_, StoreError> = queries.iter().map(|query| self.answer(query)).collect();
        Ok(Reads::new(clock.max(self.last_at), answers?))
    }

    fn answer(&self, query: &Query) -> Result<Answer, StoreError> {
        match query {
            Query::Get { table, key } => {
                let info = self.schema.plan_get(table, key)?;
                Ok(Answer::Row(self.row(info.id, key)?.map(Arc::unwrap_or_clone)))
            }
            Query::Scan(scan) => {
                let plan = self.schema.plan(scan)?;
                Ok(Answer::Page(plan.page(self.entries(&plan))?))
            }
            Query::Count(scan) => {
                let plan = self.schema.plan(scan)?;
                Ok(Answer::Count(plan.count(self.entries(&plan))?))
            }
        }
    }

    fn data(&self, table: TableId) -> Option<&TableData> {
        self.tables.get(table.index()).map(Arc::as_ref)
    }

    /// The entries of a plan in its direction, each with its row.
    fn entries<'s>(&'s self, plan: &'s ScanPlan) -> Entries<'s> {
        let Some(data) = self.data(plan.table).filter(|_| !plan.is_empty()) else {
            return Box::new(std::iter::empty());
        };
        let upper = plan.upper.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = (Bound::Included(plan.lower.as_slice()), upper);
        let rows = |entry: &'s Vec<u8>, row: &Row| Ok((entry.as_slice(), row.clone()));
        match plan.order.and_then(|order| data.orders.get(order)) {
            None => {
                let found = data.rows.range::<[u8], _>(range).map(move |(key, row)| rows(key, row));
                directed(found, plan.descending)
            }
            Some(order) => {
                let found = order
                    .range::<[u8], _>(range)
                    .filter_map(move |(entry, key)| Some(rows(entry, data.rows.get(key)?)));
                directed(found, plan.descending)
            }
        }
    }

    pub(super) fn apply(&mut self, effects: Effects, at: Timestamp) {
        for effect in effects.rows {
            self.apply_row(effect);
        }
        let log = Arc::make_mut(&mut self.log);
        for record in effects.records {
            log.insert(record.position, Arc::new(record));
        }
        let receipts = Arc::make_mut(&mut self.receipts);
        for receipt in effects.receipts {
            receipts.insert(receipt.batch, Stored::Committed(receipt));
        }
        self.last_at = at;
    }

    fn apply_row(&mut self, effect: RowEffect) {
        let info = self.schema.table(effect.table);
        let Some(data) = self.tables.get_mut(effect.table.index()).map(Arc::make_mut) else {
            return;
        };
        let key = info.key_bytes(&effect.key);
        for (order, entries) in info.orders.iter().zip(&mut data.orders) {
            let old = effect.before.as_ref().map(|row| info.entry(order, row));
            let new = effect.after.as_ref().map(|row| info.entry(order, row));
            if old != new {
                if let Some(old) = old {
                    entries.remove(&old);
                }
                if let Some(new) = new {
                    entries.insert(new, key.clone());
                }
            }
        }
        match effect.after {
            Some(row) => data.rows.insert(key, row),
            None => data.rows.remove(&key),
        };
    }

    pub(super) fn resolve(&mut self, id: Uuid, at: Timestamp) -> Result<Resolution, StoreError> {
        if let Some(stored) = self.receipts.get(&id) {
            return Ok((*stored).into());
        }
        if is_too_old(id, at) {
            return Err(StoreError::UnusableId { id, why: IdProblem::TooOld });
        }
        Arc::make_mut(&mut self.receipts).insert(id, Stored::Void(at));
        self.last_at = at;
        Ok(Resolution::NotCommitted)
    }

    pub(super) fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        let head = self.head();
        after.check(limit, self.low_water, head, self.log.get(&after.position).map(|record| record.batch))?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let behind = (Bound::Excluded(after.position), Bound::Unbounded);
        let records: Vec<_> =
            self.log.range(behind).take(limit).map(|(_, record)| Arc::clone(record)).collect();
        let next = records.last().map_or(after, |record| record.cursor());
        Ok(Changes::new(records, next, head.position - next.position))
    }

    pub(super) fn prune(&mut self, prune: Prune, now: Timestamp) -> Result<Pruned, StoreError> {
        let consumers = self.schema.find(CONSUMERS.name).and_then(|info| self.data(info.id));
        let rows = consumers.into_iter().flat_map(|data| data.rows.values().map(Arc::as_ref));
        let bound = prune_bound(prune.records_up_to.min(self.head().position), rows)?;
        let log = Arc::make_mut(&mut self.log);
        let mut pruned = Pruned::default();
        while let Some(first) = log.first_entry().filter(|entry| *entry.key() <= bound) {
            self.low_water = first.remove().cursor();
            pruned.records += 1;
        }
        pruned.low_water = self.low_water.position;
        if prune.receipts {
            let kept = Arc::make_mut(&mut self.receipts);
            let before = kept.len();
            let oldest = oldest_kept_id(now);
            kept.retain(|id, _| *id > oldest);
            pruned.receipts = u64::try_from(before - kept.len()).unwrap_or(u64::MAX);
        }
        Ok(pruned)
    }
}

fn directed<'i, T>(
    items: impl DoubleEndedIterator<Item = T> + 'i,
    descending: bool,
) -> Box<dyn Iterator<Item = T> + 'i> {
    if descending { Box::new(items.rev()) } else { Box::new(items) }
}

impl Source for State {
    fn row(&self, table: TableId, key: &Key) -> Result<Option<Arc<Row>>, StoreError> {
        let bytes = keycode::encode_all(key.values());
        Ok(self.data(table).and_then(|data| data.rows.get(&bytes)).map(Arc::clone))
    }

    fn children(
        &self,
        table: TableId,
        order: usize,
        values: &[Value],
        visit: &mut dyn FnMut(Key) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let prefix = keycode::encode_all(values);
        let Some(data) = self.data(table) else {
            return Ok(());
        };
        let Some(entries) = data.orders.get(order) else {
            return Ok(());
        };
        let found = entries.range::<[u8], _>((Bound::Included(prefix.as_slice()), Bound::Unbounded));
        for (_, key) in found.take_while(|(entry, _)| entry.starts_with(&prefix)) {
            let Some(row) = data.rows.get(key) else { continue };
            if !visit(row.key())? {
                break;
            }
        }
        Ok(())
    }

    fn stored(&self, id: Uuid) -> Result<Option<Stored>, StoreError> {
        Ok(self.receipts.get(&id).copied())
    }
}
