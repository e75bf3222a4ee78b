//! Chapter "Feed": records, cursors, pages.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::tables::{BEATS, SEATS, THINGS};
use super::world::{START, World, thing};
use crate::store::{
    Changes, Cursor, Fingerprint, Key, MAX_CHANGES, NewRow, Receipt, Record, Resolution, RowChange,
    StoreError, StoreExt, Value, Verb, Write,
};

/// A commit's receipt, actor and operation, and what it changed.
type Expected = (Receipt, Option<Uuid>, &'static str, Vec<RowChange>);

fn change(
    id: Uuid,
    verb: Verb,
    revision: i64,
    version: i64,
    columns: Vec<(&'static str, Value)>,
) -> RowChange {
    RowChange { table: "things", key: Key::from(id), verb, revision, version, columns }
}

/// Every column that is shown of a new thing.
fn inserted(id: Uuid, uses: i64) -> Vec<(&'static str, Value)> {
    let shown = THINGS.columns.iter().filter(|column| column.name != "secret");
    shown
        .map(|column| {
            let value = match column.name {
                "id" => id.into(),
                "name" => "row".into(),
                "uses" => uses.into(),
                _ => column.default.map_or(Value::Null, Value::from),
            };
            (column.name, value)
        })
        .collect()
}

pub(super) async fn every_commit_has_one_record(world: World) {
    let (a, b, actor) = (world.id(), world.id(), world.id());
    let mut expected: Vec<Expected> = Vec::new();
    let batch = world
        .batch(vec![
            Write::Insert(thing(b, "row")),
            Write::Insert(thing(a, "row").set("secret", "hush")),
            Write::record(&THINGS, b, "uses", 2),
        ])
        .by(actor);
    let changes =
        vec![change(b, Verb::Insert, 1, 2, inserted(b, 2)), change(a, Verb::Insert, 1, 1, inserted(a, 0))];
    expected.push((world.store.commit(batch).await.unwrap(), Some(actor), "test", changes));
    world.advance(Duration::from_micros(1_500_001));
    let set = vec![("number", Value::from(5_i64)), ("name", "row".into()), ("secret", "hush".into())];
    let mut batch = world.batch(vec![
        Write::update(&THINGS, a, 1, set),
        Write::record(&THINGS, a, "uses", 3),
        Write::record(&THINGS, a, "uses", -1),
        Write::guard(&THINGS, b, 1),
    ]);
    batch.operation = "another operation".into();
    let batch = batch.fingerprint(Fingerprint::of(b"asked"));
    let columns = vec![("number", Value::from(5_i64)), ("uses", Value::from(2_i64))];
    let changes = vec![change(a, Verb::Update, 2, 4, columns)];
    expected.push((world.store.commit(batch).await.unwrap(), None, "another operation", changes));
    assert!(world.commit(vec![Write::delete(&THINGS, b, 9)]).await.is_err());
    let changes = vec![change(b, Verb::Delete, 1, 3, Vec::new())];
    expected.push((world.ok(vec![Write::delete(&THINGS, b, 1)]).await, None, "test", changes));
    let changes = vec![change(b, Verb::Insert, 1, 1, inserted(b, 0))];
    expected.push((world.ok(vec![Write::Insert(thing(b, "row"))]).await, None, "test", changes));
    let feed = world.feed().await;
    the_records_are(&feed, expected);
    assert_eq!(feed[1].fingerprint, Fingerprint::of(b"asked"));
    assert_eq!((feed[0].at, feed[1].at), (START, START.plus(Duration::from_micros(1_500_001))));
    records_follow_the_order_of_the_rows(&world, [a, b]).await;
}

fn the_records_are(feed: &[Arc<Record>], expected: Vec<Expected>) {
    assert_eq!(feed.len(), expected.len(), "{feed:#?}");
    for ((position, found), (receipt, actor, operation, changes)) in (1..).zip(feed).zip(expected) {
        let expected = Record {
            position,
            batch: receipt.batch,
            at: receipt.at,
            actor,
            operation: operation.into(),
            fingerprint: receipt.fingerprint,
            changes,
        };
        assert_eq!(**found, expected);
        assert!(receipt.position.is_none_or(|given| given == position));
    }
}

/// Whoever writes: in the feed the versions of each row rise one by one.
async fn records_follow_the_order_of_the_rows(world: &World, rows: [Uuid; 2]) {
    let before = world.feed().await.last().unwrap().cursor();
    let mut versions: HashMap<Key, i64> = HashMap::new();
    for row in rows {
        versions.insert(row.into(), world.row(&THINGS, row).await.version());
    }
    let writers = (0..8_usize).map(|writer| {
        let world = world.clone();
        tokio::spawn(async move {
            for round in 0..15 {
                let (first, second) = (rows[(writer + round) % 2], rows[(writer + round + 1) % 2]);
                let one = Write::record(&THINGS, first, "uses", 1);
                let both = vec![one.clone(), Write::record(&THINGS, second, "uses", 1)];
                let batches = vec![world.batch(vec![one]), world.batch(both)];
                for answer in world.store.commit_many(batches).await {
                    answer.unwrap();
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let records = world.feed_after(before).await;
    assert_eq!(records.len(), 240);
    for (record, position) in records.iter().zip(before.position + 1..) {
        assert_eq!(record.position, position, "positions are not dense");
        for change in &record.changes {
            let last = versions.insert(change.key.clone(), change.version);
            assert_eq!(last, Some(change.version - 1), "a change is out of order");
        }
    }
}

pub(super) async fn secrets_are_not_in_the_feed(world: World) {
    let id = world.id();
    world.ok(vec![Write::Insert(thing(id, "row").set("secret", "swordfish"))]).await;
    let set = |secret: &str| vec![("secret", Value::from(secret))];
    world.ok(vec![Write::update(&THINGS, id, 1, set("swordfish two"))]).await;
    let mut both = set("swordfish three");
    both.push(("number", Value::from(1_i64)));
    world.ok(vec![Write::update(&THINGS, id, 2, both)]).await;
    world.ok(vec![Write::delete(&THINGS, id, 3)]).await;
    let feed = world.feed().await;
    // The change is told, what was changed is not.
    assert_eq!(feed[1].changes, [change(id, Verb::Update, 2, 2, Vec::new())]);
    assert_eq!(feed[2].changes[0].columns, [("number", Value::from(1_i64))]);
    assert_eq!(feed.len(), 4);
    for record in &feed {
        let named = record.changes.iter().flat_map(|change| &change.columns);
        assert!(named.into_iter().all(|(column, _)| *column != "secret"), "{record:?}");
        assert!(!format!("{record:?}").contains("swordfish"), "{record:?}");
    }
}

pub(super) async fn quiet_tables_are_not_in_the_feed(world: World) {
    let (beat, seat) = (world.id(), world.id());
    let mut receipts = vec![world.ok(vec![Write::Insert(NewRow::new(&BEATS).set("id", beat))]).await];
    receipts.push(world.ok(vec![Write::record(&BEATS, beat, "count", 1)]).await);
    let note = vec![("note", Value::from("quiet"))];
    receipts.push(world.ok(vec![Write::update(&BEATS, beat, 1, note)]).await);
    let consumer = crate::store::kernel::register_consumer("me", Cursor::START);
    receipts.push(world.ok(vec![consumer]).await);
    assert_eq!(world.feed().await, []);
    for receipt in receipts {
        assert_eq!(receipt.position, None);
        assert_eq!(world.store.resolve(receipt.batch).await.unwrap(), Resolution::Committed(receipt));
    }
    // Beside another change, only that is told; and the positions have no gap for the quiet ones.
    let receipt = world
        .ok(vec![Write::record(&BEATS, beat, "count", 1), Write::Insert(NewRow::new(&SEATS).set("id", seat))])
        .await;
    world.ok(vec![Write::delete(&BEATS, beat, 2)]).await;
    world.ok(vec![Write::delete(&SEATS, seat, 1)]).await;
    let feed = world.feed().await;
    let tables: Vec<Vec<_>> =
        feed.iter().map(|record| record.changes.iter().map(|change| change.table).collect()).collect();
    assert_eq!(tables, [["seats"], ["seats"]]);
    assert_eq!((feed[0].batch, feed[0].position, feed[1].position), (receipt.batch, 1, 2));
}

pub(super) async fn changes_resume_where_they_ended(world: World) {
    let empty = world.store.changes(Cursor::START, 1).await.unwrap();
    assert_eq!((empty.records.len(), empty.next, empty.lag), (0, Cursor::START, 0));
    let mut expected = Vec::new();
    for _ in 0..25 {
        let id = world.id();
        expected.push(world.ok(vec![Write::Insert(thing(id, "row"))]).await.batch);
    }
    for limit in [1, 7, 25, MAX_CHANGES] {
        let (mut cursor, mut found) = (Cursor::START, Vec::new());
        loop {
            let page = world.store.changes(cursor, limit).await.unwrap();
            check_page(&page, cursor, limit, 25);
            if page.records.is_empty() {
                break;
            }
            found.extend(page.records.iter().map(|record| record.batch));
            // A cursor can be kept anywhere and brought back.
            cursor = serde_json::from_str(&serde_json::to_string(&page.next).unwrap()).unwrap();
        }
        assert_eq!(found, expected, "limit {limit}");
    }
    let feed = world.feed().await;
    for record in &feed {
        let page = world.store.changes(record.cursor(), 3).await.unwrap();
        let behind = feed.len() - usize::try_from(record.position).unwrap();
        assert_eq!(page.records.len(), behind.min(3));
        assert!(page.records.first().is_none_or(|next| next.position == record.position + 1));
    }
    // A follower at the head sees what comes next.
    let head = feed.last().unwrap().cursor();
    let receipt = world.ok(vec![Write::Insert(thing(world.id(), "row"))]).await;
    let page = world.store.changes(head, 10).await.unwrap();
    assert_eq!((page.records.len(), page.records[0].batch, page.lag), (1, receipt.batch, 0));
    for limit in [0, MAX_CHANGES + 1] {
        let error = world.store.changes(head, limit).await.unwrap_err();
        assert!(matches!(&error, StoreError::Invalid { field, .. } if field == "limit"), "{error:?}");
    }
}

fn check_page(page: &Changes, after: Cursor, limit: u32, head: u64) {
    let records = &page.records;
    assert!(records.len() <= usize::try_from(limit).unwrap(), "a page is too long");
    let last: Option<&Arc<Record>> = records.last();
    assert_eq!(page.next, last.map_or(after, |record| record.cursor()));
    assert_eq!(page.lag, head - page.next.position);
    assert!(!records.is_empty() || page.lag == 0, "records are left, and none was given");
}

pub(super) async fn a_foreign_cursor_is_refused(world: World) {
    let other = world.another().await;
    for _ in 0..5 {
        world.thing("row").await;
        other.thing("row").await;
    }
    let (mine, theirs) = (world.feed().await, other.feed().await);
    let at = |position, batch| Cursor { position, batch };
    for cursor in [
        theirs[2].cursor(),
        at(3, mine[1].batch),
        at(3, Uuid::nil()),
        at(3, world.id()),
        at(0, mine[0].batch),
        at(6, mine[4].batch),
        at(6, world.id()),
        at(1_000_000, mine[0].batch),
        at(u64::MAX, Uuid::nil()),
    ] {
        let error = world.store.changes(cursor, 10).await.unwrap_err();
        let position = cursor.position;
        assert!(
            matches!(error, StoreError::CursorForeign { position: named } if named == position),
            "{cursor:?}: {error:?}"
        );
    }
    assert_eq!(world.store.changes(mine[2].cursor(), 10).await.unwrap().records.len(), 2);
}
