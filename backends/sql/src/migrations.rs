//! Hand-written migrations: [`migrations`], [`pending`], [`migrations_sql`].
//!
//! A migration is one file of `migrations/postgres` or `migrations/sqlite`, one change each, and a fact once it is
//! released: never edited, so that every database has gone through the same. To change a table, add a file.
//!
//! What the files may hold: statements that end with `;` at the end of a line, and whole lines of comment that begin
//! with `--`. A name inside is a placeholder, because the schema (Postgres) or the prefix (SQLite) is the host's
//! choice: `{{users}}` is a table with its schema, `"apportion"."users"` or `"apportion_users"`; `{{bare:users_email}}`
//! is a name as CREATE INDEX takes it, `"users_email"` or `"apportion_users_email"`. Constraints and columns need none.
//! No triggers, enum types, DO blocks or advisory locks: they have to run on whatever speaks the protocol.

mod export;
mod list;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use apportion::entity;
use apportion::store::{OpenProblem, Schema};
use sha2::{Digest as _, Sha256};

use crate::names::{Dialect, Names};

pub use export::migrations_sql;

/// Which writer this build is. A build that writes what older ones must not meet raises it, and `min_writer` in
/// `kernel_meta` once none of them is to write any more.
pub const WRITER: u32 = 1;

/// One file.
#[derive(Debug)]
pub struct Migration {
    /// The name of the file, without its ending: `0001_kernel`.
    pub name: &'static str,
    /// The tables that it makes or changes.
    pub tables: &'static [&'static str],
    /// Whether every store needs it; otherwise those that keep the entities of the control plane.
    pub kernel: bool,
    /// The text of the file.
    pub sql: &'static str,
}

impl Migration {
    /// The statements, in order, with their names filled in.
    pub fn text(&self, names: &Names) -> Vec<String> {
        let code: Vec<&str> = self.sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        let whole = fill_in(&code.join("\n"), names);
        whole
            .split(";\n")
            .map(|part| part.trim().trim_end_matches(';').to_owned())
            .filter(|part| !part.is_empty())
            .collect()
    }

    /// The SHA-256 of the file, in hex.
    pub fn checksum(&self) -> String {
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(self.sql.as_bytes()) {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

/// Every migration of a dialect, in the order in which they are applied.
pub const fn migrations(dialect: Dialect) -> &'static [Migration] {
    match dialect {
        Dialect::Postgres => list::POSTGRES,
        Dialect::Sqlite => list::SQLITE,
    }
}

/// The migrations that a store of this schema needs: the kernel's, and the entities' where it keeps any of them.
pub fn wanted(dialect: Dialect, schema: &Schema) -> Vec<&'static Migration> {
    let entities = keeps_entities(schema);
    migrations(dialect).iter().filter(|migration| migration.kernel || entities).collect()
}

/// A host may call a table of its own `users`, so it is the declaration that tells, not the name.
fn keeps_entities(schema: &Schema) -> bool {
    let is_entity = |table| entity::TABLES.iter().any(|entity| std::ptr::eq(*entity, table));
    schema.tables().iter().any(|info| is_entity(info.table))
}

/// Which of the migrations in `list` have not been applied, by the names and checksums in `kernel_migrations`;
/// `min_writer` is what `kernel_meta` holds under that key.
///
/// Names that this build does not know are fine: a later build was here, and says by `min_writer` whether older ones
/// may go on.
///
/// # Errors
/// [`OpenProblem::TooNew`] where this build may not write any more, [`OpenProblem::Incompatible`] where a migration
/// was another when it was applied, and [`OpenProblem::Damaged`] where `min_writer` is no number.
pub fn pending<'m>(
    list: &[&'m Migration],
    applied: &[(String, String)],
    min_writer: Option<&str>,
) -> Result<Vec<&'m Migration>, OpenProblem> {
    if let Some(text) = min_writer {
        let least: u32 = text
            .parse()
            .map_err(|_| OpenProblem::Damaged("min_writer in kernel_meta is not a number".into()))?;
        if least > WRITER {
            return Err(OpenProblem::TooNew(format!(
                "it admits writers from {least} on, and this is {WRITER}"
            )));
        }
    }
    let mut left = Vec::new();
    for migration in list {
        match applied.iter().find(|(name, _)| name == migration.name) {
            None => left.push(*migration),
            Some((_, checksum)) if *checksum == migration.checksum() => {}
            Some(_) => {
                return Err(OpenProblem::Incompatible(format!(
                    "migration {} was another when it was applied",
                    migration.name
                )));
            }
        }
    }
    Ok(left)
}

/// The tables that have to be made yet: those that a migration in `left` names and none that was applied.
pub fn to_be_made(list: &[&Migration], left: &[&Migration]) -> BTreeSet<&'static str> {
    let is_left = |migration: &&&Migration| left.iter().any(|other| other.name == migration.name);
    let made: BTreeSet<&str> = list
        .iter()
        .filter(|migration| !is_left(migration))
        .flat_map(|migration| migration.tables)
        .copied()
        .collect();
    let named = left.iter().flat_map(|migration| migration.tables).copied();
    named.filter(|table| !made.contains(table)).collect()
}

/// Fills in the placeholders. What is between braces and is none stays as it is, and the database refuses it.
fn fill_in(text: &str, names: &Names) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, inside)| Some((before, inside.split_once("}}")?)))
    {
        out.push_str(before);
        match name.strip_prefix("bare:") {
            Some(name) => out.push_str(&crate::ddl::quoted(&names.bare(name))),
            None => out.push_str(&names.table(name)),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}
