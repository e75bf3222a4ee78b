//! Refused attempts as lines of the audit trail, so few that refusals cannot wear out the disk.
//!
//! A line stands for every refusal of one operation to one actor within a minute. The first one writes the line; those
//! that follow are counted in memory, and their number is written with the next line after the minute, or by
//! [`ControlPlane::flush_refusals`]. The line's id is made of actor, operation and minute, so that all processes write the
//! same line and their counts add up in its row of [`REFUSAL_COUNTS`].
//!
//! What is lost: a process that ends without a flush loses what it counted since its last write, at most the number of one
//! minute where it goes on being refused things; so does a caller that drops its call while the number is being written.
//! Lines are not lost: the first refusal of a minute is written before its answer is given; but those of logins are only
//! counted, since the time that a line takes would tell which addresses somebody has. Inside an application's
//! transaction it cannot be: the transaction may be rolled back, and another connection may have to wait for it. So there
//! refusals are only counted, and written by the next one outside, or by a flush.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::ControlPlane;
use crate::entity::{LOGS, LogId, LogOutcome, REFUSAL_COUNTS, UserId};
use crate::error::{Error, Result};
use crate::id::hashed;
use crate::identity::Origin;
use crate::store::{Batch, NewRow, StoreError, StoreExt as _, Value, Write};
use crate::time::Timestamp;

/// How many lines are counted at once. What comes while there are so many is counted in one line, called [`OTHERS`].
/// Each takes three writes, and all of them fit a batch.
const MAX_LINES: usize = 1024;
/// The title of the line for what had no place of its own.
const OTHERS: &str = "others";
/// Within one of these there is one line.
const MINUTE: i64 = 60_000_000;

/// An attempt that was refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal<'r> {
    /// What was attempted.
    pub(super) operation: &'static str,
    /// The kind and the id of what it was to be done to, where that is known.
    pub(super) subject: Option<(&'r str, Uuid)>,
    /// The user whom it would have concerned, where that is known: what refusals of strangers are told apart by.
    pub(super) user: Option<UserId>,
}

impl Refusal<'_> {
    /// One that concerns a user, and was to be done to them.
    pub(super) const fn of_user(operation: &'static str, user: UserId) -> Self {
        Self { operation, subject: Some(("user", user.uuid())), user: Some(user) }
    }
}

/// What one line stands for. The minute comes first, so that those that are over are the first of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LineKey {
    minute: i64,
    who: Who,
    operation: &'static str,
}

/// Whose refusals are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// Those of everybody who is not known, about nobody who is known: one line for all.
    Nobody,
    /// Those of this user.
    Actor(Uuid),
    /// Those of strangers who tried something on this user.
    Subject(Uuid),
}

/// A line and what was not yet written of it.
#[derive(Clone, Debug)]
struct Line {
    written: bool,
    more: i64,
    row: NewRow,
}

/// What this process has counted and not yet written.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<LineKey, Line>>);

impl LineKey {
    /// The same in every process.
    fn id(self) -> LogId {
        let (tag, user) = match self.who {
            Who::Nobody => (0_u8, Uuid::nil()),
            Who::Actor(user) => (1, user),
            Who::Subject(user) => (2, user),
        };
        let mut bytes = b"apportion refusal".to_vec();
        bytes.push(tag);
        bytes.extend(user.as_bytes());
        bytes.extend(self.minute.to_be_bytes());
        bytes.extend(self.operation.as_bytes());
        hashed(&bytes).into()
    }
}

impl Refusals {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<LineKey, Line>> {
        // Numbers are never half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one refusal. The answer says whether something has to be written now.
    fn count(&self, key: LineKey, row: impl FnOnce(LineKey) -> NewRow) -> bool {
        let mut lines = self.lock();
        let key = if lines.contains_key(&key) || lines.len() < MAX_LINES {
            key
        } else {
            LineKey { who: Who::Nobody, operation: OTHERS, ..key }
        };
        let line = lines.entry(key).or_insert_with(|| Line { written: false, more: 0, row: row(key) });
        line.more = line.more.saturating_add(1);
        !line.written
    }

    /// Takes what has to be written: everything where `all` is asked for, otherwise new lines and those whose minute is over.
    fn take(&self, minute: i64, all: bool) -> Vec<(LineKey, Line)> {
        let mut lines = self.lock();
        let mut taken = Vec::new();
        for (key, line) in lines.iter_mut() {
            if line.more > 0 && (all || !line.written || key.minute < minute) && taken.len() < MAX_LINES {
                taken.push((*key, line.clone()));
                (line.written, line.more) = (true, 0);
            }
        }
        lines.retain(|key, line| key.minute >= minute || line.more > 0);
        taken
    }

    /// Gives back what could not be written.
    fn give_back(&self, taken: Vec<(LineKey, Line)>) {
        let mut lines = self.lock();
        for (key, unwritten) in taken {
            let line =
                lines.entry(key).or_insert(Line { written: unwritten.written, more: 0, row: unwritten.row });
            line.written = unwritten.written;
            line.more = line.more.saturating_add(unwritten.more);
        }
    }
}

impl ControlPlane {
    /// Notes in the audit trail that an attempt was refused. It never fails, and most of the time it writes nothing: see the
    /// head of this file.
    pub(super) async fn note_refusal(&self, refused: Refusal<'_>) {
        self.note_refusal_from(refused, self.caller.origin()).await;
    }

    /// The same for what came from there.
    pub(super) async fn note_refusal_from(&self, refused: Refusal<'_>, origin: &Origin) {
        let now = match self.store.read(Vec::new()).await {
            Ok(reads) => reads.now,
            Err(error) => {
                tracing::warn!(operation = refused.operation, code = error.code(), "a refusal was not noted");
                return;
            }
        };
        let new = self.count_refusal(refused, origin, now);
        if new && self.unsettled.is_none() {
            // What was not written now was given back, and is written with the next line.
            let _ = self.write_refusals(now.as_micros().div_euclid(MINUTE), false).await;
        }
    }

    /// Counts a refusal in memory, to be written with the next line or by a flush; answers whether it has no line yet.
    ///
    /// For logins: the time that a line takes would tell which addresses somebody has.
    pub(super) fn count_refusal(&self, refused: Refusal<'_>, origin: &Origin, now: Timestamp) -> bool {
        let who = match (self.caller.actor(), refused.user) {
            (Some(actor), _) => Who::Actor(actor),
            (None, Some(user)) => Who::Subject(user.uuid()),
            (None, None) => Who::Nobody,
        };
        let key = LineKey { minute: now.as_micros().div_euclid(MINUTE), who, operation: refused.operation };
        self.refusals.count(key, |key| self.refused_line(key, &refused, origin, now))
    }

    /// Writes how often attempts were refused, as far as it was only counted in memory, and answers how many refusals that
    /// were. A host calls it about once a minute and before it ends; see [`RefusalCount`](crate::entity::RefusalCount).
    ///
    /// What could not be written is kept for the next time, unless the outcome is unknown.
    #[tracing::instrument(skip_all)]
    pub async fn flush_refusals(&self) -> Result<u64> {
        if self.unsettled.is_some() {
            return Err(Error::invalid("flush_refusals", "not inside a transaction"));
        }
        let minute = self.store.read(Vec::new()).await?.now.as_micros().div_euclid(MINUTE);
        let mut all = 0;
        loop {
            let written = self.write_refusals(minute, true).await?;
            all += written;
            if written == 0 {
                return Ok(all);
            }
        }
    }

    async fn write_refusals(&self, minute: i64, all: bool) -> Result<u64> {
        let taken = self.refusals.take(minute, all);
        if taken.is_empty() {
            return Ok(0);
        }
        let mut batch = Batch { actor: None, ..self.batch("audit.refusals") };
        for (key, line) in &taken {
            let id = key.id();
            batch.push(Write::Ensure(line.row.clone()));
            batch.push(Write::Ensure(NewRow::new(&REFUSAL_COUNTS).set("log_id", id)));
            batch.push(Write::record(&REFUSAL_COUNTS, id, "refusals", line.more));
        }
        let count: i64 = taken.iter().map(|(_, line)| line.more).sum();
        match self.store.commit(batch).await {
            Ok(_) => Ok(u64::try_from(count).unwrap_or(0)),
            Err(error) => {
                tracing::warn!(count, code = error.code(), "refusals were not written");
                if !matches!(error, StoreError::Unknown { .. }) {
                    self.refusals.give_back(taken);
                }
                Err(error.into())
            }
        }
    }

    /// The line as the first refusal makes it: what only some of the others share is left out of the line for all.
    fn refused_line(&self, key: LineKey, refused: &Refusal<'_>, origin: &Origin, now: Timestamp) -> NewRow {
        let row = NewRow::new(&LOGS)
            .set("id", key.id())
            .set("title", key.operation)
            .set("timestamp", now)
            .set("outcome", LogOutcome::Refused.as_str());
        if key.operation == OTHERS {
            return row;
        }
        row.set("host", origin.host.as_deref())
            .set("ip", origin.ip.map(|ip| ip.to_string()))
            .set("actor_id", self.caller.actor())
            .set("subject_kind", refused.subject.map(|(kind, _)| kind))
            .set("subject_id", Value::from(refused.subject.map(|(_, id)| id)))
    }
}

#[cfg(test)]
mod tests;
