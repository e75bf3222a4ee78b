//! The catalogue's own words: [`catalogue`] asks, [`live_tables`] reads the answer.

use apportion::store::{Kind, StoreError, Value};

use super::{LiveColumn, LiveForeignKey, LiveIndex, LiveTable};
use crate::names::{Dialect, Names};
use crate::statement::{Branch, Cell, Fetched, Param, Statement};

const TEXT_KIND: Kind = Kind::Text { max_bytes: usize::MAX };
const TEXT: Cell = Cell::Of(TEXT_KIND);
const INT: Cell = Cell::Of(Kind::Int);
const BOOL: Cell = Cell::Of(Kind::Bool);

/// The statement that reads every table of a store.
///
/// Its branches are columns, columns of primary keys, of indexes and of foreign keys, and CHECKs. All have the same
/// cells: table, group (the name of the index, of the foreign key, of the CHECK), place, column, a text, another
/// text, a flag, another flag.
pub fn catalogue(names: &Names) -> Statement {
    let (sql, ours) = match names.dialect() {
        Dialect::Postgres => (POSTGRES, names.schema().to_owned()),
        Dialect::Sqlite => (SQLITE, names.bare("")),
    };
    let cells = [TEXT, TEXT, INT, TEXT, TEXT, TEXT, BOOL, BOOL];
    let branch = Branch { columns: cells.into_iter().enumerate().map(|(at, cell)| (at + 1, cell)).collect() };
    Statement {
        sql: sql.to_owned(),
        params: vec![Param::One(TEXT_KIND, ours.into())],
        branches: vec![branch; 5],
    }
}

/// The tables in the rows of [`catalogue`]'s answer.
///
/// # Errors
/// [`StoreError::Corrupt`] where a row is not what was asked for.
pub fn live_tables(names: &Names, rows: &[Fetched]) -> Result<Vec<LiveTable>, StoreError> {
    let prefix = names.bare("");
    let mut tables: Vec<LiveTable> = Vec::new();
    for fetched in rows {
        let row = CatalogueRow::of(fetched, &prefix)
            .ok_or_else(|| StoreError::corrupt("the catalogue", None, "any", "a row of another shape"))?;
        // Columns come first, and a table without any is not one of ours.
        match tables.iter_mut().find(|table| table.name == row.table) {
            Some(table) => row.add_to(table, &prefix),
            None if row.branch == 0 => {
                let mut table = LiveTable { name: row.table.to_owned(), ..LiveTable::default() };
                row.add_to(&mut table, &prefix);
                tables.push(table);
            }
            None => {}
        }
    }
    for table in &mut tables {
        table.checks.sort_unstable();
    }
    Ok(tables)
}

#[derive(Debug)]
struct CatalogueRow<'r> {
    branch: usize,
    table: &'r str,
    group: &'r str,
    column: &'r str,
    detail: &'r str,
    other: &'r str,
    flag: bool,
    other_flag: bool,
}

impl<'r> CatalogueRow<'r> {
    fn of(fetched: &'r Fetched, prefix: &str) -> Option<Self> {
        let [table, group, _, column, detail, other, flag, other_flag] = fetched.values.as_slice() else {
            return None;
        };
        let flag_of = |value: &Value| matches!(value, Value::Bool(true));
        Some(Self {
            branch: fetched.branch,
            table: declared(text(table)?, prefix),
            group: text(group)?,
            column: text(column)?,
            detail: text(detail)?,
            other: text(other)?,
            flag: flag_of(flag),
            other_flag: flag_of(other_flag),
        })
    }

    fn add_to(&self, table: &mut LiveTable, prefix: &str) {
        let column = self.column.to_owned();
        match self.branch {
            0 => table.columns.push(LiveColumn {
                name: column,
                type_name: self.detail.to_owned(),
                nullable: self.flag,
                has_default: self.other_flag,
            }),
            1 => table.primary_key.push(column),
            2 => self.add_to_index(table, prefix),
            3 => self.add_to_key(table, prefix),
            // SQLite gives the text that made the table instead of a name.
            _ if self.group.is_empty() => table.checks.extend(checks_in(self.detail)),
            _ => table.checks.push(self.group.to_owned()),
        }
    }

    fn add_to_index(&self, table: &mut LiveTable, prefix: &str) {
        let name = declared(self.group, prefix);
        let column = self.column.to_owned();
        if let Some(index) = table.indexes.iter_mut().find(|index| index.name == name) {
            index.columns.push(column);
        } else {
            let columns = vec![column];
            table.indexes.push(LiveIndex { name: name.to_owned(), columns, unique: self.flag });
        }
    }

    /// A foreign key begins where the place does: the first column has place 1.
    fn add_to_key(&self, table: &mut LiveTable, prefix: &str) {
        let named = (!self.group.starts_with(UNNAMED)).then(|| self.group.to_owned());
        let begins = self.other_flag;
        match table.foreign_keys.last_mut() {
            Some(key) if !begins => {
                key.columns.push(self.column.to_owned());
                key.parent_columns.push(self.other.to_owned());
            }
            _ => table.foreign_keys.push(LiveForeignKey {
                name: named,
                columns: vec![self.column.to_owned()],
                parent: declared(self.detail, prefix).to_owned(),
                parent_columns: vec![self.other.to_owned()],
                restricts: self.flag,
            }),
        }
    }
}

/// What begins the group of a foreign key that has no name; no declared name has it.
const UNNAMED: char = '#';

/// The text of a cell; empty where it is null.
fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Null => Some(""),
        _ => None,
    }
}

/// A name without the prefix of the store's tables.
fn declared<'n>(name: &'n str, prefix: &str) -> &'n str {
    name.strip_prefix(prefix).unwrap_or(name)
}

/// The names of the CHECKs in the text of a CREATE TABLE.
fn checks_in(sql: &str) -> Vec<String> {
    let named = sql.split("CONSTRAINT \"").skip(1).filter_map(|rest| rest.split_once('"'));
    named
        .filter(|(_, after)| after.trim_start().starts_with("CHECK"))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Only `pg_catalog`, which CockroachDB has, too. It knows one order of texts, that of the bytes, under another name.
const POSTGRES: &str = "\
WITH ours AS (
    SELECT c.oid AS id, c.relname::text AS name
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
    WHERE s.nspname::text = $1::text AND c.relkind IN ('r', 'p')
)
SELECT 0::bigint AS branch, t.name AS tbl, ''::text AS grp, a.attnum::bigint AS place, a.attname::text AS col,
    pg_catalog.format_type(a.atttypid, a.atttypmod) || CASE
        WHEN l.collname IS NULL THEN ''
        WHEN version() LIKE 'CockroachDB%' THEN ' COLLATE \"C\"'
        ELSE ' COLLATE \"' || l.collname::text || '\"'
    END AS detail,
    ''::text AS other, NOT a.attnotnull AS flag, a.atthasdef OR a.attidentity <> '' AS other_flag
FROM ours t
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.id AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
UNION ALL
SELECT 1::bigint, t.name, ''::text, k.place::bigint, a.attname::text, ''::text, ''::text, false, false
FROM ours t
JOIN pg_catalog.pg_index i ON i.indrelid = t.id AND i.indisprimary
CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(num, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.id AND a.attnum = k.num
WHERE k.place <= i.indnkeyatts
UNION ALL
SELECT 2::bigint, t.name, x.relname::text, k.place::bigint, a.attname::text, ''::text, ''::text,
    i.indisunique, false
FROM ours t
JOIN pg_catalog.pg_index i ON i.indrelid = t.id AND NOT i.indisprimary AND i.indisvalid
    AND i.indpred IS NULL AND i.indexprs IS NULL
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(num, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.id AND a.attnum = k.num
WHERE k.place <= i.indnkeyatts
UNION ALL
SELECT 3::bigint, t.name, f.conname::text, k.place::bigint, a.attname::text, p.relname::text, b.attname::text,
    f.confdeltype IN ('a', 'r'), k.place = 1
FROM ours t
JOIN pg_catalog.pg_constraint f ON f.conrelid = t.id AND f.contype = 'f'
JOIN pg_catalog.pg_class p ON p.oid = f.confrelid
CROSS JOIN LATERAL unnest(f.conkey) WITH ORDINALITY AS k(num, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.id AND a.attnum = k.num
JOIN pg_catalog.pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = f.confkey[k.place]
UNION ALL
SELECT 4::bigint, t.name, c.conname::text, 0::bigint, ''::text, ''::text, ''::text, false, false
FROM ours t
JOIN pg_catalog.pg_constraint c ON c.conrelid = t.id AND c.contype = 'c'
ORDER BY 1, 2, 3, 4";

const SQLITE: &str = "\
WITH ours AS (
    SELECT m.name, m.sql FROM sqlite_master m
    WHERE m.type = 'table' AND substr(m.name, 1, length(?1)) = ?1
)
SELECT 0 AS branch, t.name AS tbl, '' AS grp, c.cid AS place, c.name AS col, c.type AS detail, '' AS other,
    c.\"notnull\" = 0 AS flag, c.dflt_value IS NOT NULL AS other_flag
FROM ours t JOIN pragma_table_info(t.name) c
UNION ALL
SELECT 1, t.name, '', c.pk, c.name, '', '', 0, 0
FROM ours t JOIN pragma_table_info(t.name) c WHERE c.pk > 0
UNION ALL
SELECT 2, t.name, i.name, k.seqno, k.name, '', '', i.\"unique\", 0
FROM ours t JOIN pragma_index_list(t.name) i JOIN pragma_index_info(i.name) k
WHERE i.origin = 'c' AND i.partial = 0
    AND NOT EXISTS (SELECT 1 FROM pragma_index_info(i.name) e WHERE e.name IS NULL)
UNION ALL
SELECT 3, t.name, '#' || f.id, f.seq, f.\"from\", f.\"table\", coalesce(f.\"to\", ''),
    f.on_delete IN ('RESTRICT', 'NO ACTION'), f.seq = 0
FROM ours t JOIN pragma_foreign_key_list(t.name) f
UNION ALL
SELECT 4, t.name, '', 0, '', t.sql, '', 0, 0
FROM ours t
ORDER BY 1, 2, 3, 4";
