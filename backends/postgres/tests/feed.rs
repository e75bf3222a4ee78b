//! The feed under writers that race: each record once, in dense positions, in the order in which rows changed.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apportion::id::IdSource;
use apportion::store::{
    Batch, Cause, Cursor, Record, Refusal, Row, Store as _, StoreError, StoreExt as _, Value, Verb, Write,
};
use apportion_postgres::{PgPool, PostgresOptions, PostgresStore};
use common::{ACCOUNTS, MS, UNITS, database, ids, open, open_transactions, rows, unit, with_account};
use uuid::Uuid;

const HANDLES: usize = 4;
const WRITERS: usize = 16;
/// How many of the writers work in transactions of their own.
const BOUND: usize = 4;
const ROWS: usize = 20;
/// How many further rows come and go.
const GUESTS: usize = 6;
const READERS: usize = 3;
const WHILE: Duration = Duration::from_secs(10);

/// Numbers without a pattern, the same ones each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// What all of them share.
#[derive(Clone)]
struct World {
    url: String,
    stores: Arc<Vec<Arc<PostgresStore>>>,
    /// The application's own connections.
    pool: PgPool,
    ids: Arc<dyn IdSource>,
    account: Uuid,
    units: Arc<Vec<Uuid>>,
    guests: Arc<Vec<Uuid>>,
    over: Arc<AtomicBool>,
}

/// What a writer did: the batches that happened, and those that did not.
#[derive(Debug, Default)]
struct Done {
    happened: BTreeSet<Uuid>,
    did_not: BTreeSet<Uuid>,
}

impl World {
    async fn new() -> Self {
        let (url, ids) = (database(), ids());
        let mut stores = Vec::new();
        for _ in 0..HANDLES {
            stores.push(open(&url, PostgresOptions::default().lanes(2).max_group(8)).await);
        }
        let account = with_account(&*stores[0]).await;
        let units: Vec<Uuid> = (0..ROWS).map(|_| ids.next_id()).collect();
        for (at, id) in units.iter().enumerate() {
            let batch = Batch::new(ids.next_id(), "first").with(unit(*id, account, Some(&at.to_string())));
            stores[0].commit(batch).await.unwrap();
        }
        let pool = PgPool::connect(&url).await.unwrap();
        let guests = Arc::new((0..GUESTS).map(|_| ids.next_id()).collect());
        let (stores, units, over) = (Arc::new(stores), Arc::new(units), Arc::default());
        Self { url, stores, pool, ids, account, units, guests, over }
    }

    fn store(&self, at: usize) -> &Arc<PostgresStore> {
        &self.stores[at % HANDLES]
    }

    /// A batch that changes one or two of the rows, each once, in the order of their keys; now and then also one in which a
    /// row comes or goes.
    async fn batch(&self, store: &PostgresStore, numbers: &mut Numbers) -> Batch {
        let mut batch = Batch::new(self.ids.next_id(), "change");
        if numbers.below(8) == 0 {
            batch.push(Write::record(&ACCOUNTS, self.account, "units", 1));
        }
        let first = numbers.below(ROWS);
        let second = first + 1 + numbers.below(ROWS);
        for at in [first, second].into_iter().filter(|at| *at < ROWS) {
            let id = self.units[at];
            if numbers.below(3) == 0 {
                let row = store.get(&UNITS, id).await.unwrap().value.unwrap();
                let set = vec![("state", Value::from(numbers.below(1000).to_string()))];
                batch.push(Write::update(&UNITS, id, row.revision(), set));
            } else {
                batch.push(Write::record(&UNITS, id, "seen", 1));
            }
        }
        if numbers.below(3) == 0 {
            let id = self.guests[numbers.below(GUESTS)];
            batch.push(match store.get(&UNITS, id).await.unwrap().value {
                Some(row) => Write::delete(&UNITS, id, row.revision()),
                None => unit(id, self.account, None),
            });
        }
        batch
    }
}

/// Somebody else has changed, inserted or deleted the row meanwhile.
fn is_too_late(refusal: &Refusal) -> bool {
    refusal.is_conflict() || matches!(refusal.cause, Cause::Duplicate { .. })
}

/// Commits until it is over.
async fn write(world: World, seed: usize) -> Done {
    let (store, mut numbers) = (Arc::clone(world.store(seed)), Numbers(u64::try_from(seed).unwrap()));
    let mut done = Done::default();
    while !world.over.load(Ordering::Acquire) {
        let mut batches = Vec::new();
        for _ in 0..=numbers.below(2) {
            batches.push(world.batch(&store, &mut numbers).await);
        }
        let asked: Vec<Uuid> = batches.iter().map(|batch| batch.id).collect();
        for (id, answer) in asked.into_iter().zip(store.commit_many(batches).await) {
            match answer {
                Ok(_) => done.happened.insert(id),
                Err(error) if error.refusal().is_some_and(is_too_late) => done.did_not.insert(id),
                Err(error) => panic!("{error:?}"),
            };
        }
    }
    done
}

/// Commits in transactions of the application's, which stay open for a while; a third of them are rolled back.
async fn write_bound(world: World, seed: usize) -> Done {
    let (store, mut numbers) = (Arc::clone(world.store(seed)), Numbers(u64::try_from(seed).unwrap()));
    let mut done = Done::default();
    while !world.over.load(Ordering::Acquire) {
        let bound = store.bind(world.pool.begin().await.unwrap());
        let batch = world.batch(&store, &mut numbers).await;
        let id = batch.id;
        let accepted = match bound.commit_many(vec![batch]).await.pop().unwrap() {
            Ok(_) => true,
            Err(error) if error.refusal().is_some_and(is_too_late) => false,
            Err(error) => panic!("{error:?}"),
        };
        tokio::time::sleep(MS * u32::try_from(numbers.below(20)).unwrap()).await;
        let undone = numbers.below(3) == 0;
        if undone {
            bound.rollback().await.unwrap();
        } else {
            bound.commit().await.unwrap();
        }
        let ids = if accepted && !undone { &mut done.happened } else { &mut done.did_not };
        ids.insert(id);
    }
    done
}

/// What a reader keeps: everything it has read, up to its cursor.
type Kept = Arc<Mutex<Vec<Arc<Record>>>>;

/// Reads on from where it was, until it is over and everything is read.
async fn read_on(world: World, store: Arc<PostgresStore>, kept: Kept, limit: u32) {
    loop {
        // Asked before the feed is: what was committed by then is in what follows.
        let last = world.over.load(Ordering::Acquire);
        let after = kept.lock().unwrap().last().map_or(Cursor::START, |record| record.cursor());
        let page = match store.changes(after, limit).await {
            Ok(page) => page,
            Err(error) => panic!("{error:?}"),
        };
        let ended = last && page.records.is_empty();
        assert_eq!(page.next, page.records.last().map_or(after, |record| record.cursor()));
        kept.lock().unwrap().extend(page.records);
        if ended {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_reads_reads_every_record_once_and_rows_change_in_the_order_of_the_feed() {
    let world = World::new().await;
    let kept: Vec<Kept> = (0..READERS).map(|_| Kept::default()).collect();
    let reader = |at: usize, store: &Arc<PostgresStore>| {
        let limit = [1000, 7, 50][at];
        tokio::spawn(read_on(world.clone(), Arc::clone(store), Arc::clone(&kept[at]), limit))
    };
    let mut readers: Vec<_> = (0..READERS).map(|at| reader(at, world.store(at + 1))).collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|seed| match seed {
            0..BOUND => tokio::spawn(write_bound(world.clone(), seed)),
            _ => tokio::spawn(write(world.clone(), seed)),
        })
        .collect();
    // One reader is dropped wherever it is, again and again, and goes on from its cursor, on a handle of its own.
    let mut restarts = 0;
    let ends = tokio::spawn(tokio::time::sleep(WHILE));
    while !ends.is_finished() {
        tokio::time::sleep(MS * (50 + restarts % 7 * 30)).await;
        readers[2].abort();
        let dropped = std::mem::replace(&mut readers[2], tokio::spawn(async {}));
        assert!(dropped.await.unwrap_err().is_cancelled());
        let store = open(&world.url, PostgresOptions::default().max_connections(2)).await;
        readers[2] = reader(2, &store);
        restarts += 1;
    }
    world.over.store(true, Ordering::Release);
    let mut done = Done::default();
    for writer in writers {
        let one = writer.await.unwrap();
        done.happened.extend(one.happened);
        done.did_not.extend(one.did_not);
    }
    for reader in readers {
        reader.await.unwrap();
    }
    // What was committed between a reader's last look and the end of the last writer.
    for kept in &kept {
        read_on(world.clone(), Arc::clone(world.store(0)), Arc::clone(kept), 1000).await;
    }
    println!(
        "{} batches in the feed, {} not, {restarts} restarts of a reader",
        done.happened.len(),
        done.did_not.len()
    );
    assert!(done.happened.len() > 200 && done.did_not.len() > 20 && restarts > 3, "it was hardly a race");
    let (units, accounts) = (rows(&**world.store(0), &UNITS).await, rows(&**world.store(0), &ACCOUNTS).await);
    for kept in &kept {
        let records = kept.lock().unwrap();
        the_records_are(&records, &done);
        the_copy_is(&records, units.values().chain(accounts.values()));
    }
    assert_eq!(open_transactions(&world.url), 0);
}

/// Each batch that happened is there once, and none that did not; the positions are dense.
fn the_records_are(records: &[Arc<Record>], done: &Done) {
    for (record, position) in records.iter().zip(1..) {
        assert_eq!(record.position, position, "the feed is not dense");
    }
    let changes = records.iter().filter(|record| record.operation == "change");
    let told: Vec<Uuid> = changes.map(|record| record.batch).collect();
    assert_eq!(records.len() - told.len(), 1 + ROWS);
    let once: BTreeSet<Uuid> = told.iter().copied().collect();
    assert_eq!(once.len(), told.len(), "a batch is told twice");
    assert_eq!(once.difference(&done.happened).count(), 0, "a batch is told that did not happen");
    assert_eq!(done.happened.difference(&once).count(), 0, "a batch is not told");
}

/// Revision, version and columns of a row.
type Known<'r> = (i64, i64, BTreeMap<&'r str, Value>);

/// Whoever applies one record after the other sees each row change step by step, and ends with what is there.
fn the_copy_is<'r>(records: &[Arc<Record>], found: impl Iterator<Item = &'r Row>) {
    let mut copy: BTreeMap<(&str, Uuid), Known<'_>> = BTreeMap::new();
    for change in records.iter().flat_map(|record| &record.changes) {
        let place = (change.table, change.key.as_uuid().unwrap());
        let (revision, version, columns) = copy.entry(place).or_default();
        assert_eq!(change.version, *version + 1, "a change of {place:?} is out of order");
        assert_eq!(change.verb == Verb::Insert, *version == 0);
        if change.verb == Verb::Delete {
            copy.remove(&place);
            continue;
        }
        (*revision, *version) = (change.revision, change.version);
        columns.extend(change.columns.iter().cloned());
    }
    let rescan: BTreeMap<_, _> = found
        .map(|row| {
            let names = row.table().columns.iter().map(|column| column.name);
            let columns = names.zip(row.values().iter().cloned()).collect();
            let place = (row.table().name, row.key().as_uuid().unwrap());
            (place, (row.revision(), row.version(), columns))
        })
        .collect();
    assert_eq!(copy, rescan);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_transaction_that_is_held_open_holds_up_nobody_and_is_told_when_it_ends() {
    let world = World::new().await;
    let (store, ids) = (world.store(0), &world.ids);
    let before = common::feed(&**store).await.len();
    let touch = |at: usize| {
        Batch::new(ids.next_id(), "change").with(Write::record(&UNITS, world.units[at], "seen", 1))
    };
    let held = store.bind(world.pool.begin().await.unwrap());
    let undone = store.bind(world.pool.begin().await.unwrap());
    let (early, never) = (touch(0), touch(1));
    let (early_id, never_id) = (early.id, never.id);
    held.commit_many(vec![early]).await.pop().unwrap().unwrap();
    undone.commit_many(vec![never]).await.pop().unwrap().unwrap();
    let mut expected = Vec::new();
    for at in 2..ROWS {
        let batch = touch(at);
        expected.push(batch.id);
        world.store(at).commit(batch).await.unwrap();
        // It is read at once, although two transactions are open that came before.
        let records = common::feed(&**world.store(at + 1)).await;
        assert_eq!(records.len(), before + expected.len());
    }
    held.commit().await.unwrap();
    undone.rollback().await.unwrap();
    // Whoever has read so far finds it behind what it has read.
    expected.push(early_id);
    let records = common::feed(&**store).await;
    let told: Vec<Uuid> = records[before..].iter().map(|record| record.batch).collect();
    assert_eq!(told, expected);
    assert!(!told.contains(&never_id));
    // And the row that the other had changed can be changed, as if nothing had been.
    let again = store.commit(touch(1)).await.map_err(|error: StoreError| error.code());
    assert!(again.is_ok(), "{again:?}");
    let row = store.get(&UNITS, world.units[1]).await.unwrap().value.unwrap();
    assert_eq!((row.int("seen").unwrap(), row.version()), (1, 2));
}
