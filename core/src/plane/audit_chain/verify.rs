//! Verifying: the chain is walked along with its lines.

use std::collections::BTreeSet;
use std::ops::Bound;

use uuid::Uuid;

use super::chain::{Verifier, line_hash};
use super::seal::{inserted, sealed_among, unsigned, values};
use super::{Anchor, AuditVerification, ControlPlane};
use crate::entity::{AUDIT_HEADS, AuditHead, Entity as _, LOG_SEALS, LOGS, LogSeal};
use crate::error::Result;
use crate::plane::retry::Retry;
use crate::store::{Cursor, Key, MAX_CHANGES, MAX_PAGE, PageCursor, Row, Scan, StoreError, StoreExt as _};

/// How often a line without a link is looked for in the feed before it is told of: a line whose commit was not yet
/// acknowledged when it was seen may get its place in the feed a little later.
const ROUNDS: u32 = 3;

/// A line without a link, with the hash of its bytes.
type Stray = (Uuid, [u8; 32]);

impl ControlPlane {
    /// Recomputes the chain over the audit trail and reports what is wrong with it: lines that were edited, deleted, moved or
    /// inserted past the store, links that are gone, a head that is not the end. It changes nothing, and may run beside
    /// everything else. It reads every line, and keeps in memory the ids of those that are not sealed.
    ///
    /// What it compares with is in the same database. Whoever can write there past the store, and knows the format, can forge
    /// a whole chain: change a line and make all later links and the head anew, or cut off the end together with the head.
    /// *Only an anchor from outside finds that*: give the one that [`ControlPlane::audit_head`] answered some time ago, and the
    /// chain must still have it at its place. What is newer than the anchor is as certain as the database is. Lines that are
    /// not sealed yet are protected by nothing, so seal often.
    #[tracing::instrument(skip_all)]
    pub async fn verify_audit(&self, anchor: Option<Anchor>) -> Result<AuditVerification> {
        let head = self.head_row().await?;
        let end = head.as_ref().map_or_else(Anchor::none, |head| Anchor::new(head.count, &*head.hash));
        let mut verifier = Verifier::new(anchor);
        let mut after = None;
        loop {
            after = self.walk(&mut verifier, &end, after).await?;
            if after.is_none() {
                break;
            }
        }
        // Links beyond the head are wrong, unless somebody sealed meanwhile: those are left to the next time.
        let beyond = Scan::of(&LOG_SEALS).range(Bound::Excluded(end.count.into()), Bound::Unbounded);
        let beyond = self.links(beyond).await?.0;
        if self.head_row().await? == head {
            self.show(&mut verifier, &beyond).await?;
        }
        // Before the first seal nothing is promised.
        let strays = if head.is_some() { self.strays().await? } else { Vec::new() };
        Ok(verifier.finish(&end, &strays))
    }

    async fn head_row(&self) -> Result<Option<AuditHead>> {
        let row = self.store.get(&AUDIT_HEADS, AuditHead::ID).await?.value;
        Ok(row.as_ref().map(AuditHead::from_row).transpose()?)
    }

    /// Shows a page of links up to the head to the verifier, and answers where to go on.
    async fn walk(
        &self,
        verifier: &mut Verifier,
        end: &Anchor,
        after: Option<PageCursor>,
    ) -> Result<Option<PageCursor>> {
        let until = Bound::Included(end.count.into());
        let (seals, next) = self
            .links(Scan::of(&LOG_SEALS).range(Bound::Unbounded, until).after(after).limit(MAX_PAGE))
            .await?;
        self.show(verifier, &seals).await?;
        Ok(next)
    }

    async fn links(&self, scan: Scan) -> Result<(Vec<LogSeal>, Option<PageCursor>)> {
        let page = self.store.scan(scan).await?.value;
        let seals: std::result::Result<_, StoreError> = page.rows.iter().map(LogSeal::from_row).collect();
        Ok((seals?, page.next))
    }

    async fn show(&self, verifier: &mut Verifier, seals: &[LogSeal]) -> Result<()> {
        let keys = seals.iter().map(|seal| (&LOGS, Key::from(seal.log_id))).collect();
        let lines = self.store.get_many(keys).await?.value;
        for (seal, line) in seals.iter().zip(&lines) {
            verifier.link(seal, line.as_ref().map(line_values).as_deref());
        }
        Ok(())
    }

    /// The lines with an id from `first` to `last` that have a link.
    async fn sealed_between(&self, first: Uuid, last: Uuid) -> Result<BTreeSet<Uuid>> {
        let range = (Bound::Included(first.into()), Bound::Included(last.into()));
        let scan = Scan::of(&LOG_SEALS).by("log_seals_log").range(range.0, range.1).limit(MAX_PAGE);
        let seals = self.store.scan_all(scan).await?;
        let logs: std::result::Result<_, StoreError> =
            seals.iter().map(|seal| Ok(seal.id::<()>("log_id")?.uuid())).collect();
        Ok(logs?)
    }

    /// The lines without a link that are not waiting for one in the feed, in the order of ids.
    async fn strays(&self) -> Result<Vec<Stray>> {
        let mut strays: Vec<Stray> = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.scan(Scan::of(&LOGS).after(after).limit(MAX_PAGE)).await?.value;
            let lines: Vec<(Uuid, &Row)> =
                page.rows.iter().filter_map(|row| Some((row.key().as_uuid()?, row))).collect();
            if let (Some((first, _)), Some((last, _))) = (lines.first(), lines.last()) {
                let sealed = self.sealed_between(*first, *last).await?;
                let open = lines.iter().filter(|(id, _)| !sealed.contains(id));
                strays.extend(open.map(|(id, row)| (*id, line_hash(&line_values(row)))));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut retry = Retry::new("audit.verify", &*self.ids, &*self.metrics);
        for _ in 0..ROUNDS {
            if strays.is_empty() {
                break;
            }
            self.drop_waiting(&mut strays).await?;
            if !strays.is_empty() {
                retry.again().await?;
            }
        }
        Ok(strays)
    }

    /// Takes out the lines that wait in the feed, and those that were sealed meanwhile.
    async fn drop_waiting(&self, strays: &mut Vec<Stray>) -> Result<()> {
        let mut after = self
            .head_row()
            .await?
            .map_or(Cursor::START, |head| Cursor { position: unsigned(head.position), batch: head.batch });
        let mut waiting = BTreeSet::new();
        loop {
            let changes = match self.store.changes(after, MAX_CHANGES).await {
                Ok(changes) => changes,
                // Sealed and pruned behind our back, or nothing was ever sealed of a pruned feed.
                Err(StoreError::CursorExpired { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            waiting.extend(
                changes
                    .records
                    .iter()
                    .flat_map(|record| inserted(record))
                    .filter_map(|line| line.key.as_uuid()),
            );
            after = changes.next;
            if changes.lag == 0 {
                break;
            }
        }
        strays.retain(|(id, _)| !waiting.contains(id));
        // Only now: what was sealed since is no longer behind the head that was read before.
        let mut open = Vec::with_capacity(strays.len());
        for part in strays.chunks(1000) {
            open.extend(sealed_among(&self.store, part.iter().map(|(id, _)| *id)).await?);
        }
        let mut open = open.into_iter();
        strays.retain(|_| !open.next().unwrap_or(false));
        Ok(())
    }
}

fn line_values(row: &Row) -> Vec<crate::store::Value> {
    values(|column| row.get(column).cloned())
}
