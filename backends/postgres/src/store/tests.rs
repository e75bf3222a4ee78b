//! Groups that wait for one another, one by one.

use apportion::id::IdSource as _;
use apportion::store::{Ceiling, Column, Fixed, NewRow, Table, Unique, Write};
use apportion::time::{ManualClock, SystemClock, Timestamp};
use apportion_throwaway_postgres::ThrowawayPostgres;
use sqlx_core::connection::Connection as _;
use sqlx_core::executor::Executor as _;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_postgres::PgConnection;
use tokio::task::JoinHandle;

use super::*;

mod known;

static POTS: Table = Table::new(
    "pots",
    &[
        Column::uuid("id"),
        Column::text("name", 16),
        Column::int("plants").counter().default(Fixed::Int(0)),
        Column::int("room").default(Fixed::Int(9)),
    ],
    &["id"],
)
.uniques(&[Unique::new("pots_name", &["name"])])
.ceilings(&[Ceiling::column("pots_room", "plants", "room")]);

const LONG: Duration = Duration::from_mins(1);

/// A group has inserted its rows and waits for its turn; or it waited too long, and has let go of them.
const INSERTED: &str =
    "(state = 'idle in transaction' AND query LIKE '%INSERT%' OR state = 'idle' AND query = 'ROLLBACK')";

/// Commits a batch as a group of its own.
fn group(store: &Arc<PostgresStore>, batch: Batch) -> JoinHandle<Result<Receipt, StoreError>> {
    let shared = Arc::clone(store.shared());
    let members = [shared.tables().schema().prepare(batch).unwrap()];
    tokio::spawn(async move {
        let units = Arc::clone(&shared.units);
        let committing = units.run(move |link| {
            Box::pin(async move { Ok(shared.committing.commit(link, &members, &pause, None).await) })
        });
        committing.await.unwrap().remove(0)
    })
}

/// Waits until so many connections are in a state.
async fn until(database: &str, state: &str, many: usize) {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {state}");
    let server = ThrowawayPostgres::shared().unwrap();
    while server.psql_in(database, &sql).unwrap() != many.to_string() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A store that waits for long, and the name of its database.
async fn store(clock: Arc<dyn Clock>) -> (Arc<PostgresStore>, String, String) {
    let url = ThrowawayPostgres::shared().unwrap().fresh_database().unwrap();
    let options = PostgresOptions::default().lock_timeout(LONG).call_timeout(LONG);
    let store = PostgresStore::connect_with(&url, &[&POTS], clock, options).await;
    let database = url.rsplit('/').next().unwrap().to_owned();
    (Arc::new(store.unwrap()), url, database)
}

fn pot(id: Uuid, name: &str) -> NewRow {
    NewRow::new(&POTS).set("id", id).set("name", name)
}

/// Two pots with room.
async fn two_pots(store: &PostgresStore) -> (Uuid, Uuid) {
    let ids = &store.shared().ids;
    let (one, other) = (ids.next_id(), ids.next_id());
    let both = Batch::new(ids.next_id(), "buy").with(Write::Insert(pot(one, "kept")));
    let both = both.with(Write::Insert(pot(other, "other")));
    store.commit_many(vec![both]).await[0].as_ref().unwrap();
    (one, other)
}

/// Inserts a pot, and needs room in another.
fn plant(store: &PostgresStore, name: &str, into: Uuid) -> Batch {
    let ids = &store.shared().ids;
    let batch = Batch::new(ids.next_id(), "plant").with(Write::Insert(pot(ids.next_id(), name)));
    batch.with(Write::admit(&POTS, into, "plants", 1))
}

/// Somebody who has a row.
async fn somebody_with(url: &str, pot: Uuid) -> PgConnection {
    let mut somebody = PgConnection::connect(url).await.unwrap();
    somebody.execute("BEGIN").await.unwrap();
    let sql = format!("SELECT 1 FROM apportion.pots WHERE id = '{pot}' FOR UPDATE");
    somebody.execute(AssertSqlSafe(sql)).await.unwrap();
    somebody
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waits_for_its_turn_lets_go_of_what_others_wait_for() {
    let (store, url, database) = store(Arc::new(SystemClock::new())).await;
    let (kept, other) = two_pots(&store).await;
    let ids = &store.shared().ids;
    // Somebody else has a row.
    let mut somebody = somebody_with(&url, kept).await;
    // A group has its turn and waits for that row; the next has inserted and waits for its turn.
    let first = group(&store, plant(&store, "first", kept));
    until(&database, "wait_event_type = 'Lock'", 1).await;
    let second = group(&store, plant(&store, "second", other));
    until(&database, INSERTED, 1).await;
    // Now that somebody waits for what the second has inserted: a circle of which the database knows but a part.
    let sql = format!(
        "INSERT INTO apportion.pots (id, name, plants, room, revision, version) \
         VALUES ('{}', 'second', 0, 9, 1, 1)",
        ids.next_id()
    );
    let inserting = somebody.execute(AssertSqlSafe(sql));
    tokio::time::timeout(LONG / 2, inserting).await.expect("it is let go").unwrap();
    somebody.execute("ROLLBACK").await.unwrap();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_group_that_was_ahead_sees_what_the_one_in_front_decided() {
    let (store, url, database) = store(Arc::new(SystemClock::new())).await;
    let ids = &store.shared().ids;
    let (small, id) = (ids.next_id(), ids.next_id());
    let small_one = Write::Insert(pot(small, "small").set("room", 1_i64));
    store.commit_many(vec![Batch::new(ids.next_id(), "buy").with(small_one)]).await[0].as_ref().unwrap();
    let plant = |id: Uuid, name: &str| {
        let batch = Batch::new(ids.next_id(), "plant").with(Write::Insert(pot(id, name)));
        batch.with(Write::admit(&POTS, small, "plants", 1))
    };
    let mut somebody = somebody_with(&url, small).await;
    let first = group(&store, plant(ids.next_id(), "first"));
    until(&database, "wait_event_type = 'Lock'", 1).await;
    // It was judged while there was room, and has inserted its row.
    let second = group(&store, plant(id, "second"));
    until(&database, INSERTED, 1).await;
    somebody.execute("ROLLBACK").await.unwrap();
    first.await.unwrap().unwrap();
    let refused = second.await.unwrap().unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
    let sql = format!("SELECT count(*) FROM apportion.pots WHERE id = '{id}'");
    assert_eq!(ThrowawayPostgres::shared().unwrap().psql_in(&database, &sql).unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_group_that_was_ahead_is_no_earlier_than_the_one_in_front() {
    let now = Timestamp::from_micros(1_713_691_952_000_000);
    let clock = Arc::new(ManualClock::new(now));
    let (store, url, database) = store(clock.clone()).await;
    let (kept, other) = two_pots(&store).await;
    let (first, second) = (plant(&store, "first", kept), plant(&store, "second", other));
    let mut somebody = somebody_with(&url, kept).await;
    let later = now.plus(LONG);
    clock.set(later);
    let first = group(&store, first);
    until(&database, "wait_event_type = 'Lock'", 1).await;
    // The second has seen nothing of the first's time yet, and the clock is put back.
    clock.set(now);
    let second = group(&store, second);
    until(&database, INSERTED, 1).await;
    somebody.execute("ROLLBACK").await.unwrap();
    let first = first.await.unwrap().unwrap();
    let second = second.await.unwrap().unwrap();
    assert_eq!((first.at, second.at), (later, later));
}
