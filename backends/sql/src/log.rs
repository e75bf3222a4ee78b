//! Writing receipts, records and the head: what every commit leaves behind its rows.

use apportion::store::codec::encode_changes;
use apportion::store::eval::Effects;
use apportion::store::{Cursor, Kind, Record, Value};
use apportion::time::Timestamp;
use uuid::Uuid;

use crate::load::State;
use crate::names::Dialect;
use crate::source::{Given, source};
use crate::statement::{Param, Statement};
use crate::tables::Tables;
use crate::union::Params;

/// The statements that write the log of a group, which come last: in Postgres the arrival number is taken here,
/// under all locks, so that records of one row arrive in the order in which it changed.
///
/// Where this transaction may give positions and no earlier record waits for one, its records get theirs at once;
/// otherwise they wait for [`stamp`].
pub(crate) fn write_log(tables: &Tables, effects: &Effects, at: Timestamp, state: &State) -> Vec<Statement> {
    let positions = state.head_is_ours && !state.unstamped;
    let head = effects.records.last().filter(|_| positions).map(|last| {
        let count = u64::try_from(effects.records.len()).unwrap_or(u64::MAX);
        Cursor { position: state.head.position.saturating_add(count), batch: last.batch }
    });
    match tables.dialect() {
        Dialect::Postgres => vec![postgres(tables, effects, at, state, head)],
        Dialect::Sqlite => {
            let mut statements = vec![receipts(tables, effects, at)];
            if !effects.records.is_empty() {
                statements.push(feed(tables, &effects.records, state));
            }
            statements.push(move_head(tables, head.unwrap_or(state.head), at));
            statements
        }
    }
}

fn postgres(
    tables: &Tables,
    effects: &Effects,
    at: Timestamp,
    state: &State,
    head: Option<Cursor>,
) -> Statement {
    let mut params = Params::new(&tables.names);
    let insert_receipts = insert_receipts(tables, &mut params, effects, at);
    if effects.records.is_empty() {
        return params.statement(insert_receipts);
    }
    let mut with = vec![format!("r AS ({insert_receipts})")];
    if let Some(head) = head {
        let name = tables.names.table("kernel_head");
        let position = params.bind(Param::One(Kind::Int, int(head.position)));
        let batch = params.bind(Param::One(Kind::Uuid, Value::Uuid(head.batch)));
        let at = params.bind(Param::One(Kind::Time, Value::Time(at)));
        with.push(format!(
            "h AS (UPDATE {name} SET position = {position}, batch = {batch}, last_at = greatest(last_at, {at}) \
             WHERE id = 1)"
        ));
    }
    let arrivals = tables.names.table("kernel_arrivals");
    with.push(format!("a AS (SELECT nextval('{arrivals}') AS arrival)"));
    // Bound, so that the text is always the same and is prepared once.
    let base = head.map(|_| params.bind(Param::One(Kind::Int, int(state.head.position))));
    let insert =
        insert_feed(tables, &mut params, &effects.records, "a.arrival", base.as_deref(), " CROSS JOIN a");
    params.statement(format!("WITH {} {insert}", with.join(", ")))
}

fn receipts(tables: &Tables, effects: &Effects, at: Timestamp) -> Statement {
    let mut params = Params::new(&tables.names);
    let sql = insert_receipts(tables, &mut params, effects, at);
    params.statement(sql)
}

fn insert_receipts(tables: &Tables, params: &mut Params, effects: &Effects, at: Timestamp) -> String {
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
    format!("INSERT INTO {name} (batch, at, fingerprint) SELECT s.c0, {at}, s.c1 FROM {rows} ORDER BY s.c0")
}

fn feed(tables: &Tables, records: &[Record], state: &State) -> Statement {
    let mut params = Params::new(&tables.names);
    let base = params.bind(Param::One(Kind::Int, int(state.head.position)));
    // The position says all that an arrival number would.
    let sql = insert_feed(tables, &mut params, records, &format!("{base} + s.n"), Some(&base), "");
    params.statement(sql)
}

fn insert_feed(
    tables: &Tables,
    params: &mut Params,
    records: &[Record],
    arrival: &str,
    base: Option<&str>,
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
    let position = base.map_or("NULL".into(), |base| format!("{base} + s.n"));
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

/// Takes the only right to give positions, waiting for it.
pub(crate) fn take_head(tables: &Tables) -> Statement {
    let lock = if tables.dialect() == Dialect::Postgres { " FOR UPDATE" } else { "" };
    let name = tables.names.table("kernel_head");
    Params::new(&tables.names).statement(format!("SELECT id FROM {name} WHERE id = 1{lock}"))
}

/// Gives positions to the records that wait for one, in the order in which they arrived. Needs the head.
pub(crate) fn stamp(tables: &Tables) -> Statement {
    let (head, feed) = (tables.names.table("kernel_head"), tables.names.table("kernel_feed"));
    Params::new(&tables.names).statement(format!(
        "WITH n AS (SELECT batch, row_number() OVER (ORDER BY arrival, place) AS k FROM {feed} \
         WHERE position IS NULL ORDER BY arrival, place LIMIT {MAX_STAMPED}), \
         u AS (UPDATE {feed} AS f SET position = h.position + n.k FROM n, {head} AS h \
         WHERE f.batch = n.batch AND h.id = 1 RETURNING f.position, f.batch), \
         l AS (SELECT position, batch FROM u ORDER BY position DESC LIMIT 1) \
         UPDATE {head} AS h SET position = l.position, batch = l.batch FROM l WHERE h.id = 1"
    ))
}

/// How many records one statement gives positions to.
const MAX_STAMPED: u32 = 10_000;

/// A position as the database keeps it.
pub(crate) fn int(position: u64) -> Value {
    Value::Int(i64::try_from(position).unwrap_or(i64::MAX))
}
