//! The contract of a [`Store`], as a test suite that any backend runs with one line.
//!
//! Every sentence of the contract has a name, and here a case of that name. A backend says in a [`Harness`] how an
//! empty store of its own is opened; [`conformance!`](crate::conformance!) makes a `#[test]` of each case. There are
//! no flags for things that a backend cannot do: a backend that fails a case is broken, or the contract is.
//!
//! Each case runs on a runtime of its own with eight threads, on a clock that it moves itself, and within a
//! minute. A harness is made anew for every case, and what it holds (a folder, a server) lives as long as the case.
//!
//! # Examples
//! A file `tests/conformance.rs` of a backend, here of the reference store:
//! ```
//! use std::sync::Arc;
//!
//! use apportion::conformance::Harness;
//! use apportion::store::memory::MemoryStore;
//! use apportion::store::{Store, Table};
//! use apportion::time::Clock;
//!
//! struct Memory;
//!
//! #[async_trait::async_trait]
//! impl Harness for Memory {
//!     async fn open(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Arc<dyn Store> {
//!         Arc::new(MemoryStore::new(tables, clock).unwrap())
//!     }
//! }
//!
//! apportion::conformance!(|| Memory);
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case fails by panicking"
)]

mod batches;
mod commits;
mod counters;
mod end;
mod feed;
mod follower;
mod keys;
mod malformed;
mod pages;
mod races;
mod reading;
mod refusals;
mod retention;
mod rows;
mod rules;
mod snapshots;
mod tables;
mod waiting;
mod world;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::store::{Store, Table};
use crate::time::Clock;
use world::World;

/// How long a case may take: one minute.
pub const CASE_LIMIT: Duration = Duration::from_mins(1);

const WORKERS: usize = 8;

/// How a backend's stores are opened for the suite. A method that cannot do what it is asked panics: the case fails.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Opens an empty store of these tables. A case may open several: none shares anything with another.
    async fn open(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Arc<dyn Store>;

    /// Opens once more what was opened last, after that store was closed and every handle of it dropped.
    ///
    /// `None` says that nothing outlives its handle, as in memory. Only then are the cases about reopening
    /// content with less.
    async fn reopen(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Option<Arc<dyn Store>> {
        let _ = (tables, clock);
        None
    }
}

/// One sentence of the contract, as a test.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    run: fn(World) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What a store does against the contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{case}: {what}")]
#[non_exhaustive]
pub struct Failure {
    /// The case that failed.
    pub case: &'static str,
    /// What it met.
    pub what: String,
}

impl Case {
    /// The name, which is that of the sentence.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the case for at most `limit`, on a runtime of its own; so it must not be called from within one.
    pub fn run(&self, harness: Arc<dyn Harness>, limit: Duration) -> Result<(), Failure> {
        let failure = |what| Failure { case: self.name, what };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .enable_all()
            .build()
            .map_err(|error| failure(format!("no runtime: {error}")))?;
        let run = self.run;
        let task = runtime.spawn(async move { run(World::open(harness).await).await });
        let outcome = runtime.block_on(async { tokio::time::timeout(limit, task).await });
        // A store that hangs keeps its thread, but not the test.
        runtime.shutdown_background();
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failure(match error.try_into_panic() {
                Ok(panic) => said(&*panic),
                Err(error) => error.to_string(),
            })),
            Err(_) => Err(failure(format!("not done after {limit:?}"))),
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return (*text).into();
    }
    panic.downcast_ref::<String>().map_or_else(|| "panicked".into(), Clone::clone)
}

/// Runs the case of this name: what each `#[test]` of [`conformance!`](crate::conformance!) does.
///
/// # Panics
/// Where the case fails, or there is none of this name.
pub fn check(name: &str, harness: impl Harness + 'static) {
    let case = cases().iter().find(|case| case.name == name);
    let case = case.unwrap_or_else(|| panic!("there is no case {name}"));
    if let Err(failure) = case.run(Arc::new(harness), CASE_LIMIT) {
        panic!("{failure}");
    }
}

macro_rules! listed {
    ($($chapter:ident: $($name:ident),+;)+) => {
        /// Every case, in the order of the contract.
        pub fn cases() -> &'static [Case] {
            &[$($(Case {
                name: stringify!($name),
                run: |world| Box::pin($chapter::$name(world)),
            },)+)+]
        }
    };
}
crate::__conformance_cases! { [listed] }

/// Makes a `#[test]` of every sentence of the contract; see [`conformance`](mod@crate::conformance).
///
/// It takes a function that makes the [`Harness`](crate::conformance::Harness) of one case.
#[macro_export]
macro_rules! conformance {
    (@tests $make:expr; $($chapter:ident: $($name:ident),+;)+) => {
        $($(
            #[test]
            fn $name() {
                $crate::conformance::check(stringify!($name), ($make)());
            }
        )+)+
    };
    ($make:expr) => {
        $crate::__conformance_cases! { [$crate::conformance] @tests $make; }
    };
}

/// The names of all cases by chapter, given to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ([$($to:tt)+] $($first:tt)*) => {
        $($to)+! { $($first)*
            rows: insert_then_get_gives_the_row, insert_never_overwrites, ensure_leaves_the_row_that_is_there,
                left_out_columns_take_their_defaults, update_changes_only_the_named_columns;
            counters: update_leaves_counters_alone;
            rows: delete_removes_the_row;
            counters: adjust_adds_without_a_revision, patch_changes_counters_where_all_tests_hold;
            batches: a_batch_happens_whole_or_not_at_all, writes_are_judged_in_order, a_wrong_revision_is_a_conflict,
                a_missing_row_is_refused_as_missing, a_guard_changes_nothing;
            refusals: the_first_refused_write_is_named;
            malformed: a_malformed_batch_is_invalid_and_names_the_field;
            keys: a_unique_key_has_one_owner, null_in_a_unique_key_collides_with_nothing, a_unique_key_is_free_again,
                a_reference_needs_its_parent, a_referenced_row_cannot_be_deleted;
            rules: an_invariant_holds_after_every_write, a_ceiling_is_judged_when_a_counter_is_raised,
                recorded_use_passes_the_ceiling_and_only_comes_down, a_limit_may_be_lowered_below_use,
                a_counter_stays_in_its_range;
            reading: a_scan_follows_its_index, text_sorts_by_bytes_and_nulls_come_first,
                tests_are_judged_in_the_store;
            pages: pages_join_without_gap_or_repetition, a_page_examines_no_more_than_it_may;
            reading: a_count_is_capped;
            pages: a_malformed_query_is_invalid, a_read_sees_every_acknowledged_commit;
            snapshots: a_snapshot_is_consistent_and_stands_still, snapshots_are_capped_and_expire;
            commits: commit_many_keeps_the_given_order, a_repeated_batch_has_one_effect,
                an_id_cannot_be_reused_for_another_request, an_id_older_than_receipts_is_refused, resolve_finds_a_commit,
                resolve_makes_an_absent_commit_impossible, a_refused_batch_leaves_no_receipt;
            waiting: a_passed_deadline_means_nothing_happened, a_dropped_commit_happens_whole_or_not_at_all;
            feed: every_commit_has_one_record, secrets_are_not_in_the_feed, quiet_tables_are_not_in_the_feed,
                changes_resume_where_they_ended, a_foreign_cursor_is_refused;
            retention: pruned_positions_are_expired_not_skipped, pruning_stops_at_the_slowest_consumer;
            follower: a_follower_of_snapshot_and_feed_equals_a_rescan;
            waiting: store_time_never_runs_backwards;
            races: forty_tasks_share_ten_units, eight_gpus_have_one_owner_each, one_port_has_one_owner,
                a_unique_key_has_one_winner;
            end: close_drains_and_then_refuses, what_was_acknowledged_is_there_after_reopening;
        }
    };
}
