//! The conformance suite can fail: each of these stores is broken in one way, and a case of the suite says so.
#![cfg(feature = "conformance")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod answers;
mod commits;
mod fault;
mod store;
mod tables;
mod uniques;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apportion::conformance::{Harness, cases};
use apportion::store::{Store, Table};
use apportion::time::Clock;
use async_trait::async_trait;
use fault::Fault;
use store::Faulty;

/// How long a broken store may keep a case busy before that counts as caught.
const LIMIT: Duration = Duration::from_secs(30);

/// Opens stores with a fault, or without one.
struct Broken {
    fault: Option<Fault>,
    last: Mutex<Option<Arc<Faulty>>>,
}

impl Broken {
    fn new(fault: Option<Fault>) -> Self {
        let last = Mutex::default();
        Self { fault, last }
    }
}

#[async_trait]
impl Harness for Broken {
    async fn open(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        let store = Arc::new(Faulty::open(tables, clock, self.fault));
        *self.last.lock().unwrap() = Some(Arc::clone(&store));
        store
    }

    async fn reopen(&self, _: &[&'static Table], _: Arc<dyn Clock>) -> Option<Arc<dyn Store>> {
        let last = self.last.lock().unwrap().take().expect("a store that was opened before");
        let again = Arc::new(last.reopened().await);
        *self.last.lock().unwrap() = Some(Arc::clone(&again));
        Some(again)
    }
}

/// The decorator alone breaks nothing, so what is caught below is the fault.
mod without_a_fault {
    apportion::conformance!(|| super::Broken::new(None));
}

mod with_a_harmless_fault {
    apportion::conformance!(|| super::Broken::new(Some(super::Fault::Harmless)));
}

fn caught(fault: Fault, by: &[&str]) {
    for name in by {
        let case = cases().iter().find(|case| case.name() == *name).expect("a case of this name");
        let outcome = case.run(Arc::new(Broken::new(Some(fault))), LIMIT);
        assert!(outcome.is_err(), "{name} did not notice {fault:?}");
    }
}

macro_rules! mutants {
    ($($test:ident: $fault:ident => $($case:ident),+;)+) => {
        $(
            #[test]
            fn $test() {
                caught(Fault::$fault, &[$(stringify!($case)),+]);
            }
        )+

        #[test]
        fn every_case_can_fail() {
            let failing: BTreeSet<&str> = BTreeSet::from([$($(stringify!($case)),+),+]);
            let all: BTreeSet<&str> = cases().iter().map(|case| case.name()).collect();
            assert_eq!(failing, all);
        }
    };
}

mutants! {
    an_empty_text_read_as_null: EmptyTextIsNull => insert_then_get_gives_the_row, text_sorts_by_bytes_and_nulls_come_first;
    times_cut_to_milliseconds: TimesInMillis => insert_then_get_gives_the_row;
    defaults_left_out: DefaultsAreNull => left_out_columns_take_their_defaults;
    insert_overwrites: InsertOverwrites => insert_never_overwrites;
    ensure_overwrites: EnsureOverwrites => ensure_leaves_the_row_that_is_there;
    update_clears_what_it_does_not_name: UpdateClearsTheRest => update_changes_only_the_named_columns;
    update_rewrites_a_counter: UpdateRewritesCounters => update_leaves_counters_alone;
    delete_deletes_nothing: DeletesNothing => delete_removes_the_row;
    adjust_raises_the_revision: AdjustRaisesRevision => adjust_adds_without_a_revision;
    of_several_adjusts_one_is_applied: AdjustsOnce => adjust_adds_without_a_revision;
    patch_ignores_its_tests: PatchIgnoresTests => patch_changes_counters_where_all_tests_hold;
    a_maximum_comes_down: MaxComesDown => patch_changes_counters_where_all_tests_hold;

    a_torn_batch: TornBatch => a_batch_happens_whole_or_not_at_all;
    writes_judged_in_reverse: JudgesInReverse => writes_are_judged_in_order;
    revisions_ignored: IgnoresRevisions => a_wrong_revision_is_a_conflict;
    guards_ignored: IgnoresGuards => a_wrong_revision_is_a_conflict, a_missing_row_is_refused_as_missing;
    a_guard_that_touches: GuardTouches => a_guard_changes_nothing;
    missing_rows_skipped: MissingRowsAreSkipped => a_missing_row_is_refused_as_missing;
    the_wrong_write_named: NamesTheFirstWrite => the_first_refused_write_is_named;
    long_texts_accepted: LongTextsAccepted => a_malformed_batch_is_invalid_and_names_the_field;

    no_unique_check: NoUniqueCheck => a_unique_key_has_one_owner, the_first_refused_write_is_named;
    nulls_collide: NullsCollide => null_in_a_unique_key_collides_with_nothing;
    a_unique_key_once_used_stays_taken: UniqueKeysStayTaken => a_unique_key_is_free_again;
    references_ignored: ReferencesIgnored => a_reference_needs_its_parent, a_referenced_row_cannot_be_deleted;
    deletes_let_children_go: CascadesDeletes => a_referenced_row_cannot_be_deleted;
    invariants_ignored: InvariantsIgnored => an_invariant_holds_after_every_write;
    ceilings_ignored: CeilingsIgnored => a_ceiling_is_judged_when_a_counter_is_raised, forty_tasks_share_ten_units;
    recorded_use_judged: RecordIsJudged => recorded_use_passes_the_ceiling_and_only_comes_down;
    a_ceiling_that_always_holds: CeilingsAreChecks => a_limit_may_be_lowered_below_use,
        recorded_use_passes_the_ceiling_and_only_comes_down;
    counters_that_saturate: CountersSaturate => a_counter_stays_in_its_range;

    a_stale_index: StaleIndex => a_scan_follows_its_index;
    descending_ignored: DescendingIgnored => a_scan_follows_its_index;
    excluded_ends_included: RangeEndsIncluded => a_scan_follows_its_index;
    text_in_the_order_of_a_language: TextIsCollated => text_sorts_by_bytes_and_nulls_come_first;
    nulls_last: NullsLast => text_sorts_by_bytes_and_nulls_come_first;
    tests_judged_after_the_limit: TestsAfterTheLimit => tests_are_judged_in_the_store;
    nulls_pass_tests: NullsPassTests => tests_are_judged_in_the_store;
    a_row_lost_between_pages: PagesLoseARow => pages_join_without_gap_or_repetition;
    everything_examined: ExaminesEverything => a_page_examines_no_more_than_it_may;
    counts_uncapped: CountsUncapped => a_count_is_capped;
    an_unknown_index_is_the_primary_key: UnknownIndexFallsBack => a_malformed_query_is_invalid;
    limits_clamped: LimitsClamped => a_malformed_query_is_invalid;
    reads_that_lag: ReadsLag => a_read_sees_every_acknowledged_commit;
    a_snapshot_that_moves: SnapshotMoves => a_snapshot_is_consistent_and_stands_still;
    snapshots_uncapped: SnapshotsUncapped => snapshots_are_capped_and_expire;
    snapshots_for_ever: SnapshotsNeverExpire => snapshots_are_capped_and_expire;

    a_group_in_reverse: GroupReversed => commit_many_keeps_the_given_order;
    a_refusal_stops_its_group: RefusalStopsTheGroup => commit_many_keeps_the_given_order,
        a_batch_happens_whole_or_not_at_all;
    a_repetition_applied_again: RepeatsApply => a_repeated_batch_has_one_effect;
    any_request_under_one_id: FingerprintIgnored => an_id_cannot_be_reused_for_another_request;
    old_ids_accepted: OldIdsAccepted => an_id_older_than_receipts_is_refused;
    resolve_that_forgets: ResolveForgets => resolve_finds_a_commit;
    resolve_that_only_looks: ResolveOnlyLooks => resolve_makes_an_absent_commit_impossible;
    a_refusal_kept_as_an_answer: RefusalsStick => a_refused_batch_leaves_no_receipt;
    deadlines_ignored: DeadlineIgnored => a_passed_deadline_means_nothing_happened;
    commits_in_two_steps: CommitsInTwoSteps => a_dropped_commit_happens_whole_or_not_at_all;

    records_lost: RecordsLost => every_commit_has_one_record, a_follower_of_snapshot_and_feed_equals_a_rescan;
    changes_lost: ChangesLost => every_commit_has_one_record, a_follower_of_snapshot_and_feed_equals_a_rescan;
    the_feed_out_of_order: FeedOutOfOrder => every_commit_has_one_record,
        a_follower_of_snapshot_and_feed_equals_a_rescan;
    secrets_in_the_feed: SecretsInTheFeed => secrets_are_not_in_the_feed;
    quiet_tables_in_the_feed: QuietIsLoud => quiet_tables_are_not_in_the_feed;
    pages_of_the_feed_overlap: PagesOverlap => changes_resume_where_they_ended;
    no_lag_ever: LagIsZero => changes_resume_where_they_ended;
    cursors_unchecked: CursorsUnchecked => a_foreign_cursor_is_refused;
    what_expired_is_skipped: ExpiredIsSkipped => pruned_positions_are_expired_not_skipped;
    consumers_ignored: PruneIgnoresConsumers => pruning_stops_at_the_slowest_consumer;
    a_snapshot_behind_its_cursor: SnapshotCursorAhead => a_follower_of_snapshot_and_feed_equals_a_rescan;

    time_running_backwards: TimeRunsBackwards => store_time_never_runs_backwards;
    admitted_by_looking_first: AdmitsByLookingFirst => forty_tasks_share_ten_units, eight_gpus_have_one_owner_each;
    unique_by_looking_first: UniqueByLookingFirst => one_port_has_one_owner, a_unique_key_has_one_winner;
    closing_ignored: CloseIsIgnored => close_drains_and_then_refuses;
    the_last_commit_lost: LosesTheLastCommit => what_was_acknowledged_is_there_after_reopening;
    receipts_forgotten: ForgetsReceipts => what_was_acknowledged_is_there_after_reopening;
}
