//! Chapter "Reading": pages, and queries that do not fit.

use std::ops::Bound;

use super::tables::{ALL, CRATES, RACKS, THINGS};
use super::world::{World, numbered, test, thing};
use crate::store::{Column, Reads};
use crate::store::{
    Is, Key, MAX_EXAMINED, MAX_INT, MAX_PAGE, PageCursor, Query, Row, Scan, StoreError, StoreExt, Table,
    Value, Write,
};

pub(super) async fn pages_join_without_gap_or_repetition(world: World) {
    for descending in [false, true] {
        for index in [None, Some("things_by_number")] {
            for limit in [1, 3, 7] {
                join(&world.another().await, index, descending, limit).await;
            }
        }
    }
    // An unbounded table, at once: what fits is one page, what does not has a cursor.
    for _ in 0..10 {
        world.thing("row").await;
    }
    let page = world.store.scan(Scan::of(&THINGS).limit(10)).await.unwrap().value;
    assert_eq!((page.rows.len(), page.next), (10, None));
    let page = world.store.scan(Scan::of(&THINGS).limit(9)).await.unwrap().value;
    assert_eq!(page.rows.len(), 9);
    assert!(page.next.is_some());
}

/// Reads page by page, and between two pages writes on both sides of the cursor and right at it.
async fn join(world: &World, index: Option<&'static str>, descending: bool, limit: u32) {
    let mut lasting = Vec::new();
    for at in 0..24_i64 {
        let id = world.id();
        // Three rows share each number, so that pages end between equals, too.
        world.ok(vec![numbered(id, at * 5 % 24 / 3 * 10)]).await;
        lasting.push(id);
    }
    let mut scan = Scan::of(&THINGS).limit(limit);
    scan.index = index;
    scan.descending = descending;
    let expected: Vec<Key> = world.rows(scan.clone()).await.iter().map(Row::key).collect();
    let mut seen = Vec::new();
    let mut doomed: Vec<Key> = Vec::new();
    for round in 0.. {
        let page = world.store.scan(scan.clone()).await.unwrap().value;
        seen.extend(page.rows.iter().map(Row::key));
        let Some(next) = page.next else { break };
        // A cursor can go to a client and back.
        let text = serde_json::to_string(&next).unwrap();
        scan = scan.after(serde_json::from_str::<PageCursor>(&text).unwrap());
        let last = page.rows.last().expect("a page with a cursor has a row here");
        let number = last.int("number").unwrap();
        // Not for ever: what is inserted ahead is read, too.
        for near in [number - 5, number, number + 5].into_iter().filter(|_| round < 12) {
            let id = world.id();
            world.ok(vec![numbered(id, near)]).await;
            doomed.push(Key::from(id));
        }
        if round < 6 && expected.contains(&last.key()) {
            // The row that the cursor names goes: the next page begins behind where it was.
            world.ok(vec![Write::delete(&THINGS, last.key(), last.revision())]).await;
        }
        if let Some(row) = world.find(&THINGS, lasting[20]).await {
            let renamed = vec![("name", Value::from("other"))];
            world.ok(vec![Write::update(&THINGS, row.key(), row.revision(), renamed)]).await;
        }
        if doomed.len() > 9 {
            let gone = doomed.remove(0);
            world.ok(vec![Write::delete(&THINGS, gone, 1)]).await;
        }
        assert!(seen.len() < 500, "the pages never end");
    }
    let kept: Vec<_> = seen.iter().filter(|key| expected.contains(key)).cloned().collect();
    assert_eq!(kept, expected, "{index:?} {descending} {limit}");
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), seen.len(), "a row was given twice");
}

pub(super) async fn a_page_examines_no_more_than_it_may(world: World) {
    let mut last = world.id();
    for at in 0..50 {
        last = world.id();
        world.ok(vec![numbered(last, at)]).await;
    }
    for index in [None, Some("things_by_number")] {
        let mut scan = Scan::of(&THINGS).examine(10).test(test("number", Is::Eq(49_i64.into())));
        scan.index = index;
        for _ in 0..4 {
            let page = world.store.scan(scan.clone()).await.unwrap().value;
            assert_eq!(page.rows, [], "a page examined more than ten rows");
            scan = scan.after(page.next.expect("rows are left"));
        }
        let page = world.store.scan(scan).await.unwrap().value;
        assert_eq!(page.rows.iter().map(Row::key).collect::<Vec<_>>(), [Key::from(last)]);
        assert_eq!(page.next, None);
    }
    // Rows outside the prefix or range are not examined.
    let narrow = Scan::of(&THINGS).by("things_by_number").examine(1).with(30_i64);
    let page = world.store.scan(narrow).await.unwrap().value;
    assert_eq!((page.rows.len(), page.next), (1, None));
    let ranged = Scan::of(&THINGS).by("things_by_number").descending().examine(5);
    let ranged = ranged.range(Bound::Excluded(20_i64.into()), Bound::Included(25_i64.into()));
    let page = world.store.scan(ranged).await.unwrap().value;
    assert_eq!((page.rows.len(), page.next), (5, None));
}

static STRANGERS: Table = Table::new("strangers", &[Column::uuid("id")], &["id"]);

pub(super) async fn a_malformed_query_is_invalid(world: World) {
    for at in 0..5 {
        world.ok(vec![numbered(world.id(), at)]).await;
    }
    let snapshot = world.store.snapshot().await.unwrap();
    for query in malformed(&world).await {
        let shown = format!("{query:?}");
        let fine = Query::Scan(Scan::of(&THINGS));
        let answers = [
            world.store.read(vec![query.clone()]).await,
            world.store.read(vec![fine, query.clone()]).await,
            snapshot.read(vec![query]).await,
        ];
        for answer in answers {
            assert!(is_invalid(&answer), "{shown}: {answer:?}");
        }
    }
    for text in ["\"\"", "\"zz\"", "\"0\"", "\"é\""] {
        let cursor: PageCursor = serde_json::from_str(text).unwrap();
        let answer = world.store.read(vec![Query::Scan(Scan::of(&THINGS).after(cursor))]).await;
        assert!(is_invalid(&answer), "{text}: {answer:?}");
    }
    // At their edges they are right, and no question is no mistake.
    let edge = Scan::of(&THINGS).limit(MAX_PAGE).examine(MAX_EXAMINED);
    assert_eq!(world.store.scan(edge).await.unwrap().value.rows.len(), 5);
    assert!(world.store.read(Vec::new()).await.unwrap().answers.is_empty());
    assert_eq!(
        world.store.schema().tables().len(),
        ALL.len() + 1,
        "the schema is the one it was opened with"
    );
}

fn is_invalid(answer: &Result<Reads, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Invalid { .. }))
}

async fn malformed(world: &World) -> Vec<Query> {
    let things = || Scan::of(&THINGS);
    let numbers = || things().by("things_by_number");
    let cursor = async |scan: Scan| world.store.scan(scan.limit(1)).await.unwrap().value.next.unwrap();
    let (by_key, by_number) = (cursor(things()).await, cursor(numbers()).await);
    let scans = vec![
        Scan::of(&STRANGERS),
        things().by("no_such_index"),
        things().by("crates_thing"),
        things().limit(0),
        things().limit(MAX_PAGE + 1),
        things().examine(0),
        things().examine(MAX_EXAMINED + 1),
        things().with("text"),
        things().with(world.id()).with(1_i64),
        numbers().with(true),
        numbers().with(MAX_INT + 1),
        numbers().range(Bound::Included("1".into()), Bound::Unbounded),
        numbers().range(Bound::Unbounded, Bound::Excluded(Value::Null)),
        things().with(world.id()).range(Bound::Included(1_i64.into()), Bound::Unbounded),
        things().test(test("colour", Is::Null)),
        things().test(test("name", Is::Eq(1_i64.into()))),
        things().test(test("name", Is::Lt("a\0".into()))),
        things().test(test("name", Is::In(vec!["x".into(); 101]))),
        (0..101).fold(things(), |scan, _| scan.test(test("name", Is::NotNull))),
        things().after(by_number.clone()),
        numbers().after(by_key.clone()),
        numbers().with(3_i64).after(by_number),
        Scan::of(&RACKS).after(by_key.clone()),
        Scan::of(&CRATES).by("crates_thing").after(by_key),
    ];
    let gets = [
        (&STRANGERS, Key::from(world.id())),
        (&THINGS, Key::from("text")),
        (&THINGS, Key::new([Value::Null])),
        (&THINGS, Key::new([])),
        (&THINGS, Key::from((world.id(), 1_i64))),
        (&RACKS, Key::from("hall")),
        (&RACKS, Key::from(("hall", "1"))),
    ];
    let counts = [numbers().with(true), things().by("no_such_index"), things().examine(0)];
    (scans.into_iter().map(Query::Scan))
        .chain(counts.into_iter().map(Query::Count))
        .chain(gets.into_iter().map(|(table, key)| Query::Get { table, key }))
        .collect()
}

pub(super) async fn a_read_sees_every_acknowledged_commit(world: World) {
    let counted = world.thing("counted").await;
    let writers = (0..8).map(|writer| {
        let world = world.clone();
        tokio::spawn(async move {
            let mut least = 0;
            for round in 0..12_i64 {
                let id = world.id();
                let number = writer * 1000 + round;
                let insert = Write::Insert(thing(id, "mine").set("number", number));
                world.ok(vec![insert, Write::record(&THINGS, counted, "uses", 1)]).await;
                // Read on another thread than that of the commit, where there is one to spare.
                let reader = world.clone();
                let seen = tokio::spawn(async move {
                    let by_number = Scan::of(&THINGS).by("things_by_number").with(number);
                    assert_eq!(reader.row(&THINGS, id).await.int("number").unwrap(), number);
                    assert_eq!(reader.rows(by_number).await.len(), 1);
                    reader.row(&THINGS, counted).await.int("uses").unwrap()
                });
                let seen = seen.await.unwrap();
                assert!(seen > least, "a later read saw less");
                least = seen;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(world.row(&THINGS, counted).await.int("uses").unwrap(), 96);
}
