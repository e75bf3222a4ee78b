//! Tables as SQL: [`create_table`], [`kernel_tables`], and what a database cannot call its own ([`check_names`]).

mod check;
mod kernel;
mod shape;

use apportion::store::{Schema, TableInfo};

use crate::names::{Dialect, Names};

pub use check::check_names;
pub(crate) use kernel::kernel_shapes;
pub(crate) use shape::{Rule, Shape, ShapeColumn, ShapeIndex, ShapeReference};

/// The statements that make a declared table: the table, then an index for each of its orders but the primary key's.
///
/// Text depends on the declaration alone, so the same declaration makes the same table everywhere. The names must
/// have passed [`check_names`].
pub fn create_table(names: &Names, schema: &Schema, info: &TableInfo) -> Vec<String> {
    create(names, &Shape::of(names.dialect(), schema, info))
}

/// The statements that make the store's own tables, with the rows that they begin with.
pub fn kernel_tables(names: &Names) -> Vec<String> {
    let mut statements = Vec::new();
    for shape in kernel_shapes() {
        statements.extend(create(names, &shape));
        statements.extend(kernel::first_rows(names, shape.name));
    }
    if names.dialect() == Dialect::Postgres {
        statements.push(format!("CREATE SEQUENCE {}", names.table("kernel_arrivals")));
    }
    statements
}

/// The statement that makes the schema; none in SQLite, which has no schemas.
///
/// Postgres asks for the right to create in the database before it looks whether the schema is there. Who may lack it
/// looks first.
pub fn create_schema(names: &Names) -> Option<String> {
    let has_schema = names.dialect() == Dialect::Postgres;
    has_schema.then(|| format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(names.schema())))
}

/// The statements that make the history of migrations where there is none, in a schema that is there: what must be
/// there before the first migration can be looked for, and for openers that wait for one another. They may be run
/// again and again.
pub fn history_table(names: &Names) -> Vec<String> {
    kernel_shapes().iter().filter(|shape| shape.shared).flat_map(|shape| create(names, shape)).collect()
}

/// The statements that make a table of this shape.
pub(crate) fn create(names: &Names, shape: &Shape) -> Vec<String> {
    let dialect = names.dialect();
    let mut lines: Vec<String> = shape.columns.iter().map(|column| column_sql(dialect, column)).collect();
    lines.push(format!("PRIMARY KEY ({})", list(&shape.key)));
    for reference in &shape.references {
        lines.push(reference_sql(names, reference));
    }
    for (name, rule) in &shape.rules {
        lines.push(rule_sql(dialect, name, rule));
    }
    let end = match dialect {
        Dialect::Postgres => "",
        Dialect::Sqlite => " STRICT, WITHOUT ROWID",
    };
    let begin = if shape.shared { "CREATE TABLE IF NOT EXISTS" } else { "CREATE TABLE" };
    let table = format!("{begin} {} (\n    {}\n){end}", names.table(shape.name), lines.join(",\n    "));
    let mut statements = vec![table];
    statements.extend(shape.indexes.iter().map(|index| index_sql(names, shape, index)));
    statements
}

/// A column as CREATE TABLE and ADD COLUMN have it.
pub(crate) fn column_sql(dialect: Dialect, column: &ShapeColumn) -> String {
    let mut sql = format!("{} {}", quoted(column.name), column.kind.sql(dialect));
    if !column.nullable {
        sql.push_str(" NOT NULL");
    }
    if let Some(default) = &column.default {
        sql.push_str(" DEFAULT ");
        sql.push_str(default);
    }
    if let Some(check) = column.kind.check(dialect, column.name) {
        sql.push(' ');
        sql.push_str(&check);
    }
    sql
}

/// A foreign key as CREATE TABLE and ADD CONSTRAINT have it.
pub(crate) fn reference_sql(names: &Names, reference: &ShapeReference) -> String {
    format!(
        "CONSTRAINT {} FOREIGN KEY ({}) {}",
        quoted(reference.name),
        list(&reference.columns),
        references_sql(names, reference)
    )
}

/// A foreign key's second half, which also stands alone after a column.
pub(crate) fn references_sql(names: &Names, reference: &ShapeReference) -> String {
    // SQLite judges RESTRICT row by row, so that a statement which deletes a row together with those that refer to
    // it would be refused or not by the order in which it meets them. NO ACTION is judged when it has ended.
    let action = if reference.to_itself { "NO ACTION" } else { "RESTRICT" };
    format!(
        "REFERENCES {} ({}) ON DELETE {action}",
        names.table(reference.parent),
        list(&reference.parent_columns)
    )
}

/// A CHECK as CREATE TABLE, ADD CONSTRAINT and ADD COLUMN have it.
pub(crate) fn rule_sql(dialect: Dialect, name: &str, rule: &Rule) -> String {
    format!("CONSTRAINT {} CHECK ({})", quoted(name), rule.sql(dialect))
}

/// The statement that makes an index.
pub(crate) fn index_sql(names: &Names, shape: &Shape, index: &ShapeIndex) -> String {
    let columns: Vec<String> = index
        .columns
        .iter()
        .map(|name| {
            // Nulls come first in every scan. SQLite has it so; in Postgres an index must be told.
            let told = names.dialect() == Dialect::Postgres && shape.is_nullable(name);
            if told { format!("{} NULLS FIRST", quoted(name)) } else { quoted(name) }
        })
        .collect();
    format!(
        "CREATE {}INDEX {} ON {} ({})",
        if index.unique { "UNIQUE " } else { "" },
        quoted(&names.bare(index.name)),
        names.table(shape.name),
        columns.join(", ")
    )
}

/// A name between double quotes. [`check_names`] has seen to it that none is inside.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn list(names: &[&'static str]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}
