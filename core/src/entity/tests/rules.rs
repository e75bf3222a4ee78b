//! Every rule that a table declares refuses by its name what breaks it.

use super::samples;
use crate::entity::samples::each_sample;
use crate::entity::*;
use crate::id::{IdSource as _, TimeOrderedIds};
use crate::store::memory::MemoryStore;
use crate::store::{Batch, Cause, Ceiling, Check, Limit, Refusal, StoreExt as _, Write};
use crate::time::{ManualClock, Timestamp};
use std::sync::Arc;

/// Inserts an entity with some columns replaced into a table like its own, without references.
async fn insert<E: Entity>(entity: &E, replaced: &[(&'static str, Value)]) -> Option<Refusal> {
    let table = E::TABLE;
    let alone = Table::new(table.name, table.columns, table.key)
        .invariants(table.invariants)
        .ceilings(table.ceilings);
    let alone: &'static Table = Box::leak(Box::new(alone));
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_780_315_200_000_000)));
    let store = MemoryStore::new(&[alone], clock.clone()).unwrap();
    let mut row = entity.to_row();
    row.table = alone;
    for (column, value) in replaced {
        row.values.iter_mut().find(|(name, _)| name == column).unwrap().1 = value.clone();
    }
    let batch = Batch::new(TimeOrderedIds::seeded(clock, 1).next_id(), "insert").with(Write::Insert(row));
    store
        .commit(batch)
        .await
        .err()
        .map(|error| error.refusal().cloned().unwrap_or_else(|| panic!("{error:?}")))
}

/// Values that break a rule.
fn breaking<E: Entity>(entity: &E, check: Check) -> Vec<(&'static str, Value)> {
    match check {
        Check::AtLeast(column, min) => vec![(column, (min - 1).into())],
        Check::AtMost(column, max) => vec![(column, (max + 1).into())],
        Check::NotAbove(column, other) => vec![(column, 2_i64.into()), (other, 1_i64.into())],
        Check::OneOf(column, _) => vec![(column, "neither".into())],
        Check::TogetherNull(columns) => {
            let given = entity
                .to_row()
                .values
                .into_iter()
                .any(|(name, value)| name == columns[0] && !value.is_null());
            assert!(given, "a sample that has all of {columns:?}");
            vec![(columns[0], Value::Null)]
        }
    }
}

async fn every_rule_refuses<E: Entity>(entity: &E) -> usize {
    assert_eq!(insert(entity, &[]).await, None, "the sample of {} keeps every rule", E::TABLE.name);
    for rule in E::TABLE.invariants {
        let refusal = insert(entity, &breaking(entity, rule.check)).await.unwrap();
        assert_eq!(refusal.cause, Cause::Invariant { rule: rule.name });
    }
    for Ceiling { name, column, limit, .. } in E::TABLE.ceilings {
        let (over, asked) = match limit {
            Limit::Value(limit) => (vec![(*column, (limit + 1).into())], limit + 1),
            Limit::Column(limit) => (vec![(*column, 8_i64.into()), (*limit, 7_i64.into())], 8),
        };
        let refusal = insert(entity, &over).await.unwrap();
        assert_eq!(refusal.cause, Cause::Ceiling { rule: name, limit: asked - 1, used: 0, asked });
    }
    E::TABLE.invariants.len() + E::TABLE.ceilings.len()
}

#[tokio::test]
async fn every_rule_of_every_table_refuses_by_its_name_what_breaks_it() {
    let mut rules = 0;
    each_sample!(samples()[0], entity => rules += every_rule_refuses(entity).await);
    let declared: usize = TABLES.iter().map(|table| table.invariants.len() + table.ceilings.len()).sum();
    assert_eq!(rules, declared);
}
