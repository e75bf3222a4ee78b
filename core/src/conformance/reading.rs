//! Chapter "Reading": orders, tests, counts.

use std::ops::Bound;

use super::tables::{CRATES, RACKS, SEATS, THINGS};
use super::world::{START, World, numbered, test, thing};
use crate::store::{Change, Is, NewRow, Row, Scan, StoreExt, Value, Write};
use crate::time::Timestamp;

/// What a scan must give, worked out from all rows by its definition.
fn by_hand(all: &[Row], columns: &[&str], scan: &Scan) -> Vec<Row> {
    let order = |row: &Row| -> Vec<Value> {
        let leading = columns.iter().map(|column| row.get(column).cloned().unwrap());
        leading.chain(row.key().values().to_vec()).collect()
    };
    let wanted = |row: &&Row| {
        let place = order(row);
        let next = place.get(scan.prefix.len());
        let bounded = scan.range != (Bound::Unbounded, Bound::Unbounded);
        let above = match &scan.range.0 {
            Bound::Included(from) => next >= Some(from),
            Bound::Excluded(from) => next > Some(from),
            Bound::Unbounded => true,
        };
        let below = match &scan.range.1 {
            Bound::Included(to) => next <= Some(to),
            Bound::Excluded(to) => next < Some(to),
            Bound::Unbounded => true,
        };
        let null = next.is_some_and(Value::is_null);
        let tests = scan.tests.iter().all(|test| test.is.holds(row.get(test.column).unwrap()));
        place.starts_with(&scan.prefix) && above && below && !(bounded && null) && tests
    };
    let mut rows: Vec<Row> = all.iter().filter(wanted).cloned().collect();
    rows.sort_by(|a, b| {
        let ascending = order(a).cmp(&order(b));
        if scan.descending { ascending.reverse() } else { ascending }
    });
    rows
}

async fn filled(world: &World) {
    for at in 0..40_i64 {
        let number = (at % 5 != 0).then_some((at * 7 % 11) - 5);
        let note = ["", "a", "ab", "b"].get(usize::try_from(at % 6).unwrap()).copied();
        let row = thing(world.id(), "row").set("number", number).set("note", note);
        let row = row.set("flag", (at % 3 != 0).then_some(at % 2 == 0));
        let moment = Timestamp::from_micros(START.as_micros() - at % 4);
        world.ok(vec![Write::Insert(row.set("moment", moment))]).await;
    }
    // Rows that have moved in every order since, and some that are gone.
    for (at, row) in world.all(&THINGS).await.iter().enumerate() {
        let moved = vec![("number", Value::from(3_i64)), ("note", "moved".into()), ("flag", Value::Null)];
        match at % 8 {
            1 => drop(world.ok(vec![Write::update(&THINGS, row.key(), 1, moved)]).await),
            3 => drop(world.ok(vec![Write::delete(&THINGS, row.key(), 1)]).await),
            5 => drop(world.ok(vec![Write::record(&THINGS, row.key(), "uses", -3)]).await),
            6 => {
                let set = vec![("uses", Change::Set(Value::from(2_i64)))];
                world.ok(vec![Write::patch(&THINGS, row.key(), Vec::new(), set)]).await;
            }
            _ => {}
        }
    }
}

fn scans() -> Vec<(&'static [&'static str], Scan)> {
    use Bound::{Excluded, Included, Unbounded};
    let int = |at: i64| Value::from(at);
    let number = || Scan::of(&THINGS).by("things_by_number");
    let note = || Scan::of(&THINGS).by("things_by_note");
    let kinds = || Scan::of(&THINGS).by("things_by_kinds");
    let scans: Vec<(&[&str], Scan)> = vec![
        (&[], Scan::of(&THINGS)),
        (&["number"], number()),
        (&["number"], number().with(3_i64)),
        (&["number"], number().with(Value::Null)),
        (&["number"], number().with(99_i64)),
        (&["number"], number().range(Included(int(-2)), Included(int(3)))),
        (&["number"], number().range(Excluded(int(-2)), Excluded(int(3)))),
        (&["number"], number().range(Unbounded, Excluded(int(0)))),
        (&["number"], number().range(Excluded(int(0)), Unbounded)),
        (&["number"], number().range(Included(int(4)), Included(int(-4)))),
        (&["number"], number().range(Excluded(int(1)), Excluded(int(1)))),
        (&["note", "number"], note()),
        (&["note", "number"], note().with("a")),
        (&["note", "number"], note().with("")),
        (&["note", "number"], note().with(Value::Null)),
        (&["note", "number"], note().with("a").with(Value::Null)),
        (&["note", "number"], note().with("moved").with(3_i64)),
        (&["note", "number"], note().with("a").range(Included(int(0)), Unbounded)),
        (&["note", "number"], note().range(Excluded("a".into()), Included("b".into()))),
        (&["note", "number"], note().range(Unbounded, Included("a".into()))),
        (&["flag", "moment", "other"], kinds()),
        (&["flag", "moment", "other"], kinds().with(false)),
        (&["flag", "moment", "other"], kinds().with(true).range(Included(START.into()), Unbounded)),
        (&["uses"], Scan::of(&THINGS).by("things_by_uses")),
        (&["uses"], Scan::of(&THINGS).by("things_by_uses").with(-3_i64)),
        (&["uses"], Scan::of(&THINGS).by("things_by_uses").test(test("note", Is::NotNull))),
    ];
    let turned = scans.clone().into_iter().map(|(columns, scan)| (columns, scan.descending()));
    turned.chain(scans).collect()
}

pub(super) async fn a_scan_follows_its_index(world: World) {
    filled(&world).await;
    let all = world.all(&THINGS).await;
    assert_eq!(all.len(), 35);
    for (columns, scan) in scans() {
        let expected = by_hand(&all, columns, &scan);
        let page = world.store.scan(scan.clone()).await.unwrap().value;
        assert_eq!(page.rows, expected, "{scan:?}");
        assert_eq!(page.next, None, "{scan:?}");
        assert_eq!(world.rows(scan.clone().limit(3)).await, expected, "page by page: {scan:?}");
        let count = world.store.count(scan).await.unwrap().value;
        assert_eq!((count.rows, count.capped), (expected.len() as u64, false));
    }
    the_first_columns_of_keys_and_references_are_orders_too(&world, &all).await;
}

async fn the_first_columns_of_keys_and_references_are_orders_too(world: &World, things: &[Row]) {
    let parent = things[0].id::<Row>("id").unwrap().uuid();
    for at in 0..6_i64 {
        let (hall, room) = (if at % 2 == 0 { "a" } else { "a\u{1}" }, if at < 3 { "x" } else { "y" });
        let rack = NewRow::new(&RACKS).set("hall", hall).set("number", -at);
        let seat = NewRow::new(&SEATS).set("id", world.id()).set("room", room).set("place", at % 3);
        let crate_row = NewRow::new(&CRATES).set("id", world.id()).set("hall", hall).set("number", -at);
        let crate_row = crate_row.set("thing", (at % 2 == 0).then_some(parent));
        world.ok(vec![Write::Insert(rack), Write::Insert(seat), Write::Insert(crate_row)]).await;
    }
    let cases: [(&[&str], Scan); 6] = [
        (&[], Scan::of(&RACKS).with("a")),
        (&[], Scan::of(&RACKS).with("a").range(Bound::Included((-2_i64).into()), Bound::Unbounded)),
        (&["room", "place"], Scan::of(&SEATS).by("seats_place").with("x")),
        (&["badge"], Scan::of(&SEATS).by("seats_badge").with(Value::Null)),
        (&["thing"], Scan::of(&CRATES).by("crates_thing").with(parent)),
        (&["hall", "number"], Scan::of(&CRATES).by("crates_rack").with("a\u{1}").descending()),
    ];
    for (columns, scan) in cases {
        let all = world.all(scan.table).await;
        let expected = by_hand(&all, columns, &scan);
        assert!(!expected.is_empty() && world.rows(scan.clone()).await == expected, "{scan:?}");
    }
}

pub(super) async fn text_sorts_by_bytes_and_nulls_come_first(world: World) {
    // In the order of their bytes; neither that of a language nor that of UTF-16.
    let sorted = [
        "",
        "\u{1}",
        " ",
        "A",
        "Aa",
        "B",
        "Z",
        "_",
        "a",
        "a\u{1}",
        "a ",
        "a!",
        "aA",
        "aa",
        "b",
        "e\u{301}",
        "z",
        "\u{e4}",
        "\u{e9}",
        "\u{65e5}",
        "\u{ffff}",
        "\u{10000}",
        "\u{1f980}",
    ];
    for at in 0..sorted.len() {
        let text = sorted[at * 7 % sorted.len()];
        world.ok(vec![Write::Insert(thing(world.id(), "row").set("note", text))]).await;
    }
    let nulls = [world.thing("null").await, world.thing("null").await];
    let notes = async |scan: Scan| -> Vec<Option<String>> {
        let rows = world.rows(scan).await;
        rows.iter().map(|row| row.opt_text("note").unwrap().map(str::to_owned)).collect()
    };
    let mut expected: Vec<Option<String>> = vec![None; nulls.len()];
    expected.extend(sorted.iter().map(|text| Some((*text).to_owned())));
    let scan = || Scan::of(&THINGS).by("things_by_note");
    assert_eq!(notes(scan()).await, expected);
    expected.reverse();
    assert_eq!(notes(scan().descending()).await, expected);
    let above = scan().range(Bound::Excluded("a".into()), Bound::Included("aa".into()));
    assert_eq!(notes(above).await, ["a\u{1}", "a ", "a!", "aA", "aa"].map(|text| Some(text.to_owned())));
    // A test compares in the same order.
    let beyond = Scan::of(&THINGS).test(test("note", Is::Gt("z".into())));
    assert_eq!(notes(beyond).await.len(), 6);
    other_kinds_have_their_own_order(&world).await;
}

/// Null, then false before true; before 1970 before after; below zero before above.
async fn other_kinds_have_their_own_order(world: &World) {
    for (flag, moment) in [(Some(true), -5), (None, 5), (Some(false), -1), (Some(false), -7), (Some(true), 0)]
    {
        let row = thing(world.id(), "kinds").set("flag", flag).set("moment", Timestamp::from_micros(moment));
        world.ok(vec![Write::Insert(row)]).await;
    }
    let kinds = Scan::of(&THINGS).by("things_by_kinds").test(test("moment", Is::NotNull));
    let rows = world.rows(kinds).await;
    let found: Vec<_> = rows
        .iter()
        .map(|row| (row.opt_bool("flag").unwrap(), row.time("moment").unwrap().as_micros()))
        .collect();
    let expected = [(None, 5), (Some(false), -7), (Some(false), -1), (Some(true), -5), (Some(true), 0)];
    assert_eq!(found, expected);
}

pub(super) async fn tests_are_judged_in_the_store(world: World) {
    for number in [None, Some(-1_i64), Some(0), Some(1), Some(2)] {
        world.ok(vec![Write::Insert(thing(world.id(), "row").set("number", number))]).await;
    }
    let int = |at: i64| Value::from(at);
    let cases: [(Is, &[Option<i64>]); 12] = [
        (Is::Null, &[None]),
        (Is::NotNull, &[Some(-1), Some(0), Some(1), Some(2)]),
        (Is::Eq(int(1)), &[Some(1)]),
        (Is::Eq(Value::Null), &[]),
        (Is::Ne(int(1)), &[Some(-1), Some(0), Some(2)]),
        (Is::Ne(Value::Null), &[]),
        (Is::Lt(int(1)), &[Some(-1), Some(0)]),
        (Is::Le(int(1)), &[Some(-1), Some(0), Some(1)]),
        (Is::Gt(int(0)), &[Some(1), Some(2)]),
        (Is::Ge(int(0)), &[Some(0), Some(1), Some(2)]),
        (Is::In(vec![int(2), int(-1), int(7), Value::Null]), &[Some(-1), Some(2)]),
        (Is::In(Vec::new()), &[]),
    ];
    for (is, expected) in cases {
        let scan = Scan::of(&THINGS).by("things_by_number").test(test("number", is.clone()));
        let rows = world.rows(scan.clone()).await;
        let found: Vec<_> = rows.iter().map(|row| row.opt_int("number").unwrap()).collect();
        assert_eq!(found, expected, "{is:?}");
        assert_eq!(world.store.count(scan).await.unwrap().value.rows, expected.len() as u64, "{is:?}");
    }
    // Several must all hold, on columns of any kind; and a page is filled from beyond the rows that fail.
    for at in 0..30 {
        world.ok(vec![numbered(world.id(), 100 + at)]).await;
    }
    let scan = Scan::of(&THINGS)
        .test(test("number", Is::Ge(int(120))))
        .test(test("name", Is::Eq("numbered".into())))
        .test(test("open", Is::Eq(true.into())))
        .test(test("note", Is::Null))
        .limit(4);
    let page = world.store.scan(scan).await.unwrap().value;
    let found: Vec<_> = page.rows.iter().map(|row| row.int("number").unwrap()).collect();
    assert_eq!(found, [120, 121, 122, 123]);
    assert!(page.next.is_some());
}

pub(super) async fn a_count_is_capped(world: World) {
    for at in 0..30 {
        world.ok(vec![numbered(world.id(), at)]).await;
    }
    let count = async |scan: Scan| {
        let count = world.store.count(scan).await.unwrap().value;
        (count.rows, count.capped)
    };
    let scan = || Scan::of(&THINGS).by("things_by_number");
    assert_eq!(count(scan()).await, (30, false));
    // The page's limit is none of a count's.
    assert_eq!(count(scan().limit(1)).await, (30, false));
    for (examine, expected) in [(1, (1, true)), (29, (29, true)), (30, (30, false)), (31, (30, false))] {
        assert_eq!(count(scan().examine(examine)).await, expected);
    }
    let odd = || scan().test(test("number", Is::In((0..30_i64).step_by(2).map(Value::from).collect())));
    assert_eq!(count(odd()).await, (15, false));
    assert_eq!(count(odd().examine(10)).await, (5, true));
    assert_eq!(count(scan().with(7_i64).examine(1)).await, (1, false));
    assert_eq!(count(scan().with(77_i64)).await, (0, false));
}
