//! Bringing what is stored together with what is declared now.
//!
//! Tables, columns at the end, indexes, unique keys and references may be added; indexes and unique keys may go,
//! and what keeps them is dropped. Anything else would change what stored rows mean, and is refused.

use std::collections::BTreeMap;

use apportion::store::eval::Source as _;
use apportion::store::{Key, OpenProblem, Schema, StoreError, TableInfo, Value};
use redb::{Database, WriteTransaction};

use crate::codec::{DeclaredColumn, DeclaredTable};
use crate::error::storage;
use crate::layout::{
    DECLARED, FORMAT, FORMAT_KEY, LOG, Layout, META, RECEIPTS, State, bytes_table, order_name,
};
use crate::open::{Contents, damaged};
use crate::tables::{Tables, put_state};

/// What is to be done for one table.
#[derive(Debug)]
struct Step<'s> {
    info: &'s TableInfo,
    /// What is to be stored as its declaration.
    declared: DeclaredTable,
    changed: bool,
    /// Orders that are to be made from the rows.
    build: Vec<usize>,
    /// References whose parents are to be looked for.
    check: Vec<usize>,
    /// Names of orders that are to be dropped first.
    dropped: Vec<String>,
    /// A new column that rows would need a value for.
    needs_no_rows: Option<&'static str>,
}

/// Adds what the declarations have grown, and gives the layout of the result.
pub(crate) fn grow(
    database: &Database,
    schema: &Schema,
    contents: Option<Contents>,
) -> Result<Layout, OpenProblem> {
    let new = contents.is_none();
    let mut stored = contents.map(|contents| contents.declared).unwrap_or_default();
    let mut steps = Vec::with_capacity(schema.tables().len());
    for info in schema.tables() {
        steps.push(step(schema, info, stored.remove(info.table.name))?);
    }
    if let Some(left) = stored.keys().next() {
        return Err(incompatible(format!("table {left} is stored and no longer declared")));
    }
    let pads: BTreeMap<&str, Vec<Option<Value>>> = steps
        .iter()
        .map(|step| {
            let pads = step.declared.columns.iter().map(|column| column.pad.clone());
            (step.info.table.name, pads.collect())
        })
        .collect();
    let layout = Layout::new(schema, |table| pads.get(table).cloned().unwrap_or_default());
    if new || steps.iter().any(|step| step.changed) {
        let transaction = database.begin_write().map_err(|error| damaged(storage(error)))?;
        write(&transaction, schema, &layout, &steps, new)?;
        transaction.commit().map_err(|error| damaged(storage(error)))?;
    }
    Ok(layout)
}

fn incompatible(what: impl Into<String>) -> OpenProblem {
    OpenProblem::Incompatible(what.into())
}

/// Compares a table's declaration with the stored one.
fn step<'s>(
    schema: &'s Schema,
    info: &'s TableInfo,
    stored: Option<DeclaredTable>,
) -> Result<Step<'s>, OpenProblem> {
    let parent = |at: usize| schema.tables().get(at).map_or("", |info| info.table.name).to_owned();
    let mut step = Step {
        info,
        declared: DeclaredTable::of(info, parent),
        changed: true,
        build: Vec::new(),
        check: Vec::new(),
        dropped: Vec::new(),
        needs_no_rows: None,
    };
    let Some(stored) = stored else {
        return Ok(step);
    };
    let name = info.table.name;
    if stored.key != step.declared.key {
        return Err(incompatible(format!("the primary key of {name} is another")));
    }
    step.columns(&stored.columns)?;
    for (at, order) in step.declared.orders.iter().enumerate() {
        if !stored.orders.contains(order) {
            step.build.push(at);
        }
    }
    let gone = stored.orders.iter().filter(|order| !step.declared.orders.contains(order));
    step.dropped = gone.map(|order| order_name(name, &order.name)).collect();
    for (at, reference) in step.declared.references.iter().enumerate() {
        let known = stored
            .references
            .iter()
            .any(|known| known.columns == reference.columns && known.parent == reference.parent);
        if !known {
            step.check.push(at);
        }
    }
    step.changed = step.declared != stored;
    Ok(step)
}

impl Step<'_> {
    /// Compares the columns, and takes over what older rows hold in those that were added.
    fn columns(&mut self, stored: &[DeclaredColumn]) -> Result<(), OpenProblem> {
        let name = self.info.table.name;
        if stored.len() > self.declared.columns.len() {
            return Err(incompatible(format!("{name} has fewer columns than are stored")));
        }
        let declared = self.declared.columns.iter_mut().zip(self.info.table.columns);
        for (at, (now, column)) in declared.enumerate() {
            let Some(before) = stored.get(at) else {
                now.pad = match column.default {
                    Some(default) => Some(default.into()),
                    None if column.nullable => Some(Value::Null),
                    None => None,
                };
                if now.pad.is_none() {
                    self.needs_no_rows = Some(column.name);
                }
                continue;
            };
            if before.name != now.name {
                return Err(incompatible(format!(
                    "column {} of {name} is stored where {} is declared",
                    before.name, now.name
                )));
            }
            if before.kind != now.kind {
                return Err(incompatible(format!("column {} of {name} has another type", now.name)));
            }
            if before.nullable && !now.nullable {
                return Err(incompatible(format!("column {} of {name} may hold nulls", now.name)));
            }
            // A default that was declared later does not change what older rows were read as.
            now.pad.clone_from(&before.pad);
        }
        Ok(())
    }
}

fn write(
    transaction: &WriteTransaction,
    schema: &Schema,
    layout: &Layout,
    steps: &[Step<'_>],
    new: bool,
) -> Result<(), OpenProblem> {
    let failed = |error: redb::Error| damaged(storage(error));
    for name in steps.iter().flat_map(|step| &step.dropped) {
        transaction.delete_table(bytes_table(name)).map_err(|error| failed(error.into()))?;
    }
    if new {
        let mut meta = transaction.open_table(META).map_err(|error| failed(error.into()))?;
        let format = FORMAT.to_be_bytes();
        meta.insert(FORMAT_KEY, format.as_slice()).map_err(|error| failed(error.into()))?;
        drop(meta);
        transaction.open_table(LOG).map_err(|error| failed(error.into()))?;
        transaction.open_table(RECEIPTS).map_err(|error| failed(error.into()))?;
        put_state(transaction, &State::NEW).map_err(damaged)?;
    }
    let mut tables = Tables::new(transaction, schema, layout);
    tables.create_all().map_err(damaged)?;
    for step in steps {
        if let Some(column) = step.needs_no_rows
            && tables.has_rows(step.info.id).map_err(damaged)?
        {
            return Err(incompatible(format!(
                "column {column} of {} is new, and rows need a value for it",
                step.info.table.name
            )));
        }
        for order in &step.build {
            backfill(&mut tables, step.info, *order)?;
        }
    }
    for step in steps {
        for reference in &step.check {
            check_parents(&tables, step.info, *reference)?;
        }
    }
    drop(tables);
    let mut declared = transaction.open_table(DECLARED).map_err(|error| failed(error.into()))?;
    for step in steps.iter().filter(|step| step.changed) {
        let bytes = step.declared.encode();
        declared.insert(step.info.table.name, bytes.as_slice()).map_err(|error| failed(error.into()))?;
    }
    Ok(())
}

/// Makes the entries of an order from the rows.
fn backfill(tables: &mut Tables<'_>, info: &TableInfo, at: usize) -> Result<(), OpenProblem> {
    let Some(order) = info.orders.get(at) else {
        return Ok(());
    };
    let mut entries = Vec::new();
    tables
        .each_row(info.id, &mut |row| {
            let null = |at: &usize| row.values().get(*at).is_none_or(Value::is_null);
            let collides = order.unique && !order.columns.iter().any(null);
            entries.push((info.entry(order, &row), collides));
            Ok(())
        })
        .map_err(damaged)?;
    entries.sort_unstable();
    let owned = |entry: &[u8]| -> Option<usize> {
        let key = info.entry_key(order, entry)?;
        entry.len().checked_sub(key.len())
    };
    let mut last: Option<&[u8]> = None;
    for (entry, _) in entries.iter().filter(|(_, collides)| *collides) {
        let values = owned(entry).and_then(|len| entry.get(..len));
        if values.is_some() && values == last {
            return Err(incompatible(format!(
                "rows of {} share the unique key {}",
                info.table.name, order.name
            )));
        }
        last = values;
    }
    for (entry, _) in &entries {
        tables.put_entry(info.id, at, entry).map_err(damaged)?;
    }
    Ok(())
}

/// Looks for the row that each row names by a reference.
fn check_parents(tables: &Tables<'_>, info: &TableInfo, at: usize) -> Result<(), OpenProblem> {
    let Some(reference) = info.references.get(at) else {
        return Ok(());
    };
    let mut orphan = false;
    tables
        .each_row(info.id, &mut |row| {
            let named = reference.columns.iter().map(|at| row.values().get(*at).cloned());
            let named: Vec<Value> = named.flatten().filter(|value| !value.is_null()).collect();
            if named.len() == reference.columns.len() && !orphan {
                let parent: Result<_, StoreError> = tables.row(reference.parent, &Key::new(named));
                orphan = parent?.is_none();
            }
            Ok(())
        })
        .map_err(damaged)?;
    if orphan {
        return Err(incompatible(format!(
            "rows of {} name by {} what is not there",
            info.table.name, reference.name
        )));
    }
    Ok(())
}
