//! Declarations that a database could not keep under their names: [`check_names`].

use std::collections::BTreeSet;

use apportion::store::{Schema, TableInfo};

use super::kernel::kernel_shapes;
use crate::names::{Dialect, Names};

/// The longest name of which Postgres keeps every byte. SQLite has no such limit, but what is declared should open
/// on either.
const MAX_IDENTIFIER_BYTES: usize = 63;

/// Refuses names that a database would cut, mistake for another, or need itself.
///
/// # Errors
/// What is wrong, and where.
pub fn check_names(names: &Names, schema: &Schema) -> Result<(), String> {
    // Tables and indexes share one space of names, in Postgres together with the index of every primary key.
    let mut taken = BTreeSet::new();
    for shape in kernel_shapes() {
        taken.insert(shape.name.to_owned());
        taken.insert(format!("{}_pkey", shape.name));
        taken.extend(shape.indexes.iter().map(|index| index.name.to_owned()));
    }
    taken.insert("kernel_arrivals".into());
    if names.dialect() == Dialect::Sqlite && names.bare("").starts_with("sqlite_") {
        return Err("the prefix begins with sqlite_, which SQLite keeps for itself".into());
    }
    for info in schema.tables() {
        let table = info.table.name;
        check_table(info, &mut taken).map_err(|problem| format!("table {table}: {problem}"))?;
    }
    Ok(())
}

fn check_table(info: &TableInfo, taken: &mut BTreeSet<String>) -> Result<(), String> {
    let table = info.table.name;
    let own = [table.to_owned(), format!("{table}_pkey")];
    let orders = info.orders.iter().map(|order| order.name.to_owned());
    for name in own.into_iter().chain(orders) {
        check_name(&name)?;
        if name.starts_with("kernel_") {
            return Err(format!("the name {name} is the store's own: it begins with kernel_"));
        }
        if let Some(name) = taken.replace(name) {
            return Err(format!("two tables or indexes would be called {name}"));
        }
    }
    for column in info.table.columns {
        check_name(column.name)?;
        if matches!(column.name, "revision" | "version") {
            return Err(format!("column {} is declared, and every row has one already", column.name));
        }
    }
    let mut constraints = BTreeSet::from([format!("{table}_pkey")]);
    let references = info.table.references.iter().map(|reference| reference.name);
    for name in references.chain(info.table.invariants.iter().map(|rule| rule.name)) {
        check_name(name)?;
        if !constraints.insert(name.to_owned()) {
            return Err(format!("two references or invariants are called {name}"));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    if name.len() > MAX_IDENTIFIER_BYTES {
        return Err(format!(
            "the name {name} is {} bytes long, and a database keeps {MAX_IDENTIFIER_BYTES}",
            name.len()
        ));
    }
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || !name.bytes().all(sound) {
        return Err(format!("the name {name:?} is not made of lower-case letters, digits and underscores"));
    }
    Ok(())
}
