//! How far a replay has come, kept in the store beside what it did.
//!
//! Every operation carries a write to the one row of [`PROGRESS`] in its own batch. So what is durable always says
//! exactly which events it comes from, and a replay that was killed goes on at the next one: nothing is done twice,
//! nothing is left out, and a pod that was refused before is refused again, since it is decided on the same state.

use std::collections::BTreeMap;

use apportion::store::{Change, Column, Fixed, NewRow, Row, StoreError, Table, Test, Write};
use uuid::Uuid;

use super::reason::Reason;

const fn count(name: &'static str) -> Column {
    Column::int(name).counter().default(Fixed::Int(0))
}

/// The table of [`Progress`], of one row.
pub(super) static PROGRESS: Table = Table::new(
    "replay_progress",
    &[
        Column::uuid("id"),
        count(EVENTS),
        count("launched"),
        count("refused_gpu"),
        count("refused_cpu"),
        count("refused_memory"),
        count("refused_storage"),
        count("refused_model"),
        count("refused_instance_limit"),
        count("refused_gpu_milli_limit"),
        count("refused_invalid"),
    ],
    &["id"],
);

/// The column that says how many events were dealt with.
pub(super) const EVENTS: &str = "events";
/// The key of the only row.
pub(super) const ROW: Uuid = Uuid::nil();

/// How far a replay has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Events dealt with, from the first one on.
    pub(super) events: i64,
    /// Pods that became an instance.
    pub(super) launched: i64,
    /// Pods that did not.
    pub(super) refused: BTreeMap<Reason, i64>,
}

impl Progress {
    fn columns(&self) -> impl Iterator<Item = (&'static str, i64)> {
        let refused = Reason::ALL.map(|reason| {
            let pods = self.refused.get(&reason).copied().unwrap_or(0);
            (reason.column(), pods)
        });
        [(EVENTS, self.events), ("launched", self.launched)].into_iter().chain(refused)
    }

    /// Counts a refused pod.
    pub(super) fn refuse(&mut self, reason: Reason) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// The row of a replay that has just begun.
    pub(super) fn begin() -> NewRow {
        NewRow::new(&PROGRESS).set("id", ROW)
    }

    /// Reads the row.
    pub(super) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let mut progress =
            Self { events: row.int(EVENTS)?, launched: row.int("launched")?, ..Self::default() };
        for reason in Reason::ALL {
            let pods = row.int(reason.column())?;
            if pods > 0 {
                progress.refused.insert(reason, pods);
            }
        }
        Ok(progress)
    }

    /// Writes what has changed since `before`. It is refused where the row says something else: then somebody else
    /// writes to this store, or something before this write did not happen.
    pub(super) fn write(&self, before: &Self) -> Write {
        let changed = self.columns().zip(before.columns()).filter(|(new, old)| new != old);
        let set = changed.map(|((column, value), _)| (column, Change::Set(value.into())));
        Write::patch(&PROGRESS, ROW, vec![Test::eq(EVENTS, before.events)], set.collect())
    }
}

#[cfg(test)]
mod tests {
    use apportion::id::{IdSource as _, TimeOrderedIds};
    use apportion::store::memory::MemoryStore;
    use apportion::store::{Batch, StoreExt as _};
    use apportion::time::{Clock, ManualClock, Timestamp};
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn progress_is_read_back_and_never_written_over_another_one() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::EPOCH));
        let ids = TimeOrderedIds::seeded(clock.clone(), 1);
        let store = MemoryStore::new(&[&PROGRESS], clock).unwrap();
        let commit = |write| store.commit(Batch::new(ids.next_id(), "test").with(write));
        commit(Write::Insert(Progress::begin())).await.unwrap();
        let begun = Progress::default();
        let mut later = Progress { events: 5, launched: 3, ..Progress::default() };
        for reason in Reason::ALL {
            later.refuse(reason);
        }
        commit(later.write(&begun)).await.unwrap();
        let row = store.get(&PROGRESS, ROW).await.unwrap().value.unwrap();
        assert_eq!(Progress::from_row(&row).unwrap(), later);
        let refused = commit(later.write(&begun)).await.unwrap_err();
        assert!(refused.refusal().is_some_and(apportion::store::Refusal::is_conflict));
    }
}
