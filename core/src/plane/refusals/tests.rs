use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::entity::{Log, TABLES};
use crate::identity::{Caller, Origin};
use crate::store::Scan;
use crate::store::memory::MemoryStore;
use crate::time::ManualClock;

struct World {
    plane: ControlPlane,
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let store = Arc::new(MemoryStore::new(TABLES, clock.clone()).unwrap());
        Self { plane: ControlPlane::new(store.clone()), store, clock }
    }

    fn acting(&self, caller: Caller) -> ControlPlane {
        let mut plane = self.plane.within(self.store.clone());
        (plane.caller, plane.unsettled) = (Arc::new(caller), None);
        plane
    }

    /// Title and count of every line, in the order of titles.
    async fn lines(&self) -> Vec<(String, i64)> {
        let mut lines = Vec::new();
        for row in self.store.scan_all(Scan::of(&LOGS)).await.unwrap() {
            assert_eq!(row.text("outcome").unwrap(), "refused");
            let count = self.store.get(&REFUSAL_COUNTS, row.key()).await.unwrap().value.unwrap();
            lines.push((row.text("title").unwrap().to_owned(), count.int("refusals").unwrap()));
        }
        lines.sort();
        lines
    }
}

fn refused(operation: &'static str, user: Option<UserId>) -> Refusal<'static> {
    Refusal { operation, subject: user.map(|user| ("user", user.uuid())), user }
}

fn somebody(number: u128) -> UserId {
    UserId::new(Uuid::from_u128(number))
}

#[tokio::test]
async fn the_first_refusal_of_a_minute_is_written_and_the_others_are_counted() {
    let world = World::new();
    for _ in 0..1_000 {
        world.plane.note_refusal(refused("session.login", Some(somebody(1)))).await;
    }
    assert_eq!(world.lines().await, [("session.login".to_owned(), 1)]);
    assert_eq!(world.plane.flush_refusals().await.unwrap(), 999);
    assert_eq!(world.plane.flush_refusals().await.unwrap(), 0);
    assert_eq!(world.lines().await, [("session.login".to_owned(), 1_000)]);
}

#[tokio::test]
async fn what_was_counted_is_written_with_the_first_line_after_the_minute() {
    let world = World::new();
    for _ in 0..5 {
        world.plane.note_refusal(refused("a", Some(somebody(1)))).await;
    }
    world.clock.advance(Duration::from_mins(1));
    world.plane.note_refusal(refused("b", None)).await;
    assert_eq!(world.lines().await, [("a".to_owned(), 5), ("b".to_owned(), 1)]);
    assert_eq!(world.plane.refusals.lock().len(), 1, "the minute that is over is forgotten");
}

#[tokio::test]
async fn processes_write_one_line_and_their_counts_add_up() {
    let world = World::new();
    let other = ControlPlane::new(world.store.clone());
    for plane in [&world.plane, &other, &other] {
        plane.note_refusal(refused("a", None)).await;
        plane.flush_refusals().await.unwrap();
    }
    assert_eq!(world.lines().await, [("a".to_owned(), 3)]);
}

#[tokio::test]
async fn the_line_says_who_was_refused_what_on_what_and_from_where() {
    let world = World::new();
    let caller = Caller::trusted(somebody(7)).from(Origin::ip("192.0.2.7".parse().unwrap()).host("h"));
    world.acting(caller).note_refusal(refused("a", Some(somebody(8)))).await;
    let rows = world.store.scan_all(Scan::of(&LOGS)).await.unwrap();
    let log = <Log as crate::entity::Entity>::from_row(&rows[0]).unwrap();
    assert_eq!((log.actor_id, log.subject_id), (Some(somebody(7)), Some(Uuid::from_u128(8))));
    assert_eq!((log.ip.unwrap().to_string(), log.host.unwrap()), ("192.0.2.7".into(), "h".into()));
    assert_eq!((log.outcome, log.id.uuid().get_version_num()), (LogOutcome::Refused, 8));
}

#[tokio::test]
async fn actor_subject_and_stranger_have_lines_of_their_own() {
    let world = World::new();
    world.acting(Caller::trusted(somebody(1))).note_refusal(refused("a", None)).await;
    world.plane.note_refusal(refused("a", Some(somebody(1)))).await;
    world.plane.note_refusal(refused("a", None)).await;
    world.plane.note_refusal(refused("a", None)).await;
    world.plane.flush_refusals().await.unwrap();
    let mut counts: Vec<i64> = world.lines().await.into_iter().map(|(_, count)| count).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 2]);
}

#[tokio::test]
async fn a_table_that_is_full_counts_the_others_in_one_line() {
    let world = World::new();
    for number in 0..1_500 {
        world.plane.note_refusal(refused("a", Some(somebody(number)))).await;
    }
    world.plane.flush_refusals().await.unwrap();
    let lines = world.lines().await;
    assert_eq!(lines.len(), MAX_LINES + 1);
    assert_eq!(lines.last(), Some(&(OTHERS.to_owned(), 476)));
}

#[tokio::test]
async fn inside_a_transaction_refusals_are_counted_and_written_later() {
    let world = World::new();
    let inside = world.plane.within(world.store.clone());
    inside.note_refusal(refused("a", None)).await;
    assert!(inside.flush_refusals().await.is_err());
    assert_eq!(world.lines().await, []);
    world.plane.note_refusal(refused("b", None)).await;
    assert_eq!(world.lines().await, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
}

#[tokio::test]
async fn what_could_not_be_written_is_kept() {
    let world = World::new();
    let mut plane = ControlPlane::new(world.store.clone());
    plane.deadline = Some(Duration::ZERO);
    let key = LineKey { minute: 1, who: Who::Nobody, operation: "a" };
    let row = |key: LineKey| plane.refused_line(key, &refused("a", None), &Origin::unknown(), Timestamp::EPOCH);
    assert!(plane.refusals.count(key, row) && plane.refusals.count(key, row));
    let taken = plane.refusals.take(1, false);
    assert!(!plane.refusals.count(key, row), "it is being written");
    plane.refusals.give_back(taken);
    assert!(plane.refusals.count(key, row), "it has still to be written");
    assert_eq!(plane.refusals.take(1, false)[0].1.more, 4);
}
