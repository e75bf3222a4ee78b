//! The kernel's own tables, part of every schema.

use super::error::StoreError;
use super::row::{NewRow, Row};
use super::table::{Column, Invariant, Table};
use super::{Batch, Change, Cursor, Test, Write};
use crate::store::batch::Mode;

/// Who follows the feed, and how far each has come. What nobody has read is not pruned.
pub static CONSUMERS: Table = Table::new(
    "feed_consumers",
    &[
        Column::text("name", 128),
        // Moved by patches, never back: a counter.
        Column::int("position").counter(),
        Column::uuid("batch").counter(),
    ],
    &["name"],
)
.invariants(&[Invariant::at_least("feed_consumers_position_not_negative", "position", 0)])
.quiet();

pub(super) static TABLES: [&Table; 1] = [&CONSUMERS];

/// The write that registers a consumer at a cursor. A consumer that is registered stays where it is.
pub fn register_consumer(name: &str, at: Cursor) -> Write {
    let position = i64::try_from(at.position).unwrap_or(i64::MAX);
    Write::Ensure(NewRow::new(&CONSUMERS).set("name", name).set("position", position).set("batch", at.batch))
}

/// The write that records how far a consumer has come; refused where it is further already.
pub fn advance_consumer(name: &str, to: Cursor) -> Write {
    let position = i64::try_from(to.position).unwrap_or(i64::MAX);
    Write::patch(
        &CONSUMERS,
        name,
        vec![Test::new("position", super::Is::Le(position.into()))],
        vec![("position", Change::Set(position.into())), ("batch", Change::Set(to.batch.into()))],
    )
}

/// Where a consumer stands, from its row.
pub fn consumer_cursor(row: &Row) -> Result<Cursor, StoreError> {
    let position = u64::try_from(row.int("position")?).unwrap_or(0);
    Ok(Cursor { position, batch: row.id::<Batch>("batch")?.uuid() })
}

/// How far records may be pruned: up to `asked`, but no further than every consumer in `rows` has read.
pub fn prune_bound<'r>(asked: u64, rows: impl IntoIterator<Item = &'r Row>) -> Result<u64, StoreError> {
    let mut bound = asked;
    for row in rows {
        bound = bound.min(consumer_cursor(row)?.position);
    }
    Ok(bound)
}

impl Mode {
    pub(super) const fn judges(self) -> bool {
        matches!(self, Self::Admit)
    }
}
