//! What judging a group will ask for: [`Needs`], so that a backend whose state is elsewhere can fetch it at once.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::view::reference_key;
use crate::store::row::{Key, Row};
use crate::store::schema::{Op, Prepared, Schema, TableId};
use crate::store::value::Value;

/// What a group of batches needs to be judged, as far as it can be told before any of it is known.
///
/// Everything is in declared table and key order, so that processes that lock the rows in this order never wait for
/// one another in a circle. What turns out to be needed beside it, [`Loaded`](super::Loaded) tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Needs {
    /// Rows that are changed or guarded: they must not change until the group is committed.
    pub locks: Vec<Locks>,
    /// Rows that are to be inserted, and are mostly not there.
    pub rows: Vec<KeysOf>,
    /// Rows that are referred to: only whether they are there.
    pub parents: Vec<KeysOf>,
    /// Who holds values of a unique order.
    pub owners: Vec<ValuesOf>,
    /// Who refers to rows that are deleted.
    pub children: Vec<ValuesOf>,
    /// What is stored under these batch ids.
    pub receipts: Vec<Uuid>,
    /// How many children of one row are enough: one more than the group can change.
    pub enough_children: usize,
}

/// Rows of a table to be locked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Locks {
    /// The table.
    pub table: TableId,
    /// The rows.
    pub keys: Vec<Key>,
    /// How: the strongest lock that one of the rows needs.
    pub lock: Lock,
}

/// How a row is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Lock {
    /// Nobody may change it.
    Share,
    /// It is changed; nobody else may lock it, but it may be referred to.
    Update,
    /// It is deleted.
    Delete,
}

/// Rows of a table by their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeysOf {
    /// The table.
    pub table: TableId,
    /// The keys.
    pub keys: Vec<Key>,
}

/// Rows of a table by the values of one of its orders.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValuesOf {
    /// The table.
    pub table: TableId,
    /// The position in the table's `orders`.
    pub order: usize,
    /// The values of the order's first columns.
    pub values: Vec<Key>,
}

/// [`Needs`] while they are collected.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) locks: BTreeMap<TableId, (BTreeSet<Key>, Option<Lock>)>,
    pub(super) rows: BTreeMap<TableId, BTreeSet<Key>>,
    pub(super) parents: BTreeMap<TableId, BTreeSet<Key>>,
    pub(super) owners: BTreeMap<(TableId, usize), BTreeSet<Key>>,
    pub(super) children: BTreeMap<(TableId, usize), BTreeSet<Key>>,
    pub(super) receipts: BTreeSet<Uuid>,
    pub(super) writes: usize,
}

impl Needs {
    /// What these batches need.
    pub fn of<'b>(schema: &Schema, batches: impl IntoIterator<Item = &'b Prepared>) -> Self {
        let mut collected = Collected::default();
        for batch in batches {
            collected.receipts.insert(batch.id);
            collected.writes += batch.writes.len();
            for write in &batch.writes {
                collected.write(schema, write.table, &write.key, &write.op);
            }
        }
        collected.finish()
    }

    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.locks.is_empty()
            && self.rows.is_empty()
            && self.parents.is_empty()
            && self.owners.is_empty()
            && self.children.is_empty()
            && self.receipts.is_empty()
    }
}

impl Collected {
    fn write(&mut self, schema: &Schema, table: TableId, key: &Key, op: &Op) {
        match op {
            Op::Insert(row) | Op::Ensure(row) => {
                self.rows.entry(table).or_default().insert(key.clone());
                self.inserted(schema, table, row);
            }
            Op::Update(_, set) => {
                self.lock(table, key, Lock::Update);
                self.updated(schema, table, set);
            }
            Op::Adjust(..) | Op::Patch(..) => self.lock(table, key, Lock::Update),
            Op::Guard(_) => self.lock(table, key, Lock::Share),
            Op::Delete(_) => {
                self.lock(table, key, Lock::Delete);
                for child in &schema.table(table).children {
                    if let Some(reference) = schema.table(child.table).references.get(child.reference) {
                        let of = (child.table, reference.order);
                        self.children.entry(of).or_default().insert(key.clone());
                    }
                }
            }
        }
    }

    fn lock(&mut self, table: TableId, key: &Key, lock: Lock) {
        let (keys, strongest) = self.locks.entry(table).or_default();
        keys.insert(key.clone());
        *strongest = (*strongest).max(Some(lock));
    }

    fn inserted(&mut self, schema: &Schema, table: TableId, row: &Row) {
        let info = schema.table(table);
        for (at, order) in info.orders.iter().enumerate().filter(|(_, order)| order.unique) {
            if let Some(values) = reference_key(row, &order.columns) {
                self.owners.entry((table, at)).or_default().insert(values);
            }
        }
        for reference in &info.references {
            if let Some(parent) = reference_key(row, &reference.columns) {
                self.parents.entry(reference.parent).or_default().insert(parent);
            }
        }
    }

    /// What an update needs where it names all columns of a key; otherwise the row must be known first.
    fn updated(&mut self, schema: &Schema, table: TableId, set: &[(usize, Value)]) {
        let info = schema.table(table);
        let given = |columns: &[usize]| -> Option<Key> {
            let value = |at: &usize| set.iter().find(|(column, _)| column == at).map(|(_, value)| value);
            let values: Option<Vec<Value>> =
                columns.iter().map(|at| value(at).filter(|value| !value.is_null()).cloned()).collect();
            values.map(Key::new)
        };
        for (at, order) in info.orders.iter().enumerate().filter(|(_, order)| order.unique) {
            if let Some(values) = given(&order.columns) {
                self.owners.entry((table, at)).or_default().insert(values);
            }
        }
        for reference in &info.references {
            if let Some(parent) = given(&reference.columns) {
                self.parents.entry(reference.parent).or_default().insert(parent);
            }
        }
    }

    /// Whether anything is needed.
    pub(super) fn is_some(&self) -> bool {
        !(self.locks.is_empty()
            && self.rows.is_empty()
            && self.parents.is_empty()
            && self.owners.is_empty()
            && self.children.is_empty()
            && self.receipts.is_empty())
    }

    pub(super) fn finish(mut self) -> Needs {
        // What is locked is known in full.
        for (table, (locked, _)) in &self.locks {
            for known in [&mut self.rows, &mut self.parents] {
                if let Some(keys) = known.get_mut(table) {
                    keys.retain(|key| !locked.contains(key));
                }
            }
        }
        let keys = |keys: BTreeMap<TableId, BTreeSet<Key>>| {
            let some = keys.into_iter().filter(|(_, keys)| !keys.is_empty());
            some.map(|(table, keys)| KeysOf { table, keys: keys.into_iter().collect() }).collect()
        };
        let values = |values: BTreeMap<(TableId, usize), BTreeSet<Key>>| {
            let all = values.into_iter();
            all.map(|((table, order), values)| ValuesOf {
                table,
                order,
                values: values.into_iter().collect(),
            })
            .collect()
        };
        let locks = self.locks.into_iter().filter_map(|(table, (keys, lock))| {
            Some(Locks { table, keys: keys.into_iter().collect(), lock: lock? })
        });
        Needs {
            locks: locks.collect(),
            rows: keys(self.rows),
            parents: keys(self.parents),
            owners: values(self.owners),
            children: values(self.children),
            receipts: self.receipts.into_iter().collect(),
            enough_children: self.writes + 1,
        }
    }
}
