//! Callers whose look-ups are answered together: what is put together, who hears of an error, who goes away.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apportion::store::{Answer, Column, Query, Reads, Scan, StoreError, Table};
use apportion::time::Timestamp;
use apportion_sql::{Answering, Gather};
use async_trait::async_trait;
use tokio::sync::Semaphore;
use uuid::Uuid;

static NOTES: Table = Table::new("notes", &[Column::uuid("id")], &["id"]);

/// A database whose statements end when the test lets them.
#[derive(Debug)]
struct Fake {
    /// One permit lets one statement end.
    gate: Semaphore,
    statements: Mutex<Vec<usize>>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    /// A statement that asks for this cannot be answered.
    corrupt: Uuid,
    unreachable: AtomicBool,
    panics: AtomicBool,
}

#[async_trait]
impl Answering for Fake {
    async fn answer(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        let at = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(at, Ordering::SeqCst);
        self.statements.lock().unwrap().push(queries.len());
        self.gate.acquire().await.unwrap().forget();
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        assert!(!self.panics.swap(false, Ordering::SeqCst), "told to");
        if self.unreachable.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { reason: "told to".into(), source: None });
        }
        let is_corrupt =
            |query: &Query| matches!(query, Query::Get { key, .. } if key.as_uuid() == Some(self.corrupt));
        if queries.iter().any(is_corrupt) {
            return Err(StoreError::corrupt("notes", None, "id", "told to"));
        }
        // What is answered says how many were asked before it, so that answers cannot be mistaken.
        let answers = queries.iter().map(|query| match query {
            Query::Get { key, .. } => {
                Answer::Count(apportion::store::Count::new(number(key.as_uuid().unwrap()), false))
            }
            _ => Answer::Row(None),
        });
        Ok(Reads::new(Timestamp::EPOCH, answers.collect()))
    }
}

fn number(id: Uuid) -> u64 {
    id.as_u64_pair().1
}

fn get(number: u128) -> Query {
    Query::Get { table: &NOTES, key: Uuid::from_u128(number).into() }
}

fn start(lanes: usize) -> (Arc<Fake>, Arc<Gather>) {
    let fake = Arc::new(Fake {
        gate: Semaphore::new(0),
        statements: Mutex::default(),
        under_way: AtomicUsize::default(),
        most_under_way: AtomicUsize::default(),
        corrupt: Uuid::from_u128(13),
        unreachable: AtomicBool::default(),
        panics: AtomicBool::default(),
    });
    let gather = Gather::new(Arc::clone(&fake) as Arc<dyn Answering>, lanes);
    (fake, gather)
}

type Called = tokio::task::JoinHandle<Result<Reads, StoreError>>;

fn call(gather: &Arc<Gather>, queries: Vec<Query>) -> Called {
    let gather = Arc::clone(gather);
    tokio::spawn(async move { gather.read(queries).await })
}

async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn numbers(called: Called) -> Vec<u64> {
    let answers = called.await.unwrap().unwrap().answers;
    let told = answers.iter().map(|answer| match answer {
        Answer::Count(count) => count.rows,
        other => unreachable!("{other:?}"),
    });
    told.collect()
}

impl Fake {
    fn statements(&self) -> Vec<usize> {
        self.statements.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn who_comes_alone_is_asked_at_once_and_the_others_together() {
    let (fake, gather) = start(1);
    let first = call(&gather, vec![get(1)]);
    settle().await;
    let later: Vec<_> = (2..10).map(|at| call(&gather, vec![get(at), get(at + 100)])).collect();
    settle().await;
    assert_eq!(fake.statements(), [1]);
    fake.gate.add_permits(2);
    assert_eq!(numbers(first).await, [1]);
    for (at, called) in (2..).zip(later) {
        assert_eq!(numbers(called).await, [at, at + 100], "each has the answers to its own questions");
    }
    assert_eq!(fake.statements(), [1, 16]);
    assert_eq!(fake.most_under_way.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn no_more_statements_are_under_way_than_there_are_lanes() {
    let (fake, gather) = start(2);
    let calls: Vec<_> = (0..10).map(|at| call(&gather, vec![get(at)])).collect();
    settle().await;
    fake.gate.add_permits(100);
    for (at, called) in (0..).zip(calls) {
        assert_eq!(numbers(called).await, [at]);
    }
    assert!(fake.most_under_way.load(Ordering::SeqCst) <= 2);
    // A lane that had nothing to do has ended, and another one begins.
    assert_eq!(numbers(call(&gather, vec![get(50)])).await, [50]);
}

#[tokio::test]
async fn a_statement_that_takes_long_is_not_waited_for_while_there_may_be_another() {
    let (fake, gather) = start(2);
    let first = call(&gather, vec![get(1)]);
    settle().await;
    let second = call(&gather, vec![get(2)]);
    settle().await;
    while fake.statements() != [1, 1] {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Both take long, and there may be no third.
    let third = call(&gather, vec![get(3)]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(fake.statements(), [1, 1]);
    fake.gate.add_permits(3);
    for (at, called) in (1..).zip([first, second, third]) {
        assert_eq!(numbers(called).await, [at]);
    }
    assert_eq!(fake.most_under_way.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_statement_has_so_many_questions_at_most() {
    let (fake, gather) = start(1);
    let first = call(&gather, vec![get(1)]);
    settle().await;
    let many: Vec<_> =
        (0..3).map(|at| call(&gather, (0..600).map(|of| get(1000 + at * 600 + of)).collect())).collect();
    settle().await;
    fake.gate.add_permits(100);
    numbers(first).await;
    for (at, called) in (0..).zip(many) {
        assert_eq!(numbers(called).await.first(), Some(&(1000 + at * 600)));
    }
    assert_eq!(fake.statements(), [1, 600, 600, 600]);
}

#[tokio::test]
async fn a_scan_waits_for_nobody_and_nobody_for_it() {
    let (fake, gather) = start(1);
    let scan = call(&gather, vec![Query::Scan(Scan::of(&NOTES)), get(1)]);
    let one = call(&gather, vec![get(1)]);
    settle().await;
    assert_eq!(fake.under_way.load(Ordering::SeqCst), 2);
    fake.gate.add_permits(2);
    assert_eq!(scan.await.unwrap().unwrap().answers.len(), 2);
    assert_eq!(numbers(one).await, [1]);
}

#[tokio::test]
async fn only_who_asked_for_what_cannot_be_answered_hears_of_it() {
    let (fake, gather) = start(1);
    let first = call(&gather, vec![get(1)]);
    settle().await;
    let calls: Vec<_> = (12..15).map(|at| call(&gather, vec![get(at)])).collect();
    settle().await;
    fake.gate.add_permits(100);
    numbers(first).await;
    let answers: Vec<_> = futures(calls).await.into_iter().map(|answer| answer.map(drop)).collect();
    assert!(matches!(answers.as_slice(), [Ok(()), Err(StoreError::Corrupt { .. }), Ok(())]), "{answers:?}");
    assert_eq!(fake.statements(), [1, 3, 1, 1, 1]);
}

#[tokio::test]
async fn an_unreachable_database_is_not_asked_once_for_each_caller() {
    let (fake, gather) = start(1);
    fake.unreachable.store(true, Ordering::SeqCst);
    let first = call(&gather, vec![get(1)]);
    settle().await;
    let calls: Vec<_> = (0..5).map(|at| call(&gather, vec![get(at)])).collect();
    settle().await;
    fake.gate.add_permits(100);
    for answer in futures(calls).await.into_iter().chain([first.await.unwrap()]) {
        assert_eq!(answer.unwrap_err().code(), "unavailable");
    }
    assert_eq!(fake.statements(), [1, 5]);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_from_the_others() {
    let (fake, gather) = start(1);
    let first = call(&gather, vec![get(1)]);
    settle().await;
    let (gone, stays) = (call(&gather, vec![get(2)]), call(&gather, vec![get(3)]));
    settle().await;
    first.abort();
    gone.abort();
    settle().await;
    fake.gate.add_permits(100);
    assert_eq!(numbers(stays).await, [3]);
    assert_eq!(fake.statements(), [1, 1], "nothing is asked for who has gone");
}

#[tokio::test]
async fn a_panic_ends_neither_the_waiting_nor_what_comes_later() {
    let (fake, gather) = start(1);
    fake.panics.store(true, Ordering::SeqCst);
    let (first, second) = (call(&gather, vec![get(1)]), call(&gather, vec![get(2)]));
    settle().await;
    let waits = call(&gather, vec![get(3)]);
    settle().await;
    fake.gate.add_permits(100);
    for called in [first, second, waits] {
        assert_eq!(called.await.unwrap().unwrap_err().code(), "unavailable");
    }
    assert_eq!(numbers(call(&gather, vec![get(4)])).await, [4]);
}

#[test]
fn a_runtime_that_goes_down_with_reads_under_way_ends() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (_, gather) = runtime.block_on(async { start(1) });
    runtime.block_on(async {
        drop((0..20).map(|at| call(&gather, vec![get(at)])).collect::<Vec<_>>());
        settle().await;
    });
    drop(runtime);
}

async fn futures(calls: Vec<Called>) -> Vec<Result<Reads, StoreError>> {
    let mut answers = Vec::new();
    for called in calls {
        answers.push(called.await.unwrap());
    }
    answers
}
