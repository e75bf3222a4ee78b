//! Positions in the feed: given in the order in which rows changed, to every record, without anybody waiting long.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use apportion::id::IdSource;
use apportion::store::{
    Batch, Cursor, Prune, Receipt, Resolution, Schema, Store as _, StoreError, StoreExt as _, Write,
};
use apportion_postgres::{Isolation, PgPool, PostgresOptions, PostgresStore, PostgresTransaction};
use apportion_sql::{Connection, Failure, Fetched, Names, Statement, Tables, changes};
use async_trait::async_trait;
use common::{
    MS, TABLES, UNITS, account, database, feed, ids, name_of, open, server, take, unit, with_account,
};
use sqlx_core::executor::Executor as _;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A database with an account, and the application's connections to it.
struct World {
    url: String,
    pool: PgPool,
    ids: Arc<dyn IdSource>,
    owner: Uuid,
}

type Group = JoinHandle<Result<Receipt, StoreError>>;

impl World {
    async fn new() -> Self {
        let url = database();
        let store = open(&url, PostgresOptions::default()).await;
        let owner = with_account(&*store).await;
        Self { pool: PgPool::connect(&url).await.unwrap(), url, ids: ids(), owner }
    }

    async fn open(&self, options: PostgresOptions) -> Arc<PostgresStore> {
        open(&self.url, options).await
    }

    fn batch(&self, operation: &'static str, write: Write) -> Batch {
        Batch::new(self.ids.next_id(), operation).with(write)
    }

    fn take(&self) -> Batch {
        take(self.ids.next_id(), self.ids.next_id(), self.owner)
    }

    /// A transaction of the application's with a batch in it.
    async fn begin(&self, store: &PostgresStore, batch: Batch) -> PostgresTransaction {
        let bound = store.bind(self.pool.begin().await.unwrap());
        bound.commit_many(vec![batch]).await.pop().unwrap().unwrap();
        bound
    }

    /// Commits so that nobody gives a position.
    async fn leave_unstamped(&self, store: &PostgresStore, batch: Batch) {
        self.begin(store, batch).await.commit().await.unwrap();
    }

    /// What `psql` says.
    fn sql(&self, text: &str) -> String {
        server().psql_in(name_of(&self.url), text).unwrap()
    }

    fn unstamped(&self) -> String {
        self.sql("SELECT count(*) FROM apportion.kernel_feed WHERE position IS NULL")
    }

    /// Waits until somebody waits for a lock.
    async fn somebody_waits(&self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while self.sql(waiting) == "0" {
            tokio::time::sleep(5 * MS).await;
        }
    }

    async fn all_are_stamped(&self) {
        for _ in 0..500 {
            if self.unstamped() == "0" {
                return;
            }
            tokio::time::sleep(20 * MS).await;
        }
        assert_eq!(self.unstamped(), "0", "records are left without positions");
    }

    /// A name that a transaction has which does not end, and a group that waits for it in the middle of its writes.
    async fn with_a_group_that_waits(
        &self,
        store: &Arc<PostgresStore>,
        more: Write,
    ) -> (PostgresTransaction, Group) {
        let taken = || account(self.ids.next_id(), "taken", None);
        let held = self.begin(store, self.batch("held", taken())).await;
        let (store, batch) = (Arc::clone(store), self.batch("waits", taken()).with(more));
        let group = tokio::spawn(async move { store.commit(batch).await });
        self.somebody_waits().await;
        (held, group)
    }

    /// Somebody who has the right to give positions, and does not end.
    async fn with_the_head(&self) -> sqlx_core::transaction::Transaction<'static, sqlx_postgres::Postgres> {
        let mut head = self.pool.begin().await.unwrap();
        head.execute("SELECT 1 FROM apportion.kernel_head FOR UPDATE").await.unwrap();
        head
    }

    /// Puts so many records into the feed.
    fn fill(&self, records: u32) {
        self.sql(&format!(
            "TRUNCATE apportion.kernel_feed; \
             INSERT INTO apportion.kernel_feed (batch, arrival, place, position, at, operation, fingerprint, changes) \
             SELECT gen_random_uuid(), n, 1, n, now(), 'fill', gen_random_uuid(), '' \
             FROM generate_series(1, {records}) n; \
             UPDATE apportion.kernel_head SET position = {records}, \
             batch = (SELECT batch FROM apportion.kernel_feed WHERE position = {records}); \
             ANALYZE apportion.kernel_feed"
        ));
    }
}

fn operations<'f>(feed: impl IntoIterator<Item = &'f Arc<apportion::store::Record>>) -> Vec<&'f str> {
    feed.into_iter().map(|record| record.operation.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_to_a_row_while_a_group_waited_is_told_before_what_the_group_did() {
    for bound in [false, true] {
        let world = World::new().await;
        let store = world.open(PostgresOptions::default()).await;
        let other = world.open(PostgresOptions::default()).await;
        let row = world.ids.next_id();
        let comes = || unit(row, world.owner, None);
        let (held, group) = world.with_a_group_that_waits(&store, comes()).await;
        for (operation, write) in [("comes", comes()), ("goes", Write::delete(&UNITS, row, 1))] {
            let batch = world.batch(operation, write);
            if bound {
                world.leave_unstamped(&other, batch).await;
            } else {
                other.commit(batch).await.unwrap();
            }
        }
        held.rollback().await.unwrap();
        group.await.unwrap().unwrap();
        assert_eq!(operations(&feed(&*other).await), ["open", "comes", "goes", "waits"], "bound: {bound}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_waits_keeps_nobody_from_the_feed() {
    let patient = || PostgresOptions::default().lock_timeout(20_000 * MS).call_timeout(20_000 * MS);
    let hasty = || PostgresOptions::default().lock_timeout(200 * MS).call_timeout(1_000 * MS);
    for for_a_receipt in [false, true] {
        let world = World::new().await;
        let (store, other) = (world.open(patient()).await, world.open(hasty()).await);
        let (held, group) = if for_a_receipt {
            // Another process commits the same batch.
            let batch = world.take();
            let same = Batch::new(batch.id, "waits").with(account(world.ids.next_id(), "b", None));
            let held = world.begin(&store, batch).await;
            let store = Arc::clone(&store);
            let group = tokio::spawn(async move { store.commit(same).await });
            world.somebody_waits().await;
            (held, group)
        } else {
            world.with_a_group_that_waits(&store, unit(world.ids.next_id(), world.owner, None)).await
        };
        let early = world.batch("early", account(world.ids.next_id(), "c", None));
        world.leave_unstamped(&other, early).await;
        let changes = other.changes(Cursor::START, 10).await.unwrap();
        assert_eq!(operations(&changes.records), ["open", "early"]);
        let late = world.batch("late", account(world.ids.next_id(), "d", None));
        world.leave_unstamped(&other, late).await;
        assert_eq!(other.prune(Prune::up_to(9)).await.unwrap().low_water, 3);
        held.rollback().await.unwrap();
        group.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_needs_the_head_asks_again_until_its_time_is_over() {
    let world = World::new().await;
    let store = world.open(PostgresOptions::default().lock_timeout(100 * MS)).await;
    for prunes in [false, true] {
        let head = world.with_the_head().await;
        world.leave_unstamped(&store, world.take()).await;
        let ends = tokio::spawn(async move {
            tokio::time::sleep(700 * MS).await;
            head.rollback().await.unwrap();
        });
        if prunes {
            assert_eq!(store.prune(Prune::up_to(9)).await.unwrap().low_water, 3);
        } else {
            assert_eq!(store.changes(Cursor::START, 10).await.unwrap().records.len(), 2);
        }
        ends.await.unwrap();
    }
    // What is not certainly complete is no answer.
    let store = world.open(PostgresOptions::default().lock_timeout(100 * MS).call_timeout(500 * MS)).await;
    let head = world.with_the_head().await;
    world.leave_unstamped(&store, world.take()).await;
    let late = tokio::time::timeout(3_000 * MS, store.changes(Cursor::START, 10)).await.unwrap();
    assert!(matches!(late, Err(StoreError::Unavailable { .. })), "{late:?}");
    head.rollback().await.unwrap();
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Completes a future on a thread that belongs to no runtime.
async fn elsewhere<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                drop(answer.send(done));
                return;
            }
            std::thread::park();
        }
    });
    answered.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_repeated_needs_no_runtime_of_the_callers() {
    let world = World::new().await;
    let options = PostgresOptions::default().isolation(Isolation::RepeatableRead).lock_timeout(300 * MS);
    let store = world.open(options).await;
    let batch = world.take();
    let id = batch.id;
    let bound = world.begin(&store, batch).await;
    let resolving = tokio::spawn(elsewhere({
        let store = Arc::clone(&store);
        async move { store.resolve(id).await }
    }));
    world.somebody_waits().await;
    // Above READ COMMITTED whoever waited for this has to begin again.
    bound.commit().await.unwrap();
    let resolved = resolving.await.unwrap().unwrap();
    assert!(matches!(resolved, Resolution::Committed(_)), "{resolved:?}");
    let head = world.with_the_head().await;
    let reading = tokio::spawn(elsewhere({
        let store = Arc::clone(&store);
        async move { store.changes(Cursor::START, 10).await }
    }));
    tokio::time::sleep(700 * MS).await;
    head.rollback().await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap().records.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_get_positions_although_nobody_reads() {
    let levels = [Isolation::ReadCommitted, Isolation::RepeatableRead, Isolation::Serializable];
    for isolation in levels {
        let world = World::new().await;
        let store = world.open(PostgresOptions::default().isolation(isolation)).await;
        if isolation != Isolation::ReadCommitted {
            store.commit(world.take()).await.unwrap();
            world.all_are_stamped().await;
        }
        world.leave_unstamped(&store, world.take()).await;
        world.all_are_stamped().await;
        // The application ends it.
        let taken_back = world.begin(&store, world.take()).await.into_inner().await.unwrap();
        taken_back.commit().await.unwrap();
        world.all_are_stamped().await;
        let records = feed(&*store).await.len();
        assert_eq!(records, if isolation == Isolation::ReadCommitted { 3 } else { 4 });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_and_pruning_stamp_first() {
    let world = World::new().await;
    let store = world.open(PostgresOptions::default().isolation(Isolation::Serializable)).await;
    store.commit(world.take()).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!((snapshot.already_seen(), snapshot.cursor().position), (&[][..], 2));
    store.commit(world.take()).await.unwrap();
    assert_eq!(store.prune(Prune::up_to(9)).await.unwrap().low_water, 3);
    // What somebody else is about to stamp is told one by one, and nobody waits.
    let head = world.with_the_head().await;
    store.commit(world.take()).await.unwrap();
    let snapshot = tokio::time::timeout(1_500 * MS, store.snapshot()).await.unwrap().unwrap();
    assert_eq!((snapshot.already_seen().len(), snapshot.cursor().position), (1, 3));
    head.rollback().await.unwrap();
}

/// Each statement that throws records away does this first.
fn slow_down(world: &World, what: &str) {
    world.sql(&format!(
        "CREATE SEQUENCE calls; CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN {what}; RETURN NULL; END$$; \
         CREATE TRIGGER slow BEFORE DELETE ON apportion.kernel_feed FOR EACH STATEMENT EXECUTE FUNCTION slow()"
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruning_much_takes_longer_than_a_call_may() {
    let world = World::new().await;
    world.fill(15_000);
    slow_down(&world, "PERFORM pg_sleep(0.6)");
    let limit: Duration = 1_000 * MS;
    let store = world.open(PostgresOptions::default().call_timeout(limit)).await;
    let pruned = store.prune(Prune::up_to(15_000)).await.unwrap();
    assert_eq!((pruned.records, pruned.low_water), (15_000, 15_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruning_that_ends_early_says_how_far_it_came() {
    let world = World::new().await;
    world.fill(15_000);
    slow_down(&world, "IF nextval('calls') > 2 THEN RAISE EXCEPTION 'no more'; END IF");
    let store = world.open(PostgresOptions::default()).await;
    let pruned = store.prune(Prune::up_to(15_000)).await.unwrap();
    assert_eq!((pruned.records, pruned.low_water), (10_000, 10_000));
    let error = store.prune(Prune::up_to(15_000)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

/// Remembers what it is asked.
struct Recorder(String);

#[async_trait]
impl Connection for Recorder {
    async fn rows(&mut self, statement: &Statement) -> Result<Vec<Fetched>, Failure> {
        self.0.clone_from(&statement.sql);
        Ok(Vec::new())
    }

    async fn execute(&mut self, statement: &Statement) -> Result<u64, Failure> {
        self.0.clone_from(&statement.sql);
        Ok(0)
    }
}

#[tokio::test]
async fn a_page_of_the_feed_is_read_from_its_index_and_nothing_is_sorted() {
    let world = World::new().await;
    world.fill(20_000);
    let tables = Tables::new(Arc::new(Schema::new(&TABLES).unwrap()), Names::postgres("apportion").unwrap());
    let mut asked = Recorder(String::new());
    // The recorder's feed is empty, and every other cursor a foreign one.
    changes(&mut asked, &tables, Cursor::START, 100, true).await.unwrap();
    let plan = world.sql(&format!(
        "SET plan_cache_mode = force_generic_plan; PREPARE page (bigint) AS {}; EXPLAIN EXECUTE page (5)",
        asked.0
    ));
    assert!(!plan.contains("Sort"), "{plan}");
    assert_eq!(plan.matches("Seq Scan on kernel_feed").count(), 0, "{plan}");
}
