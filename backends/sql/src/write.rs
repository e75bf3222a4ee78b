//! Writing what a group did: one statement a verb, or one a table and verb.

use std::sync::Arc;

use apportion::store::eval::RowEffect;
use apportion::store::{Row, TableInfo, Value};

use crate::names::Dialect;
use crate::source::{Given, cell, source};
use crate::statement::{Branch, Cell, Statement};
use crate::tables::Tables;
use crate::union::Params;

/// A statement, and how many rows each of its parts must change. Of several parts it answers with a row that says so.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) statement: Statement,
    pub(crate) rows: Vec<usize>,
}

/// A part of a statement, and how many rows it must change.
pub(crate) type Part = (String, usize);

/// The statements that write these effects, in an order in which the database allows them wherever there is a simple
/// one: what is deleted goes children first, what is inserted comes parents first, and updates stand between, or
/// before the deletions where they let go of a row that is deleted. Effects that need another order are written
/// one by one.
pub(crate) fn write(tables: &Tables, effects: &[RowEffect]) -> Vec<Written> {
    let of_tables: Vec<_> = effects
        .chunk_by(|one, other| one.table == other.table)
        .filter_map(|some| Some((tables.schema.table(some.first()?.table), some)))
        .collect();
    let mut deletes = Vec::new();
    for (info, some) in &of_tables {
        let gone: Vec<_> = some.iter().filter(|effect| effect.after.is_none()).collect();
        if !gone.is_empty() {
            let mut params = Params::new(&tables.names);
            let part = delete(tables, &mut params, info, &gone);
            deletes.push(Written::one(params, part));
        }
    }
    deletes.reverse();
    let updates = together(tables, &of_tables, |params, info, some| update(tables, params, info, some));
    let inserts = together(tables, &of_tables, |params, info, some| insert(tables, params, info, some));
    let (first, second) = if lets_go(tables, effects) { (updates, deletes) } else { (deletes, updates) };
    first.into_iter().chain(second).chain(inserts).collect()
}

/// The parts of a larger statement that update rows, table by table, each a query that answers once for each row; they
/// begin when the condition `when` can be answered.
pub(crate) fn updates(tables: &Tables, params: &mut Params, effects: &[RowEffect], when: &str) -> Vec<Part> {
    let of_tables = effects.chunk_by(|one, other| one.table == other.table);
    let parts = of_tables.filter_map(|some| {
        let info = tables.schema.table(some.first()?.table);
        let (sql, rows) = update(tables, params, info, some)?;
        Some((format!("{sql} AND {when} RETURNING 1"), rows))
    });
    parts.collect()
}

impl Written {
    fn one(params: Params, (sql, rows): Part) -> Self {
        Self { statement: params.statement(sql), rows: vec![rows] }
    }
}

/// The parts of some tables, in one statement where the database takes that: writing to different tables it does, and
/// looks at references when all of them are written. One round trip instead of as many as there are tables.
fn together<'e>(
    tables: &Tables,
    of_tables: &[(&'e TableInfo, &'e [RowEffect])],
    part: impl Fn(&mut Params, &TableInfo, &[RowEffect]) -> Option<Part>,
) -> Vec<Written> {
    if tables.dialect() == Dialect::Sqlite {
        let alone = of_tables.iter().filter_map(|(info, some)| {
            let mut params = Params::new(&tables.names);
            let part = part(&mut params, info, some)?;
            Some(Written::one(params, part))
        });
        return alone.collect();
    }
    let mut params = Params::new(&tables.names);
    let mut parts: Vec<Part> =
        of_tables.iter().filter_map(|(info, some)| part(&mut params, info, some)).collect();
    if parts.len() <= 1 {
        return parts.pop().map(|part| Written::one(params, part)).into_iter().collect();
    }
    let (texts, rows): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let with: Vec<_> =
        texts.iter().enumerate().map(|(at, text)| format!("q{at} AS ({text} RETURNING 1)")).collect();
    let counts: Vec<_> = (0..rows.len()).map(|at| format!("(SELECT count(*) FROM q{at})")).collect();
    let sql = format!("WITH {} SELECT 0::bigint, {}", with.join(", "), counts.join(", "));
    let int = Cell::Of(apportion::store::Kind::Int);
    let branches = vec![Branch { columns: (1..=rows.len()).map(|at| (at, int)).collect() }];
    vec![Written { statement: Statement { branches, ..params.statement(sql) }, rows }]
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

fn delete(tables: &Tables, params: &mut Params, info: &TableInfo, gone: &[&RowEffect]) -> Part {
    let keys: Vec<_> = gone.iter().map(|effect| effect.key.clone()).collect();
    let rows = source(params, tables.dialect(), Tables::given(info, &info.key, &keys));
    let places: Vec<_> = (0..info.key.len()).map(|at| format!("s.c{at}")).collect();
    let sql = format!(
        "DELETE FROM {} AS t WHERE ({}) IN (SELECT {} FROM {rows})",
        tables.table(info),
        Tables::list(info, &info.key, "t"),
        places.join(", ")
    );
    (sql, keys.len())
}

fn insert(tables: &Tables, params: &mut Params, info: &TableInfo, effects: &[RowEffect]) -> Option<Part> {
    let new = effects.iter().filter(|effect| effect.before.is_none());
    let rows: Vec<_> = new.filter_map(|effect| effect.after.as_deref()).collect();
    if rows.is_empty() {
        return None;
    }
    let columns: Vec<usize> = (0..info.table.columns.len()).collect();
    let given = columns_of(info, &columns, &rows);
    let cells = cells(tables, info, &columns, 0);
    let names: Vec<_> = info.table.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    let from = source(params, tables.dialect(), given);
    let sql = format!(
        "INSERT INTO {} ({}, \"revision\", \"version\") SELECT {} FROM {from}",
        tables.table(info),
        names.join(", "),
        cells.join(", ")
    );
    Some((sql, rows.len()))
}

/// Sets every column that is changed in any of the rows.
fn update(tables: &Tables, params: &mut Params, info: &TableInfo, effects: &[RowEffect]) -> Option<Part> {
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
    let from = source(params, tables.dialect(), given);
    let sql = format!(
        "UPDATE {} AS t SET {} FROM {from} WHERE {}",
        tables.table(info),
        sets.join(", "),
        Tables::matches(info, &info.key)
    );
    Some((sql, rows.len()))
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
