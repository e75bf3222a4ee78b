//! The kernel against an independent model, under random batches and scans.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod model;
mod scans;
mod source;
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use apportion::id::{IdSource, TimeOrderedIds};
use apportion::store::eval::Group;
use apportion::store::memory::MemoryStore;
use apportion::store::{
    Batch, Change, Cursor, Is, Key, Receipt, Record, Row, Scan, Schema, Store, StoreError, StoreExt, Table,
    Value, Verb,
};
use apportion::time::{ManualClock, Timestamp};
use futures_util::FutureExt as _;
use model::{Line, Model, Verdict, key};
use proptest::prelude::*;
use source::Plain;
use steps::{CHILDREN, Kind, Numbers, PARENTS, Step, Steps};

/// Every future of the reference store is ready at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

fn small() -> impl Strategy<Value = i64> {
    -1_i64..4
}

fn number() -> impl Strategy<Value = Option<i64>> {
    prop::option::weighted(0.7, small())
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let counter = prop::option::weighted(0.85, 0_i64..5);
    (number(), number(), number(), counter).prop_map(|(a, b, c, d)| [a, b, c, d])
}

fn off() -> impl Strategy<Value = i64> {
    prop_oneof![8 => Just(0_i64), 1 => Just(1), 1 => Just(-1)]
}

fn step() -> impl Strategy<Value = Step> {
    let value = || number().prop_map(Value::from);
    let test = (0_usize..4, small()).prop_flat_map(|(at, number)| {
        let number = Value::Int(number);
        let tests =
            vec![Is::Null, Is::NotNull, Is::Eq(number.clone()), Is::Ge(number.clone()), Is::Lt(number)];
        (Just(at), prop::sample::select(tests))
    });
    let change = prop_oneof![
        (-2_i64..3).prop_map(Change::Add),
        value().prop_map(Change::Set),
        small().prop_map(|number| Change::Max(number.into())),
    ];
    prop_oneof![
        3 => numbers().prop_map(Step::Insert),
        1 => numbers().prop_map(Step::Ensure),
        4 => (off(), prop::array::uniform3(prop::option::of(number()))).prop_map(|(off, set)| Step::Update(off, set)),
        3 => off().prop_map(Step::Delete),
        1 => off().prop_map(Step::Guard),
        3 => (-2_i64..4, any::<bool>()).prop_map(|(by, admit)| Step::Adjust(by, admit)),
        2 => (prop::option::of(test), change).prop_map(|(test, change)| Step::Patch(test, change)),
    ]
}

fn steps() -> impl Strategy<Value = Steps> {
    let kind = prop::sample::select(vec![Kind::Parent, Kind::Child]);
    let steps = prop::collection::vec((kind, 0_i64..4, step()), 1..5);
    (steps, prop::bool::weighted(0.9)).prop_map(|(mut steps, once)| {
        let mut seen = Vec::new();
        steps.retain(|(kind, id, step)| {
            let again = seen.contains(&(*kind, *id));
            seen.push((*kind, *id));
            !once || !again || matches!(step, Step::Adjust(..))
        });
        steps
    })
}

/// Every life begins with all rows there.
fn beginning() -> Steps {
    let parents = (0..4).map(|id| (Kind::Parent, id, Step::Insert([Some(id), Some(3), None, Some(0)])));
    let children = (0..4)
        .map(|id| (Kind::Child, id, Step::Insert([Some(id), None, Some(0), (id > 0).then_some(id + 5)])));
    parents.chain(children).collect()
}

/// What is sent to a store: a new batch, or once more one that was sent before.
#[derive(Clone, Debug)]
enum Sent {
    New(Steps),
    Again(prop::sample::Index),
}

fn life() -> impl Strategy<Value = Vec<Sent>> {
    let sent = prop_oneof![
        8 => steps().prop_map(Sent::New),
        1 => any::<prop::sample::Index>().prop_map(Sent::Again),
    ];
    prop::collection::vec(sent, 1..40).prop_map(|mut life| {
        life.insert(0, Sent::New(beginning()));
        life
    })
}

/// A batch as it was sent, and what the model says of it.
struct Judged {
    batch: Batch,
    verdict: Verdict,
    repeated: bool,
}

/// Lets the model live through it.
fn lived(life: Vec<Sent>) -> (Vec<Judged>, Model) {
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let ids = TimeOrderedIds::seeded(clock, 1);
    let mut model = Model::default();
    let mut sent: Vec<(Batch, Steps, Model, bool)> = Vec::new();
    let mut judged = Vec::new();
    for one in life {
        let at = match one {
            Sent::Again(index) if !sent.is_empty() => index.index(sent.len()),
            Sent::Again(_) => continue,
            Sent::New(steps) => {
                let batch = model.batch(ids.next_id(), &steps);
                sent.push((batch, steps, model.clone(), false));
                sent.len() - 1
            }
        };
        let (batch, steps, decided, done) = &mut sent[at];
        let repeated = *done;
        let verdict = if repeated { Verdict::Done(Vec::new()) } else { model.judge(decided, steps) };
        *done |= matches!(verdict, Verdict::Done(_));
        judged.push(Judged { batch: batch.clone(), verdict, repeated });
    }
    (judged, model)
}

fn agree(judged: &Judged, answer: &Result<Receipt, StoreError>) -> Result<(), TestCaseError> {
    match (&judged.verdict, answer) {
        (Verdict::Done(_), Ok(receipt)) => prop_assert_eq!(receipt.repeated, judged.repeated),
        (Verdict::Invalid, Err(StoreError::Invalid { .. })) => {}
        (Verdict::Refused(at, cause), Err(StoreError::Refused(refusal))) => {
            prop_assert_eq!((at, cause), (&refusal.write, &refusal.cause));
        }
        (verdict, answer) => {
            return Err(TestCaseError::fail(format!("the model says {verdict:?}, the kernel {answer:?}")));
        }
    }
    Ok(())
}

fn line(row: &Row) -> ((Kind, i64), Line) {
    let kind = if row.table().name == PARENTS.name { Kind::Parent } else { Kind::Child };
    let mut numbers = Numbers::default();
    for (at, place) in numbers.iter_mut().enumerate() {
        *place = row.opt_int(kind.column(at)).unwrap();
    }
    let (revision, version) = (row.revision(), row.version());
    ((kind, row.int("id").unwrap()), Line { numbers, revision, version })
}

fn stored(store: &MemoryStore) -> Model {
    let tables: [&'static Table; 2] = [&PARENTS, &CHILDREN];
    let rows = tables.iter().flat_map(|table| now(store.scan_all(Scan::of(table).limit(3))).unwrap());
    Model(rows.map(|row| line(&row)).collect())
}

/// The columns of a row as the feed told them, its revision and its version.
type Told = (BTreeMap<&'static str, Value>, i64, i64);

/// Only what the feed tells.
fn replayed<'r>(records: impl Iterator<Item = &'r Record>) -> Model {
    let mut rows: BTreeMap<(&'static str, Key), Told> = BTreeMap::new();
    for change in records.flat_map(|record| &record.changes) {
        let place = (change.table, change.key.clone());
        if change.verb == Verb::Delete {
            rows.remove(&place);
            continue;
        }
        let row = rows.entry(place).or_default();
        row.0.extend(change.columns.iter().cloned());
        (row.1, row.2) = (change.revision, change.version);
    }
    let rows = rows.into_iter().map(|((table, _), (columns, revision, version))| {
        let table = if table == PARENTS.name { &PARENTS } else { &CHILDREN };
        let values = table.columns.iter().map(|column| columns[column.name].clone()).collect();
        line(&Row::from_parts(table, values, revision, version).unwrap())
    });
    Model(rows.collect())
}

fn feed(store: &MemoryStore) -> Vec<Arc<Record>> {
    let (mut after, mut records) = (Cursor::START, Vec::new());
    loop {
        let page = now(store.changes(after, 7)).unwrap();
        if page.records.is_empty() {
            return records;
        }
        after = page.next;
        records.extend(page.records);
    }
}

fn open() -> MemoryStore {
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    MemoryStore::new(&[&PARENTS, &CHILDREN], clock).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Accepted and refused alike, for the same reason; the same rows, the same feed, and the feed gives the rows.
    #[test]
    fn the_reference_store_and_the_model_live_the_same_life(life in life()) {
        let (judged, model) = lived(life);
        let store = open();
        for one in &judged {
            agree(one, &now(store.commit(one.batch.clone())))?;
        }
        prop_assert_eq!(&stored(&store), &model);
        let records = feed(&store);
        let told: Vec<_> = records.iter().map(|record| record.changes.clone()).collect();
        let expected: Vec<_> = judged.iter().filter_map(|one| match &one.verdict {
            Verdict::Done(changes) if !changes.is_empty() => Some(changes.clone()),
            _ => None,
        }).collect();
        prop_assert_eq!(told, expected);
        prop_assert!(records.iter().zip(1..).all(|(record, position)| record.position == position));
        prop_assert_eq!(replayed(records.iter().map(Arc::as_ref)), model);
    }

    /// Whatever is committed together: each member is judged as if those before it had been committed alone.
    #[test]
    fn a_group_is_judged_as_its_members_one_by_one(
        life in life(),
        sizes in prop::collection::vec(1_usize..9, 1..40),
    ) {
        let (judged, model) = lived(life);
        let mut plain = Plain::new(Schema::new(&[&PARENTS, &CHILDREN]).unwrap());
        let mut rest = judged.as_slice();
        for size in sizes.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (members, later) = rest.split_at(size.min(rest.len()));
            rest = later;
            let mut group = Group::new(&plain.schema, &plain, Timestamp::EPOCH, Some(plain.head()));
            for one in members {
                let prepared = plain.schema.prepare(one.batch.clone());
                agree(one, &prepared.and_then(|prepared| group.judge(&prepared)))?;
            }
            let effects = group.finish();
            plain.apply(effects);
        }
        let rows = plain.rows.values().map(|row| line(row)).collect();
        prop_assert_eq!(Model(rows), model);
        let store = open();
        for one in judged {
            drop(now(store.commit(one.batch)));
        }
        let alone: Vec<Record> = feed(&store).iter().map(|record| Record::clone(record)).collect();
        prop_assert_eq!(plain.records, alone);
    }
}

#[test]
fn the_random_lives_meet_every_verdict() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..300 {
        let life = life().new_tree(&mut runner).unwrap().current();
        for one in lived(life).0 {
            let name = match one.verdict {
                Verdict::Done(_) if one.repeated => "repeated".into(),
                Verdict::Done(_) => "done".into(),
                Verdict::Invalid => "invalid".into(),
                Verdict::Refused(_, cause) => cause.code().to_owned(),
            };
            *met.entry(name).or_default() += 1;
        }
    }
    for name in [
        "done",
        "repeated",
        "invalid",
        "missing",
        "conflict",
        "test_failed",
        "duplicate",
        "no_parent",
        "still_referenced",
        "invariant",
        "ceiling",
        "overflow",
    ] {
        assert!(met.get(name).is_some_and(|count| *count >= 20), "hardly ever {name}: {met:?}");
    }
    assert_eq!(key(1), Key::new([Value::Int(1)]));
}
