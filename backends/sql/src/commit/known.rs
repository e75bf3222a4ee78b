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
