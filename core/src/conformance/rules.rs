//! Chapter "Keys, references, rules": invariants and ceilings.

use uuid::Uuid;

use super::tables::{BUDGETS, THINGS};
use super::world::{START, World};
use crate::store::{Cause, Change, MAX_INT, NewRow, Value, Write};
use crate::time::Timestamp;

fn budget(id: Uuid) -> NewRow {
    NewRow::new(&BUDGETS).set("id", id)
}

fn limit(to: impl Into<Value>) -> Vec<(&'static str, Value)> {
    vec![("gpu_limit", to.into())]
}

fn ceiling(limit: i64, used: i64, asked: i64) -> Cause {
    Cause::Ceiling { rule: "budgets_gpu_limit", limit, used, asked }
}

impl World {
    async fn budget(&self, limit: impl Into<Value>) -> Uuid {
        let id = self.id();
        self.ok(vec![Write::Insert(budget(id).set("gpu_limit", limit))]).await;
        id
    }

    async fn gpus(&self, id: Uuid) -> i64 {
        self.row(&BUDGETS, id).await.int("gpus").unwrap()
    }
}

pub(super) async fn an_invariant_holds_after_every_write(world: World) {
    let later = Timestamp::from_micros(START.as_micros() + 1);
    let holder = world.id();
    let wrong: [(&'static str, Vec<(&'static str, Value)>); 6] = [
        ("budgets_level_most", vec![("level", 11_i64.into())]),
        ("budgets_least_most", vec![("least", 6_i64.into()), ("most", 5_i64.into())]),
        ("budgets_starts_ends", vec![("starts", later.into()), ("ends", START.into())]),
        ("budgets_state_known", vec![("state", "ajar".into())]),
        ("budgets_held_whole", vec![("holder", holder.into())]),
        ("budgets_held_whole", vec![("held_since", START.into())]),
    ];
    let id = world.budget(Value::Null).await;
    for (rule, set) in wrong {
        let mut row = budget(world.id());
        for (column, value) in &set {
            row = row.set(column, value.clone());
        }
        assert_eq!(world.cause(vec![Write::Insert(row.clone())]).await, Cause::Invariant { rule });
        assert_eq!(world.cause(vec![Write::Ensure(row)]).await, Cause::Invariant { rule });
        assert_eq!(world.cause(vec![Write::update(&BUDGETS, id, 1, set)]).await, Cause::Invariant { rule });
    }
    // What holds at its very edge, and with nulls, is right.
    let right: Vec<(&'static str, Value)> = vec![
        ("level", 10_i64.into()),
        ("least", 5_i64.into()),
        ("most", 5_i64.into()),
        ("starts", START.into()),
        ("ends", START.into()),
        ("state", "shut".into()),
        ("holder", holder.into()),
        ("held_since", START.into()),
    ];
    world.ok(vec![Write::update(&BUDGETS, id, 1, right)]).await;
    let open_ended = vec![("most", Value::Null), ("starts", Value::Null), ("state", Value::Null)];
    world.ok(vec![Write::update(&BUDGETS, id, 2, open_ended)]).await;
    // A rule over two columns is judged where only one of them changes.
    let half = vec![("most", Value::from(4_i64))];
    let rule = "budgets_least_most";
    assert_eq!(world.cause(vec![Write::update(&BUDGETS, id, 3, half)]).await, Cause::Invariant { rule });
    counters_keep_it_at_every_step(&world, id).await;
}

/// Recording is no excuse, and a dip within a batch none either.
async fn counters_keep_it_at_every_step(world: &World, id: Uuid) {
    let rule = Cause::Invariant { rule: "budgets_gpus_not_negative" };
    for write in [
        Write::record(&BUDGETS, id, "gpus", -1),
        Write::admit(&BUDGETS, id, "gpus", -1),
        Write::patch(&BUDGETS, id, Vec::new(), vec![("gpus", Change::Add(-1))]),
        Write::patch(&BUDGETS, id, Vec::new(), vec![("gpus", Change::Set((-5_i64).into()))]),
        Write::Insert(budget(world.id()).set("gpus", -1_i64)),
    ] {
        assert_eq!(world.cause(vec![write]).await, rule);
    }
    let dip = vec![Write::record(&BUDGETS, id, "gpus", -1), Write::record(&BUDGETS, id, "gpus", 1)];
    assert_eq!(world.refused(dip).await.write, 0);
    world.ok(vec![Write::record(&BUDGETS, id, "gpus", 2), Write::record(&BUDGETS, id, "gpus", -2)]).await;
    assert_eq!(world.gpus(id).await, 0);
}

pub(super) async fn a_ceiling_is_judged_when_a_counter_is_raised(world: World) {
    let over = Write::Insert(budget(world.id()).set("gpus", 5_i64).set("gpu_limit", 4_i64));
    assert_eq!(world.cause(vec![over]).await, ceiling(4, 0, 5));
    let id = world.budget(10_i64).await;
    world.ok(vec![Write::admit(&BUDGETS, id, "gpus", 7)]).await;
    for raise in [
        Write::admit(&BUDGETS, id, "gpus", 4),
        Write::patch(&BUDGETS, id, Vec::new(), vec![("gpus", Change::Add(4))]),
        Write::patch(&BUDGETS, id, Vec::new(), vec![("gpus", Change::Set(11_i64.into()))]),
        Write::patch(&BUDGETS, id, Vec::new(), vec![("gpus", Change::Max(11_i64.into()))]),
    ] {
        assert_eq!(world.cause(vec![raise]).await, ceiling(10, 7, 4));
    }
    world.ok(vec![Write::admit(&BUDGETS, id, "gpus", 3)]).await;
    assert_eq!(world.cause(vec![Write::admit(&BUDGETS, id, "gpus", 1)]).await, ceiling(10, 10, 1));
    assert_eq!(world.gpus(id).await, 10);
    // In one group each sees what those before it took.
    let fresh = world.budget(10_i64).await;
    let group = (0..5).map(|_| world.batch(vec![Write::admit(&BUDGETS, fresh, "gpus", 3)]));
    let answers = world.store.commit_many(group.collect()).await;
    let accepted: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [true, true, true, false, false], "{answers:?}");
    assert_eq!(world.gpus(fresh).await, 9);
    // No limit is no limit; zero is one. A constant is one for every row.
    let free = world.budget(Value::Null).await;
    world.ok(vec![Write::admit(&BUDGETS, free, "gpus", MAX_INT)]).await;
    let none = world.budget(0_i64).await;
    assert_eq!(world.cause(vec![Write::admit(&BUDGETS, none, "gpus", 1)]).await, ceiling(0, 0, 1));
    world.ok(vec![Write::admit(&BUDGETS, none, "share_milli", 1000)]).await;
    let whole = Cause::Ceiling { rule: "budgets_share_whole", limit: 1000, used: 1000, asked: 1 };
    assert_eq!(world.cause(vec![Write::admit(&BUDGETS, none, "share_milli", 1)]).await, whole);
    world
        .ok(vec![Write::patch(&BUDGETS, none, Vec::new(), vec![("share_milli", Change::Set(Value::Null))])])
        .await;
}

pub(super) async fn recorded_use_passes_the_ceiling_and_only_comes_down(world: World) {
    let id = world.budget(10_i64).await;
    world.ok(vec![Write::record(&BUDGETS, id, "gpus", 13)]).await;
    assert_eq!(world.gpus(id).await, 13);
    assert_eq!(world.cause(vec![Write::admit(&BUDGETS, id, "gpus", 1)]).await, ceiling(10, 13, 1));
    // Coming down is always allowed, in either mode, and above the limit still.
    world.ok(vec![Write::admit(&BUDGETS, id, "gpus", -1)]).await;
    world.ok(vec![Write::record(&BUDGETS, id, "gpus", -1)]).await;
    world.ok(vec![Write::patch(&BUDGETS, id, Vec::new(), vec![("gpus", Change::Add(-0))])]).await;
    assert_eq!(world.cause(vec![Write::admit(&BUDGETS, id, "gpus", 1)]).await, ceiling(10, 11, 1));
    world.ok(vec![Write::record(&BUDGETS, id, "gpus", 1)]).await;
    world.ok(vec![Write::admit(&BUDGETS, id, "gpus", -3)]).await;
    world.ok(vec![Write::admit(&BUDGETS, id, "gpus", 1)]).await;
    assert_eq!(world.gpus(id).await, 10);
    assert_eq!(world.cause(vec![Write::admit(&BUDGETS, id, "gpus", 1)]).await, ceiling(10, 10, 1));
}

pub(super) async fn a_limit_may_be_lowered_below_use(world: World) {
    let id = world.budget(10_i64).await;
    world.ok(vec![Write::admit(&BUDGETS, id, "gpus", 8)]).await;
    world.ok(vec![Write::update(&BUDGETS, id, 1, limit(5_i64))]).await;
    assert_eq!(world.gpus(id).await, 8);
    assert_eq!(world.cause(vec![Write::admit(&BUDGETS, id, "gpus", 1)]).await, ceiling(5, 8, 1));
    // The row can be changed otherwise while use is above the limit, and another counter raised.
    let state = vec![("state", Value::from("open"))];
    world.ok(vec![Write::update(&BUDGETS, id, 2, state), Write::admit(&BUDGETS, id, "share_milli", 1)]).await;
    world.ok(vec![Write::admit(&BUDGETS, id, "gpus", -2)]).await;
    assert_eq!(world.cause(vec![Write::admit(&BUDGETS, id, "gpus", 1)]).await, ceiling(5, 6, 1));
    world.ok(vec![Write::admit(&BUDGETS, id, "gpus", -2)]).await;
    world.ok(vec![Write::admit(&BUDGETS, id, "gpus", 1)]).await;
    assert_eq!(world.cause(vec![Write::admit(&BUDGETS, id, "gpus", 1)]).await, ceiling(5, 5, 1));
    world.ok(vec![Write::update(&BUDGETS, id, 3, limit(Value::Null))]).await;
    world.ok(vec![Write::admit(&BUDGETS, id, "gpus", 100)]).await;
    // Lowered by an earlier batch of the group.
    let group = vec![
        world.batch(vec![Write::update(&BUDGETS, id, 4, limit(0_i64))]),
        world.batch(vec![Write::admit(&BUDGETS, id, "gpus", 1)]),
    ];
    let answers = world.store.commit_many(group).await;
    assert!(answers[0].is_ok());
    let cause = answers[1].as_ref().unwrap_err().refusal().map(|refusal| refusal.cause.clone());
    assert_eq!(cause, Some(ceiling(0, 105, 1)));
}

pub(super) async fn a_counter_stays_in_its_range(world: World) {
    let id = world.thing("counted").await;
    let overflow = Cause::Overflow { column: "uses" };
    for end in [MAX_INT, -MAX_INT] {
        let step = end.signum();
        world.ok(vec![Write::record(&THINGS, id, "uses", end)]).await;
        for beyond in [
            Write::record(&THINGS, id, "uses", step),
            Write::admit(&THINGS, id, "uses", end),
            Write::patch(&THINGS, id, Vec::new(), vec![("uses", Change::Add(step))]),
        ] {
            assert_eq!(world.cause(vec![beyond]).await, overflow);
        }
        let row = world.row(&THINGS, id).await;
        assert_eq!(row.int("uses").unwrap(), end);
        world.ok(vec![Write::record(&THINGS, id, "uses", -end)]).await;
    }
    let there_and_back = vec![
        Write::record(&THINGS, id, "uses", MAX_INT),
        Write::record(&THINGS, id, "uses", 1),
        Write::record(&THINGS, id, "uses", -MAX_INT),
    ];
    let refusal = world.refused(there_and_back).await;
    assert_eq!((refusal.write, refusal.cause), (1, overflow));
    // A counter that is null cannot be added to.
    let cause = world.cause(vec![Write::record(&THINGS, id, "score", 1)]).await;
    assert_eq!(cause, Cause::Overflow { column: "score" });
}
