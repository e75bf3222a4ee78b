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

    /// Takes for granted that the rows that others refer to are there: the database will tell where not.
    pub fn presume_parents(&mut self, needs: &Needs) {
        for parents in &needs.parents {
            for key in &parents.keys {
                self.present.insert((parents.table, key.clone()), true);
            }
        }
    }

    /// Takes a row of `needs.locks` for what is there, to judge before it can be locked, unless a later version of it is
    /// known. Whether it was right, [`renew`](Loaded::renew) tells.
    pub fn presume(&mut self, table: TableId, key: &Key, row: &Arc<Row>) {
        if let Some(known) = self.rows.get_mut(&(table, key.clone()))
            && known.as_ref().is_none_or(|known| known.version() < row.version())
        {
            *known = Some(Arc::clone(row));
        }
    }

    /// Forgets what was presumed of this: it is asked for now, and where no answer is put for it, there is none.
    pub fn expect_anew(&mut self, needs: &Needs) {
        for parents in &needs.parents {
            for key in &parents.keys {
                self.present.remove(&(parents.table, key.clone()));
            }
        }
        for locks in &needs.locks {
            for key in &locks.keys {
                self.rows.remove(&(locks.table, key.clone()));
            }
        }
        self.expect(needs);
    }

    /// Takes rows that are locked now in place of what was known of them, and says whether anything is different. A
    /// row of `needs.locks` that is not among them is not there.
    pub fn renew(&mut self, needs: &Needs, rows: impl IntoIterator<Item = (TableId, Key, Row)>) -> bool {
        let mut given: FxHashMap<_, _> =
            rows.into_iter().map(|(table, key, row)| ((table, key), Arc::new(row))).collect();
        let mut differs = false;
        for locks in &needs.locks {
            for key in &locks.keys {
                let id = (locks.table, key.clone());
                let now = given.remove(&id);
                differs |= self.rows.get(&id).is_none_or(|before| *before != now);
                self.rows.insert(id, now);
            }
        }
        differs
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

    /// Whether something was asked and not known since [`misses`](Loaded::misses) was last called.
    pub fn has_missed(&self) -> bool {
        self.missed.borrow().is_some()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::eval::{Effects, Group, KeysOf};
    use crate::store::{Batch, Column, Fixed, Prepared, Schema, Table, Write};
    use crate::time::Timestamp;

    static POTS: Table = Table::new(
        "pots",
        &[Column::uuid("id"), Column::int("plants").counter().default(Fixed::Int(0))],
        &["id"],
    );

    fn key(number: u128) -> Key {
        Key::from(Uuid::from_u128(number))
    }

    fn pot(number: u128, plants: i64, version: i64) -> Row {
        let values = vec![Value::Uuid(Uuid::from_u128(number)), Value::Int(plants)];
        Row::from_parts(&POTS, values, 1, version).unwrap()
    }

    /// What two pots need that are changed, and what is known of them.
    fn known() -> (TableId, Needs, Loaded) {
        let schema = Schema::new(&[&POTS]).unwrap();
        let batch = Batch::new(Uuid::from_u128(0x018f_0000_0000_7000_8000_0000_0000_0001), "plant");
        let more = |number| Write::admit(&POTS, Uuid::from_u128(number), "plants", 1);
        let prepared: Prepared = schema.prepare(batch.with(more(1)).with(more(2))).unwrap();
        let needs = Needs::of(&schema, [&prepared]);
        let table = needs.locks.first().unwrap().table;
        let mut loaded = Loaded::new();
        loaded.expect(&needs);
        loaded.put_row(table, key(1), pot(1, 3, 5));
        (table, needs, loaded)
    }

    fn plants(loaded: &Loaded, table: TableId, number: u128) -> Option<i64> {
        loaded.row(table, &key(number)).unwrap().map(|row| row.int("plants").unwrap())
    }

    #[test]
    fn rows_that_are_locked_take_the_place_of_what_was_known() {
        for (rows, differs, now) in [
            (vec![(1, 3, 5)], false, [Some(3), None]),
            (vec![(1, 4, 6)], true, [Some(4), None]),
            (vec![], true, [None, None]),
            (vec![(1, 3, 5), (2, 0, 1)], true, [Some(3), Some(0)]),
        ] {
            let (table, needs, mut loaded) = known();
            let given =
                rows.iter().map(|(id, plants, version)| (table, key(*id), pot(*id, *plants, *version)));
            assert_eq!(loaded.renew(&needs, given), differs, "{rows:?}");
            assert_eq!([plants(&loaded, table, 1), plants(&loaded, table, 2)], now, "{rows:?}");
        }
    }

    #[test]
    fn a_row_that_is_to_be_locked_is_presumed_where_none_or_an_earlier_one_is_known() {
        for (number, row, now) in [
            (1, pot(1, 9, 6), Some(9)),
            (1, pot(1, 9, 5), Some(3)),
            (1, pot(1, 9, 4), Some(3)),
            (2, pot(2, 1, 1), Some(1)),
        ] {
            let (table, _, mut loaded) = known();
            loaded.presume(table, &key(number), &Arc::new(row));
            assert_eq!(plants(&loaded, table, number), now);
        }
        // Another pot is nobody's business here.
        let (table, _, mut loaded) = known();
        loaded.presume(table, &key(7), &Arc::new(pot(7, 1, 1)));
        assert!(loaded.row(table, &key(7)).is_err());
    }

    #[test]
    fn what_is_asked_for_anew_is_not_there_before_it_is_answered() {
        let (table, mut needs, mut loaded) = known();
        needs.parents =
            needs.locks.iter().map(|locks| locks.keys.clone()).map(|keys| KeysOf { table, keys }).collect();
        loaded.presume_parents(&needs);
        loaded.expect_anew(&needs);
        assert_eq!(plants(&loaded, table, 1), None);
        assert!(!loaded.exists(table, &key(1)).unwrap());
        loaded.put_row(table, key(1), pot(1, 4, 2));
        assert_eq!(plants(&loaded, table, 1), Some(4));
    }

    #[test]
    fn a_group_without_records_does_the_same_to_the_rows() {
        let schema = Schema::new(&[&POTS]).unwrap();
        let (_, _, loaded) = known();
        let batch = Batch::new(Uuid::from_u128(0x018f_0000_0000_7000_8000_0000_0000_0001), "plant");
        let prepared =
            schema.prepare(batch.with(Write::admit(&POTS, Uuid::from_u128(1), "plants", 1))).unwrap();
        let mut loaded = loaded;
        loaded.expect(&Needs::of(&schema, [&prepared]));
        let judged = |group: Group<'_, Loaded>| {
            let mut group = group;
            let answer = group.judge(&prepared).unwrap();
            (answer, group.finish())
        };
        let group = || Group::new(&schema, &loaded, Timestamp::EPOCH, None);
        let (with, without) = (judged(group()), judged(group().without_records()));
        assert_eq!((with.1.records.len(), without.1.records.len()), (1, 0));
        assert_eq!(with.0, without.0);
        let rows =
            |effects: Effects| effects.rows.into_iter().map(|row| (row.key, row.after)).collect::<Vec<_>>();
        let rows = (rows(with.1), rows(without.1));
        assert_eq!(rows.0, rows.1);
        assert_eq!(rows.0.len(), 1);
    }
}
