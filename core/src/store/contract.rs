//! The contract of a store: [`Store`].

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::batch::Batch;
use super::error::StoreError;
use super::log::{Changes, Cursor, Prune, Pruned, Receipt, Resolution};
use super::query::{Answer, Count, MAX_EXAMINED, MAX_PAGE, Page, Query, Reads, Scan};
use super::row::{Key, Row};
use super::schema::Schema;
use super::table::Table;
use crate::time::Timestamp;

/// How long a snapshot can be read: 60 seconds.
pub const SNAPSHOT_LIFETIME: Duration = Duration::from_mins(1);
/// How many snapshots of one store may be open at once.
pub const MAX_SNAPSHOTS: usize = 16;

/// A place where rows are kept and batches are judged.
///
/// Every method may be called from any number of threads and processes at once, and every future may be dropped
/// at any await. The contract is a list of sentences; each has a case of the same name in the conformance suite
/// (feature `conformance`), which a backend of your own runs with one line.
///
/// # Contract
///
/// Rows
/// - `insert_then_get_gives_the_row`: what was inserted is read back as it was written: every kind, every text, every
///   time to the microsecond, JSON in canonical form, with revision 1 and version 1.
/// - `insert_never_overwrites`: an insert on a taken primary key is refused as a duplicate of the table, and the row that
///   is there stays.
/// - `ensure_leaves_the_row_that_is_there`: an ensure inserts where the key is free and otherwise changes nothing, not even
///   the version.
/// - `left_out_columns_take_their_defaults`: an insert that leaves a column out takes its default, else null, else is invalid.
/// - `update_changes_only_the_named_columns`: and raises revision and version by one.
/// - `update_leaves_counters_alone`: an update decided before an adjust and committed after it keeps what was added.
/// - `delete_removes_the_row`: and its key can be inserted again, with revision 1.
/// - `adjust_adds_without_a_revision`: it raises the version and not the revision; several of one key add up.
/// - `patch_changes_counters_where_all_tests_hold`: `Add`, `Set` and `Max`; a failed test refuses and names its column.
///
/// Batches
/// - `a_batch_happens_whole_or_not_at_all`: a refusal of the last write undoes the first.
/// - `writes_are_judged_in_order`: a write sees those before it in its batch.
/// - `a_wrong_revision_is_a_conflict`: for update, delete and guard; the refusal says which revision was found.
/// - `a_missing_row_is_refused_as_missing`: for every write that needs a row.
/// - `a_guard_changes_nothing`: neither the row nor the feed.
/// - `the_first_refused_write_is_named`: with its position, table, key and declaration; within one write what is missing or
///   in conflict comes before duplicates, those before references, those before rules, each in declared order.
/// - `a_malformed_batch_is_invalid_and_names_the_field`: unknown table or column, wrong kind, null where none may be, text
///   too long or with NUL, an integer beyond ±2^53, a key twice, no write, too many writes, an id that is no UUIDv7.
///
/// Keys, references, rules
/// - `a_unique_key_has_one_owner`: on insert and on update; the refusal names the key and its owner.
/// - `null_in_a_unique_key_collides_with_nothing`.
/// - `a_unique_key_is_free_again`: after its owner was deleted or changed, also within one batch.
/// - `a_reference_needs_its_parent`: on insert and on update; null refers to nothing; the parent may be inserted earlier in
///   the same batch.
/// - `a_referenced_row_cannot_be_deleted`: until the last child is deleted or refers elsewhere, also within one batch.
/// - `an_invariant_holds_after_every_write`.
/// - `a_ceiling_is_judged_when_a_counter_is_raised`: by insert, patch, or adjust in mode `Admit`; the refusal tells limit,
///   use and what was asked.
/// - `recorded_use_passes_the_ceiling_and_only_comes_down`.
/// - `a_limit_may_be_lowered_below_use`: then nothing more is admitted until use is below it.
/// - `a_counter_stays_in_its_range`: beyond ±2^53 is refused as an overflow.
///
/// Reading
/// - `a_scan_follows_its_index`: by the index's columns, then by primary key; forwards and backwards; by prefix and range.
/// - `text_sorts_by_bytes_and_nulls_come_first`.
/// - `tests_are_judged_in_the_store`: a null satisfies no test but `Null`.
/// - `pages_join_without_gap_or_repetition`: also when rows are written meanwhile, for the rows that were there all along.
/// - `a_page_examines_no_more_than_it_may`: a short page has a cursor where rows are left.
/// - `a_count_is_capped`: and says so.
/// - `a_malformed_query_is_invalid`: unknown index, wrong kind (of a key, too), foreign cursor, limit beyond the largest.
/// - `a_read_sees_every_acknowledged_commit`.
/// - `a_snapshot_is_consistent_and_stands_still`: over all its reads, whatever is committed meanwhile.
/// - `snapshots_are_capped_and_expire`: the one too many is `Busy`, and one that is dropped makes room; after
///   [`SNAPSHOT_LIFETIME`] by the injected clock reads are `SnapshotExpired`.
///
/// Commits
/// - `commit_many_keeps_the_given_order`: batches are judged and committed in the order given; each is answered on its own; a
///   refused one disturbs nobody.
/// - `a_repeated_batch_has_one_effect`: the same id and fingerprint answers the first receipt, marked as repeated.
/// - `an_id_cannot_be_reused_for_another_request`.
/// - `an_id_older_than_receipts_is_refused`.
/// - `resolve_finds_a_commit`: with its receipt.
/// - `resolve_makes_an_absent_commit_impossible`: a later commit under that id is refused as voided.
/// - `a_refused_batch_leaves_no_receipt`: it may be tried again under its id.
/// - `a_passed_deadline_means_nothing_happened`: a batch whose deadline has passed when its turn comes, by the injected clock,
///   is withdrawn, and may be tried again under its id.
/// - `a_dropped_commit_happens_whole_or_not_at_all`: and the store goes on working.
///
/// Feed
/// - `every_commit_has_one_record`: in dense positions from 1, with time, actor, operation, fingerprint and the after-image of
///   what changed; in the order in which rows changed.
/// - `secrets_are_not_in_the_feed`.
/// - `quiet_tables_are_not_in_the_feed`: a commit that changes nothing else has no record, but a receipt.
/// - `changes_resume_where_they_ended`: pages join without gap, and tell the lag.
/// - `a_foreign_cursor_is_refused`: another batch id at that position, or a position beyond the head.
/// - `pruned_positions_are_expired_not_skipped`.
/// - `pruning_stops_at_the_slowest_consumer`.
/// - `a_follower_of_snapshot_and_feed_equals_a_rescan`: row by row, under concurrent writers.
///
/// Time
/// - `store_time_never_runs_backwards`: reads and commits give the larger of the clock's time and the last commit's.
///
/// Races, on real threads
/// - `forty_tasks_share_ten_units`, `eight_gpus_have_one_owner_each`, `one_port_has_one_owner`, `a_unique_key_has_one_winner`.
///
/// End
/// - `close_drains_and_then_refuses`: what was accepted is answered, what comes later is `Closed`, and reads of open
///   snapshots are `SnapshotExpired`; closing once more does nothing.
/// - `what_was_acknowledged_is_there_after_reopening`: for stores that outlive their handle.
#[async_trait]
pub trait Store: Send + Sync + Debug {
    /// The declarations that the store was opened with.
    fn schema(&self) -> &Schema;

    /// Answers some questions in one round trip. Each answer is consistent in itself and sees every commit that
    /// was acknowledged before the call; use [`Store::snapshot`] where several must agree.
    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError>;

    /// Opens a consistent view that stands still.
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError>;

    /// Commits independent batches in the given order and answers each. What is durable is at any time a prefix
    /// of the accepted ones.
    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>>;

    /// Says whether a batch was committed. Where it was not, it never will be.
    async fn resolve(&self, id: Uuid) -> Result<Resolution, StoreError>;

    /// The records behind a cursor, at most `limit` of them (1 to 1,000).
    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError>;

    /// Throws away old records, as far as every registered consumer has read them, and old receipts.
    async fn prune(&self, prune: Prune) -> Result<Pruned, StoreError>;

    /// Answers what was accepted, and refuses everything after.
    async fn close(&self) -> Result<(), StoreError>;

    /// How often the storage was asked to make something durable since the store was opened; `None` where it
    /// cannot tell.
    fn syncs(&self) -> Option<u64> {
        None
    }
}

/// A consistent view of a store that stands still. It ends when it is dropped, or after [`SNAPSHOT_LIFETIME`].
#[async_trait]
pub trait Snapshot: Send + Sync + Debug {
    /// Answers some questions, all from the same state.
    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError>;

    /// Where a follower of the feed goes on from this state.
    fn cursor(&self) -> Cursor;

    /// Batches behind the cursor that this state already shows; a follower skips them. Empty where the store gives
    /// positions at the commit.
    fn already_seen(&self) -> &[Uuid] {
        &[]
    }
}

/// An answer and the store's time at which it was given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Read<T> {
    /// The answer.
    pub value: T,
    /// The larger of the injected clock and the last commit's time.
    pub now: Timestamp,
}

/// The comfortable forms of a store's methods.
#[async_trait]
pub trait StoreExt: Store {
    /// Commits one batch.
    async fn commit(&self, batch: Batch) -> Result<Receipt, StoreError> {
        let id = batch.id;
        // One answer for one batch: an empty list would be a broken backend, whose outcome nobody knows.
        self.commit_many(vec![batch]).await.pop().unwrap_or(Err(StoreError::Unknown { id }))
    }

    /// The row with this key.
    async fn get(
        &self,
        table: &'static Table,
        key: impl Into<Key> + Send,
    ) -> Result<Read<Option<Row>>, StoreError> {
        let reads = self.read(vec![Query::Get { table, key: key.into() }]).await?;
        single(reads, |answer| match answer {
            Answer::Row(row) => Some(row),
            _ => None,
        })
    }

    /// The rows with these keys, in the same order, in one round trip.
    async fn get_many(&self, keys: Vec<(&'static Table, Key)>) -> Result<Read<Vec<Option<Row>>>, StoreError> {
        let reads =
            self.read(keys.into_iter().map(|(table, key)| Query::Get { table, key }).collect()).await?;
        all(reads, |answer| match answer {
            Answer::Row(row) => Some(row),
            _ => None,
        })
    }

    /// A page of rows.
    async fn scan(&self, scan: Scan) -> Result<Read<Page>, StoreError> {
        single(self.read(vec![Query::Scan(scan)]).await?, page)
    }

    /// A page for each scan, in one round trip.
    async fn scan_many(&self, scans: Vec<Scan>) -> Result<Read<Vec<Page>>, StoreError> {
        all(self.read(scans.into_iter().map(Query::Scan).collect()).await?, page)
    }

    /// How many rows a scan would give, counted up to its `examine` limit.
    async fn count(&self, scan: Scan) -> Result<Read<Count>, StoreError> {
        single(self.read(vec![Query::Count(scan)]).await?, |answer| match answer {
            Answer::Count(count) => Some(count),
            _ => None,
        })
    }

    /// Every row of a scan, page by page. Rows written meanwhile may or may not be among them.
    async fn scan_all(&self, scan: Scan) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        let mut after = scan.after.clone();
        loop {
            let page = self.scan(scan.clone().after(after)).await?.value;
            rows.extend(page.rows);
            after = page.next;
            if after.is_none() {
                return Ok(rows);
            }
        }
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

/// The comfortable forms of a snapshot's methods.
#[async_trait]
pub trait SnapshotExt: Snapshot {
    /// Shows every row of a scan to `look`, page by page, until it has seen all or fails.
    async fn each(
        &self,
        scan: Scan,
        look: &mut (dyn for<'r> FnMut(&'r Row) -> Result<(), StoreError> + Send),
    ) -> Result<(), StoreError> {
        let scan = scan.limit(MAX_PAGE).examine(MAX_EXAMINED);
        let mut after = None;
        loop {
            let reads = self.read(vec![Query::Scan(scan.clone().after(after))]).await?;
            let page = single(reads, page)?.value;
            for row in &page.rows {
                look(row)?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

impl<S: Snapshot + ?Sized> SnapshotExt for S {}

fn page(answer: Answer) -> Option<Page> {
    match answer {
        Answer::Page(page) => Some(page),
        _ => None,
    }
}

fn single<T>(reads: Reads, pick: impl Fn(Answer) -> Option<T>) -> Result<Read<T>, StoreError> {
    let mut all = all(reads, pick)?;
    let value = all.value.pop().ok_or_else(wrong_answer)?;
    Ok(Read { value, now: all.now })
}

fn all<T>(reads: Reads, pick: impl Fn(Answer) -> Option<T>) -> Result<Read<Vec<T>>, StoreError> {
    let now = reads.now;
    let value: Option<Vec<T>> = reads.answers.into_iter().map(pick).collect();
    Ok(Read { value: value.ok_or_else(wrong_answer)?, now })
}

fn wrong_answer() -> StoreError {
    StoreError::Unavailable { reason: "the backend answered another question".into(), source: None }
}
