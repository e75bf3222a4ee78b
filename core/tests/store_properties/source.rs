//! A backend in thirty lines, for the evaluator alone: rows in a list, every look-up a walk over all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use apportion::store::eval::{Effects, Source};
use apportion::store::{Key, Record, Row, Schema, StoreError, Stored, TableId, Value};
use uuid::Uuid;

pub(crate) struct Plain {
    pub(crate) schema: Schema,
    pub(crate) rows: BTreeMap<(TableId, Key), Arc<Row>>,
    pub(crate) records: Vec<Record>,
    stored: BTreeMap<Uuid, Stored>,
}

impl Plain {
    pub(crate) fn new(schema: Schema) -> Self {
        Self { schema, rows: BTreeMap::new(), records: Vec::new(), stored: BTreeMap::new() }
    }

    pub(crate) fn head(&self) -> u64 {
        self.records.last().map_or(0, |record| record.position)
    }

    pub(crate) fn apply(&mut self, effects: Effects) {
        for effect in effects.rows {
            let place = (effect.table, effect.key);
            assert_eq!(
                self.rows.get(&place),
                effect.before.as_ref(),
                "an effect on another row than there is"
            );
            match effect.after {
                Some(row) => drop(self.rows.insert(place, row)),
                None => drop(self.rows.remove(&place)),
            }
        }
        self.records.extend(effects.records);
        for receipt in effects.receipts {
            self.stored.insert(receipt.batch, Stored::Committed(receipt));
        }
    }

    fn with(&self, table: TableId, order: usize, values: &[Value]) -> Vec<Key> {
        let columns = &self.schema.table(table).orders[order].columns;
        let same = |row: &Row| columns.iter().zip(values).all(|(at, value)| row.values()[*at] == *value);
        let rows = self.rows.iter().filter(|((of, _), row)| *of == table && same(row));
        rows.map(|((_, key), _)| key.clone()).collect()
    }
}

impl Source for Plain {
    fn row(&self, table: TableId, key: &Key) -> Result<Option<Arc<Row>>, StoreError> {
        Ok(self.rows.get(&(table, key.clone())).cloned())
    }

    fn owner(&self, table: TableId, order: usize, values: &[Value]) -> Result<Option<Key>, StoreError> {
        let owners = self.with(table, order, values);
        assert!(owners.len() < 2, "a unique key has two owners: {owners:?}");
        Ok(owners.into_iter().next())
    }

    fn children(
        &self,
        table: TableId,
        order: usize,
        values: &[Value],
        visit: &mut dyn FnMut(Key) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        for key in self.with(table, order, values) {
            if !visit(key)? {
                break;
            }
        }
        Ok(())
    }

    fn stored(&self, id: Uuid) -> Result<Option<Stored>, StoreError> {
        Ok(self.stored.get(&id).copied())
    }
}
