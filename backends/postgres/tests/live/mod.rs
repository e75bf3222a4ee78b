//! The tables of a store as its database has them, asked for on a connection beside the store's.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use apportion::store::{Schema, Value};
use apportion_postgres::PgPool;
use apportion_sql::{Fetched, LiveTable, Names, Param, catalogue, compare, live_tables, surplus};
use sqlx_core::query::query;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::AssertSqlSafe;

pub(crate) fn names() -> Names {
    Names::postgres("apportion").unwrap()
}

pub(crate) async fn live(pool: &PgPool) -> Vec<LiveTable> {
    let asked = catalogue(&names());
    let [Param::One(_, Value::Text(schema))] = asked.params.as_slice() else { panic!("{asked:?}") };
    let rows = query(AssertSqlSafe(asked.sql)).bind(schema.to_string()).fetch_all(pool).await.unwrap();
    let fetched: Vec<Fetched> = rows
        .iter()
        .map(|row| {
            let text = |at: usize| Value::from(row.get::<String, _>(at));
            let flag = |at: usize| Value::from(row.get::<bool, _>(at));
            let place = Value::from(row.get::<i64, _>(3));
            let values = vec![text(1), text(2), place, text(4), text(5), text(6), flag(7), flag(8)];
            Fetched { branch: row.get::<i64, _>(0).try_into().unwrap(), values, bytes: Vec::new() }
        })
        .collect();
    live_tables(&names(), &fetched).unwrap()
}

/// Checks that the database is as declared, and that nothing else is there.
pub(crate) async fn is_as_declared(pool: &PgPool, schema: &Schema) {
    let live = live(pool).await;
    assert_eq!(compare(&names(), schema, &live), []);
    assert_eq!(surplus(&names(), schema, &live), []);
}
