//! What is in the file beside what is declared: nothing, and nothing is missing; every rule is a wall there, too; and a
//! build goes on beside a later one for as long as that admits it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../sql/tests/walls/mod.rs"]
mod walls;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apportion::store::{OpenProblem, Store, StoreError, Value};
use apportion_sql::{Fetched, LiveTable, Names, Param, WRITER, catalogue, compare, live_tables, surplus};
use apportion_sqlite::SqliteStore;
use sqlx_core::connection::ConnectOptions as _;
use sqlx_core::executor::Executor as _;
use sqlx_core::query::query;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;
use walls::{LATER, WALLS, Wall, clock, fill, tables, text, work};

fn names() -> Names {
    Names::sqlite("apportion_").unwrap()
}

async fn open(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(SqliteStore::open(path, &tables(), clock()).await?))
}

/// A store, and a connection beside it, as another program would have it.
struct New {
    _folder: TempDir,
    path: PathBuf,
    store: Arc<dyn Store>,
    other: SqliteConnection,
}

impl New {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        let store = open(&path).await.unwrap();
        let other = SqliteConnectOptions::new().filename(&path).foreign_keys(true).connect().await.unwrap();
        Self { _folder: folder, path, store, other }
    }

    async fn live(&mut self) -> Vec<LiveTable> {
        let asked = catalogue(&names());
        let [Param::One(_, Value::Text(prefix))] = asked.params.as_slice() else { panic!("{asked:?}") };
        let asking = query(AssertSqlSafe(asked.sql)).bind(prefix.to_string());
        let rows = asking.fetch_all(&mut self.other).await.unwrap();
        let fetched: Vec<Fetched> = rows
            .iter()
            .map(|row| {
                let text = |at: usize| Value::from(row.get_unchecked::<String, _>(at));
                let flag = |at: usize| Value::from(row.get_unchecked::<i64, _>(at) != 0);
                let place = Value::from(row.get_unchecked::<i64, _>(3));
                let values = vec![text(1), text(2), place, text(4), text(5), text(6), flag(7), flag(8)];
                let branch = row.get_unchecked::<i64, _>(0).try_into().unwrap();
                Fetched { branch, values, bytes: Vec::new() }
            })
            .collect();
        live_tables(&names(), &fetched).unwrap()
    }

    async fn is_as_declared(&mut self) {
        let live = self.live().await;
        assert_eq!(compare(&names(), self.store.schema(), &live), []);
        assert_eq!(surplus(&names(), self.store.schema(), &live), []);
    }

    async fn run(&mut self, sql: String) {
        self.other.execute(AssertSqlSafe(sql)).await.unwrap();
    }
}

#[tokio::test]
async fn the_file_is_as_declared_and_holds_nothing_else() {
    let mut new = New::new().await;
    new.is_as_declared().await;
    // Opened by another program once more, and used, it still is.
    let again = open(&new.path).await.unwrap();
    fill(&again).await;
    new.is_as_declared().await;
    // The test sees a difference where there is one.
    let changes = "DROP INDEX apportion_lodgers_by_room; ALTER TABLE apportion_gpus ADD spare INTEGER";
    new.run(changes.into()).await;
    let found = new.live().await;
    assert_eq!(compare(&names(), new.store.schema(), &found).len(), 1);
    assert_eq!(surplus(&names(), new.store.schema(), &found).len(), 1);
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_the_database_itself() {
    let mut new = New::new().await;
    fill(&new.store).await;
    for (sql, wall) in WALLS {
        let sql = text(sql, &names(), "zeroblob(16)");
        let Err(error) = new.other.execute(AssertSqlSafe(sql.clone())).await else { panic!("{sql} was run") };
        let said = error.as_database_error().unwrap().message().to_owned();
        let expected = match wall {
            Wall::Check(name) => format!("CHECK constraint failed: {name}"),
            Wall::Unique(name, columns) => {
                let table = names().bare(
                    tables()
                        .iter()
                        .find(|table| table.uniques.iter().any(|unique| unique.name == name))
                        .unwrap()
                        .name,
                );
                let columns: Vec<String> =
                    columns.split(", ").map(|column| format!("{table}.{column}")).collect();
                format!("UNIQUE constraint failed: {}", columns.join(", "))
            }
            // It names none.
            Wall::Reference(_) => "FOREIGN KEY constraint failed".into(),
        };
        assert_eq!(said, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_build_goes_on_beside_a_later_one_until_it_is_not_admitted_any_more() {
    let mut new = New::new().await;
    fill(&new.store).await;
    for sql in LATER {
        // The types of a STRICT table have other names.
        let sql = sql.replace("{now}", "0").replace("bigint", "INTEGER");
        new.run(text(&sql, &names(), "")).await;
    }
    let live = new.live().await;
    let told: Vec<String> =
        surplus(&names(), new.store.schema(), &live).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["table attics is not declared", "column floor of lodgers is not declared"]);
    // Who was there goes on, and who comes opens.
    let newcomer = open(&new.path).await.unwrap();
    work(&new.store).await;
    work(&newcomer).await;
    let raise = |to: u32| format!("UPDATE apportion_kernel_meta SET value = '{to}' WHERE key = 'min_writer'");
    new.run(raise(WRITER)).await;
    open(&new.path).await.unwrap();
    new.run(raise(WRITER + 1)).await;
    let refused = open(&new.path).await.map(drop).unwrap_err();
    assert!(matches!(&refused, StoreError::CannotOpen { reason: OpenProblem::TooNew(_), .. }), "{refused:?}");
}
