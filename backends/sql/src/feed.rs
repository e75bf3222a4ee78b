//! The feed, receipts and pruning: what is asked and done beside committing.

use std::sync::Arc;

use apportion::store::codec::decode_changes;
use apportion::store::eval::{is_too_old, oldest_kept_id};
use apportion::store::kernel::{CONSUMERS, prune_bound};
use apportion::store::{
    Changes, Cursor, Fingerprint, IdProblem, Kind, Prune, Pruned, Record, Resolution, StoreError, Stored,
    Value,
};
use apportion::time::Timestamp;
use uuid::Uuid;

use crate::connection::{Connection, Failure, Session};
use crate::load::{read_state, read_stored, state};
use crate::log::{MAX_STAMPED, Take, int, stamp, take_head};
use crate::names::Dialect;
use crate::statement::{Cell, Fetched, Param, Statement};
use crate::tables::{Own, Tables};
use crate::union::{Params, Selected, Union};

const INT: Cell = Cell::Of(Kind::Int);
const UUID: Cell = Cell::Of(Kind::Uuid);
const TIME: Cell = Cell::Of(Kind::Time);
const TEXT: Cell = Cell::Of(Kind::Text { max_bytes: 64 });

/// How many records or receipts one unit of work throws away.
const PRUNED_AT_ONCE: u64 = 5_000;

/// Where a view that stands still begins.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// Behind the last record that has a position.
    pub cursor: Cursor,
    /// Batches that can be seen although they have no position yet.
    pub already_seen: Vec<Uuid>,
    /// The time of the last commit.
    pub last_at: Timestamp,
}

/// Where a view of this connection's transaction begins.
pub async fn fresh<C: Connection>(connection: &mut C, tables: &Tables) -> Result<Fresh, Failure> {
    let mut union = Union::new(&tables.names);
    let (columns, from) = state(tables);
    union.part(columns, from);
    let feed = tables.names.table("kernel_feed");
    union.part(vec![("f.batch".into(), UUID)], format!("FROM {feed} f WHERE f.position IS NULL"));
    let mut fresh = Fresh { cursor: Cursor::START, already_seen: Vec::new(), last_at: Timestamp::MIN };
    for row in connection.rows(&union.finish()).await? {
        if row.branch == 0 {
            let state = read_state(&row)?;
            (fresh.cursor, fresh.last_at) = (state.head, state.last_at);
        } else {
            fresh.already_seen.push(Own::new("kernel_feed", &row).uuid()?);
        }
    }
    Ok(fresh)
}

/// The records behind a cursor; `None` where some wait for their positions, so that [`stamp_waiting`] comes first.
/// `as_they_are` leaves those out instead.
///
/// # Errors
/// Those of [`Cursor::check`], in a [`Failure::Store`].
pub async fn changes<C: Connection>(
    connection: &mut C,
    tables: &Tables,
    after: Cursor,
    limit: u32,
    as_they_are: bool,
) -> Result<Option<Changes>, Failure> {
    let mut union = Union::new(&tables.names);
    let (columns, from) = state(tables);
    let state_part = union.part(columns, from);
    let (head, feed) = (tables.names.table("kernel_head"), tables.names.table("kernel_feed"));
    let low: Vec<Selected> = vec![("h.low_position".into(), INT), ("h.low_batch".into(), UUID)];
    let low_part = union.part(low, format!("FROM {head} h WHERE h.id = 1"));
    let position = union.params.bind(Param::One(Kind::Int, int(after.position)));
    let found_part =
        union.part(vec![("f.batch".into(), UUID)], format!("FROM {feed} f WHERE f.position = {position}"));
    let columns = vec![
        ("f.position".into(), INT),
        ("f.batch".into(), UUID),
        ("f.at".into(), TIME),
        ("f.actor".into(), UUID),
        ("f.operation".into(), TEXT),
        ("f.fingerprint".into(), UUID),
        ("f.changes".into(), Cell::Bytes),
    ];
    // As the index has them, or the server would sort everything behind the cursor. In SQLite nulls are first anyhow.
    let nulls = if tables.dialect() == Dialect::Postgres { " NULLS FIRST" } else { "" };
    // A limit that is not allowed is refused below.
    let from = format!(
        "FROM (SELECT * FROM {feed} f WHERE f.position > {position} ORDER BY f.position{nulls} LIMIT {}) f",
        limit.min(apportion::store::MAX_CHANGES)
    );
    union.part(columns, from);
    let (columns, from) = waiting(tables);
    let waiting_part = union.part(columns, from);
    let (mut low_water, mut found, mut records) = (Cursor::START, None, Vec::new());
    let (mut now, mut unstamped) = (crate::load::State::default(), false);
    for row in connection.rows(&union.finish()).await? {
        let mut own = Own::new("the log", &row);
        if row.branch == state_part {
            now = read_state(&row)?;
        } else if row.branch == low_part {
            low_water = Cursor { position: own.position()?, batch: own.uuid()? };
        } else if row.branch == found_part {
            found = Some(own.uuid()?);
        } else if row.branch == waiting_part {
            unstamped = own.bool()?;
        } else {
            records.push(Arc::new(record(tables, &row)?));
        }
    }
    if unstamped && !as_they_are {
        return Ok(None);
    }
    after.check(limit, low_water, now.head, found)?;
    records.sort_unstable_by_key(|record| record.position);
    let next = records.last().map_or(after, |record| record.cursor());
    Ok(Some(Changes::new(records, next, now.head.position.saturating_sub(next.position))))
}

fn record(tables: &Tables, row: &Fetched) -> Result<Record, StoreError> {
    let mut own = Own::new("the log", row);
    let position = own.position()?;
    let bytes = row.bytes.first().map_or(&[][..], Vec::as_slice);
    Ok(Record {
        position,
        batch: own.uuid()?,
        at: own.time()?,
        actor: own.opt_uuid()?,
        operation: own.text()?.to_owned(),
        fingerprint: Fingerprint(*own.uuid()?.as_bytes()),
        changes: decode_changes(&tables.schema, position, bytes)?,
    })
}

/// The part of a statement that tells whether records wait for their positions.
fn waiting(tables: &Tables) -> (Vec<Selected>, String) {
    let (head, feed) = (tables.names.table("kernel_head"), tables.names.table("kernel_feed"));
    let exists = format!("EXISTS (SELECT 1 FROM {feed} f WHERE f.position IS NULL)");
    (vec![(exists, Cell::Of(Kind::Bool))], format!("FROM {head} h WHERE h.id = 1"))
}

/// Whether records wait for their positions.
pub async fn is_unstamped<C: Connection>(connection: &mut C, tables: &Tables) -> Result<bool, Failure> {
    let mut union = Union::new(&tables.names);
    let (columns, from) = waiting(tables);
    union.part(columns, from);
    let rows = connection.rows(&union.finish()).await?;
    let waits = rows.first().map(|row| Own::new("kernel_feed", row).bool()).transpose()?;
    Ok(waits.unwrap_or_default())
}

/// Gives positions to records that wait for one, to some thousands of them: one unit of work, alone with the head.
/// Says whether more may wait.
pub async fn stamp_waiting<S: Session>(
    session: &mut S,
    tables: &Tables,
    take: Take,
) -> Result<bool, Failure> {
    session.begin().await?;
    let done = async {
        if session.rows(&take_head(tables, take)).await?.is_empty() {
            return Ok(0);
        }
        session.execute(&stamp(tables)).await
    };
    match done.await {
        Ok(0) => session.rollback().await.map(|()| false),
        Ok(stamped) => session.commit().await.map(|()| stamped >= MAX_STAMPED),
        Err(failure) => {
            drop(session.rollback().await);
            Err(failure)
        }
    }
}

/// Says whether a batch was committed, by putting a void receipt under its id: that waits for a commit in flight, and
/// finds it or makes it impossible.
///
/// # Errors
/// [`Failure::LockTimeout`] where the commit in flight did not end in time: the outcome stays unknown.
pub async fn resolve<S: Session>(
    session: &mut S,
    tables: &Tables,
    id: Uuid,
    clock: Timestamp,
) -> Result<Resolution, Failure> {
    session.begin().await?;
    match resolve_inside(session, tables, id, clock).await {
        Ok((resolution, true)) => session.commit().await.map(|()| resolution),
        Ok((resolution, false)) => session.rollback().await.map(|()| resolution),
        Err(failure) => {
            drop(session.rollback().await);
            Err(failure)
        }
    }
}

/// The resolution, and whether it was written.
async fn resolve_inside<S: Session>(
    session: &mut S,
    tables: &Tables,
    id: Uuid,
    clock: Timestamp,
) -> Result<(Resolution, bool), Failure> {
    let (stored, last_at) = look_up(session, tables, id).await?;
    if let Some(stored) = stored {
        return Ok((stored.into(), false));
    }
    let at = clock.max(last_at);
    if is_too_old(id, at) {
        return Err(StoreError::UnusableId { id, why: IdProblem::TooOld }.into());
    }
    let mut params = Params::new(&tables.names);
    let (id_bound, at_bound) = (
        params.bind(Param::One(Kind::Uuid, Value::Uuid(id))),
        params.bind(Param::One(Kind::Time, Value::Time(at))),
    );
    let receipts = tables.names.table("kernel_receipts");
    let sql =
        format!("INSERT INTO {receipts} (batch, at) VALUES ({id_bound}, {at_bound}) ON CONFLICT DO NOTHING");
    if session.execute(&params.statement(sql)).await? > 0 {
        if tables.dialect() == Dialect::Sqlite {
            session.execute(&touch(tables, at)).await?;
        }
        return Ok((Resolution::NotCommitted, true));
    }
    // It was there, or somebody else's commit of it ended meanwhile.
    let (stored, _) = look_up(session, tables, id).await?;
    stored.map(|stored| (stored.into(), false)).ok_or(Failure::Serialization)
}

async fn look_up<S: Session>(
    session: &mut S,
    tables: &Tables,
    id: Uuid,
) -> Result<(Option<Stored>, Timestamp), Failure> {
    let mut union = Union::new(&tables.names);
    let (columns, from) = state(tables);
    union.part(columns, from);
    let bound = union.params.bind(Param::One(Kind::Uuid, Value::Uuid(id)));
    let receipts = tables.names.table("kernel_receipts");
    union.part(
        vec![("r.batch".into(), UUID), ("r.fingerprint".into(), UUID), ("r.at".into(), TIME)],
        format!("FROM {receipts} r WHERE r.batch = {bound}"),
    );
    let (mut stored, mut last_at) = (None, Timestamp::MIN);
    for row in session.rows(&union.finish()).await? {
        if row.branch == 0 {
            last_at = read_state(&row)?.last_at;
        } else {
            stored = Some(read_stored(&mut Own::new("kernel_receipts", &row))?.1);
        }
    }
    Ok((stored, last_at))
}

/// Notes the time of a commit in the head.
pub(crate) fn touch(tables: &Tables, at: Timestamp) -> Statement {
    let mut params = Params::new(&tables.names);
    let at = params.bind(Param::One(Kind::Time, Value::Time(at)));
    let head = tables.names.table("kernel_head");
    let later = format!("CASE WHEN last_at < {at} THEN {at} ELSE last_at END");
    params.statement(format!("UPDATE {head} SET last_at = {later} WHERE id = 1"))
}

/// Throws away records and receipts, some thousands in a unit of work.
pub async fn prune<S: Session>(
    session: &mut S,
    tables: &Tables,
    prune: Prune,
    clock: Timestamp,
) -> Result<Pruned, Failure> {
    let mut pruned = Pruned::new(0, 0, 0);
    loop {
        let (so_far, more) = prune_some(session, tables, prune, clock, pruned).await?;
        if !more {
            return Ok(so_far);
        }
        pruned = so_far;
    }
}

/// One unit of work of [`prune`]: adds what it threw away to what was before, and says whether there may be more.
/// Records that wait for their positions get them first.
pub async fn prune_some<S: Session>(
    session: &mut S,
    tables: &Tables,
    prune: Prune,
    clock: Timestamp,
    mut pruned: Pruned,
) -> Result<(Pruned, bool), Failure> {
    session.begin().await?;
    match prune_inside(session, tables, prune, clock, &mut pruned).await {
        Ok(more) => session.commit().await.map(|()| (pruned, more)),
        Err(failure) => {
            drop(session.rollback().await);
            Err(failure)
        }
    }
}

/// Says whether there may be more.
async fn prune_inside<S: Session>(
    session: &mut S,
    tables: &Tables,
    prune: Prune,
    clock: Timestamp,
    pruned: &mut Pruned,
) -> Result<bool, Failure> {
    session.rows(&take_head(tables, Take::Waiting)).await?;
    let stamped = match tables.dialect() {
        Dialect::Postgres => session.execute(&stamp(tables)).await?,
        Dialect::Sqlite => 0,
    };
    let Some(consumers) = tables.schema.find(CONSUMERS.name) else {
        return Ok(false);
    };
    let mut union = Union::new(&tables.names);
    let (columns, from) = state(tables);
    union.part(columns, from);
    let head = tables.names.table("kernel_head");
    union.part(vec![("h.low_position".into(), INT)], format!("FROM {head} h WHERE h.id = 1"));
    union.part(tables.row_columns(consumers, "t"), format!("FROM {} t", tables.table(consumers)));
    let (mut now, mut low, mut rows) = (crate::load::State::default(), 0, Vec::new());
    for mut row in session.rows(&union.finish()).await? {
        match row.branch {
            0 => now = read_state(&row)?,
            1 => low = Own::new("kernel_head", &row).position()?,
            _ => rows.push(Tables::row(consumers, &mut row.values)?),
        }
    }
    let bound = prune_bound(prune.records_up_to.min(now.head.position), rows.iter())?;
    let up_to = bound.min(low.saturating_add(PRUNED_AT_ONCE));
    pruned.low_water = low;
    if up_to > low {
        // The head takes the batch of the last of them, so it comes first.
        session.execute(&raise_low_water(tables, up_to, now.last_at)).await?;
        pruned.records += session.execute(&cut(tables, up_to)).await?;
        pruned.low_water = up_to;
    }
    // Those that still wait may be among what is to go.
    let mut more = up_to < bound || (stamped >= MAX_STAMPED && prune.records_up_to > now.head.position);
    if prune.receipts {
        let gone = session.execute(&drop_receipts(tables, clock.max(now.last_at))).await?;
        pruned.receipts += gone;
        more |= gone == PRUNED_AT_ONCE;
    }
    Ok(more)
}

fn cut(tables: &Tables, up_to: u64) -> Statement {
    let mut params = Params::new(&tables.names);
    let position = params.bind(Param::One(Kind::Int, int(up_to)));
    let feed = tables.names.table("kernel_feed");
    params.statement(format!("DELETE FROM {feed} WHERE position <= {position}"))
}

fn raise_low_water(tables: &Tables, up_to: u64, last_at: Timestamp) -> Statement {
    let mut params = Params::new(&tables.names);
    let position = params.bind(Param::One(Kind::Int, int(up_to)));
    let at = params.bind(Param::One(Kind::Time, Value::Time(last_at)));
    let (head, feed) = (tables.names.table("kernel_head"), tables.names.table("kernel_feed"));
    params.statement(format!(
        "UPDATE {head} SET low_position = {position}, last_at = {at}, \
         low_batch = (SELECT f.batch FROM {feed} f WHERE f.position = {position}) WHERE id = 1"
    ))
}

/// Receipts under ids that are too old to be used again.
fn drop_receipts(tables: &Tables, now: Timestamp) -> Statement {
    let mut params = Params::new(&tables.names);
    let oldest = params.bind(Param::One(Kind::Uuid, Value::Uuid(oldest_kept_id(now))));
    let receipts = tables.names.table("kernel_receipts");
    params.statement(format!(
        "DELETE FROM {receipts} WHERE batch IN \
         (SELECT batch FROM {receipts} WHERE batch <= {oldest} ORDER BY batch LIMIT {PRUNED_AT_ONCE})"
    ))
}
