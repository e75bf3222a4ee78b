//! What a case is given: an empty store, a clock that it moves, a source of ids; and short forms of what it asks.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::Harness;
use super::tables::{ALL, THINGS};
use crate::id::{IdSource, TimeOrderedIds};
use crate::store::{
    Batch, Cause, Cursor, Is, Key, NewRow, Receipt, Record, Refusal, Row, Scan, Snapshot, Store, StoreError,
    StoreExt, Table, Test, Value, Write,
};
use crate::time::{Clock, ManualClock, Timestamp};

/// 2026-06-01, noon.
pub(super) const START: Timestamp = Timestamp::from_micros(1_780_315_200_000_000);

#[derive(Clone)]
pub(super) struct World {
    pub(super) harness: Arc<dyn Harness>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) ids: Arc<TimeOrderedIds>,
    pub(super) store: Arc<dyn Store>,
}

impl World {
    pub(super) async fn open(harness: Arc<dyn Harness>) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store = harness.open(&ALL, Arc::clone(&clock) as Arc<dyn Clock>).await;
        let ids = Arc::new(TimeOrderedIds::seeded(Arc::clone(&clock) as Arc<dyn Clock>, 0x00C0_FFEE));
        Self { harness, clock, ids, store }
    }

    /// Another empty store, under the same clock.
    pub(super) async fn another(&self) -> Self {
        let store = self.harness.open(&ALL, Arc::clone(&self.clock) as Arc<dyn Clock>).await;
        Self { store, ..self.clone() }
    }

    pub(super) fn id(&self) -> Uuid {
        self.ids.next_id()
    }

    pub(super) fn batch(&self, writes: Vec<Write>) -> Batch {
        let mut batch = Batch::new(self.id(), "test");
        batch.writes = writes;
        batch
    }

    pub(super) async fn commit(&self, writes: Vec<Write>) -> Result<Receipt, StoreError> {
        self.store.commit(self.batch(writes)).await
    }

    /// Commits what must be accepted.
    pub(super) async fn ok(&self, writes: Vec<Write>) -> Receipt {
        let shown = format!("{writes:?}");
        match self.commit(writes).await {
            Ok(receipt) => receipt,
            Err(error) => panic!("expected {shown} to be accepted, got {error:?}"),
        }
    }

    /// Commits what must be refused.
    pub(super) async fn refused(&self, writes: Vec<Write>) -> Refusal {
        let shown = format!("{writes:?}");
        match self.commit(writes).await {
            Err(StoreError::Refused(refusal)) => *refusal,
            other => panic!("expected {shown} to be refused, got {other:?}"),
        }
    }

    /// Why what must be refused is refused.
    pub(super) async fn cause(&self, writes: Vec<Write>) -> Cause {
        self.refused(writes).await.cause
    }

    /// Commits what does not fit the declarations, and gives the field that is named.
    pub(super) async fn invalid(&self, writes: Vec<Write>) -> String {
        let shown = format!("{writes:?}");
        match self.commit(writes).await {
            Err(StoreError::Invalid { field, .. }) => field,
            other => panic!("expected {shown} to be invalid, got {other:?}"),
        }
    }

    pub(super) async fn find(&self, table: &'static Table, key: impl Into<Key> + Send) -> Option<Row> {
        self.store.get(table, key).await.unwrap().value
    }

    pub(super) async fn row(&self, table: &'static Table, key: impl Into<Key> + Send) -> Row {
        let key = key.into();
        let found = self.find(table, key.clone()).await;
        found.unwrap_or_else(|| panic!("expected a row {key:?} of {}", table.name))
    }

    pub(super) async fn rows(&self, scan: Scan) -> Vec<Row> {
        self.store.scan_all(scan).await.unwrap()
    }

    pub(super) async fn all(&self, table: &'static Table) -> Vec<Row> {
        self.rows(Scan::of(table)).await
    }

    /// Inserts a thing and gives its id.
    pub(super) async fn thing(&self, name: &str) -> Uuid {
        let id = self.id();
        self.ok(vec![Write::Insert(thing(id, name))]).await;
        id
    }

    /// Every record, from the start.
    pub(super) async fn feed(&self) -> Vec<Arc<Record>> {
        self.feed_after(Cursor::START).await
    }

    pub(super) async fn feed_after(&self, mut after: Cursor) -> Vec<Arc<Record>> {
        let mut records = Vec::new();
        loop {
            let page = self.store.changes(after, 1000).await.unwrap();
            if page.records.is_empty() {
                return records;
            }
            records.extend(page.records);
            after = page.next;
        }
    }

    /// The feed's last record.
    pub(super) async fn last_record(&self) -> Arc<Record> {
        self.feed().await.pop().expect("a record in the feed")
    }

    pub(super) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

pub(super) fn thing(id: Uuid, name: &str) -> NewRow {
    NewRow::new(&THINGS).set("id", id).set("name", name)
}

/// An insert of a thing with a number.
pub(super) fn numbered(id: Uuid, number: i64) -> Write {
    Write::Insert(thing(id, "numbered").set("number", number))
}

pub(super) fn test(column: &'static str, is: Is) -> Test {
    Test::new(column, is)
}

pub(super) fn values(row: &Row, columns: &[&str]) -> Vec<Value> {
    columns.iter().map(|column| row.get(column).cloned().expect("a declared column")).collect()
}

/// Every row of a snapshot, page by page.
pub(super) async fn snapshot_rows(snapshot: &dyn Snapshot, mut scan: Scan) -> Vec<Row> {
    use crate::store::{Answer, Query};
    let mut rows = Vec::new();
    loop {
        let mut reads = snapshot.read(vec![Query::Scan(scan.clone())]).await.unwrap();
        let Some(Answer::Page(page)) = reads.answers.pop() else {
            panic!("a scan of a snapshot was not answered by a page");
        };
        rows.extend(page.rows);
        match page.next {
            Some(next) => scan = scan.after(next),
            None => return rows,
        }
    }
}
