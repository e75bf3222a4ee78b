//! Chapter "Races", on real threads.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Barrier;
use uuid::Uuid;

use super::tables::{BUDGETS, SEATS, SLOTS, THINGS};
use super::world::{World, thing};
use crate::store::{Cause, Key, NewRow, Receipt, StoreError, StoreExt, Value, Write};

const TASKS: usize = 40;

/// Runs one task for each number, all let go at the same moment, and gives their results in order.
async fn race<T, F>(world: &World, task: impl Fn(World, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(TASKS));
    let tasks: Vec<_> = (0..TASKS)
        .map(|at| {
            let (barrier, run) = (Arc::clone(&barrier), task(world.clone(), at));
            tokio::spawn(async move {
                barrier.wait().await;
                run.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

fn cause(answer: &Result<Receipt, StoreError>) -> Option<&Cause> {
    answer.as_ref().err().and_then(StoreError::refusal).map(|refusal| &refusal.cause)
}

pub(super) async fn forty_tasks_share_ten_units(world: World) {
    let budget = world.id();
    world.ok(vec![Write::Insert(NewRow::new(&BUDGETS).set("id", budget).set("gpu_limit", 10_i64))]).await;
    for round in 0..3 {
        let answers = race(&world, move |world: World, _| async move {
            let id = world.id();
            let writes = vec![Write::Insert(thing(id, "unit")), Write::admit(&BUDGETS, budget, "gpus", 1)];
            world.commit(writes).await
        })
        .await;
        let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(accepted, 10, "round {round}");
        for answer in answers.iter().filter(|answer| answer.is_err()) {
            let full = Cause::Ceiling { rule: "budgets_gpu_limit", limit: 10, used: 10, asked: 1 };
            assert_eq!(cause(answer), Some(&full), "{answer:?}");
        }
        assert_eq!(world.row(&BUDGETS, budget).await.int("gpus").unwrap(), 10);
        let units = world.all(&THINGS).await;
        assert_eq!(units.len(), 10);
        // All are given back at once: use is exactly what it was.
        let given_back = race(&world, move |world: World, at| {
            let unit = units.get(at).map(crate::store::Row::key);
            async move {
                let Some(unit) = unit else { return };
                world
                    .ok(vec![Write::delete(&THINGS, unit, 1), Write::record(&BUDGETS, budget, "gpus", -1)])
                    .await;
            }
        });
        given_back.await;
        assert_eq!(world.row(&BUDGETS, budget).await.int("gpus").unwrap(), 0);
    }
}

pub(super) async fn eight_gpus_have_one_owner_each(world: World) {
    let mut gpus = Vec::new();
    for _ in 0..8 {
        let id = world.id();
        world.ok(vec![Write::Insert(NewRow::new(&BUDGETS).set("id", id))]).await;
        gpus.push(id);
    }
    let shares = gpus.clone();
    // Each asks for one GPU after the other, from a place of its own, until one is its.
    let owned = race(&world, move |world: World, at| {
        let gpus = shares.clone();
        async move {
            for step in 0..8 {
                let gpu = (at + step) % 8;
                let slot = NewRow::new(&SLOTS)
                    .set("id", world.id())
                    .set("node", "n")
                    .set("gpu", i64::try_from(gpu).unwrap());
                let share = Write::admit(&BUDGETS, gpus[gpu], "share_milli", 1000);
                // By the key and by the ceiling in turn: each alone must do.
                let writes = if at % 2 == 0 {
                    vec![Write::Insert(slot), share]
                } else {
                    vec![share, Write::Insert(slot)]
                };
                match world.commit(writes).await {
                    Ok(_) => return Some(gpu),
                    Err(StoreError::Refused(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            None
        }
    })
    .await;
    let owners: Vec<usize> = owned.into_iter().flatten().collect();
    assert_eq!(owners.len(), 8, "{owners:?}");
    assert_eq!(owners.iter().collect::<BTreeSet<_>>().len(), 8, "{owners:?}");
    let slots: BTreeSet<i64> = world.all(&SLOTS).await.iter().map(|row| row.int("gpu").unwrap()).collect();
    assert_eq!(slots, (0..8).collect());
    for gpu in gpus {
        assert_eq!(world.row(&BUDGETS, gpu).await.int("share_milli").unwrap(), 1000);
    }
    shares_of_one_gpu_never_exceed_it(&world).await;
}

/// 40 tasks for a third of one GPU: three get it, by the ceiling alone.
async fn shares_of_one_gpu_never_exceed_it(world: &World) {
    let gpu = world.id();
    world.ok(vec![Write::Insert(NewRow::new(&BUDGETS).set("id", gpu))]).await;
    let answers = race(world, move |world: World, _| async move {
        world.commit(vec![Write::admit(&BUDGETS, gpu, "share_milli", 333)]).await.is_ok()
    })
    .await;
    assert_eq!(answers.into_iter().filter(|won| *won).count(), 3);
    assert_eq!(world.row(&BUDGETS, gpu).await.int("share_milli").unwrap(), 999);
}

pub(super) async fn one_port_has_one_owner(world: World) {
    for round in 1..4 {
        let answers = race(&world, move |world: World, _| async move {
            let id = world.id();
            let slot = NewRow::new(&SLOTS).set("id", id).set("node", "n").set("port", 443_i64);
            (id, world.commit(vec![Write::Insert(slot)]).await)
        })
        .await;
        let winner = only_winner(&answers, "slots_port");
        assert_eq!(world.all(&SLOTS).await.len(), round);
        // Given back by its owner, it can be won again.
        let free = vec![("port", Value::Null)];
        world.ok(vec![Write::update(&SLOTS, winner, 1, free)]).await;
    }
}

fn only_winner(answers: &[(Uuid, Result<Receipt, StoreError>)], unique: &'static str) -> Uuid {
    let winners: Vec<Uuid> = answers.iter().filter(|(_, answer)| answer.is_ok()).map(|(id, _)| *id).collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    let owner = Key::from(winners[0]);
    let lost = Cause::Duplicate { unique, owner };
    for (id, answer) in answers.iter().filter(|(id, _)| *id != winners[0]) {
        assert_eq!(cause(answer), Some(&lost), "{id}: {answer:?}");
    }
    winners[0]
}

pub(super) async fn a_unique_key_has_one_winner(world: World) {
    let rows: Vec<Uuid> = (0..TASKS).map(|_| world.id()).collect();
    for row in &rows {
        world.ok(vec![Write::Insert(NewRow::new(&SEATS).set("id", *row))]).await;
    }
    // Some insert a row with it, some change theirs to it, some move a counter onto it.
    let answers = race(&world, move |world: World, at| {
        let row = rows[at];
        async move {
            let (id, write) = if at % 2 == 0 {
                let id = world.id();
                (id, Write::Insert(NewRow::new(&SEATS).set("id", id).set("badge", "the one")))
            } else {
                (row, Write::update(&SEATS, row, 1, vec![("badge", Value::from("the one"))]))
            };
            (id, world.store.commit(world.batch(vec![write])).await)
        }
    })
    .await;
    let winner = only_winner(&answers, "seats_badge");
    let scan = crate::store::Scan::of(&SEATS).by("seats_badge").with("the one");
    let owners: Vec<_> = world.rows(scan).await.iter().map(crate::store::Row::key).collect();
    assert_eq!(owners, [Key::from(winner)]);
}
