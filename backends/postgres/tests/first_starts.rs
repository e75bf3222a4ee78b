//! Forty first starts of one empty database at once, by tasks and by processes: all succeed, and the tables are made
//! once, as declared.
//!
//! The parent starts this program again as children that open the database, each several times at once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod live;
#[path = "../../sql/tests/walls/mod.rs"]
mod walls;

use std::process::{Command, Stdio};
use std::sync::Arc;

use apportion::store::{Schema, Store};
use apportion_postgres::{PgPool, PostgresOptions, PostgresStore};
use apportion_throwaway_postgres::ThrowawayPostgres;
use live::is_as_declared;
use walls::{clock, fill, tables};

const ROUNDS: usize = 1;
const STARTS: usize = 40;
const PROCESSES: usize = 8;
const CHILD: &str = "APPORTION_FIRST_START_CHILD";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    if let Ok(url) = std::env::var(CHILD) {
        return runtime.block_on(start(&url, STARTS / PROCESSES));
    }
    for _ in 0..ROUNDS {
        let url = database();
        runtime.block_on(start(&url, STARTS));
        runtime.block_on(it_was_made_once(&url));
        let url = database();
        by_processes(&url);
        runtime.block_on(it_was_made_once(&url));
    }
    println!("{ROUNDS} time {STARTS} first starts by tasks, and by {PROCESSES} processes");
}

fn database() -> String {
    ThrowawayPostgres::shared().unwrap().fresh_database().unwrap()
}

/// Opens the database so many times at once. Each that has opened it can read it.
async fn start(url: &str, times: usize) {
    let starts: Vec<_> = (0..times)
        .map(|_| {
            let url = url.to_owned();
            tokio::spawn(async move {
                let options = PostgresOptions::default().max_connections(1);
                let store = PostgresStore::connect_with(&url, &tables(), clock(), options).await.unwrap();
                store.changes(apportion::store::Cursor::START, 1).await.unwrap();
                store.close().await.unwrap();
            })
        })
        .collect();
    for start in starts {
        start.await.unwrap();
    }
}

fn by_processes(url: &str) {
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .env(CHILD, url)
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "a start failed: {}", String::from_utf8_lossy(&ended.stderr));
    }
}

/// The tables are as declared, each migration was applied once, and the store works.
async fn it_was_made_once(url: &str) {
    let pool = PgPool::connect(url).await.unwrap();
    is_as_declared(&pool, &Schema::new(&tables()).unwrap()).await;
    let name = url.rsplit('/').next().unwrap();
    let server = ThrowawayPostgres::shared().unwrap();
    let applied = "SELECT count(*) || ' ' || count(DISTINCT name) FROM apportion.kernel_migrations";
    let wanted = apportion_sql::migrations(apportion_sql::Dialect::Postgres).len();
    assert_eq!(server.psql_in(name, applied).unwrap(), format!("{wanted} {wanted}"));
    let heads =
        "SELECT (SELECT count(*) FROM apportion.kernel_head) || ' ' || count(*) FROM apportion.kernel_meta";
    assert_eq!(server.psql_in(name, heads).unwrap(), "1 1");
    let store: Arc<dyn Store> = Arc::new(PostgresStore::connect(url, &tables(), clock()).await.unwrap());
    fill(&store).await;
}
