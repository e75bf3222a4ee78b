//! Declarations against the catalogue: [`compare`] and [`surplus`].

use apportion::store::Schema;

use super::{Difference, LiveColumn, LiveForeignKey, LiveTable, Mismatch};
use crate::ddl::{Shape, ShapeColumn, ShapeIndex, ShapeReference, kernel_shapes};
use crate::names::{Dialect, Names};

/// What a store that works with these declarations would stumble over, the store's own tables first.
///
/// What is there beside is none of it: a later build may have added it. [`surplus`] lists that.
pub fn compare(names: &Names, schema: &Schema, live: &[LiveTable]) -> Vec<Difference> {
    let differences = |shape: Shape| {
        let found = missing(names.dialect(), &shape, find(live, shape.name));
        found.into_iter().map(move |what| Difference { table: shape.name.to_owned(), what })
    };
    shapes(names, schema).into_iter().flat_map(differences).collect()
}

/// What is there and not declared. None of it hinders a store, but after the migrations of this build, and nobody
/// else's, there is none.
pub fn surplus(names: &Names, schema: &Schema, live: &[LiveTable]) -> Vec<Difference> {
    let shapes = shapes(names, schema);
    let mut out = Vec::new();
    for table in live {
        let extra = match shapes.iter().find(|shape| shape.name == table.name) {
            Some(shape) => extra(shape, table),
            None => vec![Mismatch::ExtraTable],
        };
        out.extend(extra.into_iter().map(|what| Difference { table: table.name.clone(), what }));
    }
    out
}

/// Every table that a store works with, parents before children.
pub(super) fn shapes(names: &Names, schema: &Schema) -> Vec<Shape> {
    let declared = schema.tables().iter().map(|info| Shape::of(names.dialect(), schema, info));
    kernel_shapes().into_iter().chain(declared).collect()
}

pub(super) fn find<'l>(live: &'l [LiveTable], name: &str) -> Option<&'l LiveTable> {
    live.iter().find(|table| table.name == name)
}

/// What of a table is not as it should be.
pub(super) fn missing(dialect: Dialect, shape: &Shape, live: Option<&LiveTable>) -> Vec<Mismatch> {
    let Some(live) = live else {
        return vec![Mismatch::MissingTable];
    };
    let mut out = Vec::new();
    if live.primary_key != shape.key {
        out.push(Mismatch::OtherKey(live.primary_key.clone()));
    }
    for column in &shape.columns {
        match live.columns.iter().find(|found| found.name == column.name) {
            Some(found) => compare_column(dialect, column, found, &mut out),
            None => out.push(Mismatch::MissingColumn(column.name.into())),
        }
    }
    for found in &live.columns {
        if shape.column(&found.name).is_none() && !found.nullable && !found.has_default {
            out.push(Mismatch::NeedsValue(found.name.clone()));
        }
    }
    for index in &shape.indexes {
        out.extend(compare_index(index, live));
    }
    for reference in &shape.references {
        out.extend(compare_reference(reference, live));
    }
    for (name, _) in &shape.rules {
        if !live.checks.iter().any(|found| found == name) {
            out.push(Mismatch::MissingRule((*name).into()));
        }
    }
    out
}

fn compare_column(dialect: Dialect, column: &ShapeColumn, found: &LiveColumn, out: &mut Vec<Mismatch>) {
    let declared = column.kind.live(dialect);
    // Two names for the order of bytes.
    if found.type_name.replace("\"POSIX\"", "\"C\"") != declared {
        out.push(Mismatch::OtherType(column.name.into(), found.type_name.clone(), declared.into()));
    }
    match (column.nullable, found.nullable) {
        (false, true) => out.push(Mismatch::MayBeNull(column.name.into())),
        (true, false) => out.push(Mismatch::NeverNull(column.name.into())),
        _ => {}
    }
}

fn compare_index(index: &ShapeIndex, live: &LiveTable) -> Option<Mismatch> {
    let Some(found) = live.indexes.iter().find(|found| found.name == index.name) else {
        return Some(Mismatch::MissingIndex(index.name.into()));
    };
    let same = found.columns == index.columns && found.unique == index.unique;
    (!same).then(|| Mismatch::OtherIndex(index.name.into()))
}

fn compare_reference(reference: &ShapeReference, live: &LiveTable) -> Option<Mismatch> {
    if live.foreign_keys.iter().any(|found| is_same(reference, found)) {
        return None;
    }
    // Without a name, what is on the same columns is taken for it.
    let is_meant = |found: &LiveForeignKey| match &found.name {
        Some(name) => name == reference.name,
        None => found.columns == reference.columns,
    };
    Some(if live.foreign_keys.iter().any(is_meant) {
        Mismatch::OtherReference(reference.name.into())
    } else {
        Mismatch::MissingReference(reference.name.into())
    })
}

fn is_same(reference: &ShapeReference, found: &LiveForeignKey) -> bool {
    found.name.as_ref().is_none_or(|name| name == reference.name)
        && found.columns == reference.columns
        && found.parent == reference.parent
        && found.parent_columns == reference.parent_columns
        && found.restricts
}

/// What of a table is not declared.
fn extra(shape: &Shape, live: &LiveTable) -> Vec<Mismatch> {
    let columns = live.columns.iter().filter(|found| shape.column(&found.name).is_none());
    let indexes =
        live.indexes.iter().filter(|found| !shape.indexes.iter().any(|index| index.name == found.name));
    let is_declared = |found: &LiveForeignKey| match &found.name {
        Some(name) => shape.references.iter().any(|reference| reference.name == name),
        None => shape.references.iter().any(|reference| is_same(reference, found)),
    };
    let references = live.foreign_keys.iter().filter(|found| !is_declared(found));
    let rules = live.checks.iter().filter(|found| !shape.rules.iter().any(|(name, _)| name == found));
    columns
        .map(|found| Mismatch::ExtraColumn(found.name.clone()))
        .chain(indexes.map(|found| Mismatch::ExtraIndex(found.name.clone())))
        .chain(references.map(|found| Mismatch::ExtraReference(found.columns.clone())))
        .chain(rules.map(|found| Mismatch::ExtraRule(found.clone())))
        .collect()
}
