//! Faults that are declarations left out: the store inside is opened with other tables than it was asked for.

use apportion::store::{Column, Index, Invariant, Kind, Limit, Role, Table};

use crate::fault::Fault;

/// The tables that the store inside is opened with.
pub(crate) fn altered(tables: &[&'static Table], fault: Option<Fault>) -> Vec<&'static Table> {
    tables.iter().map(|table| one(table, fault)).collect()
}

fn leak<T>(items: Vec<T>) -> &'static [T] {
    Vec::leak(items)
}

fn one(table: &'static Table, fault: Option<Fault>) -> &'static Table {
    let mut columns: Vec<Column> = table.columns.to_vec();
    for column in &mut columns {
        match fault {
            Some(Fault::DefaultsAreNull) if !table.key.contains(&column.name) => {
                column.nullable |= column.default.is_some();
                column.default = None;
            }
            Some(Fault::SecretsInTheFeed) if column.role == Role::Secret => column.role = Role::Plain,
            Some(Fault::LongTextsAccepted) => {
                if let Kind::Text { max_bytes } = &mut column.kind {
                    *max_bytes = 100_000;
                }
            }
            _ => {}
        }
    }
    let (mut uniques, mut indexes) = (table.uniques.to_vec(), table.indexes.to_vec());
    let (mut references, mut invariants) = (table.references.to_vec(), table.invariants.to_vec());
    let mut ceilings = table.ceilings.to_vec();
    let mut quiet = table.quiet;
    match fault {
        Some(Fault::NoUniqueCheck | Fault::UniqueByLookingFirst) => {
            indexes.extend(uniques.drain(..).map(|unique| Index::new(unique.name, unique.columns)));
        }
        Some(Fault::ReferencesIgnored) => {
            let names = references.drain(..).map(|reference| Index::new(reference.name, reference.columns));
            indexes.extend(names);
        }
        Some(Fault::InvariantsIgnored) => invariants.clear(),
        Some(Fault::CeilingsIgnored) => ceilings.clear(),
        Some(Fault::CeilingsAreChecks) => {
            for ceiling in ceilings.drain(..) {
                invariants.push(match ceiling.limit {
                    Limit::Column(limit) => Invariant::not_above(ceiling.name, ceiling.column, limit),
                    Limit::Value(limit) => Invariant::at_most(ceiling.name, ceiling.column, limit),
                    _ => unreachable!("a limit of a kind that the tests do not know"),
                });
            }
        }
        Some(Fault::QuietIsLoud) => quiet = false,
        _ => {}
    }
    let mut altered = Table::new(table.name, leak(columns), table.key)
        .uniques(leak(uniques))
        .indexes(leak(indexes))
        .references(leak(references))
        .invariants(leak(invariants))
        .ceilings(leak(ceilings));
    altered.quiet = quiet;
    Box::leak(Box::new(altered))
}
