use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::chain::{Verifier, beginning_bytes, hex, line_bytes, line_hash, link_hash, next_link};
use super::*;
use crate::entity::{LOG_SEALS, LOGS, LogSeal, TABLES};
use crate::plane::{NewUser, Options};
use crate::store::memory::MemoryStore;
use crate::store::{Batch, NewRow, Prune, Scan, Store as _, Value, Write};
use crate::time::{ManualClock, Timestamp};

/// A trail as values: what a store would hold.
#[derive(Clone, Debug, Default)]
struct Trail {
    lines: BTreeMap<Uuid, Vec<Value>>,
    seals: Vec<LogSeal>,
    head: Option<Anchor>,
}

fn line(number: u128, title: &str) -> (Uuid, Vec<Value>) {
    let id = Uuid::from_u128(number);
    let at = Timestamp::from_micros(1_700_000_000_000_000);
    let mut values = vec![Value::Null; 10];
    (values[0], values[1], values[8], values[9]) = (id.into(), title.into(), at.into(), "done".into());
    (id, values)
}

impl Trail {
    fn of(titles: &[String]) -> Self {
        let mut trail = Self::default();
        // Ids that are in another order than the chain.
        for (number, title) in (1..).zip(titles) {
            let (id, values) = line(1_000 - number, title);
            trail.lines.insert(id, values);
            trail.seal(id, i64::try_from(number).unwrap() * 2);
        }
        trail
    }

    fn end(&self) -> Anchor {
        self.head.clone().unwrap_or_else(Anchor::none)
    }

    fn seal(&mut self, id: Uuid, position: i64) {
        let seal = next_link(&self.end(), id, position, &line_bytes(&self.lines[&id])).unwrap();
        self.head = Some(Anchor::new(seal.sequence, seal.hash.clone()));
        self.seals.push(seal);
    }

    /// Makes all links from one on anew, as somebody would who knows the format.
    fn forge(&mut self, from: usize) {
        let old = self.seals.split_off(from);
        self.head = self.seals.last().map(|seal| Anchor::new(seal.sequence, seal.hash.clone()));
        for seal in old {
            self.seal(seal.log_id.uuid(), seal.position);
        }
    }

    fn verify(&self, anchor: Option<Anchor>) -> AuditVerification {
        let mut verifier = Verifier::new(anchor);
        let mut seals: Vec<_> = self.seals.iter().collect();
        seals.sort_by_key(|seal| seal.sequence);
        for seal in seals {
            verifier.link(seal, self.lines.get(&seal.log_id.uuid()).map(Vec::as_slice));
        }
        let sealed = |id: &Uuid| self.seals.iter().any(|seal| seal.log_id.uuid() == *id);
        let strays: Vec<_> = self.lines.iter().filter(|(id, _)| !sealed(id)).collect();
        let strays: Vec<_> = strays.into_iter().map(|(id, values)| (*id, line_hash(values))).collect();
        verifier.finish(&self.end(), &strays)
    }
}

fn titles(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("line {number}")).collect()
}

#[test]
fn the_format_is_the_documented_one() {
    let (id, mut values) = line(7, "user.create");
    values[2] = "Ä".into();
    let text = |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let null = [255_u8; 4].to_vec();
    let expected = [
        text("00000000-0000-0000-0000-000000000007"),
        text("user.create"),
        text("Ä"),
        [null.clone(), null.clone(), null.clone(), null.clone(), null].concat(),
        text("1700000000000000"),
        text("done"),
    ]
    .concat();
    assert_eq!(line_bytes(&values), expected);
    let before = [&[0; 32][..], &[0, 0, 0, 0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 0, 1, 0], &expected].concat();
    let seal = next_link(&Anchor::none(), id, 256, &expected).unwrap();
    assert_eq!(seal.hash, crate::identity::sha256_hex(&before));
    assert_eq!(seal.hash, hex(link_hash([0; 32], 1, 256, &expected)));
}

#[test]
fn a_length_belongs_to_its_column() {
    // Without lengths these two lines would have the same bytes.
    let (_, mut one) = line(1, "ab");
    let mut other = one.clone();
    (one[2], other[1], other[2]) = ("c".into(), "a".into(), "bc".into());
    assert_ne!(line_bytes(&one), line_bytes(&other));
    other[1..3].clone_from_slice(&[Value::from(""), Value::Null]);
    one[1..3].clone_from_slice(&[Value::Null, Value::from("")]);
    assert_ne!(line_bytes(&one), line_bytes(&other), "nothing is not the empty text");
}

#[test]
fn what_was_not_touched_is_clean() {
    for count in 0..4 {
        let trail = Trail::of(&titles(count));
        let found = trail.verify(Some(trail.end()));
        assert!(found.is_clean(), "{found:?}");
        assert_eq!((found.lines, found.head), (u64::try_from(count).unwrap(), trail.end()));
        assert!(trail.verify(Some(Anchor::none())).is_clean(), "every chain begins empty");
    }
}

/// What is done to the trail, and what has to be found first.
type Tampering = (&'static str, fn(&mut Trail), AuditFinding);

#[test]
fn each_tampering_is_named() {
    let log = |number: u128| Uuid::from_u128(1_000 - number).into();
    let table: [Tampering; 9] = [
        (
            "a line is edited",
            |trail| trail.lines.get_mut(&Uuid::from_u128(998)).unwrap()[1] = "other".into(),
            AuditFinding::Altered { sequence: 2, log: log(2) },
        ),
        (
            "a line is deleted",
            |trail| drop(trail.lines.remove(&Uuid::from_u128(998))),
            AuditFinding::Deleted { sequence: 2, log: log(2) },
        ),
        (
            "two lines change places",
            |trail| {
                let (one, other) = (trail.seals[1].log_id, trail.seals[2].log_id);
                (trail.seals[1].log_id, trail.seals[2].log_id) = (other, one);
            },
            AuditFinding::Altered { sequence: 2, log: log(3) },
        ),
        (
            "a link goes back in the feed",
            |trail| {
                trail.seals[2].position = 1;
                trail.forge(2);
            },
            AuditFinding::Reordered { sequence: 3 },
        ),
        (
            "a link is deleted",
            |trail| drop(trail.seals.remove(1)),
            AuditFinding::MissingSeals { from: 2, until: 3 },
        ),
        (
            "the end is cut off",
            |trail| drop(trail.seals.pop()),
            AuditFinding::WrongHead { count: 4, found: 3 },
        ),
        (
            "a link is added beyond the head",
            |trail| {
                let head = trail.head.clone();
                let (id, values) = line(1, "more");
                trail.lines.insert(id, values);
                trail.seal(id, 100);
                trail.head = head;
            },
            AuditFinding::WrongHead { count: 4, found: 5 },
        ),
        (
            "the head has another hash",
            |trail| trail.head = Some(Anchor::new(4, "0".repeat(64))),
            AuditFinding::WrongHead { count: 4, found: 4 },
        ),
        (
            "a line is inserted past the store",
            |trail| trail.lines.extend([line(1, "more")]),
            AuditFinding::Inserted { log: Uuid::from_u128(1).into() },
        ),
    ];
    for (what, tamper, finding) in table {
        let mut trail = Trail::of(&titles(4));
        tamper(&mut trail);
        assert_eq!(trail.verify(None).findings.first(), Some(&finding), "{what}");
    }
}

#[test]
fn only_an_anchor_finds_a_chain_that_was_made_anew() {
    let mut trail = Trail::of(&titles(5));
    let anchors: Vec<Anchor> =
        trail.seals.iter().map(|seal| Anchor::new(seal.sequence, seal.hash.clone())).collect();
    trail.lines.get_mut(&Uuid::from_u128(997)).unwrap()[1] = "other".into();
    trail.forge(2);
    assert!(trail.verify(None).is_clean(), "the database alone cannot tell");
    for anchor in anchors {
        let count = anchor.count;
        let findings = trail.verify(Some(anchor)).findings;
        let expected = if count < 3 { vec![] } else { vec![AuditFinding::WrongAnchor { count }] };
        assert_eq!(findings, expected, "anchored at {count}");
    }
}

#[test]
fn only_an_anchor_finds_an_end_that_was_cut_off_together_with_the_head() {
    let mut trail = Trail::of(&titles(5));
    let anchor = trail.end();
    let gone = trail.seals.pop().unwrap();
    trail.lines.remove(&gone.log_id.uuid());
    trail.head = Some(Anchor::new(4, trail.seals[3].hash.clone()));
    assert!(trail.verify(None).is_clean());
    assert_eq!(trail.verify(Some(anchor)).findings, [AuditFinding::WrongAnchor { count: 5 }]);
}

#[test]
fn a_beginning_seals_the_lines_from_before_it() {
    let mut trail = Trail::default();
    trail.lines.extend([line(1, "one"), line(2, "two")]);
    let before: Vec<_> = trail.lines.values().map(|values| line_hash(values)).collect();
    let first = next_link(&Anchor::none(), Uuid::nil(), 9, &beginning_bytes(&before)).unwrap();
    trail.head = Some(Anchor::new(1, first.hash.clone()));
    trail.seals.push(first);
    let (id, values) = line(3, "three");
    trail.lines.insert(id, values);
    trail.seal(id, 10);
    assert!(trail.verify(Some(trail.end())).is_clean());
    for tamper in [
        (|trail| drop(trail.lines.remove(&Uuid::from_u128(1)))) as fn(&mut Trail),
        |trail| trail.lines.get_mut(&Uuid::from_u128(2)).unwrap()[1] = "other".into(),
        |trail| trail.lines.extend([line(4, "more")]),
    ] {
        let mut trail = trail.clone();
        tamper(&mut trail);
        assert_eq!(trail.verify(None).findings, [AuditFinding::AlteredBeforeBeginning]);
    }
}

proptest! {
    #[test]
    fn any_single_tampering_is_found(
        titles in prop::collection::vec("[a-c]{0,3}", 2..12),
        how in 0..9_usize,
        at in any::<prop::sample::Index>(),
        column in 1..10_usize,
    ) {
        let mut trail = Trail::of(&titles);
        prop_assert!(trail.verify(Some(trail.end())).is_clean());
        let at = at.index(titles.len());
        let next = (at + 1) % titles.len();
        let id = trail.seals[at].log_id.uuid();
        let other = trail.seals[next].log_id.uuid();
        match how {
            0 => trail.lines.get_mut(&id).unwrap()[column] = "x".into(),
            1 => drop(trail.lines.remove(&id)),
            2 => drop(trail.seals.remove(at)),
            3 => trail.seals[at].position += 1,
            4 => trail.seals[at].hash = hex([7; 32]),
            5 => trail.seals[at].log_id = other.into(),
            6 => {
                let (one, two) = (trail.seals[at].sequence, trail.seals[next].sequence);
                (trail.seals[at].sequence, trail.seals[next].sequence) = (two, one);
            }
            7 => trail.head = Some(Anchor::new(trail.end().count + 1, trail.end().hash)),
            _ => trail.lines.extend([line(5, "more")]),
        }
        prop_assert!(!trail.verify(None).is_clean(), "{how} at {at}");
    }
}

fn plane() -> (ControlPlane, Arc<MemoryStore>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let store = Arc::new(MemoryStore::new(TABLES, clock).unwrap());
    (ControlPlane::with(store.clone(), Options::default()), store)
}

async fn users(plane: &ControlPlane, numbers: std::ops::Range<u32>) {
    for number in numbers {
        plane.create_user(NewUser::new(format!("user-{number}@example.org"), "Ada")).await.unwrap();
    }
}

#[tokio::test]
async fn lines_are_sealed_once_in_the_order_of_the_feed() {
    let (plane, store) = plane();
    assert_eq!(plane.audit_head().await.unwrap(), Anchor::none());
    assert!(plane.verify_audit(None).await.unwrap().is_clean());
    users(&plane, 0..10).await;
    assert!(plane.verify_audit(None).await.unwrap().is_clean(), "what waits in the feed is no finding");
    let first = plane.seal_audit(4).await.unwrap();
    assert_eq!((first.lines, first.head.count, first.lag, first.begins_at), (4, 4, 6, None));
    assert!(plane.verify_audit(Some(first.head.clone())).await.unwrap().is_clean());
    let second = plane.seal_audit(1_000).await.unwrap();
    assert_eq!((second.lines, second.head.count, second.lag), (6, 10, 0));
    let idle = plane.seal_audit(1_000).await.unwrap();
    assert_eq!((idle.lines, &idle.head), (0, &second.head));
    let found = plane.verify_audit(Some(second.head.clone())).await.unwrap();
    assert!(found.is_clean() && found.lines == 10, "{found:?}");
    assert!(plane.verify_audit(Some(first.head)).await.unwrap().is_clean());
    assert_eq!(plane.audit_head().await.unwrap(), second.head);
    let positions: Vec<i64> = store
        .scan_all(Scan::of(&LOG_SEALS))
        .await
        .unwrap()
        .iter()
        .map(|seal| seal.int("position").unwrap())
        .collect();
    assert_eq!(positions, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_line_or_a_link_that_is_deleted_in_the_store_is_found() {
    for (table, finding) in [(&LOGS, "Deleted"), (&LOG_SEALS, "MissingSeals")] {
        let (plane, store) = plane();
        users(&plane, 0..5).await;
        plane.seal_audit(1_000).await.unwrap();
        let seal =
            store.get(&LOG_SEALS, crate::store::Key::new([2_i64.into()])).await.unwrap().value.unwrap();
        let key = if table.name == LOGS.name { seal.id::<()>("log_id").unwrap().into() } else { seal.key() };
        let batch = Batch::new(plane.ids.next_id(), "tamper").with(Write::delete(table, key, 1));
        store.commit(batch).await.unwrap();
        let found = plane.verify_audit(None).await.unwrap();
        assert!(format!("{:?}", found.findings).contains(finding), "{found:?}");
    }
}

#[tokio::test]
async fn what_is_not_sealed_is_not_pruned() {
    let (plane, store) = plane();
    users(&plane, 0..5).await;
    plane.seal_audit(3).await.unwrap();
    assert_eq!(store.prune(Prune::up_to(5)).await.unwrap().low_water, 3);
    plane.seal_audit(1_000).await.unwrap();
    assert!(plane.verify_audit(None).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_chain_over_a_pruned_feed_says_where_it_begins_and_seals_what_was_there() {
    let (plane, store) = plane();
    users(&plane, 0..5).await;
    store.prune(Prune::up_to(3)).await.unwrap();
    let sealed = plane.seal_audit(1_000).await.unwrap();
    assert_eq!((sealed.begins_at, sealed.lines, sealed.head.count), (Some(5), 0, 1));
    users(&plane, 5..8).await;
    let sealed = plane.seal_audit(1_000).await.unwrap();
    assert_eq!((sealed.begins_at, sealed.lines, sealed.head.count), (None, 3, 4));
    assert!(plane.verify_audit(Some(sealed.head)).await.unwrap().is_clean());
    let old = store.scan(Scan::of(&LOGS).limit(1)).await.unwrap().value.rows.remove(0);
    let batch = Batch::new(plane.ids.next_id(), "tamper").with(Write::delete(&LOGS, old.key(), 1));
    store.commit(batch).await.unwrap();
    let found = plane.verify_audit(None).await.unwrap();
    assert_eq!(found.findings, [AuditFinding::AlteredBeforeBeginning]);
}

#[tokio::test]
async fn a_record_with_more_lines_than_a_batch_takes_is_sealed_in_parts() {
    let (plane, store) = plane();
    let mut batch = Batch::new(plane.ids.next_id(), "many");
    for _ in 0..4_096 {
        let row =
            NewRow::new(&LOGS).set("id", plane.new_id()).set("title", "x").set("timestamp", Timestamp::EPOCH);
        batch.push(Write::Insert(row));
    }
    store.commit(batch).await.unwrap();
    users(&plane, 0..1).await;
    let lines: Vec<u64> = [
        plane.seal_audit(1_000).await.unwrap(),
        plane.seal_audit(1_000).await.unwrap(),
        plane.seal_audit(1_000).await.unwrap(),
    ]
    .iter()
    .map(|sealed| sealed.lines)
    .collect();
    assert_eq!(lines, [4_000, 96, 1]);
    let found = plane.verify_audit(None).await.unwrap();
    assert!(found.is_clean() && found.lines == 4_097, "{found:?}");
}
