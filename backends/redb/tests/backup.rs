//! Copies of a store that goes on working.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apportion::store::{Cursor, OpenProblem, Store, StoreError, StoreExt};
use apportion_redb::RedbStore;
use common::{MS, TABLES, check, clock, feed, ids, open, take, with_account};

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
                store.commit(take(ids.next_id(), ids.next_id(), owner)).await.unwrap();
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
        assert!(u64::try_from(units).unwrap() >= before, "what was acknowledged before is in it");
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
    assert!(matches!(store.backup(&taken).await, Err(StoreError::CannotOpen { .. })));
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "mine");
    let nowhere = store.backup(folder.path().join("no/copy.redb")).await.unwrap_err();
    assert!(matches!(nowhere, StoreError::CannotOpen { reason: OpenProblem::Missing, .. }));

    let copy = folder.path().join("copy.redb");
    store.backup(&copy).await.unwrap();
    {
        let meta: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("apportion.meta");
        let database = redb::Database::open(&copy).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(meta).unwrap().insert("unfinished", [].as_slice()).unwrap();
        transaction.commit().unwrap();
    }
    let unfinished = RedbStore::open(&copy, &TABLES, clock()).unwrap_err();
    let StoreError::CannotOpen { reason: OpenProblem::Damaged(why), .. } = unfinished else {
        panic!("{unfinished}");
    };
    assert!(why.contains("backup"));
}
