//! Fetching what a group needs to be judged: first the rows that must not change, locked, then everything else.

use std::collections::BTreeSet;

use apportion::store::eval::{Loaded, Lock, Needs};
use apportion::store::{
    Cursor, Fingerprint, Key, Kind, Receipt, Row, StoreError, Stored, TableId, TableInfo, Value,
};
use apportion::time::Timestamp;
use uuid::Uuid;

use crate::names::Dialect;
use crate::source::source;
use crate::statement::{Cell, Fetched, Param, Statement};
use crate::tables::{Own, Tables, look_up};
use crate::union::Union;

const INT: Cell = Cell::Of(Kind::Int);
const UUID: Cell = Cell::Of(Kind::Uuid);
const TIME: Cell = Cell::Of(Kind::Time);

/// What one part of a statement asks for.
#[derive(Debug)]
enum Want {
    Row(TableId),
    Parent(TableId),
    Owner(TableId, usize, Vec<Key>),
    Child(TableId, usize, Vec<Key>),
    Stored,
    State,
}

/// A statement that fetches, and what its parts are for.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) statement: Statement,
    wants: Vec<Want>,
}

/// What is known of the store's own state beside what was loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// The time of the last commit.
    pub(crate) last_at: Timestamp,
    /// The last position that was given.
    pub(crate) head: Cursor,
}

impl Default for State {
    fn default() -> Self {
        Self { last_at: Timestamp::MIN, head: Cursor::START }
    }
}

pub(crate) struct Making<'t> {
    tables: &'t Tables,
    pub(crate) union: Union,
    wants: Vec<Want>,
    /// The names of the queries that lock.
    locking: Vec<String>,
}

/// Whether a row that somebody else has locked is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// As long as the session does.
    Long,
    /// It is left out.
    Never,
}

/// Locks the rows that the group changes or guards, table by table and in the order of their keys. `None` where there is
/// nothing to lock, and in SQLite, where a transaction that may write is alone.
pub(crate) fn lock(tables: &Tables, needs: &Needs, wait: Wait) -> Option<Fetch> {
    if tables.dialect() == Dialect::Sqlite {
        return None;
    }
    let mut making = Making::new(tables);
    making.locked(needs, Some(wait));
    making.finish()
}

/// Fetches the same rows, whoever has locked them.
pub(crate) fn fetch_locked(tables: &Tables, needs: &Needs) -> Option<Fetch> {
    let mut making = Making::new(tables);
    making.locked(needs, None);
    making.finish()
}

/// Fetches everything else, and the state. It comes after the locks, so that it sees whatever was committed before
/// they were given.
pub(crate) fn fetch(tables: &Tables, needs: &Needs) -> Option<Fetch> {
    let mut making = Making::new(tables);
    if tables.dialect() == Dialect::Sqlite {
        making.locked(needs, None);
    }
    making.unlocked(needs);
    making.finish()
}

/// Fetches everything without locking anything; or, of what the database itself watches over, only the rows that are
/// `asked` for.
pub(crate) fn foresee(
    tables: &Tables,
    needs: &Needs,
    asked: Option<&[(TableId, Vec<Key>)]>,
) -> Option<Fetch> {
    let mut making = Making::new(tables);
    making.locked(needs, None);
    match asked {
        None => making.unlocked(needs),
        Some(asked) => {
            for (table, keys) in asked {
                making.rows(*table, keys, None);
            }
            making.own(needs);
        }
    }
    making.finish()
}

/// Fetches nothing but the state.
pub(crate) fn fetch_state(tables: &Tables) -> Option<Fetch> {
    let mut making = Making::new(tables);
    making.state();
    making.finish()
}

impl<'t> Making<'t> {
    pub(crate) fn new(tables: &'t Tables) -> Self {
        Self { tables, union: Union::new(&tables.names), wants: Vec::new(), locking: Vec::new() }
    }

    fn want(&mut self, want: Want, columns: Vec<crate::union::Selected>, from: String) {
        self.union.part(columns, from);
        self.wants.push(want);
    }

    /// Names a query that counts the rows of all that lock, and so can be answered when all of them are locked.
    pub(crate) fn locked_rows(&mut self) -> Option<String> {
        let rows: Vec<_> = self.locking.iter().map(|name| format!("SELECT 1 FROM {name}")).collect();
        let all = rows.join(" UNION ALL ");
        (!rows.is_empty()).then(|| self.union.with(&format!("SELECT count(*) AS n FROM ({all}) x")))
    }

    /// How many parts there are.
    pub(crate) fn parts(&self) -> usize {
        self.wants.len()
    }

    pub(crate) fn finish(self) -> Option<Fetch> {
        (!self.union.is_empty()).then(|| Fetch { statement: self.union.finish(), wants: self.wants })
    }

    fn info(&self, table: TableId) -> &'t TableInfo {
        self.tables.schema.table(table)
    }

    fn source(&mut self, info: &TableInfo, columns: &[usize], keys: &[Key]) -> String {
        let given = Tables::given(info, columns, keys);
        source(&mut self.union.params, self.tables.dialect(), given)
    }

    /// The rows that the group changes or guards; locked where it is said how others are waited for.
    pub(crate) fn locked(&mut self, needs: &Needs, wait: Option<Wait>) {
        for locks in &needs.locks {
            self.rows(locks.table, &locks.keys, wait.map(|wait| (locks.lock, wait)));
        }
    }

    /// Everything but those, and the state.
    fn unlocked(&mut self, needs: &Needs) {
        for rows in &needs.rows {
            self.rows(rows.table, &rows.keys, None);
        }
        for parents in &needs.parents {
            self.parents(parents.table, &parents.keys);
        }
        for unique in &needs.owners {
            self.owners(unique.table, unique.order, &unique.values);
        }
        for children in &needs.children {
            self.children(children.table, children.order, &children.values, needs.enough_children);
        }
        self.own(needs);
    }

    /// What the store itself keeps: receipts, and the state.
    fn own(&mut self, needs: &Needs) {
        if !needs.receipts.is_empty() {
            self.stored(&needs.receipts);
        }
        self.state();
    }

    fn rows(&mut self, table: TableId, keys: &[Key], lock: Option<(Lock, Wait)>) {
        let info = self.info(table);
        let name = self.tables.table(info);
        let rows = self.source(info, &info.key, keys);
        let from = match lock {
            None => self.tables.look_up(&rows, info, &info.key),
            Some((lock, wait)) => {
                let skip = if wait == Wait::Never { " SKIP LOCKED" } else { "" };
                let how = match lock {
                    Lock::Share => "SHARE",
                    Lock::Delete => "UPDATE",
                    // The keys of a row do not change: it may still be referred to.
                    _ => "NO KEY UPDATE",
                };
                // One after the other, as they are given: in order, so that two groups do not wait in a circle.
                let locked = format!(
                    "SELECT t.* FROM {rows} CROSS JOIN LATERAL (SELECT * FROM {name} t WHERE {} FOR {how}{skip}) t",
                    Tables::matches(info, &info.key)
                );
                let name = self.union.with(&locked);
                let from = format!("FROM {name} t");
                self.locking.push(name);
                from
            }
        };
        self.want(Want::Row(table), self.tables.row_columns(info, "t"), from);
    }

    fn parents(&mut self, table: TableId, keys: &[Key]) {
        let info = self.info(table);
        let rows = self.source(info, &info.key, keys);
        let from = self.tables.look_up(&rows, info, &info.key);
        self.want(Want::Parent(table), self.tables.key_columns(info, "t"), from);
    }

    fn owners(&mut self, table: TableId, order: usize, values: &[Key]) {
        let info = self.info(table);
        let Some(columns) = info.orders.get(order).map(|order| order.columns.as_slice()) else {
            return;
        };
        let rows = self.source(info, columns, values);
        let from = self.tables.look_up(&rows, info, columns);
        let mut selected = vec![("s.n".into(), INT)];
        selected.extend(self.tables.key_columns(info, "t"));
        self.want(Want::Owner(table, order, values.to_vec()), selected, from);
    }

    /// Some children of each row: no more than can make a difference.
    fn children(&mut self, table: TableId, order: usize, values: &[Key], enough: usize) {
        let info = self.info(table);
        let Some(order_info) = info.orders.get(order) else {
            return;
        };
        // A reference may be followed in an order that has more columns behind its own.
        let width = values.first().map_or(0, |key| key.values().len());
        let columns = order_info.columns.get(..width).unwrap_or_default();
        let rows = self.source(info, columns, values);
        let name = self.tables.table(info);
        let matches = Tables::matches(info, columns);
        let enough = Value::Int(i64::try_from(enough).unwrap_or(i64::MAX));
        let enough = self.union.params.bind(Param::One(Kind::Int, enough));
        let from = match self.tables.dialect() {
            Dialect::Postgres => {
                format!(
                    "FROM {rows} CROSS JOIN LATERAL (SELECT * FROM {name} t WHERE {matches} LIMIT {enough}) t"
                )
            }
            Dialect::Sqlite => {
                let keys = Tables::list(info, &info.key, "t");
                let mine = Tables::list(info, &info.key, "c");
                let some = format!("SELECT {keys} FROM {name} t WHERE {matches} LIMIT {enough}");
                format!("FROM {rows} CROSS JOIN {name} c WHERE ({mine}) IN ({some})")
            }
        };
        let alias = if self.tables.dialect() == Dialect::Postgres { "t" } else { "c" };
        let mut selected = vec![("s.n".into(), INT)];
        selected.extend(self.tables.key_columns(info, alias));
        self.want(Want::Child(table, order, values.to_vec()), selected, from);
    }

    fn stored(&mut self, ids: &[Uuid]) {
        let ids = ids.iter().map(|id| Value::Uuid(*id)).collect();
        let given = vec![crate::source::Given::Values(Kind::Uuid, ids)];
        let rows = source(&mut self.union.params, self.tables.dialect(), given);
        let receipts = self.tables.names.table("kernel_receipts");
        self.want(
            Want::Stored,
            vec![("r.batch".into(), UUID), ("r.fingerprint".into(), UUID), ("r.at".into(), TIME)],
            look_up(self.tables.dialect(), &rows, &receipts, "r", "r.batch = s.c0"),
        );
    }

    fn state(&mut self) {
        let (columns, from) = state(self.tables);
        self.want(Want::State, columns, from);
    }
}

/// The part of a statement that tells the state: time of the last commit, and the head.
pub(crate) fn state(tables: &Tables) -> (Vec<crate::union::Selected>, String) {
    let head = tables.names.table("kernel_head");
    let columns = vec![(last_at(tables), TIME), ("h.position".into(), INT), ("h.batch".into(), UUID)];
    (columns, format!("FROM {head} h WHERE h.id = 1"))
}

/// The time of the last commit, from the head called `h`. In Postgres commits do not wait for one another to write it
/// there, and the last receipt tells.
pub(crate) fn last_at(tables: &Tables) -> String {
    match tables.dialect() {
        Dialect::Sqlite => "h.last_at".into(),
        Dialect::Postgres => {
            let receipts = tables.names.table("kernel_receipts");
            format!("greatest(h.last_at, (SELECT max(r.at) FROM {receipts} r))")
        }
    }
}

/// Reads an answer of the part that [`state`] makes.
pub(crate) fn read_state(fetched: &Fetched) -> Result<State, StoreError> {
    let mut own = Own::new("kernel_head", fetched);
    Ok(State { last_at: own.time()?, head: Cursor { position: own.position()?, batch: own.uuid()? } })
}

/// What is stored under a batch id, from its columns.
pub(crate) fn read_stored(own: &mut Own<'_>) -> Result<(Uuid, Stored), StoreError> {
    let (batch, fingerprint, at) = (own.uuid()?, own.opt_uuid()?, own.time()?);
    let stored = match fingerprint {
        None => Stored::Void(at),
        Some(print) => Stored::Committed(Receipt::new(batch, Fingerprint(*print.as_bytes()), at, None)),
    };
    Ok((batch, stored))
}

impl Fetch {
    /// The rows in the answers.
    pub(crate) fn rows(
        &self,
        tables: &Tables,
        answers: Vec<Fetched>,
    ) -> Result<Vec<(TableId, Key, Row)>, StoreError> {
        let mut rows = Vec::with_capacity(answers.len());
        for mut fetched in answers {
            // What is asked beside it comes behind.
            if let Some(Want::Row(table)) = self.wants.get(fetched.branch) {
                let row = Tables::row(tables.schema.table(*table), &mut fetched.values)?;
                rows.push((*table, row.key(), row));
            }
        }
        Ok(rows)
    }

    /// Which rows these are.
    pub(crate) fn keys(
        &self,
        tables: &Tables,
        answers: Vec<Fetched>,
    ) -> Result<BTreeSet<(TableId, Key)>, StoreError> {
        Ok(self.rows(tables, answers)?.into_iter().map(|(table, key, _)| (table, key)).collect())
    }

    /// Takes the answers in.
    pub(crate) fn absorb(
        &self,
        tables: &Tables,
        answers: Vec<Fetched>,
        loaded: &mut Loaded,
        state: &mut State,
    ) -> Result<(), StoreError> {
        for mut fetched in answers {
            let unasked = || StoreError::corrupt("the answer", None, "", "a row that was not asked for");
            match self.wants.get(fetched.branch).ok_or_else(unasked)? {
                Want::Row(table) => {
                    let row = Tables::row(tables.schema.table(*table), &mut fetched.values)?;
                    loaded.put_row(*table, row.key(), row);
                }
                Want::Parent(table) => loaded.put_parent(*table, Key::new(fetched.values)),
                Want::Owner(table, order, values) => {
                    let (of, key) = numbered(values, fetched.values).ok_or_else(unasked)?;
                    loaded.put_owner(*table, *order, of, key);
                }
                Want::Child(table, order, values) => {
                    let (of, key) = numbered(values, fetched.values).ok_or_else(unasked)?;
                    loaded.put_child(*table, *order, of, key);
                }
                Want::Stored => {
                    let (id, stored) = read_stored(&mut Own::new("kernel_receipts", &fetched))?;
                    loaded.put_stored(id, stored);
                }
                Want::State => *state = read_state(&fetched)?,
            }
        }
        Ok(())
    }
}

/// An answer that begins with the number of what was asked, and goes on with a key.
fn numbered(asked: &[Key], mut values: Vec<Value>) -> Option<(Key, Key)> {
    let key = values.split_off(1.min(values.len()));
    let Some(Value::Int(number)) = values.first() else { return None };
    let at = usize::try_from(*number).ok()?.checked_sub(1)?;
    Some((asked.get(at)?.clone(), Key::new(key)))
}
