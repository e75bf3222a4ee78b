//! A part of a state that was fetched before it is judged: [`Loaded`].

use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::Source;
use super::needs::{Collected, Needs};
use crate::store::error::StoreError;
use crate::store::log::Stored;
use crate::store::row::{Key, Row};
use crate::store::schema::TableId;
use crate::store::value::Value;

type OrderKey = (TableId, usize, Key);

/// What a backend fetched of its state, to judge a group over it.
///
/// It answers what it was told to [`expect`](Loaded::expect), and remembers what it was asked beside that. A group
/// that was judged while something was missing was judged wrongly: fetch what [`misses`](Loaded::misses) says, and
/// judge again from the beginning.
#[derive(Debug, Default)]
pub struct Loaded {
    rows: FxHashMap<(TableId, Key), Option<Arc<Row>>>,
    present: FxHashMap<(TableId, Key), bool>,
    owners: FxHashMap<OrderKey, Option<Key>>,
    children: FxHashMap<OrderKey, Vec<Key>>,
    receipts: FxHashMap<Uuid, Option<Stored>>,
    enough_children: usize,
    missed: RefCell<Collected>,
}

impl Loaded {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was fetched for: where no answer is put for it, there is none.
    pub fn expect(&mut self, needs: &Needs) {
        let locked = needs.locks.iter().map(|locks| (locks.table, &locks.keys));
        for (table, keys) in locked.chain(needs.rows.iter().map(|rows| (rows.table, &rows.keys))) {
            for key in keys {
                self.rows.entry((table, key.clone())).or_default();
            }
        }
        for parents in &needs.parents {
            for key in &parents.keys {
                self.present.entry((parents.table, key.clone())).or_default();
            }
        }
        for unique in &needs.owners {
            for values in &unique.values {
                self.owners.entry((unique.table, unique.order, values.clone())).or_default();
            }
        }
        for children in &needs.children {
            for values in &children.values {
                self.children.entry((children.table, children.order, values.clone())).or_default();
            }
        }
        for id in &needs.receipts {
            self.receipts.entry(*id).or_default();
        }
        self.enough_children = self.enough_children.max(needs.enough_children);
    }

    /// A row that is there.
    pub fn put_row(&mut self, table: TableId, key: Key, row: Row) {
        self.rows.insert((table, key), Some(Arc::new(row)));
    }

    /// A parent that is there.
    pub fn put_parent(&mut self, table: TableId, key: Key) {
        self.present.insert((table, key), true);
    }

    /// Who holds values of a unique order.
    pub fn put_owner(&mut self, table: TableId, order: usize, values: Key, owner: Key) {
        self.owners.insert((table, order, values), Some(owner));
    }

    /// One of those who refer to a row.
    pub fn put_child(&mut self, table: TableId, order: usize, values: Key, child: Key) {
        self.children.entry((table, order, values)).or_default().push(child);
    }

    /// What is stored under a batch id.
    pub fn put_stored(&mut self, id: Uuid, stored: Stored) {
        self.receipts.insert(id, Some(stored));
    }

    /// What was asked and not known since this was last called; `None` where everything was known.
    pub fn misses(&self) -> Option<Needs> {
        let mut needs = self.missed.take().finish();
        needs.enough_children = self.enough_children;
        (!needs.is_empty()).then_some(needs)
    }

    fn miss<T>(&self, note: impl FnOnce(&mut Collected)) -> Result<T, StoreError> {
        note(&mut self.missed.borrow_mut());
        Err(StoreError::Unavailable { reason: "not everything was fetched".into(), source: None })
    }
}

impl Source for Loaded {
    fn row(&self, table: TableId, key: &Key) -> Result<Option<Arc<Row>>, StoreError> {
        match self.rows.get(&(table, key.clone())) {
            Some(row) => Ok(row.clone()),
            None => self.miss(|missed| missed.rows.entry(table).or_default().extend([key.clone()])),
        }
    }

    fn exists(&self, table: TableId, key: &Key) -> Result<bool, StoreError> {
        let id = (table, key.clone());
        match (self.rows.get(&id), self.present.get(&id)) {
            (Some(row), _) => Ok(row.is_some()),
            (None, Some(present)) => Ok(*present),
            (None, None) => {
                self.miss(|missed| missed.parents.entry(table).or_default().extend([key.clone()]))
            }
        }
    }

    fn owner(&self, table: TableId, order: usize, values: &[Value]) -> Result<Option<Key>, StoreError> {
        let values = Key::new(values.iter().cloned());
        match self.owners.get(&(table, order, values.clone())) {
            Some(owner) => Ok(owner.clone()),
            None => self.miss(|missed| missed.owners.entry((table, order)).or_default().extend([values])),
        }
    }

    fn children(
        &self,
        table: TableId,
        order: usize,
        values: &[Value],
        visit: &mut dyn FnMut(Key) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let values = Key::new(values.iter().cloned());
        let Some(children) = self.children.get(&(table, order, values.clone())) else {
            return self.miss(|missed| missed.children.entry((table, order)).or_default().extend([values]));
        };
        for child in children {
            if !visit(child.clone())? {
                break;
            }
        }
        Ok(())
    }

    fn stored(&self, id: Uuid) -> Result<Option<Stored>, StoreError> {
        match self.receipts.get(&id) {
            Some(stored) => Ok(*stored),
            None => self.miss(|missed| missed.receipts.extend([id])),
        }
    }
}
