//! What the writer does beside committing batches: resolving, pruning, compacting.

use std::sync::Arc;
use std::time::Duration;

use apportion::store::eval::{Source, is_too_old, oldest_kept_id};
use apportion::store::kernel::{CONSUMERS, prune_bound};
use apportion::store::{Cursor, IdProblem, Prune, Pruned, Resolution, StoreError, Stored};
use redb::{CompactionError, ReadableTable, WriteTransaction};
use uuid::Uuid;

use crate::codec::decode_record;
use crate::error::storage;
use crate::layout::{LOG, RECEIPTS, State};
use crate::shared::Readable;
use crate::tables::{Tables, put_state};
use crate::writer::Writer;

/// How often a compaction is tried while reads are in progress, and how long between.
const COMPACT_TRIES: u32 = 40;
const COMPACT_PAUSE: Duration = Duration::from_millis(25);

impl Writer {
    pub(crate) fn resolve(&mut self, id: Uuid) -> Result<Resolution, StoreError> {
        let shared = Arc::clone(&self.shared);
        let at = shared.clock.now().max(self.state.last_at);
        let transaction = self.database.begin_write().map_err(storage)?;
        let mut tables = Tables::new(&transaction, &shared.schema, &shared.layout);
        if let Some(stored) = tables.stored(id)? {
            return Ok(stored.into());
        }
        if is_too_old(id, at) {
            return Err(StoreError::UnusableId { id, why: IdProblem::TooOld });
        }
        tables.put_stored(id, &Stored::Void(at))?;
        drop(tables);
        let next = State { last_at: at, ..self.state };
        put_state(&transaction, &next)?;
        self.finish(transaction, next, || StoreError::Unknown { id })?;
        Ok(Resolution::NotCommitted)
    }

    pub(crate) fn prune(&mut self, prune: Prune) -> Result<Pruned, StoreError> {
        let shared = Arc::clone(&self.shared);
        let transaction = self.database.begin_write().map_err(storage)?;
        let mut consumers = Vec::new();
        if let Some(info) = shared.schema.find(CONSUMERS.name) {
            let tables = Tables::new(&transaction, &shared.schema, &shared.layout);
            tables.each_row(info.id, &mut |row| {
                consumers.push(row);
                Ok(())
            })?;
        }
        let asked = prune.records_up_to.min(self.state.head.position);
        let bound = prune_bound(asked, consumers.iter())?;
        let mut next = self.state;
        let mut pruned = Pruned::new(0, 0, next.low_water.position);
        if bound > next.low_water.position {
            pruned.records = bound - next.low_water.position;
            next.low_water = self.cut_log(&transaction, bound)?;
            pruned.low_water = bound;
        }
        if prune.receipts {
            let oldest = oldest_kept_id(shared.clock.now().max(next.last_at));
            let mut receipts = transaction.open_table(RECEIPTS).map_err(storage)?;
            receipts
                .retain_in(..=oldest.as_u128(), |_, _| {
                    pruned.receipts += 1;
                    false
                })
                .map_err(storage)?;
        }
        if pruned.records + pruned.receipts > 0 {
            put_state(&transaction, &next)?;
            self.finish(transaction, next, || StoreError::Unavailable {
                reason: "the storage failed; what was to be pruned may be gone or not".into(),
                source: None,
            })?;
        }
        Ok(pruned)
    }

    /// Removes the records up to `bound`, and gives the cursor of the last of them.
    fn cut_log(&self, transaction: &WriteTransaction, bound: u64) -> Result<Cursor, StoreError> {
        let mut log = transaction.open_table(LOG).map_err(storage)?;
        let last = {
            let found = log.get(bound).map_err(storage)?;
            let lost = || StoreError::corrupt("the log", None, "", format!("record {bound} is missing"));
            decode_record(&self.shared.schema, bound, found.ok_or_else(lost)?.value())?
        };
        log.retain_in(..=bound, |_, _| false).map_err(storage)?;
        Ok(last.cursor())
    }

    /// Commits, and makes the new state the current one.
    fn finish(
        &mut self,
        transaction: WriteTransaction,
        next: State,
        otherwise: impl Fn() -> StoreError,
    ) -> Result<(), StoreError> {
        if let Err(error) = transaction.commit().map_err(storage) {
            self.fail(&error);
            return Err(otherwise());
        }
        self.state = next;
        self.publish();
        Ok(())
    }

    /// Moves what is stored to the beginning of the file and cuts the rest off. Reads wait meanwhile.
    pub(crate) fn compact(&mut self) -> Result<bool, StoreError> {
        let shared = Arc::clone(&self.shared);
        let open = shared.snapshots.sweep(shared.clock.monotonic());
        if open > 0 {
            return Err(StoreError::Busy { what: "snapshots during a compaction", limit: 0 });
        }
        shared.views.send_replace(Readable::Soon);
        let mut outcome = self.database.compact();
        for _ in 1..COMPACT_TRIES {
            // A scan may still be reading an earlier state.
            if !matches!(outcome, Err(CompactionError::TransactionInProgress)) {
                break;
            }
            std::thread::sleep(COMPACT_PAUSE);
            outcome = self.database.compact();
        }
        self.publish();
        match outcome {
            Ok(smaller) => Ok(smaller),
            Err(CompactionError::TransactionInProgress) => {
                Err(StoreError::Busy { what: "reads during a compaction", limit: 0 })
            }
            Err(error) => {
                let error = storage(error);
                self.fail(&error);
                Err(error)
            }
        }
    }
}
