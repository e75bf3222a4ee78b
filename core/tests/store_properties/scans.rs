//! Scans, against a filter and a sort.

use std::ops::Bound;
use std::sync::Arc;

use apportion::id::{IdSource, TimeOrderedIds};
use apportion::store::memory::MemoryStore;
use apportion::store::{
    Batch, Column, Index, Is, MAX_EXAMINED, NewRow, Row, Scan, StoreExt, Table, Test, Unique, Value, Write,
};
use apportion::time::{ManualClock, Timestamp};
use proptest::prelude::*;

use crate::now;

static ITEMS: Table = Table::new(
    "items",
    &[
        Column::int("id"),
        Column::text("name", 32).nullable(),
        Column::int("size").nullable(),
        Column::time("at").nullable(),
        Column::bool("on").nullable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("items_whole", &["on", "name", "size", "at"])])
.indexes(&[
    Index::new("items_name", &["name", "size"]),
    Index::new("items_at", &["at"]),
    Index::new("items_on", &["on", "at", "name"]),
]);

const ORDERS: [(Option<&str>, &[usize]); 5] = [
    (None, &[0]),
    (Some("items_whole"), &[4, 1, 2, 3, 0]),
    (Some("items_name"), &[1, 2, 0]),
    (Some("items_at"), &[3, 0]),
    (Some("items_on"), &[4, 3, 1, 0]),
];

/// A value of a column, out of few, so that rows share them.
fn value(column: usize) -> BoxedStrategy<Value> {
    let texts = ["", "a", "a\u{1}", "aa", "b", "\u{e9}", "\u{ffff}", "\u{10000}"];
    match column {
        0 => (0_i64..40).prop_map(Value::Int).boxed(),
        1 => prop::sample::select(texts.to_vec()).prop_map(Value::from).boxed(),
        2 => (-3_i64..3).prop_map(Value::Int).boxed(),
        3 => (-2_i64..3).prop_map(|at| Value::Time(Timestamp::from_micros(at))).boxed(),
        _ => any::<bool>().prop_map(Value::Bool).boxed(),
    }
}

fn perhaps(column: usize) -> BoxedStrategy<Value> {
    prop_oneof![3 => value(column), 1 => Just(Value::Null)].boxed()
}

fn end(column: usize) -> BoxedStrategy<Bound<Value>> {
    prop_oneof![
        value(column).prop_map(Bound::Included),
        value(column).prop_map(Bound::Excluded),
        Just(Bound::Unbounded),
    ]
    .boxed()
}

fn is(column: usize) -> BoxedStrategy<Is> {
    prop_oneof![
        Just(Is::Null),
        Just(Is::NotNull),
        perhaps(column).prop_map(Is::Eq),
        perhaps(column).prop_map(Is::Ne),
        perhaps(column).prop_map(Is::Lt),
        perhaps(column).prop_map(Is::Le),
        perhaps(column).prop_map(Is::Gt),
        perhaps(column).prop_map(Is::Ge),
        prop::collection::vec(perhaps(column), 0..3).prop_map(Is::In),
    ]
    .boxed()
}

/// A scan and the columns of its order.
fn scan() -> impl Strategy<Value = (&'static [usize], Scan)> {
    let order = prop::sample::select(ORDERS.to_vec());
    let shape = (order, any::<prop::sample::Index>(), any::<bool>(), prop::bool::weighted(0.5));
    shape.prop_flat_map(|((index, columns), fixed, descending, ranged)| {
        let fixed = fixed.index(columns.len());
        let prefix: Vec<_> = columns[..fixed].iter().map(|column| perhaps(*column)).collect();
        let range = if ranged {
            (end(columns[fixed]), end(columns[fixed])).boxed()
        } else {
            Just((Bound::Unbounded, Bound::Unbounded)).boxed()
        };
        let test = (0_usize..5).prop_flat_map(|column| (Just(column), is(column)));
        let tests = prop::collection::vec(test, 0..3);
        (prefix, range, tests, 1_u32..9, 1_u32..60).prop_map(move |(prefix, range, tests, limit, examine)| {
            let mut scan = Scan::of(&ITEMS).limit(limit).examine(examine);
            scan.index = index;
            scan.descending = descending;
            (scan.prefix, scan.range) = (prefix, range);
            for (column, is) in tests {
                scan = scan.test(Test::new(ITEMS.columns[column].name, is));
            }
            (columns, scan)
        })
    })
}

/// What the scan gives, by its definition.
fn by_hand(rows: &[Row], columns: &[usize], scan: &Scan) -> Vec<Row> {
    let place = |row: &Row| -> Vec<Value> { columns.iter().map(|at| row.values()[*at].clone()).collect() };
    let next = scan.prefix.len();
    let wanted = |row: &Row| {
        let place = place(row);
        let inside = match &scan.range {
            (Bound::Unbounded, Bound::Unbounded) => true,
            (from, to) => {
                let found = &place[next];
                let above = match from {
                    Bound::Included(from) => found >= from,
                    Bound::Excluded(from) => found > from,
                    Bound::Unbounded => true,
                };
                let below = match to {
                    Bound::Included(to) => found <= to,
                    Bound::Excluded(to) => found < to,
                    Bound::Unbounded => true,
                };
                above && below && *found != Value::Null
            }
        };
        inside && place[..next] == scan.prefix[..] && scan.tests.iter().all(|test| passes(row, test))
    };
    let mut found: Vec<Row> = rows.iter().filter(|row| wanted(row)).cloned().collect();
    found.sort_by_key(place);
    if scan.descending {
        found.reverse();
    }
    found
}

fn passes(row: &Row, test: &Test) -> bool {
    let found = row.get(test.column).unwrap();
    let (known, some) = (*found != Value::Null, |value: &Value| *value != Value::Null);
    match &test.is {
        Is::Null => !known,
        Is::NotNull => known,
        Is::Eq(value) => known && found == value,
        Is::Ne(value) => known && some(value) && found != value,
        Is::Lt(value) => known && some(value) && found < value,
        Is::Le(value) => known && some(value) && found <= value,
        Is::Gt(value) => known && some(value) && found > value,
        Is::Ge(value) => known && some(value) && found >= value,
        Is::In(values) => known && values.contains(found),
        other => panic!("an unknown test {other:?}"),
    }
}

/// A store with these rows; those whose unique key is taken stay out.
fn filled(rows: Vec<Vec<Value>>) -> MemoryStore {
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let ids = TimeOrderedIds::seeded(Arc::<ManualClock>::clone(&clock), 1);
    let store = MemoryStore::new(&[&ITEMS], clock).unwrap();
    for (id, values) in (0_i64..).zip(rows) {
        let columns = ITEMS.columns.iter().skip(1).zip(values);
        let row = columns
            .fold(NewRow::new(&ITEMS).set("id", id), |row, (column, value)| row.set(column.name, value));
        drop(now(store.commit(Batch::new(ids.next_id(), "fill").with(Write::Insert(row)))));
    }
    store
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_scan_gives_what_a_filter_and_a_sort_give(
        rows in prop::collection::vec((1_usize..5).map(perhaps).collect::<Vec<_>>(), 0..40),
        scans in prop::collection::vec(scan(), 1..12),
    ) {
        let store = filled(rows);
        let all = now(store.scan_all(Scan::of(&ITEMS).limit(1000))).unwrap();
        for (columns, scan) in scans {
            let expected = by_hand(&all, columns, &scan);
            let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
            loop {
                let page = now(store.scan(scan.clone().after(after))).unwrap().value;
                prop_assert!(page.rows.len() <= scan.limit as usize);
                prop_assert!(page.rows.len() <= scan.examine as usize);
                found.extend(page.rows);
                pages += 1;
                after = page.next;
                if after.is_none() {
                    break;
                }
                prop_assert!(pages <= all.len(), "a page makes no headway: {:?}", scan);
            }
            prop_assert_eq!(&found, &expected, "{:?}", scan);
            let whole = now(store.count(scan.clone().examine(MAX_EXAMINED))).unwrap().value;
            prop_assert_eq!((whole.rows, whole.capped), (expected.len() as u64, false));
            let part = now(store.count(scan)).unwrap().value;
            prop_assert!(part.rows <= whole.rows && (part.capped || part.rows == whole.rows));
        }
    }
}
