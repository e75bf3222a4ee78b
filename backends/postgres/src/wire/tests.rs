use apportion_throwaway_postgres::ThrowawayPostgres;
use sqlx_core::connection::Connection as _;
use sqlx_core::query::query_with;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_postgres::PgConnection;

use super::*;

const TEXT: Kind = Kind::Text { max_bytes: 1000 };
const JSON: Kind = Kind::Json { max_bytes: 1000 };

async fn ask(sql: &str, params: Vec<Param>, cells: &[Cell]) -> Result<Vec<Fetched>, StoreError> {
    let url = ThrowawayPostgres::shared().unwrap().url();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let branch =
        Branch { columns: cells.iter().copied().enumerate().map(|(at, cell)| (at + 1, cell)).collect() };
    let query = query_with(AssertSqlSafe(sql), arguments(&params).unwrap());
    let rows = query.fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| fetched(row, std::slice::from_ref(&branch))).collect()
}

/// For each kind its name in Postgres, how it is read back, and some values.
fn kinds() -> Vec<(Kind, &'static str, &'static str, Vec<Value>)> {
    let json = |text| Value::Json(Json::parse(text).unwrap());
    let time = |micros| Value::Time(Timestamp::from_micros(micros));
    vec![
        (Kind::Bool, "boolean", "", vec![true.into(), false.into(), Value::Null]),
        (
            Kind::Int,
            "bigint",
            "",
            vec![Value::Int(-(1 << 53)), Value::Int(1 << 53), Value::Null, Value::Int(0)],
        ),
        (Kind::Uuid, "uuid", "", vec![Uuid::nil().into(), Value::Null, Uuid::max().into()]),
        (
            Kind::Time,
            "timestamptz",
            "",
            vec![Timestamp::MIN.into(), time(-1), time(0), time(1), Value::Null, Timestamp::MAX.into()],
        ),
        (TEXT, "text", "", vec!["".into(), "r\u{f6}w \u{1f980} \"'\\,{}".into(), Value::Null, "NULL".into()]),
        (
            JSON,
            "jsonb",
            "::text",
            vec![
                json("null"),
                json("{\"b\":[1,2.5],\"a\":{\"y\":\"\u{e9}\\n\"}}"),
                Value::Null,
                json("1e16"),
            ],
        ),
    ]
}

#[tokio::test]
async fn every_kind_is_read_back_as_it_was_bound() {
    for (kind, name, read_as, values) in kinds() {
        let through = if read_as.is_empty() { name } else { "text" };
        for value in &values {
            let sql = format!("SELECT 0::bigint, ($1::{through})::{name}{read_as}");
            let found = ask(&sql, vec![Param::One(kind, value.clone())], &[Cell::Of(kind)]).await.unwrap();
            assert_eq!(found[0].values, std::slice::from_ref(value), "{name}");
        }
        let sql = format!(
            "SELECT 0::bigint, (v::{name}){read_as} FROM unnest($1::{through}[]) WITH ORDINALITY u(v, at) ORDER BY at"
        );
        let found = ask(&sql, vec![Param::Many(kind, values.clone())], &[Cell::Of(kind)]).await.unwrap();
        let found: Vec<_> = found.into_iter().flat_map(|row| row.values).collect();
        assert_eq!(found, values, "{name}");
    }
}

#[tokio::test]
async fn bytes_and_branches_are_read() {
    let bytes = [vec![], vec![0, 255], vec![7; 300]];
    let sql = "SELECT 0::bigint, v, 5::bigint, $2::bytea FROM unnest($1::bytea[]) WITH ORDINALITY u(v, at) ORDER BY at";
    let params = vec![Param::ManyBytes(bytes.to_vec()), Param::Bytes(vec![1])];
    let cells = [Cell::Bytes, Cell::Of(Kind::Int), Cell::Bytes];
    let found = ask(sql, params, &cells).await.unwrap();
    for (row, expected) in found.iter().zip(bytes) {
        assert_eq!(row.bytes, [expected, vec![1]]);
        assert_eq!(row.values, [Value::Null, Value::Int(5), Value::Null]);
    }
    assert_eq!(found.len(), 3);
}

#[tokio::test]
async fn what_is_not_what_was_asked_for_is_corrupt_and_names_its_column() {
    for (expression, kind) in [
        ("'infinity'::timestamptz", Kind::Time),
        ("'-infinity'::timestamptz", Kind::Time),
        ("'294276-12-31'::timestamptz", Kind::Time),
        ("'0044-03-15 BC'::timestamptz", Kind::Time),
        ("now()::timestamp", Kind::Time),
        ("5::int", Kind::Int),
        ("5.0::float8", Kind::Int),
        ("'5'::text", Kind::Int),
        ("5::bigint", TEXT),
        ("1::bigint", Kind::Bool),
        ("'x'::text", Kind::Uuid),
        ("'{]'::text", JSON),
    ] {
        let sql = format!("SELECT 0::bigint, {expression} AS odd");
        let error = ask(&sql, Vec::new(), &[Cell::Of(kind)]).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Corrupt { column, .. } if column == "odd"),
            "{expression}: {error:?}"
        );
    }
    for branch in ["1::bigint", "-1::bigint", "NULL::bigint", "'0'::text"] {
        let error = ask(&format!("SELECT {branch}, 1::bigint"), Vec::new(), &[Cell::Of(Kind::Int)]).await;
        assert!(matches!(error, Err(StoreError::Corrupt { .. })), "{branch}: {error:?}");
    }
    // An answer that is shorter than its branch.
    let error = ask("SELECT 0::bigint", Vec::new(), &[Cell::Of(Kind::Int)]).await;
    assert!(matches!(error, Err(StoreError::Corrupt { .. })), "{error:?}");
}
