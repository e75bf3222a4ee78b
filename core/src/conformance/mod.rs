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

mod rows;
mod tables;
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
pub const CASE_LIMIT: Duration = Duration::from_secs(60);

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
        let failure = |what| Failure {
            case: self.name,
            what,
        };
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
    panic
        .downcast_ref::<String>()
        .map_or_else(|| "panicked".into(), Clone::clone)
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

/// Makes a `#[test]` of every sentence of the contract; see [`conformance`](crate::conformance).
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
                left_out_columns_take_their_defaults, update_changes_only_the_named_columns,
                update_leaves_counters_alone, delete_removes_the_row, adjust_adds_without_a_revision,
                patch_changes_counters_where_all_tests_hold;
        }
    };
}
