//! Writing what a group did: one statement a table and verb.

use std::sync::Arc;

use apportion::store::eval::RowEffect;
use apportion::store::{Row, TableInfo, Value};

use crate::source::{Given, cell, source};
use crate::statement::{Cell, Statement};
use crate::tables::Tables;
use crate::union::Params;

/// A statement, and how many rows it must change.
pub(crate) type Written = (Statement, usize);

/// The statements that write these effects, in an order in which the database allows them wherever there is a simple
/// one: what is deleted goes children first, what is inserted comes parents first, and updates stand between, or
/// before the deletions where they let go of a row that is deleted. Effects that need another order are written
/// one by one.
pub(crate) fn write(tables: &Tables, effects: &[RowEffect]) -> Vec<Written> {
    let mut deletes = Vec::new();
    let mut updates = Vec::new();
    let mut inserts = Vec::new();
    for of_table in effects.chunk_by(|one, other| one.table == other.table) {
        let Some(info) = of_table.first().map(|effect| tables.schema.table(effect.table)) else { continue };
        let gone: Vec<_> = of_table.iter().filter(|effect| effect.after.is_none()).collect();
        let new: Vec<_> = of_table.iter().filter(|effect| effect.before.is_none()).collect();
        if !gone.is_empty() {
            deletes.push(delete(tables, info, &gone));
        }
        updates.extend(update(tables, info, of_table));
        if !new.is_empty() {
            inserts.push(insert(tables, info, &new));
        }
    }
    deletes.reverse();
    let (first, second) = if lets_go(tables, effects) { (updates, deletes) } else { (deletes, updates) };
    first.into_iter().chain(second).chain(inserts).collect()
}

/// Whether a row that is updated no longer refers to one that is deleted.
fn lets_go(tables: &Tables, effects: &[RowEffect]) -> bool {
    let deleted = |table, values: &[&Value]| {
        effects.iter().any(|effect| {
            effect.table == table
                && effect.after.is_none()
                && effect.key.values().iter().eq(values.iter().copied())
        })
    };
    if effects.iter().all(|effect| effect.after.is_some()) {
        return false;
    }
    effects.iter().any(|effect| {
        let (Some(before), Some(_)) = (&effect.before, &effect.after) else { return false };
        tables.schema.table(effect.table).references.iter().any(|reference| {
            let values: Vec<_> = reference.columns.iter().filter_map(|at| before.values().get(*at)).collect();
            deleted(reference.parent, &values)
        })
    })
}

fn delete(tables: &Tables, info: &TableInfo, gone: &[&RowEffect]) -> Written {
    let mut params = Params::new(&tables.names);
    let keys: Vec<_> = gone.iter().map(|effect| effect.key.clone()).collect();
    let rows = source(&mut params, tables.dialect(), Tables::given(info, &info.key, &keys));
    let places: Vec<_> = (0..info.key.len()).map(|at| format!("s.c{at}")).collect();
    let sql = format!(
        "DELETE FROM {} AS t WHERE ({}) IN (SELECT {} FROM {rows})",
        tables.table(info),
        Tables::list(info, &info.key, "t"),
        places.join(", ")
    );
    (params.statement(sql), keys.len())
}

fn insert(tables: &Tables, info: &TableInfo, new: &[&RowEffect]) -> Written {
    let mut params = Params::new(&tables.names);
    let rows: Vec<_> = new.iter().filter_map(|effect| effect.after.as_deref()).collect();
    let columns: Vec<usize> = (0..info.table.columns.len()).collect();
    let given = columns_of(info, &columns, &rows);
    let cells = cells(tables, info, &columns, 0);
    let names: Vec<_> = info.table.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    let from = source(&mut params, tables.dialect(), given);
    let sql = format!(
        "INSERT INTO {} ({}, \"revision\", \"version\") SELECT {} FROM {from}",
        tables.table(info),
        names.join(", "),
        cells.join(", ")
    );
    (params.statement(sql), rows.len())
}

/// Sets every column that is changed in any of the rows.
fn update(tables: &Tables, info: &TableInfo, effects: &[RowEffect]) -> Option<Written> {
    let changed: Vec<(&Row, &Row, &RowEffect)> = effects
        .iter()
        .filter_map(|effect| Some((effect.before.as_deref()?, effect.after.as_deref()?, effect)))
        .collect();
    if changed.is_empty() {
        return None;
    }
    let differs = |at: &usize| {
        changed.iter().any(|(before, after, _)| before.values().get(*at) != after.values().get(*at))
    };
    let columns: Vec<usize> = (0..info.table.columns.len()).filter(differs).collect();
    let keys: Vec<_> = changed.iter().map(|(_, _, effect)| effect.key.clone()).collect();
    let rows: Vec<_> = changed.iter().map(|(_, after, _)| *after).collect();
    let mut given = Tables::given(info, &info.key, &keys);
    given.extend(columns_of(info, &columns, &rows));
    let names = columns.iter().filter_map(|at| info.table.columns.get(*at)).map(|column| column.name);
    let sets: Vec<_> = names
        .chain(["revision", "version"])
        .zip(cells(tables, info, &columns, info.key.len()))
        .map(|(name, cell)| format!("\"{name}\" = {cell}"))
        .collect();
    let mut params = Params::new(&tables.names);
    let from = source(&mut params, tables.dialect(), given);
    let sql = format!(
        "UPDATE {} AS t SET {} FROM {from} WHERE {}",
        tables.table(info),
        sets.join(", "),
        Tables::matches(info, &info.key)
    );
    Some((params.statement(sql), rows.len()))
}

/// The values of some columns of these rows, then their revisions and versions.
fn columns_of(info: &TableInfo, columns: &[usize], rows: &[&Row]) -> Vec<Given> {
    let mut given = Vec::with_capacity(columns.len() + 2);
    for at in columns {
        if let Some(column) = info.table.columns.get(*at) {
            let values = rows.iter().map(|row| row.values().get(*at).cloned().unwrap_or_default());
            given.push(Given::Values(column.kind, values.collect()));
        }
    }
    for number in [Row::revision, Row::version] {
        let values = rows.iter().map(|row| Value::Int(number(row))).collect();
        given.push(Given::Values(apportion::store::Kind::Int, values));
    }
    given
}

/// How those are written in an expression, where so many columns stand before them.
fn cells(tables: &Tables, info: &TableInfo, columns: &[usize], before: usize) -> Vec<String> {
    let kinds =
        columns.iter().filter_map(|at| info.table.columns.get(*at)).map(|column| Cell::Of(column.kind));
    let own = [Cell::Of(apportion::store::Kind::Int); 2];
    let all = kinds.chain(own).enumerate();
    all.map(|(at, kind)| cell(tables.dialect(), before + at, kind)).collect()
}

/// What each of some effects on the same rows, one group after the other, adds to the one before.
pub(crate) fn steps(stages: Vec<Vec<RowEffect>>) -> Vec<Vec<RowEffect>> {
    let mut steps = Vec::with_capacity(stages.len());
    let mut earlier: Vec<(apportion::store::TableId, apportion::store::Key, Option<Arc<Row>>)> = Vec::new();
    for stage in stages {
        let mut step = Vec::new();
        let mut now = Vec::with_capacity(stage.len());
        for effect in stage {
            let known = earlier.iter().find(|(table, key, _)| *table == effect.table && *key == effect.key);
            let before = known.map_or_else(|| effect.before.clone(), |(_, _, after)| after.clone());
            now.push((effect.table, effect.key.clone(), effect.after.clone()));
            if before.as_deref() != effect.after.as_deref() {
                step.push(RowEffect::new(effect.table, effect.key, before, effect.after));
            }
        }
        // A row that was inserted and deleted again is in no later effect.
        for (table, key, after) in earlier {
            if after.is_some() && !now.iter().any(|(of, other, _)| *of == table && *other == key) {
                step.push(RowEffect::new(table, key.clone(), after, None));
                now.push((table, key, None));
            }
        }
        earlier = now;
        steps.push(step);
    }
    steps
}
