//! Sealing: the lines of the feed become links of the chain.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::chain::{COLUMNS, beginning_bytes, line_bytes, line_hash, next_link};
use super::{Anchor, ControlPlane};
use crate::entity::{AUDIT_HEADS, AuditHead, Entity as _, LOG_SEALS, LOGS, LogSeal};
use crate::error::{Error, Result};
use crate::plane::retry::{Retry, lost_race};
use crate::store::kernel::{advance_consumer, register_consumer};
use crate::store::{
    Answer, Cursor, MAX_CHANGES, MAX_WRITES, Query, Record, RowChange, Scan, SnapshotExt as _, StoreError,
    StoreExt as _, Value, Verb, Write,
};
use crate::time::Timestamp;

/// How the feed knows whoever seals.
const CONSUMER: &str = "audit-sealer";
/// How many lines one batch seals at most; with the head and the consumer that stays below the limit of a batch.
const MAX_LINES: usize = 4000;
const _: () = assert!(MAX_LINES + 2 <= MAX_WRITES);

/// What [`ControlPlane::seal_audit`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sealed {
    /// How many lines it sealed.
    pub lines: u64,
    /// The end of the chain now.
    pub head: Anchor,
    /// How many records of the feed were left: where there are some, call again.
    pub lag: u64,
    /// Where the chain begins, where this call began it behind the start of the feed, since that was pruned: the lines from
    /// before are sealed all together, in their present state.
    pub begins_at: Option<i64>,
}

/// The head and the revision that whoever moves it guards.
type Head = (AuditHead, i64);

/// A line of the feed, and where it stands there.
struct Found {
    log: Uuid,
    position: i64,
    bytes: Vec<u8>,
}

impl ControlPlane {
    /// Seals the lines of the audit trail among the next records of the feed, at most `limit` (1 to 1,000) of them. Any number
    /// of processes may call it at any time: the chain never forks. Nobody who writes a line waits for it.
    ///
    /// The sealer is a consumer of the feed under the name `audit-sealer`, so what it has not read is not pruned: a host that
    /// prunes has to seal. A feed that was pruned before the first call is sealed from what is there: see
    /// [`Sealed::begins_at`].
    ///
    /// # Errors
    /// `CursorForeign` where the store was restored to a state before the last seal, and `CursorExpired` where the feed was
    /// pruned past the sealer: both have to be looked into by somebody.
    #[tracing::instrument(skip(self))]
    pub async fn seal_audit(&self, limit: u32) -> Result<Sealed> {
        let mut retry = Retry::new("audit.seal", &*self.ids, &*self.metrics);
        let mut begins_at = None;
        loop {
            let read = self.store.get(&AUDIT_HEADS, AuditHead::ID).await?;
            let Some(row) = read.value else {
                match self.begin_chain(read.now).await {
                    Ok(position) => begins_at = position,
                    Err(Error::Conflict { .. }) => retry.again().await?,
                    Err(error) => return Err(error),
                }
                continue;
            };
            let head = (AuditHead::from_row(&row)?, row.revision());
            match self.seal_behind(head, limit, read.now).await {
                Ok(sealed) => return Ok(Sealed { begins_at, ..sealed }),
                Err(Error::Store(error)) if lost_race(&error) || is_taken(&error) => retry.again().await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Seals what comes behind the head.
    async fn seal_behind(&self, (mut head, revision): Head, limit: u32, now: Timestamp) -> Result<Sealed> {
        let from = Cursor { position: unsigned(head.position), batch: head.batch };
        let changes = self.store.changes(from, limit).await?;
        let behind = changes.lag;
        let (found, next, left) = self.lines_of(from, &changes.records).await?;
        let mut end = Anchor::new(head.count, head.hash.clone());
        if next == from && found.is_empty() {
            return Ok(Sealed { lines: 0, head: end, lag: behind, begins_at: None });
        }
        let mut batch = self.batch("audit.seal");
        let lines = u64::try_from(found.len()).unwrap_or(u64::MAX);
        for line in found {
            let seal =
                next_link(&end, line.log, line.position, &line.bytes).ok_or_else(|| corrupt_head(&end))?;
            end = Anchor::new(seal.sequence, seal.hash.clone());
            batch.push(Write::Insert(seal.to_row()));
        }
        (head.count, head.hash) = (end.count, end.hash.clone());
        (head.position, head.batch, head.sealed_at) = (signed(next.position), next.batch, now);
        batch.push(Write::update(&AUDIT_HEADS, AuditHead::ID, revision, head.plain()));
        batch.push(advance_consumer(CONSUMER, next));
        self.store.commit(batch).await?;
        Ok(Sealed { lines, head: end, lag: behind + left, begins_at: None })
    }

    /// The lines in the next records that fit one batch, the cursor behind the last whole one, and how many were left.
    async fn lines_of(&self, from: Cursor, records: &[Arc<Record>]) -> Result<(Vec<Found>, Cursor, u64)> {
        let (mut lines, mut next) = (Vec::new(), from);
        for (at, record) in records.iter().enumerate() {
            let left = u64::try_from(records.len() - at).unwrap_or(u64::MAX);
            let mut of_record: Vec<Found> = inserted(record).map(|change| found(record, change)).collect();
            if lines.len() + of_record.len() > MAX_LINES {
                if lines.is_empty() {
                    // More than one batch can take: in parts, with the cursor before it until the last one.
                    of_record = self.unsealed(of_record).await?;
                    if of_record.len() > MAX_LINES {
                        of_record.truncate(MAX_LINES);
                        return Ok((of_record, next, left));
                    }
                    return Ok((of_record, record.cursor(), left - 1));
                }
                return Ok((lines, next, left));
            }
            lines.append(&mut of_record);
            next = record.cursor();
        }
        Ok((lines, next, 0))
    }

    /// Those of the lines that have no link.
    async fn unsealed(&self, lines: Vec<Found>) -> Result<Vec<Found>> {
        let mut open = Vec::new();
        for part in sealed_among(&self.store, lines.iter().map(|line| line.log)).await? {
            open.push(!part);
        }
        Ok(lines.into_iter().zip(open).filter(|(_, open)| *open).map(|(line, _)| line).collect())
    }

    /// Makes the head, at the start of the feed or of what is left of it. The answer is where that was, where lines may have
    /// come before it. `Conflict` where somebody else began it.
    async fn begin_chain(&self, now: Timestamp) -> Result<Option<i64>> {
        let (cursor, first) = match self.store.changes(Cursor::START, 1).await {
            Ok(_) => (Cursor::START, None),
            Err(StoreError::CursorExpired { .. }) => {
                let (cursor, bytes) = self.lines_before().await?;
                (cursor, next_link(&Anchor::none(), Uuid::nil(), signed(cursor.position), &bytes))
            }
            Err(error) => return Err(error.into()),
        };
        let begins_at = first.is_some().then_some(signed(cursor.position));
        let end = first.as_ref().map_or_else(Anchor::none, |seal| Anchor::new(seal.sequence, &*seal.hash));
        let head = AuditHead {
            id: AuditHead::ID.to_owned(),
            count: end.count,
            hash: end.hash,
            position: signed(cursor.position),
            batch: cursor.batch,
            sealed_at: now,
        };
        let mut batch = self.batch("audit.begin").with(Write::Insert(head.to_row()));
        batch.writes.extend(first.map(|seal: LogSeal| Write::Insert(seal.to_row())));
        batch.push(register_consumer(CONSUMER, cursor));
        match self.store.commit(batch).await {
            Ok(_) => Ok(begins_at),
            Err(error) if lost_race(&error) || is_taken(&error) => {
                Err(Error::Conflict { what: "audit.begin".into() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The place in the feed where sealing begins, and the bytes that stand for all lines from before it.
    async fn lines_before(&self) -> Result<(Cursor, Vec<u8>)> {
        let snapshot = self.store.snapshot().await?;
        let cursor = snapshot.cursor();
        // Lines that the snapshot shows and that come behind its cursor are sealed by the feed.
        let mut seen: BTreeSet<Uuid> = snapshot.already_seen().iter().copied().collect();
        let (mut later, mut after) = (BTreeSet::new(), cursor);
        while !seen.is_empty() {
            let changes = self.store.changes(after, MAX_CHANGES).await?;
            if changes.records.is_empty() {
                return Err(Error::Conflict { what: "audit.begin".into() });
            }
            for record in changes.records.iter().filter(|record| seen.remove(&record.batch)) {
                later.extend(inserted(record).filter_map(|change| change.key.as_uuid()));
            }
            after = changes.next;
        }
        let mut hashes = Vec::new();
        snapshot
            .each(Scan::of(&LOGS), &mut |row| {
                if row.key().as_uuid().is_some_and(|id| !later.contains(&id)) {
                    hashes.push(line_hash(&values(|column| row.get(column).cloned())));
                }
                Ok(())
            })
            .await?;
        Ok((cursor, beginning_bytes(&hashes)))
    }
}

/// Whether each of the lines is sealed, in the same order.
pub(super) async fn sealed_among(
    store: &Arc<dyn crate::store::Store>,
    lines: impl IntoIterator<Item = Uuid>,
) -> Result<Vec<bool>> {
    let seal = |log: Uuid| Query::Scan(Scan::of(&LOG_SEALS).by("log_seals_log").with(log).limit(1));
    let reads = store.read(lines.into_iter().map(seal).collect()).await?;
    let sealed = |answer| matches!(answer, Answer::Page(page) if !page.rows.is_empty());
    Ok(reads.answers.into_iter().map(sealed).collect())
}

/// The lines that a record inserted.
pub(super) fn inserted(record: &Record) -> impl Iterator<Item = &RowChange> {
    record.changes.iter().filter(|change| change.table == LOGS.name && change.verb == Verb::Insert)
}

fn found(record: &Record, change: &RowChange) -> Found {
    let column = |name: &str| change.columns.iter().find(|(column, _)| *column == name);
    Found {
        log: change.key.as_uuid().unwrap_or_default(),
        position: signed(record.position),
        bytes: line_bytes(&values(|name| column(name).map(|(_, value)| value.clone()))),
    }
}

/// The values of a line in the order of the format.
pub(super) fn values(column: impl Fn(&'static str) -> Option<Value>) -> Vec<Value> {
    COLUMNS.into_iter().map(|name| column(name).unwrap_or_default()).collect()
}

/// Whether somebody else made the same head, the same link, or sealed the same line.
fn is_taken(error: &StoreError) -> bool {
    let names = |name| error.refusal().is_some_and(|refusal| refusal.names(name));
    names(AUDIT_HEADS.name) || names(LOG_SEALS.name) || names("log_seals_log")
}

fn corrupt_head(end: &Anchor) -> StoreError {
    StoreError::corrupt(AUDIT_HEADS.name, None, "hash", format!("no hash behind {} links", end.count))
}

pub(super) fn signed(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(position: i64) -> u64 {
    u64::try_from(position).unwrap_or(0)
}
