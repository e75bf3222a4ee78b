//! The store's own tables: receipts, the feed, its head, migrations, and what builds tell one another.

use apportion::store::Kind;

use super::shape::{Rule, Shape, ShapeColumn, ShapeIndex, Type};
use crate::names::{Dialect, Names};

const UUID: Type = Type::Of(Kind::Uuid);
const INT: Type = Type::Of(Kind::Int);
const TIME: Type = Type::Of(Kind::Time);
const TEXT: Type = Type::Of(Kind::Text { max_bytes: 4096 });

/// The store's own tables, in the order in which they are made.
pub(crate) fn kernel_shapes() -> Vec<Shape> {
    let mut receipts =
        table("kernel_receipts", &[("batch", UUID), ("at", TIME), ("fingerprint", UUID)], &["fingerprint"]);
    receipts.indexes.push(ShapeIndex { name: "kernel_receipts_at", columns: vec!["at"], unique: false });

    let mut feed = table(
        "kernel_feed",
        &[
            ("batch", UUID),
            ("arrival", INT),
            ("place", INT),
            ("position", INT),
            ("at", TIME),
            ("actor", UUID),
            ("operation", TEXT),
            ("fingerprint", UUID),
            ("changes", Type::Bytes),
        ],
        &["position", "actor"],
    );
    feed.indexes.push(ShapeIndex { name: "kernel_feed_position", columns: vec!["position"], unique: true });

    let mut head = table(
        "kernel_head",
        &[
            ("id", INT),
            ("position", INT),
            ("batch", UUID),
            ("low_position", INT),
            ("low_batch", UUID),
            ("last_at", TIME),
        ],
        &[],
    );
    head.rules.push(("kernel_head_one", Rule::Is("id", 1)));

    let mut migrations =
        table("kernel_migrations", &[("name", TEXT), ("checksum", TEXT), ("applied_at", TIME)], &[]);
    migrations.shared = true;

    vec![receipts, feed, head, migrations, table("kernel_meta", &[("key", TEXT), ("value", TEXT)], &[])]
}

/// A table whose key is its first column.
fn table(name: &'static str, columns: &[(&'static str, Type)], nullable: &[&'static str]) -> Shape {
    let column = |(name, kind): &(&'static str, Type)| ShapeColumn {
        name,
        kind: *kind,
        nullable: nullable.contains(name),
        default: None,
    };
    Shape {
        name,
        columns: columns.iter().map(column).collect(),
        key: columns.iter().take(1).map(|(name, _)| *name).collect(),
        indexes: Vec::new(),
        references: Vec::new(),
        rules: Vec::new(),
        shared: false,
    }
}

/// The rows that a table of the store begins with. A row that is there stays as it is.
pub(super) fn first_rows(names: &Names, table: &str) -> Option<String> {
    let (columns, values) = match (table, names.dialect()) {
        ("kernel_head", Dialect::Postgres) => {
            let nil = "'00000000-0000-0000-0000-000000000000'";
            (HEAD, format!("1, 0, {nil}, 0, {nil}, '0001-01-01T00:00:00Z'"))
        }
        ("kernel_head", Dialect::Sqlite) => {
            (HEAD, "1, 0, zeroblob(16), 0, zeroblob(16), -62135596800000000".to_owned())
        }
        ("kernel_meta", _) => ("\"key\", \"value\"", "'min_writer', '1'".to_owned()),
        _ => return None,
    };
    let table = names.table(table);
    Some(format!("INSERT INTO {table} ({columns})\n    VALUES ({values})\n    ON CONFLICT DO NOTHING"))
}

const HEAD: &str = "\"id\", \"position\", \"batch\", \"low_position\", \"low_batch\", \"last_at\"";
