//! What the store does beside the contract: shared syncs, deadlines, dropped callers, failures, upkeep.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use apportion::store::{
    Batch, Cursor, Metrics, NewRow, OpenProblem, Prune, Query, Resolution, SNAPSHOT_LIFETIME, Scan, Store,
    StoreError, StoreExt, Write,
};
use apportion::time::ManualClock;
use apportion_redb::testing::{Disk, SlowSync};
use apportion_redb::{Durability, RedbOptions, RedbStore};
use common::{ACCOUNTS, TABLES, Taken, Told, UNITS, account, check, clock, feed, ids, rows, take};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use uuid::Uuid;

const MS: Duration = Duration::from_millis(1);

fn open(path: &Path) -> RedbStore {
    RedbStore::open(path, &TABLES, clock()).unwrap()
}

fn on(backend: impl StorageBackend, options: RedbOptions) -> Arc<RedbStore> {
    Arc::new(RedbStore::open_backend(backend, &TABLES, clock(), options).unwrap())
}

/// A store in memory whose syncs take this long.
fn slow(delay: Duration, options: RedbOptions) -> Arc<RedbStore> {
    on(SlowSync::new(InMemoryBackend::new(), delay), options)
}

async fn with_account(store: &RedbStore) -> Uuid {
    let owner = ids().next_id();
    let first = Batch::new(ids().next_id(), "open").with(account(owner, "a", None));
    store.commit(first).await.unwrap();
    owner
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let ids = ids();
    let owner = ids.next_id();
    let store = open(&path);
    let first = Batch::new(ids.next_id(), "open").with(account(owner, "a", Some(2)));
    store.commit(first).await.unwrap();
    let batches: Vec<_> = (0..3)
        .map(|_| take(ids.next_id(), ids.next_id(), owner))
        .collect();
    let names: Vec<_> = batches.iter().map(|batch| batch.id).collect();
    let answers = store.commit_many(batches).await;
    assert!(answers[0].is_ok() && answers[1].is_ok());
    assert_eq!(answers[2].as_ref().unwrap_err().code(), "ceiling");
    let before = (
        rows(&store, &ACCOUNTS).await,
        rows(&store, &UNITS).await,
        feed(&store).await,
    );
    drop(store);

    let store = open(&path);
    let after = (
        rows(&store, &ACCOUNTS).await,
        rows(&store, &UNITS).await,
        feed(&store).await,
    );
    assert_eq!(before, after);
    assert_eq!(after.1.len(), 2);
    assert_eq!(after.0[&owner].int("units").unwrap(), 2);
    let Resolution::Committed(receipt) = store.resolve(names[1]).await.unwrap() else {
        panic!("the receipt is gone");
    };
    assert_eq!(receipt.position, Some(3));
    assert_eq!(store.resolve(names[2]).await.unwrap(), Resolution::NotCommitted);
    store.close().await.unwrap();
    store.close().await.unwrap();
    let closed = store.read(vec![Query::Scan(Scan::of(&UNITS))]).await;
    assert!(matches!(closed, Err(StoreError::Closed)));
}

#[derive(Debug, Default)]
struct Figures {
    batches: AtomicUsize,
    groups: AtomicUsize,
    syncs: AtomicUsize,
    deepest: AtomicUsize,
}

impl Metrics for Figures {
    fn queue_depth(&self, batches: usize) {
        self.deepest.fetch_max(batches, Ordering::SeqCst);
    }

    fn group(&self, batches: usize, accepted: usize, _: Duration) {
        assert!(accepted <= batches);
        self.batches.fetch_add(batches, Ordering::SeqCst);
        self.groups.fetch_add(1, Ordering::SeqCst);
    }

    fn sync(&self, _: Duration) {
        self.syncs.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_callers_share_syncs_at_least_thirty_two_to_one() {
    let figures = Arc::new(Figures::default());
    let store = slow(3 * MS, RedbOptions::default().with_metrics(figures.clone()));
    let owner = with_account(&store).await;
    let before = store.syncs().unwrap();
    let ids = ids();
    let mut callers = Vec::new();
    for _ in 0..64 {
        let (store, ids) = (store.clone(), ids.clone());
        callers.push(tokio::spawn(async move {
            for _ in 0..32 {
                store
                    .commit(take(ids.next_id(), ids.next_id(), owner))
                    .await
                    .unwrap();
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let syncs = store.syncs().unwrap() - before;
    assert!(syncs <= 64, "{syncs} syncs for 2,048 batches");
    assert_eq!(rows(&*store, &ACCOUNTS).await[&owner].int("units").unwrap(), 2048);
    assert_eq!(feed(&*store).await.len(), 2049);
    assert_eq!(figures.batches.load(Ordering::SeqCst), 2049);
    assert!(figures.deepest.load(Ordering::SeqCst) > 1);
    assert!(figures.syncs.load(Ordering::SeqCst) >= figures.groups.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_many_batches_is_cut_into_groups_and_keeps_its_order() {
    let figures = Arc::new(Figures::default());
    let options = RedbOptions::default().max_group(7).with_metrics(figures.clone());
    let store = slow(Duration::ZERO, options);
    let owner = with_account(&store).await;
    let batches: Vec<_> = (0..50)
        .map(|_| take(ids().next_id(), ids().next_id(), owner))
        .collect();
    let asked: Vec<_> = batches.iter().map(|batch| batch.id).collect();
    for answer in store.commit_many(batches).await {
        answer.unwrap();
    }
    let recorded: Vec<_> = feed(&*store)
        .await
        .iter()
        .skip(1)
        .map(|record| record.batch)
        .collect();
    assert_eq!(recorded, asked);
    assert_eq!(figures.groups.load(Ordering::SeqCst), 1 + 50_usize.div_ceil(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_in_the_queue_withdraws_and_one_under_way_is_unknown() {
    let store = slow(400 * MS, RedbOptions::default());
    let owner = with_account(&store).await;
    let [first, second, third] = [(); 3].map(|()| take(ids().next_id(), ids().next_id(), owner));
    let (under_way, queued) = (first.id, second.id);
    let running = tokio::spawn({
        let store = store.clone();
        async move { store.commit(first.deadline(200 * MS)).await }
    });
    tokio::time::sleep(100 * MS).await;
    let late = store.commit(second.deadline(50 * MS)).await;
    assert!(
        matches!(late, Err(StoreError::DeadlineExceeded { waited }) if waited >= 50 * MS),
        "{late:?}"
    );
    assert!(matches!(running.await.unwrap(), Err(StoreError::Unknown { id }) if id == under_way));
    assert!(matches!(
        store.resolve(under_way).await.unwrap(),
        Resolution::Committed(_)
    ));
    assert_eq!(store.resolve(queued).await.unwrap(), Resolution::NotCommitted);
    store.commit(third.deadline(60_000 * MS)).await.unwrap();
    assert_eq!(rows(&*store, &UNITS).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_lets_callers_wait_until_their_deadline() {
    let store = slow(100 * MS, RedbOptions::default().queue(1).max_group(1));
    let owner = with_account(&store).await;
    let mut patient = Vec::new();
    for _ in 0..6 {
        let (store, batch) = (store.clone(), take(ids().next_id(), ids().next_id(), owner));
        patient.push(tokio::spawn(async move { store.commit(batch).await }));
    }
    tokio::time::sleep(20 * MS).await;
    let hasty = take(ids().next_id(), ids().next_id(), owner).deadline(20 * MS);
    let id = hasty.id;
    assert!(matches!(
        store.commit(hasty).await,
        Err(StoreError::DeadlineExceeded { .. })
    ));
    for caller in patient {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(store.resolve(id).await.unwrap(), Resolution::NotCommitted);
    assert_eq!(rows(&*store, &UNITS).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_callers_tear_nothing() {
    let store = slow(MS, RedbOptions::default().queue(8));
    let owner = with_account(&store).await;
    let ids = ids();
    let mut callers = Vec::new();
    for caller in 0..32_u64 {
        let (store, ids) = (store.clone(), ids.clone());
        callers.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            for round in 0..30 {
                let (batch, unit) = (ids.next_id(), ids.next_id());
                let patience = Duration::from_micros((caller * 131 + round * 977) % 6000);
                let told = match tokio::time::timeout(patience, store.commit(take(batch, unit, owner))).await
                {
                    Ok(answer) => {
                        answer.unwrap();
                        Told::Yes
                    }
                    Err(_) => Told::Maybe,
                };
                taken.push(Taken { batch, unit, told });
            }
            taken
        }));
    }
    let mut all = Vec::new();
    for caller in callers {
        all.extend(caller.await.unwrap());
    }
    let count = |told| all.iter().filter(|one| one.told == told).count();
    assert!(
        count(Told::Yes) > 50 && count(Told::Maybe) > 50,
        "{}",
        count(Told::Yes)
    );
    // Behind everything that is still queued.
    store.resolve(ids.next_id()).await.unwrap();
    check(&*store, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_answers_what_was_accepted_and_refuses_the_rest() {
    let store = slow(20 * MS, RedbOptions::default().max_group(4));
    let owner = with_account(&store).await;
    let mut accepted = Vec::new();
    for _ in 0..20 {
        let (store, batch) = (store.clone(), take(ids().next_id(), ids().next_id(), owner));
        accepted.push(tokio::spawn(async move { store.commit(batch).await }));
    }
    tokio::time::sleep(30 * MS).await;
    store.close().await.unwrap();
    for caller in accepted {
        caller.await.unwrap().unwrap();
    }
    let late = take(ids().next_id(), ids().next_id(), owner);
    assert!(matches!(store.commit(late).await, Err(StoreError::Closed)));
    assert!(matches!(
        store.resolve(ids().next_id()).await,
        Err(StoreError::Closed)
    ));
    assert!(matches!(
        store.prune(Prune::up_to(1)).await,
        Err(StoreError::Closed)
    ));
    assert!(matches!(
        store.changes(Cursor::START, 1).await,
        Err(StoreError::Closed)
    ));
    assert!(store.snapshot().await.is_err());
    assert!(matches!(store.compact().await, Err(StoreError::Closed)));
}

/// A storage whose syncs panic from a moment on.
#[derive(Debug)]
struct Panicking(InMemoryBackend, Arc<AtomicBool>);

impl StorageBackend for Panicking {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        assert!(!self.1.load(Ordering::SeqCst), "a sync that panics");
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_writing_leaves_nobody_waiting() {
    let broken = Arc::new(AtomicBool::new(false));
    let store = on(
        Panicking(InMemoryBackend::new(), broken.clone()),
        RedbOptions::default(),
    );
    let owner = with_account(&store).await;
    broken.store(true, Ordering::SeqCst);
    let first = take(ids().next_id(), ids().next_id(), owner);
    assert!(matches!(
        store.commit(first).await,
        Err(StoreError::Unknown { .. })
    ));
    let second = take(ids().next_id(), ids().next_id(), owner);
    assert!(matches!(
        store.commit(second).await,
        Err(StoreError::Unavailable { .. })
    ));
    let resolved = store.resolve(ids().next_id()).await;
    assert!(matches!(resolved, Err(StoreError::Unavailable { .. })));
    // What was committed before can still be read.
    assert_eq!(rows(&*store, &ACCOUNTS).await.len(), 1);
    drop(tokio::time::timeout(5_000 * MS, store.close()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_is_unknown_and_later_ones_are_unavailable() {
    let disk = Disk::new();
    let store = on(disk.backend(), RedbOptions::default());
    let owner = with_account(&store).await;
    disk.cut_after(0);
    let answer = store.commit(take(ids().next_id(), ids().next_id(), owner)).await;
    assert!(
        matches!(
            answer,
            Err(StoreError::Unknown { .. } | StoreError::Unavailable { .. })
        ),
        "{answer:?}"
    );
    let answer = store.commit(take(ids().next_id(), ids().next_id(), owner)).await;
    assert!(
        matches!(answer, Err(StoreError::Unavailable { .. })),
        "{answer:?}"
    );
    assert!(answer.unwrap_err().is_retryable());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_while_writing_is_a_store_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&folder.path().join("store.redb")));
    let owner = with_account(&store).await;
    let (ids, stop) = (ids(), Arc::new(AtomicBool::new(false)));
    let mut writers = Vec::new();
    for _ in 0..4 {
        let (store, ids, stop) = (store.clone(), ids.clone(), stop.clone());
        writers.push(tokio::spawn(async move {
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                store
                    .commit(take(ids.next_id(), ids.next_id(), owner))
                    .await
                    .unwrap();
                count += 1;
            }
            count
        }));
    }
    let mut sizes = Vec::new();
    for number in 0..3 {
        tokio::time::sleep(50 * MS).await;
        let before = store.changes(Cursor::START, 1).await.unwrap().lag;
        let path = folder.path().join(format!("{number}.redb"));
        store.backup(&path).await.unwrap();
        let copy = open(&path);
        let units = check(&copy, &[]).await;
        assert_eq!(feed(&copy).await.len(), units + 1);
        assert!(
            u64::try_from(units).unwrap() >= before,
            "what was acknowledged before is in it"
        );
        sizes.push(units);
        // The copy is a store of its own.
        let extra = take(ids.next_id(), ids.next_id(), owner);
        copy.commit(extra).await.unwrap();
        assert_eq!(check(&copy, &[]).await, units + 1);
    }
    assert!(sizes[0] < sizes[2], "{sizes:?}");
    stop.store(true, Ordering::SeqCst);
    let mut total = 0;
    for writer in writers {
        total += writer.await.unwrap();
    }
    assert_eq!(check(&*store, &[]).await, total);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_overwrites_nothing_and_an_unfinished_one_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store.redb"));
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "mine").unwrap();
    assert!(matches!(
        store.backup(&taken).await,
        Err(StoreError::CannotOpen { .. })
    ));
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "mine");
    let nowhere = store
        .backup(folder.path().join("no/copy.redb"))
        .await
        .unwrap_err();
    assert!(matches!(
        nowhere,
        StoreError::CannotOpen {
            reason: OpenProblem::Missing,
            ..
        }
    ));

    let copy = folder.path().join("copy.redb");
    store.backup(&copy).await.unwrap();
    {
        let meta: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("apportion.meta");
        let database = redb::Database::open(&copy).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(meta)
            .unwrap()
            .insert("unfinished", [].as_slice())
            .unwrap();
        transaction.commit().unwrap();
    }
    let unfinished = RedbStore::open(&copy, &TABLES, clock()).unwrap_err();
    let StoreError::CannotOpen {
        reason: OpenProblem::Damaged(why),
        ..
    } = unfinished
    else {
        panic!("{unfinished}");
    };
    assert!(why.contains("backup"));
}

/// Many large rows, deleted again.
async fn churn(store: &RedbStore, owner: Uuid) {
    let ids = ids();
    let label = "x".repeat(50);
    for _ in 0..10 {
        let units: Vec<_> = (0..400).map(|_| ids.next_id()).collect();
        let mut fill = Batch::new(ids.next_id(), "fill");
        let mut empty = Batch::new(ids.next_id(), "empty");
        for unit in &units {
            let row = NewRow::new(&UNITS)
                .set("id", *unit)
                .set("account_id", owner)
                .set("state", "new");
            fill.push(Write::Insert(
                row.set("label", format!("{label}{}", &unit.to_string()[24..])),
            ));
            empty.push(Write::delete(&UNITS, *unit, 1));
        }
        store.commit(fill).await.unwrap();
        store.commit(empty).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_gives_space_back_unless_a_snapshot_needs_it() {
    let clock = Arc::new(ManualClock::new(clock().now()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = RedbStore::open(&path, &TABLES, clock.clone()).unwrap();
    let owner = with_account(&store).await;
    let snapshot = store.snapshot().await.unwrap();
    churn(&store, owner).await;
    assert_eq!(store.prune(Prune::up_to(u64::MAX)).await.unwrap().records, 21);
    assert!(matches!(store.compact().await, Err(StoreError::Busy { .. })));
    let scan = || vec![Query::Scan(Scan::of(&ACCOUNTS))];
    snapshot.read(scan()).await.unwrap();

    clock.advance(SNAPSHOT_LIFETIME);
    let large = store.file_bytes();
    assert_eq!(large, std::fs::metadata(&path).unwrap().len());
    assert!(store.compact().await.unwrap());
    assert!(matches!(
        snapshot.read(scan()).await,
        Err(StoreError::SnapshotExpired)
    ));
    assert!(
        store.file_bytes() < large / 2,
        "{} of {large}",
        store.file_bytes()
    );
    assert_eq!(rows(&store, &ACCOUNTS).await.len(), 1);
    store
        .commit(take(ids().next_id(), ids().next_id(), owner))
        .await
        .unwrap();
    assert_eq!(rows(&store, &UNITS).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_snapshot_stops_holding_space_when_it_expires() {
    let grown = |expire: bool| async move {
        let clock = Arc::new(ManualClock::new(clock().now()));
        let store = RedbStore::open_backend(
            InMemoryBackend::new(),
            &TABLES,
            clock.clone(),
            RedbOptions::default(),
        );
        let store = store.unwrap();
        let owner = with_account(&store).await;
        // Held to the end, and read no more.
        let _snapshot = store.snapshot().await.unwrap();
        if expire {
            clock.advance(SNAPSHOT_LIFETIME);
        }
        for _ in 0..5 {
            churn(&store, owner).await;
            store.prune(Prune::up_to(u64::MAX)).await.unwrap();
        }
        store.file_bytes()
    };
    let (held, expired) = (grown(false).await, grown(true).await);
    assert!(expired < held, "{expired} of {held}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_snapshots() {
    let store = slow(Duration::ZERO, RedbOptions::default());
    with_account(&store).await;
    let snapshot = store.snapshot().await.unwrap();
    store.close().await.unwrap();
    let answer = snapshot.read(vec![Query::Scan(Scan::of(&ACCOUNTS))]).await;
    assert!(matches!(answer, Err(StoreError::SnapshotExpired)));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_full_durability_nothing_is_synced_until_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let options = RedbOptions::default().durability(Durability::ProcessCrash);
    let store = RedbStore::open_with(&path, &TABLES, clock(), options).unwrap();
    let owner = with_account(&store).await;
    for _ in 0..20 {
        store
            .commit(take(ids().next_id(), ids().next_id(), owner))
            .await
            .unwrap();
    }
    assert_eq!(store.syncs(), Some(0));
    // What the operating system holds is what a crashed process leaves.
    let left = folder.path().join("left.redb");
    std::fs::copy(&path, &left).unwrap();
    assert_eq!(check(&open(&left), &[]).await, 20);
    drop(store);
    assert_eq!(check(&open(&path), &[]).await, 20);
}

#[test]
fn a_store_works_outside_a_runtime() {
    let store = slow(Duration::ZERO, RedbOptions::default());
    let mut work = Box::pin(async {
        let owner = with_account(&store).await;
        let batch = take(ids().next_id(), ids().next_id(), owner).deadline(60_000 * MS);
        store.commit(batch).await.unwrap();
        assert_eq!(rows(&*store, &UNITS).await.len(), 1);
    });
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while work.as_mut().poll(&mut context).is_pending() {
        std::thread::sleep(MS);
    }
}
