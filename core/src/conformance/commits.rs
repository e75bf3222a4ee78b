//! Chapter "Commits": order, ids, receipts.

use std::time::Duration;

use uuid::Uuid;

use super::tables::{BEATS, SEATS, THINGS};
use super::world::{World, thing};
use crate::store::{
    Batch, Cause, Fingerprint, IdProblem, NewRow, RECEIPT_RETENTION, Receipt, Resolution, StoreError,
    StoreExt, Value, Write,
};

fn rename(id: Uuid, revision: i64) -> Write {
    let name = format!("after {revision}");
    Write::update(&THINGS, id, revision, vec![("name", Value::from(name))])
}

fn why(answer: &Result<Receipt, StoreError>) -> Option<IdProblem> {
    match answer {
        Err(StoreError::UnusableId { why, .. }) => Some(*why),
        _ => None,
    }
}

impl World {
    async fn uses(&self, id: Uuid) -> i64 {
        self.row(&THINGS, id).await.int("uses").unwrap()
    }
}

pub(super) async fn commit_many_keeps_the_given_order(world: World) {
    let id = world.thing("row").await;
    assert_eq!(world.store.commit_many(Vec::new()).await.len(), 0);
    // Each can only follow the one before; every fourth is refused, and disturbs nobody.
    let mut group = Vec::new();
    for at in 0..40_i64 {
        let write = if at % 4 == 3 { Write::guard(&THINGS, id, -at) } else { rename(id, at - at / 4 + 1) };
        group.push(world.batch(vec![write]));
    }
    let ids: Vec<_> = group.iter().map(|batch| batch.id).collect();
    let answers = world.store.commit_many(group).await;
    assert_eq!(answers.len(), 40);
    let mut accepted = Vec::new();
    for (at, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(receipt) => {
                assert_eq!((receipt.batch, receipt.repeated), (ids[at], false));
                accepted.push(receipt.batch);
            }
            Err(error) => {
                let cause = error.refusal().map(|refusal| refusal.cause.clone());
                let at = i64::try_from(at).unwrap();
                let (found, expected) = (at - at / 4 + 1, -at);
                assert_eq!(cause, Some(Cause::Conflict { expected, found }));
            }
        }
    }
    assert_eq!(world.row(&THINGS, id).await.revision(), 31);
    let feed: Vec<_> = world.feed().await.iter().skip(1).map(|record| record.batch).collect();
    assert_eq!(feed, accepted);
    several_callers_keep_their_own_order(&world).await;
}

async fn several_callers_keep_their_own_order(world: &World) {
    let callers = (0..6).map(|_| {
        let world = world.clone();
        tokio::spawn(async move {
            let id = world.id();
            let mut group = vec![world.batch(vec![Write::Insert(thing(id, "row"))])];
            for revision in 1..20 {
                group.push(world.batch(vec![rename(id, revision)]));
            }
            group.push(world.batch(vec![Write::delete(&THINGS, id, 20)]));
            for answer in world.store.commit_many(group).await {
                answer.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    assert_eq!(world.all(&THINGS).await.len(), 1);
}

pub(super) async fn a_repeated_batch_has_one_effect(world: World) {
    let id = world.thing("row").await;
    let batch = world.batch(vec![Write::record(&THINGS, id, "uses", 1)]);
    let first = world.store.commit(batch.clone()).await.unwrap();
    assert!(!first.repeated);
    world.advance(Duration::from_mins(1));
    let repeated = Receipt { repeated: true, ..first };
    assert_eq!(world.store.commit(batch.clone()).await.unwrap(), repeated);
    assert_eq!(world.uses(id).await, 1);
    // In one group, beside another.
    let twice = world.batch(vec![Write::record(&THINGS, id, "uses", 10)]);
    let other = world.batch(vec![Write::record(&THINGS, id, "uses", 100)]);
    let group = vec![batch.clone(), twice.clone(), twice.clone(), other, twice];
    let answers = world.store.commit_many(group).await;
    let repeated: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().repeated).collect();
    assert_eq!(repeated, [true, false, true, false, true]);
    assert_eq!(world.uses(id).await, 111);
    // From several callers at once.
    let shared =
        world.batch(vec![Write::record(&THINGS, id, "uses", 1000), Write::Insert(thing(world.id(), "once"))]);
    let callers = (0..8).map(|_| {
        let (world, shared) = (world.clone(), shared.clone());
        tokio::spawn(async move { world.store.commit(shared).await.unwrap() })
    });
    let mut firsts = 0;
    for caller in callers.collect::<Vec<_>>() {
        firsts += i32::from(!caller.await.unwrap().repeated);
    }
    assert_eq!((firsts, world.uses(id).await), (1, 1111));
    // Where the same would be refused by now, and where only the fingerprint is the same.
    let fingerprint = Fingerprint::of(b"a request");
    let batch = world.batch(vec![Write::delete(&THINGS, id, 1)]).fingerprint(fingerprint);
    let first = world.store.commit(batch.clone()).await.unwrap();
    assert_eq!(first.fingerprint, fingerprint);
    let mut decided_again = batch.clone();
    decided_again.writes = vec![Write::Insert(thing(id, "never"))];
    for again in [batch, decided_again] {
        let repeated = Receipt { repeated: true, ..first };
        assert_eq!(world.store.commit(again).await.unwrap(), repeated);
    }
    assert_eq!(world.find(&THINGS, id).await, None);
    let ids: Vec<_> = world.feed().await.iter().map(|record| record.batch).collect();
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!((ids.len(), once.len()), (6, 6), "a repetition has a record of its own");
}

pub(super) async fn an_id_cannot_be_reused_for_another_request(world: World) {
    let id = world.thing("row").await;
    let batch = world.batch(vec![Write::record(&THINGS, id, "uses", 1)]);
    world.store.commit(batch.clone()).await.unwrap();
    let mut others = Vec::new();
    for write in [
        Write::record(&THINGS, id, "uses", 2),
        Write::admit(&THINGS, id, "uses", 1),
        Write::Insert(thing(world.id(), "other")),
    ] {
        let mut other = batch.clone();
        other.writes = vec![write];
        others.push(other);
    }
    let mut other = batch.clone();
    other.operation = "another".into();
    others.push(other);
    others.push(batch.clone().by(world.id()));
    others.push(batch.clone().fingerprint(Fingerprint::of(b"another request")));
    for other in others {
        let answer = world.store.commit(other).await;
        assert_eq!(why(&answer), Some(IdProblem::Reused), "{answer:?}");
    }
    // In one group, too.
    let first = world.batch(vec![Write::record(&THINGS, id, "uses", 10)]);
    let mut second = first.clone();
    second.writes = vec![Write::record(&THINGS, id, "uses", 100)];
    let answers = world.store.commit_many(vec![first, second]).await;
    assert!(answers[0].is_ok());
    assert_eq!(why(&answers[1]), Some(IdProblem::Reused));
    assert_eq!(world.uses(id).await, 11);
    assert_eq!(world.all(&THINGS).await.len(), 1);
}

pub(super) async fn an_id_older_than_receipts_is_refused(world: World) {
    let id = world.thing("row").await;
    let add = || vec![Write::record(&THINGS, id, "uses", 1)];
    let committed = world.batch(add());
    let receipt = world.store.commit(committed.clone()).await.unwrap();
    let (in_time, late, unknown) = (world.batch(add()), world.batch(add()), world.id());
    world.advance(RECEIPT_RETENTION.saturating_sub(Duration::from_secs(1)));
    world.store.commit(in_time).await.unwrap();
    world.advance(Duration::from_secs(2));
    let answer = world.store.commit(late.clone()).await;
    assert_eq!(why(&answer), Some(IdProblem::TooOld), "{answer:?}");
    let error = world.store.resolve(unknown).await.unwrap_err();
    assert!(matches!(error, StoreError::UnusableId { why: IdProblem::TooOld, .. }), "{error:?}");
    // One between others disturbs nobody.
    let answers = world.store.commit_many(vec![world.batch(add()), late, world.batch(add())]).await;
    assert!(answers[0].is_ok() && answers[2].is_ok() && why(&answers[1]) == Some(IdProblem::TooOld));
    assert_eq!(world.uses(id).await, 4);
    // A receipt that is still there is still good.
    let repeated = Receipt { repeated: true, ..receipt };
    assert_eq!(world.store.commit(committed).await.unwrap(), repeated);
}

pub(super) async fn resolve_finds_a_commit(world: World) {
    let id = world.id();
    for batch in [
        world.batch(vec![Write::Insert(thing(id, "row"))]),
        world.batch(vec![Write::Insert(NewRow::new(&BEATS).set("id", id))]),
        world.batch(vec![Write::guard(&THINGS, id, 1)]).fingerprint(Fingerprint::of(b"mine")),
    ] {
        let receipt = world.store.commit(batch.clone()).await.unwrap();
        assert_eq!(receipt.batch, batch.id);
        world.advance(Duration::from_secs(1));
        for _ in 0..2 {
            let found = world.store.resolve(batch.id).await.unwrap();
            assert_eq!(found, Resolution::Committed(receipt));
        }
        // Asking did not hinder a repetition.
        assert!(world.store.commit(batch).await.unwrap().repeated);
    }
}

pub(super) async fn resolve_makes_an_absent_commit_impossible(world: World) {
    let id = world.id();
    let batch = world.batch(vec![Write::Insert(thing(id, "never"))]);
    for _ in 0..2 {
        assert_eq!(world.store.resolve(batch.id).await.unwrap(), Resolution::NotCommitted);
    }
    for _ in 0..2 {
        let answer = world.store.commit(batch.clone()).await;
        assert_eq!(why(&answer), Some(IdProblem::Voided), "{answer:?}");
    }
    assert_eq!(world.store.resolve(batch.id).await.unwrap(), Resolution::NotCommitted);
    let answers =
        world.store.commit_many(vec![batch, world.batch(vec![Write::Insert(thing(world.id(), "other"))])]);
    let answers = answers.await;
    assert!(why(&answers[0]) == Some(IdProblem::Voided) && answers[1].is_ok(), "{answers:?}");
    assert_eq!(world.find(&THINGS, id).await, None);
    assert_eq!(world.feed().await.len(), 1);
    // Asked while the commit is under way, the two agree.
    for _ in 0..30 {
        let id = world.id();
        let batch = world.batch(vec![Write::Insert(thing(id, "raced"))]);
        let (asked, committing) = (batch.id, world.clone());
        let commit = tokio::spawn(async move { committing.store.commit(batch).await });
        let resolution = world.store.resolve(asked).await.unwrap();
        let answer = commit.await.unwrap();
        let there = world.find(&THINGS, id).await.is_some();
        match resolution {
            Resolution::Committed(receipt) => assert!(there && answer.unwrap() == receipt),
            Resolution::NotCommitted => {
                assert!(!there, "it happened after it was said that it never would");
                assert_eq!(why(&answer), Some(IdProblem::Voided), "{answer:?}");
            }
        }
    }
}

pub(super) async fn a_refused_batch_leaves_no_receipt(world: World) {
    let (id, taken) = (world.id(), world.id());
    let seat = |id| NewRow::new(&SEATS).set("id", id).set("badge", "one");
    world.ok(vec![Write::Insert(seat(taken))]).await;
    let batch = world.batch(vec![Write::Insert(seat(id))]);
    for _ in 0..2 {
        assert!(matches!(world.store.commit(batch.clone()).await, Err(StoreError::Refused(_))));
    }
    world.ok(vec![Write::delete(&SEATS, taken, 1)]).await;
    let receipt = world.store.commit(batch).await.unwrap();
    assert!(!receipt.repeated);
    assert!(world.find(&SEATS, id).await.is_some());
    // The same in one group; and what was malformed may be tried again, too.
    let late = world.batch(vec![Write::guard(&SEATS, id, 2)]);
    let update = world.batch(vec![Write::update(&SEATS, id, 1, vec![("place", Value::from(1_i64))])]);
    let answers = world.store.commit_many(vec![late.clone(), update, late.clone()]).await;
    let accepted: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [false, true, true], "{answers:?}");
    let malformed = Batch::new(world.id(), "test");
    assert!(world.store.commit(malformed.clone()).await.is_err());
    world.store.commit(malformed.with(Write::guard(&SEATS, id, 2))).await.unwrap();
    // A refused one can be resolved: it did not happen, and then never will.
    let refused = world.batch(vec![Write::guard(&SEATS, id, 7)]);
    assert!(world.store.commit(refused.clone()).await.is_err());
    assert_eq!(world.store.resolve(refused.id).await.unwrap(), Resolution::NotCommitted);
    assert_eq!(why(&world.store.commit(refused).await), Some(IdProblem::Voided));
}
