//! Rows as this store's own groups have left them: [`Known`].

use std::sync::Arc;

use apportion::store::{Key, Row, TableId};
use rustc_hash::FxHashMap;

/// How many rows are remembered, at least; twice as many at most.
const ENOUGH: usize = 16_384;

/// Rows that the last groups changed or guarded, as they left them. What somebody else has changed since is not known here:
/// whoever builds on it compares, once the rows are locked.
#[derive(Debug, Default)]
pub(super) struct Known {
    young: Rows,
    /// What was young before.
    old: Rows,
}

type Rows = FxHashMap<(TableId, Key), Arc<Row>>;

impl Known {
    pub(super) fn row(&self, table: TableId, key: &Key) -> Option<&Arc<Row>> {
        let id = (table, key.clone());
        self.young.get(&id).or_else(|| self.old.get(&id))
    }

    /// Remembers what is there now; none where a row is gone.
    pub(super) fn put(&mut self, table: TableId, key: Key, row: Option<Arc<Row>>) {
        let id = (table, key);
        let Some(row) = row else {
            self.young.remove(&id);
            self.old.remove(&id);
            return;
        };
        if self.young.len() >= ENOUGH {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, row);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use apportion::store::{Batch, Column, NewRow, Op, Schema, Table, Write};
    use uuid::Uuid;

    use super::*;

    static POTS: Table = Table::new("pots", &[Column::uuid("id")], &["id"]);

    fn row(schema: &Schema, id: Uuid) -> (TableId, Key, Arc<Row>) {
        let new = NewRow::new(&POTS).set("id", id);
        let batch = Batch::new(Uuid::from_u128(0x018f_0000_0000_7000_8000_0000_0000_0001), "buy");
        let prepared = schema.prepare(batch.with(Write::Insert(new))).unwrap();
        let write = prepared.writes.first().unwrap();
        let Op::Insert(row) = &write.op else { unreachable!("it inserts") };
        (write.table, write.key.clone(), Arc::clone(row))
    }

    #[test]
    fn what_is_gone_is_not_known_and_the_oldest_are_forgotten() {
        let schema = Schema::new(&[&POTS]).unwrap();
        let mut known = Known::default();
        let (table, _, any) = row(&schema, Uuid::from_u128(1));
        let key = |number: usize| Key::from(Uuid::from_u128(u128::try_from(number).unwrap()));
        for number in 0..3 * ENOUGH {
            known.put(table, key(number), Some(Arc::clone(&any)));
        }
        assert!(known.young.len() <= ENOUGH && known.old.len() <= ENOUGH);
        assert!(known.row(table, &key(0)).is_none());
        for number in 2 * ENOUGH..3 * ENOUGH {
            assert!(known.row(table, &key(number)).is_some(), "{number} is one of the last");
        }
        // Also where it was put long ago.
        known.put(table, key(2 * ENOUGH), Some(any));
        known.put(table, key(3 * ENOUGH - 1), None);
        known.put(table, key(2 * ENOUGH), None);
        assert!(known.row(table, &key(3 * ENOUGH - 1)).is_none());
        assert!(known.row(table, &key(2 * ENOUGH)).is_none());
        known.clear();
        assert!(known.row(table, &key(3 * ENOUGH - 2)).is_none());
    }
}
