//! What brings a database to the declarations without taking anything away: [`growth`].

use std::collections::BTreeSet;

use apportion::store::Schema;

use super::compare::{find, missing, shapes};
use super::{Difference, LiveTable, Mismatch};
use crate::ddl::{
    Rule, Shape, ShapeColumn, ShapeReference, column_sql, create, index_sql, quoted, reference_sql,
    references_sql, rule_sql,
};
use crate::migrations::wanted;
use crate::names::{Dialect, Names};

/// The statements that bring a database, after its migrations, to the declarations.
///
/// Tables may be added, and columns at the end that may be null or have a default, and indexes. Postgres also takes
/// references and invariants of columns that are there, and lets a column be null from now on; SQLite takes them
/// with a new column only.
///
/// # Errors
/// What cannot be brought. A table that a migration has made and that is gone is such a thing: an empty one in its
/// place would hide the loss.
pub fn growth(names: &Names, schema: &Schema, live: &[LiveTable]) -> Result<Vec<String>, Vec<Difference>> {
    let made: BTreeSet<&str> =
        wanted(names.dialect(), schema).into_iter().flat_map(|migration| migration.tables).copied().collect();
    let mut statements = Vec::new();
    let mut refused = Vec::new();
    for shape in shapes(names, schema) {
        let live = find(live, shape.name);
        let mut table =
            Growing { names, shape: &shape, live, added: Vec::new(), later: Vec::new(), refused: Vec::new() };
        for what in missing(names.dialect(), &shape, live) {
            if what == Mismatch::MissingTable && !made.contains(shape.name) {
                table.later.extend(create(names, &shape));
            } else {
                table.add(what);
            }
        }
        statements.extend(table.added.iter().map(|column| table.add_column(column)));
        statements.append(&mut table.later);
        let difference = |what| Difference { table: shape.name.to_owned(), what };
        refused.extend(table.refused.into_iter().map(difference));
    }
    if refused.is_empty() { Ok(statements) } else { Err(refused) }
}

/// A table that is there and gets what it lacks.
#[derive(Debug)]
struct Growing<'s> {
    names: &'s Names,
    shape: &'s Shape,
    live: Option<&'s LiveTable>,
    /// New columns, in declared order, each with the constraints that go with it.
    added: Vec<Added<'s>>,
    /// What is done when they are there.
    later: Vec<String>,
    refused: Vec<Mismatch>,
}

#[derive(Debug)]
struct Added<'s> {
    column: &'s ShapeColumn,
    constraints: Vec<String>,
}

impl<'s> Growing<'s> {
    /// Columns come before all that may be about them.
    fn add(&mut self, what: Mismatch) {
        let done = match &what {
            Mismatch::MissingColumn(name) => self.column(name),
            Mismatch::MissingIndex(name) => self.index(name),
            Mismatch::MissingReference(name) => self.reference(name),
            Mismatch::MissingRule(name) => self.rule(name),
            Mismatch::NeverNull(name) => self.let_be_null(name),
            _ => None,
        };
        if done.is_none() {
            self.refused.push(what);
        }
    }

    fn column(&mut self, name: &str) -> Option<()> {
        let shape = self.shape;
        let at = shape.columns.iter().position(|column| column.name == name)?;
        let column = shape.columns.get(at)?;
        let has_value = column.nullable || column.default.is_some();
        (has_value && self.is_at_the_end(at)).then_some(())?;
        self.added.push(Added { column, constraints: Vec::new() });
        Some(())
    }

    /// A column that is declared before one that is there was not appended, as the rule for declarations has it.
    fn is_at_the_end(&self, at: usize) -> bool {
        let later = self.shape.columns.iter().skip(at + 1).map(|column| column.name);
        let is_there =
            |name| self.live.is_some_and(|live| live.columns.iter().any(|found| found.name == name));
        !later.filter(|name| !matches!(*name, "revision" | "version")).any(is_there)
    }

    fn index(&mut self, name: &str) -> Option<()> {
        let index = self.shape.indexes.iter().find(|index| index.name == name)?;
        self.later.push(index_sql(self.names, self.shape, index));
        Some(())
    }

    fn reference(&mut self, name: &str) -> Option<()> {
        let reference = self.shape.references.iter().find(|reference| reference.name == name)?;
        match self.names.dialect() {
            Dialect::Postgres => {
                let constraint = reference_sql(self.names, reference);
                self.add_constraint(&constraint);
            }
            Dialect::Sqlite => self.inline_reference(reference)?,
        }
        Some(())
    }

    /// SQLite takes a reference with a new column, and only where the rows that are there name nothing.
    fn inline_reference(&mut self, reference: &ShapeReference) -> Option<()> {
        let [name] = reference.columns.as_slice() else {
            return None;
        };
        let text = format!("CONSTRAINT {} {}", quoted(reference.name), references_sql(self.names, reference));
        let added = self.added.iter_mut().find(|added| added.column.name == *name)?;
        added.column.default.is_none().then_some(())?;
        added.constraints.push(text);
        Some(())
    }

    fn rule(&mut self, name: &str) -> Option<()> {
        let (name, rule): &(_, Rule) = self.shape.rules.iter().find(|(found, _)| *found == name)?;
        let text = rule_sql(self.names.dialect(), name, rule);
        match self.names.dialect() {
            Dialect::Postgres => self.add_constraint(&text),
            // With the last of its columns to come, when the others are there.
            Dialect::Sqlite => {
                let about = rule.columns();
                let last = self.added.iter_mut().rfind(|added| about.contains(&added.column.name))?;
                last.constraints.push(text);
            }
        }
        Some(())
    }

    fn let_be_null(&mut self, name: &str) -> Option<()> {
        (self.names.dialect() == Dialect::Postgres).then_some(())?;
        let table = self.names.table(self.shape.name);
        self.later.push(format!("ALTER TABLE {table} ALTER COLUMN {} DROP NOT NULL", quoted(name)));
        Some(())
    }

    fn add_constraint(&mut self, constraint: &str) {
        self.later.push(format!("ALTER TABLE {} ADD {constraint}", self.names.table(self.shape.name)));
    }

    fn add_column(&self, added: &Added<'s>) -> String {
        let mut sql = format!(
            "ALTER TABLE {} ADD COLUMN {}",
            self.names.table(self.shape.name),
            column_sql(self.names.dialect(), added.column)
        );
        for constraint in &added.constraints {
            sql.push(' ');
            sql.push_str(constraint);
        }
        sql
    }
}
