use sqlx_core::connection::ConnectOptions as _;
use sqlx_core::executor::Executor as _;
use sqlx_sqlite::SqliteConnectOptions;

use super::*;

const TEXT: Kind = Kind::Text { max_bytes: 100 };
const JSON: Kind = Kind::Json { max_bytes: 100 };

/// A database in memory with a table that holds anything.
async fn database() -> SqliteConnection {
    let mut connection = SqliteConnectOptions::new().connect().await.unwrap();
    connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, thing ANY) STRICT").await.unwrap();
    connection
}

fn statement(sql: &str, params: Vec<Param>, cells: &[Cell]) -> Statement {
    let columns = cells.iter().enumerate().map(|(at, cell)| (at + 1, *cell)).collect();
    Statement { sql: sql.into(), params, branches: vec![Branch { columns }] }
}

#[tokio::test]
async fn what_is_bound_is_read_back() {
    let mut database = database().await;
    let all = [
        (Kind::Bool, Value::from(true)),
        (Kind::Bool, Value::from(false)),
        (Kind::Int, Value::from(-(1_i64 << 53))),
        (Kind::Uuid, Value::from(Uuid::from_u128(7))),
        (Kind::Time, Value::from(Timestamp::MIN)),
        (Kind::Time, Value::from(Timestamp::MAX)),
        (TEXT, Value::from("")),
        (TEXT, Value::from("é 'quoted' ?1")),
        (JSON, Value::from(Json::parse("{\"b\":[1,2.5],\"a\":null}").unwrap())),
        (JSON, Value::from(Json::parse("null").unwrap())),
        (TEXT, Value::Null),
    ];
    for (kind, value) in all {
        let put = statement("REPLACE INTO things VALUES (1, ?1)", vec![Param::One(kind, value.clone())], &[]);
        assert_eq!(execute(&mut database, &put).await.unwrap(), 1);
        let get =
            statement("SELECT 0, thing, id FROM things", vec![], &[Cell::Of(kind), Cell::Of(Kind::Int)]);
        let found = rows(&mut database, &get).await.unwrap();
        assert_eq!(found, [Fetched { branch: 0, values: vec![value, Value::from(1_i64)], bytes: vec![] }]);
    }
    let bytes = vec![Param::Bytes(vec![0, 255, 7]), Param::Rows("[[1]]".into())];
    let get = statement("SELECT 0, ?1, ?2", bytes, &[Cell::Bytes, Cell::Of(TEXT)]);
    let found = rows(&mut database, &get).await.unwrap();
    assert_eq!(found[0].bytes, [[0, 255, 7]]);
    assert_eq!(found[0].values, [Value::Null, Value::from("[[1]]")]);
}

#[tokio::test]
async fn a_value_of_another_storage_class_is_corrupt_and_named() {
    let mut database = database().await;
    for (literal, cell) in [
        ("'1'", Cell::Of(Kind::Int)),
        ("1.0", Cell::Of(Kind::Int)),
        ("2", Cell::Of(Kind::Bool)),
        ("-62135596800000001", Cell::Of(Kind::Time)),
        ("'x'", Cell::Of(Kind::Uuid)),
        ("x'00'", Cell::Of(Kind::Uuid)),
        ("x'41'", Cell::Of(TEXT)),
        ("CAST(x'ff' AS TEXT)", Cell::Of(TEXT)),
        ("7", Cell::Of(TEXT)),
        ("'{'", Cell::Of(JSON)),
        ("'x'", Cell::Bytes),
        ("NULL", Cell::Bytes),
    ] {
        let put = statement(&format!("REPLACE INTO things VALUES (1, {literal})"), vec![], &[]);
        execute(&mut database, &put).await.unwrap();
        let get = statement("SELECT 0, thing FROM things", vec![], &[cell]);
        let Err(Failure::Store(StoreError::Corrupt { table, column, .. })) = rows(&mut database, &get).await
        else {
            panic!("{literal} was read");
        };
        assert_eq!((table.as_str(), column.as_str()), ("things", "thing"), "{literal}");
    }
}

#[tokio::test]
async fn a_row_of_no_branch_and_a_missing_column_are_corrupt() {
    let mut database = database().await;
    for sql in ["SELECT 1", "SELECT NULL", "SELECT 0"] {
        let get = statement(sql, vec![], &[Cell::Of(Kind::Int)]);
        let found = rows(&mut database, &get).await;
        assert!(matches!(found, Err(Failure::Store(StoreError::Corrupt { .. }))), "{sql}");
    }
}

#[tokio::test]
async fn what_sqlite_cannot_bind_is_an_error() {
    let mut database = database().await;
    let put = statement("SELECT ?1", vec![Param::Many(Kind::Int, vec![])], &[]);
    assert!(matches!(
        execute(&mut database, &put).await,
        Err(Failure::Store(StoreError::Unavailable { .. }))
    ));
}
