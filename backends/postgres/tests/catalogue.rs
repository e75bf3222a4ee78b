//! What is in the database beside what is declared: nothing, and nothing is missing; every rule is a wall there, too;
//! and a build goes on beside a later one for as long as that admits it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod live;
#[path = "../../sql/tests/walls/mod.rs"]
mod walls;

use std::sync::Arc;

use apportion::store::{OpenProblem, Store, StoreError};
use apportion_postgres::{PgPool, PostgresStore};
use apportion_sql::{WRITER, surplus};
use apportion_throwaway_postgres::ThrowawayPostgres;
use live::{is_as_declared, live, names};
use sqlx_core::executor::Executor as _;
use sqlx_core::sql_str::AssertSqlSafe;
use walls::{LATER, WALLS, Wall, clock, fill, tables, text, work};

async fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(PostgresStore::connect(url, &tables(), clock()).await?))
}

async fn new() -> (String, PgPool, Arc<dyn Store>) {
    let url = ThrowawayPostgres::shared().unwrap().fresh_database().unwrap();
    let store = open(&url).await.unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    (url, pool, store)
}

#[tokio::test]
async fn the_database_is_as_declared_and_holds_nothing_else() {
    let (url, pool, store) = new().await;
    is_as_declared(&pool, store.schema()).await;
    // Opened by another program once more, and used, it still is.
    let again = open(&url).await.unwrap();
    fill(&again).await;
    is_as_declared(&pool, store.schema()).await;
    // The test sees a difference where there is one.
    pool.execute("DROP INDEX apportion.lodgers_by_room; ALTER TABLE apportion.gpus ADD spare int")
        .await
        .unwrap();
    let found = live(&pool).await;
    assert_eq!(apportion_sql::compare(&names(), store.schema(), &found).len(), 1);
    assert_eq!(surplus(&names(), store.schema(), &found).len(), 1);
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_the_database_itself() {
    let (_url, pool, store) = new().await;
    fill(&store).await;
    for (sql, wall) in WALLS {
        let sql = text(sql, &names(), "'00000000-0000-0000-0000-000000000000'");
        let Err(error) = pool.execute(AssertSqlSafe(sql.clone())).await else { panic!("{sql} was run") };
        let said = error.as_database_error().unwrap();
        let (code, constraint) = match wall {
            Wall::Check(name) => ("23514", name),
            Wall::Unique(name, _) => ("23505", name),
            Wall::Reference(name) => ("23503", name),
        };
        assert_eq!(said.code().as_deref(), Some(code), "{sql}: {said}");
        // Of several rows that name one, any may be said.
        assert!(constraint.is_empty() || said.constraint() == Some(constraint), "{sql}: {said}");
    }
}

#[tokio::test]
async fn a_build_goes_on_beside_a_later_one_until_it_is_not_admitted_any_more() {
    let (url, pool, store) = new().await;
    fill(&store).await;
    for sql in LATER {
        let sql = text(&sql.replace("{now}", "now()"), &names(), "");
        pool.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    let told: Vec<String> =
        surplus(&names(), store.schema(), &live(&pool).await).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["table attics is not declared", "column floor of lodgers is not declared"]);
    // Who was there goes on, and who comes opens.
    let newcomer = open(&url).await.unwrap();
    work(&store).await;
    work(&newcomer).await;
    let raise = |to: u32| {
        let sql = format!("UPDATE apportion.kernel_meta SET value = '{to}' WHERE key = 'min_writer'");
        pool.execute(AssertSqlSafe(sql))
    };
    raise(WRITER).await.unwrap();
    open(&url).await.unwrap();
    raise(WRITER + 1).await.unwrap();
    let refused = open(&url).await.map(drop).unwrap_err();
    assert!(matches!(&refused, StoreError::CannotOpen { reason: OpenProblem::TooNew(_), .. }), "{refused:?}");
}
