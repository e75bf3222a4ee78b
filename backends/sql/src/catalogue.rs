//! What is really in a database, and how it differs from what is declared: [`LiveTable`], [`Difference`].

mod compare;
mod grow;
mod read;

use std::fmt;

pub use compare::{compare, surplus};
pub use grow::growth;
pub use read::{catalogue, live_tables};

/// A table as the catalogue has it. Names are as declared: without the schema or prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveTable {
    /// The name.
    pub name: String,
    /// The columns, in order.
    pub columns: Vec<LiveColumn>,
    /// The columns of the primary key, in order.
    pub primary_key: Vec<String>,
    /// The indexes, but for that of the primary key, those of some rows only and those of expressions.
    pub indexes: Vec<LiveIndex>,
    /// The foreign keys.
    pub foreign_keys: Vec<LiveForeignKey>,
    /// The names of the CHECKs.
    pub checks: Vec<String>,
}

/// A column of a [`LiveTable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveColumn {
    /// The name.
    pub name: String,
    /// The type, in Postgres with the collation: `text COLLATE "C"`.
    pub type_name: String,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether an insert may leave it out though it may not be null.
    pub has_default: bool,
}

/// An index of a [`LiveTable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveIndex {
    /// The name.
    pub name: String,
    /// The columns, in order.
    pub columns: Vec<String>,
    /// Whether it is unique.
    pub unique: bool,
}

/// A foreign key of a [`LiveTable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveForeignKey {
    /// The name; SQLite tells none.
    pub name: Option<String>,
    /// The columns, in order.
    pub columns: Vec<String>,
    /// The table whose rows they name.
    pub parent: String,
    /// The parent's columns, in the same order.
    pub parent_columns: Vec<String>,
    /// Whether a row that is named cannot be deleted; otherwise deleting it deletes or changes others.
    pub restricts: bool,
}

/// One respect in which a database is not as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// What is different.
    pub what: Mismatch,
}

/// What is different about a table. Names are those of the column, index, reference or invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// It is not there.
    MissingTable,
    /// Its primary key has other columns: these.
    OtherKey(Vec<String>),
    /// A column is not there.
    MissingColumn(String),
    /// A column has another type: column, found, declared.
    OtherType(String, String, String),
    /// A column may be null and is declared not to be.
    MayBeNull(String),
    /// A column may not be null and is declared to be.
    NeverNull(String),
    /// A column that is not declared needs a value from every insert.
    NeedsValue(String),
    /// An index is not there.
    MissingIndex(String),
    /// An index has other columns, or is unique where it should not be or the other way round.
    OtherIndex(String),
    /// A foreign key is not there.
    MissingReference(String),
    /// A foreign key names another table or other columns, or lets named rows be deleted.
    OtherReference(String),
    /// A CHECK is not there.
    MissingRule(String),
    /// The table is not declared.
    ExtraTable,
    /// A column is not declared.
    ExtraColumn(String),
    /// An index is not declared.
    ExtraIndex(String),
    /// A foreign key on these columns is not declared.
    ExtraReference(Vec<String>),
    /// A CHECK is not declared.
    ExtraRule(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = &self.table;
        match &self.what {
            Mismatch::MissingTable => write!(f, "table {table} is missing"),
            Mismatch::OtherKey(found) => write!(f, "the primary key of {table} is {}", found.join(", ")),
            Mismatch::MissingColumn(name) => write!(f, "column {name} of {table} is missing"),
            Mismatch::OtherType(name, found, declared) => {
                write!(f, "column {name} of {table} is {found} and declared as {declared}")
            }
            Mismatch::MayBeNull(name) => {
                write!(f, "column {name} of {table} may hold nulls and is declared not to")
            }
            Mismatch::NeverNull(name) => {
                write!(f, "column {name} of {table} may not hold nulls and is declared to")
            }
            Mismatch::NeedsValue(name) => {
                write!(f, "column {name} of {table} is not declared, and needs a value")
            }
            Mismatch::MissingIndex(name) => write!(f, "index {name} of {table} is missing"),
            Mismatch::OtherIndex(name) => {
                write!(f, "index {name} of {table} has other columns, or differs in being unique")
            }
            Mismatch::MissingReference(name) => write!(f, "foreign key {name} of {table} is missing"),
            Mismatch::OtherReference(name) => {
                write!(
                    f,
                    "foreign key {name} of {table} has other columns, or lets rows be deleted that are named"
                )
            }
            Mismatch::MissingRule(name) => write!(f, "check {name} of {table} is missing"),
            Mismatch::ExtraTable => write!(f, "table {table} is not declared"),
            Mismatch::ExtraColumn(name) => write!(f, "column {name} of {table} is not declared"),
            Mismatch::ExtraIndex(name) => write!(f, "index {name} of {table} is not declared"),
            Mismatch::ExtraReference(columns) => {
                write!(f, "the foreign key on {} of {table} is not declared", columns.join(", "))
            }
            Mismatch::ExtraRule(name) => write!(f, "check {name} of {table} is not declared"),
        }
    }
}
