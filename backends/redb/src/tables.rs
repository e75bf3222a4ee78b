//! The tables of one write transaction: what a group of batches is judged on and written to.

use std::cell::OnceCell;
use std::sync::Arc;

use apportion::store::eval::{Effects, RowEffect, Source};
use apportion::store::{Key, Row, Schema, StoreError, Stored, TableId, Value, keycode};
use redb::{ReadableTable, Table, WriteTransaction};
use uuid::Uuid;

use crate::codec::{decode_key, decode_row, decode_stored, encode_record, encode_row, encode_stored};
use crate::error::storage;
use crate::layout::{LOG, Layout, META, RECEIPTS, STATE_KEY, State, bytes_table};

type BytesTable<'t> = Table<'t, &'static [u8], &'static [u8]>;

/// The tables of a write transaction, each opened when it is first needed and then kept open.
pub(crate) struct Tables<'t> {
    transaction: &'t WriteTransaction,
    schema: &'t Schema,
    layout: &'t Layout,
    rows: Vec<OnceCell<BytesTable<'t>>>,
    orders: Vec<Vec<OnceCell<BytesTable<'t>>>>,
    receipts: OnceCell<Table<'t, u128, &'static [u8]>>,
}

impl<'t> Tables<'t> {
    pub(crate) fn new(transaction: &'t WriteTransaction, schema: &'t Schema, layout: &'t Layout) -> Self {
        let cells = |count: usize| (0..count).map(|_| OnceCell::new()).collect();
        Self {
            transaction,
            schema,
            layout,
            rows: cells(layout.tables().len()),
            orders: layout.tables().iter().map(|table| cells(table.orders.len())).collect(),
            receipts: OnceCell::new(),
        }
    }

    fn rows(&self, id: TableId) -> Result<&BytesTable<'t>, StoreError> {
        let cell = self.rows.get(id.index()).ok_or_else(foreign)?;
        if cell.get().is_none() {
            let name = &self.layout.table(id)?.rows;
            let table = self.transaction.open_table(bytes_table(name)).map_err(storage)?;
            return Ok(cell.get_or_init(|| table));
        }
        cell.get().ok_or_else(foreign)
    }

    fn order(&self, id: TableId, order: usize) -> Result<&BytesTable<'t>, StoreError> {
        let cell = self.orders.get(id.index()).and_then(|orders| orders.get(order));
        let cell = cell.ok_or_else(foreign)?;
        if cell.get().is_none() {
            let name = self.layout.table(id)?.orders.get(order).ok_or_else(foreign)?;
            let table = self.transaction.open_table(bytes_table(name)).map_err(storage)?;
            return Ok(cell.get_or_init(|| table));
        }
        cell.get().ok_or_else(foreign)
    }

    fn rows_mut(&mut self, id: TableId) -> Result<&mut BytesTable<'t>, StoreError> {
        self.rows(id)?;
        self.rows.get_mut(id.index()).and_then(OnceCell::get_mut).ok_or_else(foreign)
    }

    fn order_mut(&mut self, id: TableId, order: usize) -> Result<&mut BytesTable<'t>, StoreError> {
        self.order(id, order)?;
        let orders = self.orders.get_mut(id.index());
        let cell = orders.and_then(|orders| orders.get_mut(order));
        cell.and_then(OnceCell::get_mut).ok_or_else(foreign)
    }

    fn receipts(&self) -> Result<&Table<'t, u128, &'static [u8]>, StoreError> {
        if self.receipts.get().is_none() {
            let table = self.transaction.open_table(RECEIPTS).map_err(storage)?;
            return Ok(self.receipts.get_or_init(|| table));
        }
        self.receipts.get().ok_or_else(foreign)
    }

    /// Stores what became of a batch.
    pub(crate) fn put_stored(&mut self, id: Uuid, stored: &Stored) -> Result<(), StoreError> {
        self.receipts()?;
        let receipts = self.receipts.get_mut().ok_or_else(foreign)?;
        let bytes = encode_stored(stored);
        receipts.insert(id.as_u128(), bytes.as_slice()).map_err(storage)?;
        Ok(())
    }

    /// Writes what a group did, and the state after it.
    pub(crate) fn apply(&mut self, effects: &Effects, state: &State) -> Result<(), StoreError> {
        for effect in &effects.rows {
            self.apply_row(effect)?;
        }
        if !effects.records.is_empty() {
            let mut log = self.transaction.open_table(LOG).map_err(storage)?;
            for record in &effects.records {
                let bytes = encode_record(self.schema, record);
                log.insert(record.position, bytes.as_slice()).map_err(storage)?;
            }
        }
        for receipt in &effects.receipts {
            self.put_stored(receipt.batch, &Stored::Committed(*receipt))?;
        }
        put_state(self.transaction, state)
    }

    fn apply_row(&mut self, effect: &RowEffect) -> Result<(), StoreError> {
        let info = self.schema.table(effect.table);
        for (at, order) in info.orders.iter().enumerate() {
            let old = effect.before.as_ref().map(|row| info.entry(order, row));
            let new = effect.after.as_ref().map(|row| info.entry(order, row));
            if old == new {
                continue;
            }
            let entries = self.order_mut(effect.table, at)?;
            if let Some(old) = old {
                entries.remove(old.as_slice()).map_err(storage)?;
            }
            if let Some(new) = new {
                entries.insert(new.as_slice(), [].as_slice()).map_err(storage)?;
            }
        }
        let key = info.key_bytes(&effect.key);
        let rows = self.rows_mut(effect.table)?;
        match &effect.after {
            Some(row) => drop(rows.insert(key.as_slice(), encode_row(row).as_slice()).map_err(storage)?),
            None => drop(rows.remove(key.as_slice()).map_err(storage)?),
        }
        Ok(())
    }

    /// Opens every table, which makes those that are missing.
    pub(crate) fn create_all(&self) -> Result<(), StoreError> {
        for info in self.schema.tables() {
            self.rows(info.id)?;
            for order in 0..info.orders.len() {
                self.order(info.id, order)?;
            }
        }
        Ok(())
    }

    pub(crate) fn has_rows(&self, id: TableId) -> Result<bool, StoreError> {
        Ok(self.rows(id)?.first().map_err(storage)?.is_some())
    }

    /// Adds an entry to an order.
    pub(crate) fn put_entry(&mut self, id: TableId, order: usize, entry: &[u8]) -> Result<(), StoreError> {
        let entries = self.order_mut(id, order)?;
        entries.insert(entry, [].as_slice()).map_err(storage)?;
        Ok(())
    }

    /// Every row of a table, in key order.
    pub(crate) fn each_row(
        &self,
        id: TableId,
        visit: &mut dyn FnMut(Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let info = self.schema.table(id);
        let pads = &self.layout.table(id)?.pads;
        for found in self.rows(id)?.iter().map_err(storage)? {
            let (key, bytes) = found.map_err(storage)?;
            visit(decode_row(info, pads, key.value(), bytes.value())?)?;
        }
        Ok(())
    }
}

/// Writes the state that every commit changes.
pub(crate) fn put_state(transaction: &WriteTransaction, state: &State) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META).map_err(storage)?;
    meta.insert(STATE_KEY, state.encode().as_slice()).map_err(storage)?;
    Ok(())
}

impl Source for Tables<'_> {
    fn row(&self, table: TableId, key: &Key) -> Result<Option<Arc<Row>>, StoreError> {
        let info = self.schema.table(table);
        let key = info.key_bytes(key);
        let found = self.rows(table)?.get(key.as_slice()).map_err(storage)?;
        let pads = &self.layout.table(table)?.pads;
        found.map(|bytes| decode_row(info, pads, &key, bytes.value()).map(Arc::new)).transpose()
    }

    fn children(
        &self,
        table: TableId,
        order: usize,
        values: &[Value],
        visit: &mut dyn FnMut(Key) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let info = self.schema.table(table);
        let declared = info.orders.get(order).ok_or_else(foreign)?;
        let prefix = keycode::encode_all(values);
        let entries = self.order(table, order)?;
        for found in entries.range::<&[u8]>(prefix.as_slice()..).map_err(storage)? {
            let (entry, _) = found.map_err(storage)?;
            if !entry.value().starts_with(&prefix) {
                break;
            }
            let unreadable =
                || StoreError::corrupt(info.table.name, None, declared.name, "an unreadable index entry");
            let key = info.entry_key(declared, entry.value()).ok_or_else(unreadable)?;
            if !visit(decode_key(info, key)?)? {
                break;
            }
        }
        Ok(())
    }

    fn stored(&self, id: Uuid) -> Result<Option<Stored>, StoreError> {
        let found = self.receipts()?.get(id.as_u128()).map_err(storage)?;
        let decoded = found.map(|bytes| decode_stored(id, bytes.value()));
        decoded.transpose().map_err(|reason| StoreError::corrupt("the receipts", Some(id.into()), "", reason))
    }
}

fn foreign() -> StoreError {
    StoreError::invalid("table", "of another schema")
}
