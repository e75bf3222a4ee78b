//! Runs the whole contract of a store against a server that is there already, such as CockroachDB or YugabyteDB:
//!
//! ```console
//! $ cargo run -p apportion-postgres --example conform -- [--isolation read-committed|repeatable-read|serializable] URL
//! ```
//!
//! Every case gets schemas of its own, called `conform_…`, which stay: use a database that can be thrown away.
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apportion::conformance::{CASE_LIMIT, Harness, cases};
use apportion::store::{Store, Table};
use apportion::time::Clock;
use apportion_postgres::{Isolation, PostgresOptions, PostgresStore};

/// Schemas of one database.
struct Schemas {
    url: String,
    isolation: Isolation,
    prefix: String,
    made: AtomicUsize,
}

impl Schemas {
    async fn connect(
        &self,
        number: usize,
        tables: &[&'static Table],
        clock: Arc<dyn Clock>,
    ) -> Arc<dyn Store> {
        let schema = format!("{}_{number}", self.prefix);
        let options = PostgresOptions::default().isolation(self.isolation).schema(schema);
        Arc::new(PostgresStore::connect_with(&self.url, tables, clock, options).await.unwrap())
    }
}

#[async_trait::async_trait]
impl Harness for Schemas {
    async fn open(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        let number = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        self.connect(number, tables, clock).await
    }

    async fn reopen(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Option<Arc<dyn Store>> {
        Some(self.connect(self.made.load(Ordering::SeqCst), tables, clock).await)
    }
}

/// The isolation and the URL, from the command line.
fn asked() -> Option<(Isolation, String)> {
    let mut isolation = Isolation::default();
    let mut url = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--isolation" {
            isolation = match arguments.next()?.as_str() {
                "read-committed" => Isolation::ReadCommitted,
                "repeatable-read" => Isolation::RepeatableRead,
                "serializable" => Isolation::Serializable,
                _ => return None,
            };
        } else if url.replace(argument).is_some() {
            return None;
        }
    }
    Some((isolation, url?))
}

fn main() -> ExitCode {
    let Some((isolation, url)) = asked() else {
        eprintln!("usage: conform [--isolation read-committed|repeatable-read|serializable] URL");
        return ExitCode::from(2);
    };
    let run = RandomState::new().build_hasher().finish() & 0xff_ffff;
    let mut failed = 0;
    for (number, case) in cases().iter().enumerate() {
        let prefix = format!("conform_{run:06x}_{number}");
        let harness = Schemas { url: url.clone(), isolation, prefix, made: AtomicUsize::new(0) };
        match case.run(Arc::new(harness), CASE_LIMIT) {
            Ok(()) => println!("ok      {}", case.name()),
            Err(failure) => {
                failed += 1;
                println!("FAILED  {failure}");
            }
        }
    }
    println!("{} cases, {failed} failed", cases().len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
