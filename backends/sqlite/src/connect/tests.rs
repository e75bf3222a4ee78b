use std::sync::Arc;

use apportion::store::{Column, Kind, Table, Value};
use apportion::time::SystemClock;
use apportion_sql::{Branch, Cell, Connection, Session as _, Statement};
use sqlx_core::row::Row as _;

use super::*;
use crate::store::SqliteStore;

static NOTES: Table = Table::new("notes", &[Column::uuid("id")], &["id"]);

/// What a pragma says.
async fn setting(connection: &mut impl Connection, pragma: &str, kind: Kind) -> Value {
    let sql = format!("SELECT 0, * FROM pragma_{pragma}");
    let branches = vec![Branch { columns: vec![(1, Cell::Of(kind))] }];
    let rows = connection.rows(&Statement { sql, params: Vec::new(), branches }).await.unwrap();
    rows[0].values[0].clone()
}

#[tokio::test]
async fn every_connection_that_writes_syncs_as_the_durability_says_and_has_a_log_of_a_size() {
    const TEXT: Kind = Kind::Text { max_bytes: 100 };
    for (durability, level) in [(Durability::Full, 2), (Durability::ProcessCrash, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::default().durability(durability);
        let (path, clock) = (folder.path().join("store.sqlite"), Arc::new(SystemClock::new()));
        let store = SqliteStore::open_with(path, &[&NOTES], clock, options).await.unwrap();
        // The connection that opened the file, and one that took its place.
        for _ in 0..2 {
            let mut turn = store.shared().writer().await.unwrap();
            assert_eq!(setting(&mut *turn, "synchronous", Kind::Int).await, Value::Int(level));
            assert_eq!(setting(&mut *turn, "journal_mode", TEXT).await, Value::from("wal"));
            assert_eq!(setting(&mut *turn, "foreign_keys", Kind::Int).await, Value::Int(1));
            assert_eq!(setting(&mut *turn, "fullfsync", Kind::Int).await, Value::Int(1));
            assert_eq!(setting(&mut *turn, "checkpoint_fullfsync", Kind::Int).await, Value::Int(1));
            // It is given up with what is under way on it.
            turn.begin().await.unwrap();
        }
        // That of a transaction of the application's.
        let bound = store.begin().await.unwrap();
        let mut connection = bound.sql().await.unwrap();
        let found = connection.fetch_one("PRAGMA synchronous").await.unwrap();
        assert_eq!(found.get::<i64, _>(0), level);
        let found = connection.fetch_one("PRAGMA journal_mode").await.unwrap();
        assert_eq!(found.get::<&str, _>(0), "wal");
        // 16 MiB.
        for pages in ["page_size", "wal_autocheckpoint"] {
            let found = connection.fetch_one(AssertSqlSafe(format!("PRAGMA {pages}"))).await.unwrap();
            assert_eq!(found.get::<i64, _>(0), 4096, "{pages}");
        }
    }
}
