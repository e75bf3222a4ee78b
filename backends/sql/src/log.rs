//! Writing receipts, records and the head: what every commit leaves behind its rows.

use apportion::store::codec::encode_changes;
use apportion::store::eval::Effects;
use apportion::store::{Cursor, Kind, Record, Value};
use apportion::time::Timestamp;
use uuid::Uuid;

use crate::connection::{Failure, Session};
use crate::names::Dialect;
use crate::source::{Given, source};
use crate::statement::{Cell, Param, Statement};
use crate::tables::{Own, Tables};
use crate::union::{Params, Union};

/// The log of a group, to be written.
#[derive(Debug)]
pub(crate) struct Log {
    statements: Vec<Statement>,
    positions: Positions,
}

/// Whether the records of a log have positions once it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Positions {
    Given,
    Left,
    /// The statement tells.
    Told,
}

impl Log {
    /// What there is to write. Where `gives` is set it gives positions, too, if that can be right.
    pub(crate) fn new(tables: &Tables, effects: &Effects, at: Timestamp, head: Cursor, gives: bool) -> Self {
        let records = &effects.records;
        let (statements, positions) = match tables.dialect() {
            Dialect::Sqlite => {
                let mut statements = vec![receipts(tables, effects, at)];
                if !records.is_empty() {
                    statements.push(feed(tables, records, head));
                }
                statements.push(move_head(tables, behind(head, records), at));
                (statements, Positions::Given)
            }
            Dialect::Postgres if records.is_empty() => {
                (vec![receipts(tables, effects, at)], Positions::Given)
            }
            Dialect::Postgres if !gives => (vec![arrive(tables, effects, at)], Positions::Left),
            Dialect::Postgres => (vec![arrive_and_stand(tables, effects, at)], Positions::Told),
        };
        Self { statements, positions }
    }

    /// Writes it, which comes last: in Postgres the arrival number is taken here, under all locks, so that records of one
    /// row arrive in the order in which it changed. Says whether the records certainly have positions.
    ///
    /// In SQLite they get those behind the head. In Postgres they get them at once where this transaction gives
    /// positions, nobody else is about to, and no earlier record waits for one; otherwise they wait for [`stamp`].
    pub(crate) async fn write<S: Session>(&self, session: &mut S, tables: &Tables) -> Result<bool, Failure> {
        for statement in &self.statements {
            if self.positions == Positions::Told {
                let head = session.rows(statement).await?;
                let stand = head.first().map(|row| Own::new("kernel_head", row).bool()).transpose()?;
                if stand == Some(false) {
                    stamp_what_waits(session, tables).await?;
                }
                return Ok(stand == Some(true));
            }
            session.execute(statement).await?;
        }
        Ok(self.positions == Positions::Given)
    }
}

/// Gives positions to what waits for them, where the head is ours: it comes first.
pub(crate) async fn stamp_what_waits<S: Session>(session: &mut S, tables: &Tables) -> Result<(), Failure> {
    session.execute(&stamp(tables)).await.map(drop)
}

/// The head when records stand behind it.
fn behind(head: Cursor, records: &[Record]) -> Cursor {
    let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
    let moved = |last: &Record| Cursor { position: head.position.saturating_add(count), batch: last.batch };
    records.last().map_or(head, moved)
}

/// Receipts and records, without positions.
fn arrive(tables: &Tables, effects: &Effects, at: Timestamp) -> Statement {
    let mut params = Params::new(&tables.names);
    let receipts = insert_receipts(tables, &mut params, effects, at, "");
    let arrival = next_arrival(tables);
    let feed = insert_feed(tables, &mut params, &effects.records, "a.arrival", "NULL", " CROSS JOIN a");
    params.statement(format!("WITH r AS ({receipts}), a AS ({arrival}) {feed}"))
}

/// Receipts and records, with positions where that is right: whether it is can only be said here. A row that this
/// transaction had to wait for may have changed since it fetched what it knows, more than once, and those records come
/// first. They were committed before the row was given, so this statement sees whether they wait.
fn arrive_and_stand(tables: &Tables, effects: &Effects, at: Timestamp) -> Statement {
    let mut union = Union::new(&tables.names);
    let taken = stand(tables, &mut union, effects, at, "");
    union.part(vec![("d.free".into(), Cell::Of(Kind::Bool))], format!("FROM {taken} d"));
    union.finish()
}

/// The parts of a statement that write receipts and records, with positions where no record waits for one; they begin
/// when what `when` says can be answered, a ` WHERE` or nothing. Gives the name of a query that has `free` in its row where that is so; it has none where
/// somebody else has the head.
///
/// The head is taken last, when nothing else is waited for, and is not waited for either: nobody waits long for whoever
/// has it.
pub(crate) fn stand(
    tables: &Tables,
    union: &mut Union,
    effects: &Effects,
    at: Timestamp,
    when: &str,
) -> String {
    let (head, feed) = (tables.names.table("kernel_head"), tables.names.table("kernel_feed"));
    let receipts = insert_receipts(tables, &mut union.params, effects, at, when);
    // Another process may be committing one of the batches, and is waited for here.
    let receipts = union.with(&format!("{receipts} RETURNING batch"));
    let taken = union.with(&format!(
        "SELECT h.position, NOT EXISTS (SELECT 1 FROM {feed} f WHERE f.position IS NULL) AS free FROM {head} h \
         WHERE h.id = 1 AND (SELECT count(*) FROM {receipts}) > 0 FOR UPDATE OF h SKIP LOCKED"
    ));
    let arrival =
        union.with(&format!("{} WHERE (SELECT count(*) FROM {receipts}) > 0", next_arrival(tables)));
    let insert = insert_feed(
        tables,
        &mut union.params,
        &effects.records,
        "a.arrival",
        "CASE WHEN d.free THEN d.position + s.n END",
        &format!(" CROSS JOIN {arrival} a LEFT JOIN {taken} d ON true"),
    );
    union.with(&insert);
    let moved = behind(Cursor::START, &effects.records);
    let count = union.params.bind(Param::One(Kind::Int, int(moved.position)));
    let batch = union.params.bind(Param::One(Kind::Uuid, Value::Uuid(moved.batch)));
    let at = union.params.bind(Param::One(Kind::Time, Value::Time(at)));
    union.with(&format!(
        "UPDATE {head} AS h SET position = d.position + {count}, batch = {batch}, \
         last_at = greatest(h.last_at, {at}) FROM {taken} d WHERE h.id = 1 AND d.free"
    ));
    taken
}

fn next_arrival(tables: &Tables) -> String {
    format!("SELECT nextval('{}') AS arrival", tables.names.table("kernel_arrivals"))
}

fn receipts(tables: &Tables, effects: &Effects, at: Timestamp) -> Statement {
    let mut params = Params::new(&tables.names);
    let sql = insert_receipts(tables, &mut params, effects, at, "");
    params.statement(sql)
}

fn insert_receipts(
    tables: &Tables,
    params: &mut Params,
    effects: &Effects,
    at: Timestamp,
    when: &str,
) -> String {
    let receipts = effects.receipts.iter();
    let (ids, prints): (Vec<_>, Vec<_>) = receipts
        .map(|receipt| {
            let print = Uuid::from_bytes(receipt.fingerprint.0);
            (Value::Uuid(receipt.batch), Value::Uuid(print))
        })
        .unzip();
    let at = params.bind(Param::One(Kind::Time, Value::Time(at)));
    let given = vec![Given::Values(Kind::Uuid, ids), Given::Values(Kind::Uuid, prints)];
    let rows = source(params, tables.dialect(), given);
    let name = tables.names.table("kernel_receipts");
    // In the order of the ids, so that two processes that repeat the same batches do not wait in a circle.
    format!(
        "INSERT INTO {name} (batch, at, fingerprint) SELECT s.c0, {at}, s.c1 FROM {rows}{when} ORDER BY s.c0"
    )
}

fn feed(tables: &Tables, records: &[Record], head: Cursor) -> Statement {
    let mut params = Params::new(&tables.names);
    let base = params.bind(Param::One(Kind::Int, int(head.position)));
    let position = format!("{base} + s.n");
    // The position says all that an arrival number would.
    let sql = insert_feed(tables, &mut params, records, &position, &position, "");
    params.statement(sql)
}

fn insert_feed(
    tables: &Tables,
    params: &mut Params,
    records: &[Record],
    arrival: &str,
    position: &str,
    more: &str,
) -> String {
    let column = |kind, value: fn(&Record) -> Value| Given::Values(kind, records.iter().map(value).collect());
    let given = vec![
        column(Kind::Uuid, |record| Value::Uuid(record.batch)),
        column(Kind::Time, |record| Value::Time(record.at)),
        column(Kind::Uuid, |record| record.actor.map_or(Value::Null, Value::Uuid)),
        column(Kind::Text { max_bytes: 64 }, |record| Value::from(record.operation.as_str())),
        column(Kind::Uuid, |record| Value::Uuid(Uuid::from_bytes(record.fingerprint.0))),
        Given::Bytes(records.iter().map(|record| encode_changes(&tables.schema, &record.changes)).collect()),
    ];
    let rows = source(params, tables.dialect(), given);
    format!(
        "INSERT INTO {} (batch, arrival, place, position, at, actor, operation, fingerprint, changes) \
         SELECT s.c0, {arrival}, s.n, {position}, s.c1, s.c2, s.c3, s.c4, s.c5 FROM {rows}{more}",
        tables.names.table("kernel_feed")
    )
}

fn move_head(tables: &Tables, head: Cursor, at: Timestamp) -> Statement {
    let mut params = Params::new(&tables.names);
    let position = params.bind(Param::One(Kind::Int, int(head.position)));
    let batch = params.bind(Param::One(Kind::Uuid, Value::Uuid(head.batch)));
    let at = params.bind(Param::One(Kind::Time, Value::Time(at)));
    let name = tables.names.table("kernel_head");
    params.statement(format!(
        "UPDATE {name} SET position = {position}, batch = {batch}, last_at = {at} WHERE id = 1"
    ))
}

/// Takes the only right to give positions; a row says that it is had. It is waited for, or only taken where nobody has
/// it.
pub(crate) fn take_head(tables: &Tables, take: Take) -> Statement {
    let lock = match (tables.dialect(), take) {
        (Dialect::Sqlite, _) => "",
        (Dialect::Postgres, Take::Waiting) => " FOR UPDATE",
        (Dialect::Postgres, Take::IfFree) => " FOR UPDATE SKIP LOCKED",
    };
    let mut union = Union::new(&tables.names);
    let name = tables.names.table("kernel_head");
    union.part(vec![("h.id".into(), Cell::Of(Kind::Int))], format!("FROM {name} h WHERE h.id = 1{lock}"));
    union.finish()
}

/// Whether the right to give positions is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Until whoever has it ends.
    Waiting,
    /// It is not: whoever has it may be left to it.
    IfFree,
}

/// Gives positions to records that wait for one, to [`MAX_STAMPED`] of them, in the order in which they arrived; as
/// many rows change. Needs the head, taken by an earlier statement. Postgres only.
pub(crate) fn stamp(tables: &Tables) -> Statement {
    let (head, feed) = (tables.names.table("kernel_head"), tables.names.table("kernel_feed"));
    Params::new(&tables.names).statement(format!(
        "WITH n AS (SELECT batch, row_number() OVER (ORDER BY arrival, place) AS k FROM {feed} \
         WHERE position IS NULL ORDER BY arrival, place LIMIT {MAX_STAMPED}), \
         l AS (SELECT batch, k FROM n ORDER BY k DESC LIMIT 1), \
         u AS (UPDATE {head} AS h SET position = h.position + l.k, batch = l.batch FROM l WHERE h.id = 1) \
         UPDATE {feed} AS f SET position = h.position + n.k FROM n, {head} AS h \
         WHERE f.batch = n.batch AND h.id = 1"
    ))
}

/// How many records one statement gives positions to.
pub(crate) const MAX_STAMPED: u64 = 10_000;

/// A position as the database keeps it.
pub(crate) fn int(position: u64) -> Value {
    Value::Int(i64::try_from(position).unwrap_or(i64::MAX))
}
