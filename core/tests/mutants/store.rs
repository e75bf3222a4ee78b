//! A store with one fault: a decorator of the reference store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use apportion::id::{IdSource, TimeOrderedIds};
use apportion::store::kernel::CONSUMERS;
use apportion::store::memory::MemoryStore;
use apportion::store::{
    Batch, Cause, Changes, Cursor, Key, Prune, Pruned, Query, Reads, Receipt, Refusal, Resolution, Row, Scan,
    Schema, Snapshot, Store, StoreError, StoreExt, Table, Value, Write,
};
use apportion::time::Clock;
use async_trait::async_trait;
use uuid::Uuid;

use crate::fault::Fault;
use crate::tables::altered;

pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) fault: Option<Fault>,
    /// The tables as they were asked for.
    pub(crate) tables: Vec<&'static Table>,
    pub(crate) clock: Arc<dyn Clock>,
    ids: TimeOrderedIds,
    closed: Arc<AtomicBool>,
    remembered: Mutex<Remembered>,
}

/// What a fault remembers of what went through.
#[derive(Default)]
pub(crate) struct Remembered {
    pub(crate) receipts: HashMap<Uuid, Receipt>,
    pub(crate) batches_at: HashMap<u64, Uuid>,
    pub(crate) journal: Vec<Batch>,
    pub(crate) refusals: HashMap<Uuid, StoreError>,
    pub(crate) taken: HashMap<(&'static str, Vec<Value>), Key>,
    pub(crate) before: Option<Arc<dyn Snapshot>>,
    last_snapshot: Option<Arc<dyn Snapshot>>,
}

impl Faulty {
    pub(crate) fn open(tables: &[&'static Table], clock: Arc<dyn Clock>, fault: Option<Fault>) -> Self {
        let inner = MemoryStore::new(&altered(tables, fault), Arc::clone(&clock)).unwrap();
        Self::over(Arc::new(inner), tables, clock, fault)
    }

    fn over(
        inner: Arc<dyn Store>,
        tables: &[&'static Table],
        clock: Arc<dyn Clock>,
        fault: Option<Fault>,
    ) -> Self {
        Self {
            inner,
            fault,
            tables: tables.to_vec(),
            ids: TimeOrderedIds::seeded(Arc::clone(&clock), 99),
            clock,
            closed: Arc::default(),
            remembered: Mutex::default(),
        }
    }

    /// The same storage under another handle, as after a restart.
    pub(crate) async fn reopened(&self) -> Self {
        let inner = if self.fault == Some(Fault::LosesTheLastCommit) {
            let fresh = MemoryStore::new(&self.tables, Arc::clone(&self.clock)).unwrap();
            let journal = self.remembered().journal.clone();
            for batch in journal.iter().take(journal.len().saturating_sub(1)) {
                fresh.commit(batch.clone()).await.unwrap();
            }
            Arc::new(fresh) as Arc<dyn Store>
        } else {
            Arc::clone(&self.inner)
        };
        let mut again = Self::over(inner, &self.tables, Arc::clone(&self.clock), self.fault);
        if self.fault == Some(Fault::ForgetsReceipts) {
            again.fault = Some(Fault::RepeatsApply);
            again.remembered().receipts.clone_from(&self.remembered().receipts);
        }
        again
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub(crate) fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap()
    }

    pub(crate) fn fresh(&self) -> Uuid {
        self.ids.next_id()
    }

    pub(crate) async fn row(&self, table: &'static Table, key: &Key) -> Option<Row> {
        self.inner.get(table, key.clone()).await.ok()?.value
    }

    /// A refusal that the store inside did not make.
    pub(crate) async fn refuse(
        &self,
        write: usize,
        table: &'static str,
        key: &Key,
        cause: Cause,
    ) -> StoreError {
        let provoked = Batch::new(self.fresh(), "provoke").with(Write::guard(&CONSUMERS, "nobody", 1));
        let Err(StoreError::Refused(mut refusal)) = self.inner.commit(provoked).await else {
            panic!("a guard on nobody was not refused");
        };
        let made: &mut Refusal = &mut refusal;
        (made.write, made.table, made.key, made.cause) = (write, table, key.clone(), cause);
        StoreError::Refused(refusal)
    }

    fn open_still(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(()) }
    }

    fn remember(&self, batch: Batch, answer: &Result<Receipt, StoreError>) {
        let mut remembered = self.remembered();
        if let Ok(receipt) = answer
            && !receipt.repeated
        {
            remembered.receipts.insert(batch.id, *receipt);
            remembered.journal.push(batch);
            if let Some(position) = receipt.position {
                remembered.batches_at.insert(position, receipt.batch);
            }
        } else if let Err(error @ StoreError::Refused(_)) = answer {
            remembered.refusals.insert(batch.id, error.clone());
        }
    }

    async fn delete_consumers(&self) {
        for row in self.inner.scan_all(Scan::of(&CONSUMERS)).await.unwrap() {
            let batch = Batch::new(self.fresh(), "forget");
            let batch = batch.with(Write::delete(&CONSUMERS, row.key(), row.revision()));
            self.inner.commit(batch).await.unwrap();
        }
    }
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Faulty({:?})", self.fault)
    }
}

#[async_trait]
impl Store for Faulty {
    fn schema(&self) -> &Schema {
        self.inner.schema()
    }

    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        self.open_still()?;
        self.read_with_fault(queries).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.open_still()?;
        let inner = match self.inner.snapshot().await {
            Err(StoreError::Busy { .. }) if self.has(Fault::SnapshotsUncapped) => {
                let last = self.remembered().last_snapshot.clone();
                last.expect("a snapshot that was given before")
            }
            other => other?,
        };
        if self.has(Fault::SnapshotsUncapped) {
            self.remembered().last_snapshot = Some(Arc::clone(&inner));
        }
        let mut cursor = inner.cursor();
        if self.has(Fault::SnapshotCursorAhead) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            cursor = self.inner.snapshot().await?.cursor();
        }
        Ok(Arc::new(FaultySnapshot {
            inner,
            cursor,
            store: Arc::clone(&self.inner),
            fault: self.fault,
            closed: Arc::clone(&self.closed),
        }))
    }

    async fn commit_many(&self, mut batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        if self.open_still().is_err() {
            return batches.iter().map(|_| Err(StoreError::Closed)).collect();
        }
        if self.has(Fault::ReadsLag) {
            self.remembered().before = None;
            let before = self.inner.snapshot().await.unwrap();
            self.remembered().before = Some(before);
        }
        if self.has(Fault::GroupReversed) {
            batches.reverse();
        }
        let kept = batches.clone();
        let mut answers = if self.fault.is_none() {
            self.inner.commit_many(batches).await
        } else {
            let mut answers: Vec<Result<Receipt, StoreError>> = Vec::new();
            for batch in batches {
                let stop = self.has(Fault::RefusalStopsTheGroup);
                answers.push(if stop && answers.iter().any(Result::is_err) {
                    Err(StoreError::Closed)
                } else {
                    self.commit_with_fault(batch).await
                });
            }
            answers
        };
        for (batch, answer) in kept.into_iter().zip(&answers) {
            self.remember(batch, answer);
        }
        if self.has(Fault::GroupReversed) {
            answers.reverse();
        }
        answers
    }

    async fn resolve(&self, id: Uuid) -> Result<Resolution, StoreError> {
        self.open_still()?;
        match self.fault {
            Some(Fault::ResolveForgets) => Ok(Resolution::NotCommitted),
            Some(Fault::ResolveOnlyLooks) => {
                let found = self.remembered().receipts.get(&id).copied();
                Ok(found.map_or(Resolution::NotCommitted, Resolution::Committed))
            }
            _ => self.inner.resolve(id).await,
        }
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        self.open_still()?;
        self.changes_with_fault(after, limit).await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StoreError> {
        self.open_still()?;
        if self.has(Fault::PruneIgnoresConsumers) {
            self.delete_consumers().await;
        }
        self.inner.prune(prune).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        // The store inside stays open: it is the storage that outlives its handle.
        if !self.has(Fault::CloseIsIgnored) {
            self.closed.store(true, Ordering::Release);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct FaultySnapshot {
    inner: Arc<dyn Snapshot>,
    cursor: Cursor,
    store: Arc<dyn Store>,
    fault: Option<Fault>,
    closed: Arc<AtomicBool>,
}

#[async_trait]
impl Snapshot for FaultySnapshot {
    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::SnapshotExpired);
        }
        if self.fault == Some(Fault::SnapshotMoves) {
            return self.store.read(queries).await;
        }
        match self.inner.read(queries.clone()).await {
            Err(StoreError::SnapshotExpired) if self.fault == Some(Fault::SnapshotsNeverExpire) => {
                self.store.read(queries).await
            }
            other => other,
        }
    }

    fn cursor(&self) -> Cursor {
        self.cursor
    }
}
