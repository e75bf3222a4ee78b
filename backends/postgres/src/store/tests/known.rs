//! What groups have left is known to the next, and not believed.

use apportion::store::{Cause, Key, StoreExt as _};

use super::*;

/// Two stores on one database, the first of which knows a pot that has one plant, and the room of three.
async fn two_stores() -> (Arc<PostgresStore>, Arc<PostgresStore>, Uuid) {
    let (store, url, _) = store(Arc::new(SystemClock::new())).await;
    let options = PostgresOptions::default().lock_timeout(LONG).call_timeout(LONG);
    let clock = Arc::new(SystemClock::new());
    let other = PostgresStore::connect_with(&url, &[&POTS], clock, options).await.unwrap();
    let id = store.shared().ids.next_id();
    store.commit(bought(&store, id, 3)).await.unwrap();
    store.commit(plant(&store, "first", id)).await.unwrap();
    (store, Arc::new(other), id)
}

fn bought(store: &PostgresStore, id: Uuid, room: i64) -> Batch {
    let pot = pot(id, "known").set("room", room);
    Batch::new(store.shared().ids.next_id(), "buy").with(Write::Insert(pot))
}

async fn plants(store: &PostgresStore, id: Uuid) -> i64 {
    store.get(&POTS, id).await.unwrap().value.unwrap().int("plants").unwrap()
}

fn is_full(answer: Result<Receipt, StoreError>) -> bool {
    let Err(StoreError::Refused(refusal)) = answer else { return false };
    matches!(refusal.cause, Cause::Ceiling { .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_has_changed_since_is_counted() {
    let (one, other, id) = two_stores().await;
    other.commit(plant(&other, "second", id)).await.unwrap();
    one.commit(plant(&one, "third", id)).await.unwrap();
    assert_eq!(plants(&one, id).await, 3);
    assert!(is_full(other.commit(plant(&other, "fourth", id)).await));
    assert!(is_full(one.commit(plant(&one, "fifth", id)).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_refused_for_what_is_no_longer_so() {
    let (one, other, id) = two_stores().await;
    for name in ["second", "third"] {
        one.commit(plant(&one, name, id)).await.unwrap();
    }
    // The first knows it to be full.
    let digs = Write::record(&POTS, id, "plants", -1);
    other.commit(Batch::new(other.shared().ids.next_id(), "dig").with(digs)).await.unwrap();
    one.commit(plant(&one, "fourth", id)).await.unwrap();
    assert_eq!(plants(&one, id).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_row_of_the_same_key_and_version_is_another_row() {
    let (one, other, id) = two_stores().await;
    let known = one.get(&POTS, id).await.unwrap().value.unwrap();
    let ids = &other.shared().ids;
    let gone = Write::delete(&POTS, id, known.revision());
    other.commit(Batch::new(ids.next_id(), "break").with(gone)).await.unwrap();
    other.commit(bought(&other, id, 1)).await.unwrap();
    other.commit(plant(&other, "new", id)).await.unwrap();
    let now = other.get(&POTS, id).await.unwrap().value.unwrap();
    assert_eq!((now.revision(), now.version()), (known.revision(), known.version()));
    assert!(is_full(one.commit(plant(&one, "one more", id)).await));
    assert_eq!(plants(&one, id).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_repeated_is_answered_and_not_done_again() {
    let (store, _, id) = two_stores().await;
    let batch = plant(&store, "second", id);
    let first = store.commit(batch.clone()).await.unwrap();
    let again = store.commit(batch).await.unwrap();
    assert_eq!((again.batch, again.at, again.repeated), (first.batch, first.at, true));
    assert_eq!(plants(&store, id).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_refused_among_others_is_told_the_first_reason() {
    let (store, _, id) = two_stores().await;
    let taken = Batch::new(store.shared().ids.next_id(), "buy").with(Write::Insert(pot(id, "another")));
    let batches = [
        plant(&store, "second", id),
        taken.with(Write::admit(&POTS, id, "plants", 9)),
        plant(&store, "third", id),
    ];
    let shared = Arc::clone(store.shared());
    let members = batches.map(|batch| shared.tables().schema().prepare(batch).unwrap());
    let committing = shared.units.run(move |link| {
        let shared = Arc::clone(store.shared());
        Box::pin(async move {
            let answers = shared.committing.commit(link, &members, &pause, None).await;
            Ok((store, answers))
        })
    });
    let (store, answers) = committing.await.unwrap();
    let [Ok(_), Err(StoreError::Refused(refusal)), Ok(_)] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(refusal.cause, Cause::Duplicate { unique: "pots", owner: Key::from(id) });
    assert_eq!(plants(&store, id).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_group_in_front_decided_is_not_so_where_that_was_undone() {
    let (store, url, database) = store(Arc::new(SystemClock::new())).await;
    let id = store.shared().ids.next_id();
    store.commit(bought(&store, id, 1)).await.unwrap();
    let mut somebody = somebody_with(&url, id).await;
    let first = group(&store, plant(&store, "first", id));
    until(&database, "wait_event_type = 'Lock'", 1).await;
    // It is judged over what the first has decided, by which there is no room.
    let second = group(&store, plant(&store, "second", id));
    until(&database, INSERTED, 1).await;
    let server = ThrowawayPostgres::shared().unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
               AND datname = current_database()";
    server.psql_in(&database, end).unwrap();
    let first = first.await.unwrap();
    assert!(matches!(first, Err(StoreError::Unavailable { .. })), "{first:?}");
    somebody.execute("ROLLBACK").await.unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(plants(&store, id).await, 1);
}
