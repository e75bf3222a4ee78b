//! How a table is declared: columns, keys, references and rules, as plain static data.

use super::value::{Kind, Value};

/// The declaration of a table. Everything that a store does with rows follows from it.
///
/// # Examples
/// ```
/// use apportion::store::{Ceiling, Column, Invariant, Table};
///
/// static QUOTAS: Table = Table::new(
///     "gpu_quotas",
///     &[Column::uuid("account_id"), Column::int("gpus").counter(), Column::int("gpu_limit").nullable()],
///     &["account_id"],
/// )
/// .invariants(&[Invariant::at_least("gpu_quotas_gpus_not_negative", "gpus", 0)])
/// .ceilings(&[Ceiling::column("gpu_quotas_gpu_limit", "gpus", "gpu_limit")]);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Table {
    /// The name: lower case, plural, unique in a schema.
    pub name: &'static str,
    /// The columns. New ones are appended, with a default; none is ever removed, renamed or retyped.
    pub columns: &'static [Column],
    /// The columns of the primary key. They are immutable.
    pub key: &'static [&'static str],
    /// Keys that no two rows share.
    pub uniques: &'static [Unique],
    /// Orders in which the table can be scanned.
    pub indexes: &'static [Index],
    /// Columns that name a row of another table.
    pub references: &'static [Reference],
    /// Rules that every row keeps, always.
    pub invariants: &'static [Invariant],
    /// Limits on counters, judged when a write raises the counter.
    pub ceilings: &'static [Ceiling],
    /// Whether changes stay out of the feed: for heartbeats and other rows that change often and matter briefly.
    pub quiet: bool,
}

impl Table {
    /// A table with its columns and the names of its key columns.
    pub const fn new(name: &'static str, columns: &'static [Column], key: &'static [&'static str]) -> Self {
        Self {
            name,
            columns,
            key,
            uniques: &[],
            indexes: &[],
            references: &[],
            invariants: &[],
            ceilings: &[],
            quiet: false,
        }
    }

    /// Declares the unique keys.
    pub const fn uniques(mut self, uniques: &'static [Unique]) -> Self {
        self.uniques = uniques;
        self
    }

    /// Declares the indexes.
    pub const fn indexes(mut self, indexes: &'static [Index]) -> Self {
        self.indexes = indexes;
        self
    }

    /// Declares the references to other tables.
    pub const fn references(mut self, references: &'static [Reference]) -> Self {
        self.references = references;
        self
    }

    /// Declares the invariants.
    pub const fn invariants(mut self, invariants: &'static [Invariant]) -> Self {
        self.invariants = invariants;
        self
    }

    /// Declares the ceilings.
    pub const fn ceilings(mut self, ceilings: &'static [Ceiling]) -> Self {
        self.ceilings = ceilings;
        self
    }

    /// Keeps the table's changes out of the feed.
    pub const fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }
}

/// A column's declaration.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Column {
    /// The name: lower case, units last (`memory_mib`).
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// Who may change it, and whether it is shown in the feed.
    pub role: Role,
    /// Whether it may be null.
    pub nullable: bool,
    /// What rows hold that were written before the column existed, and inserts that leave it out.
    pub default: Option<Fixed>,
}

/// What may change a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Changed by `Update`.
    Plain,
    /// Never changed after the insert, so that a decision that read it needs no guard.
    Immutable,
    /// Changed by `Adjust` and `Patch` only.
    Counter,
    /// Changed by `Update`, and never part of a change record.
    Secret,
}

/// A value that a declaration can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fixed {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A text.
    Text(&'static str),
}

impl From<Fixed> for Value {
    fn from(fixed: Fixed) -> Self {
        match fixed {
            Fixed::Null => Self::Null,
            Fixed::Bool(value) => Self::Bool(value),
            Fixed::Int(value) => Self::Int(value),
            Fixed::Text(value) => Self::from(value),
        }
    }
}

impl Column {
    /// A plain column that may not be null.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, role: Role::Plain, nullable: false, default: None }
    }

    /// A column of UUIDs.
    pub const fn uuid(name: &'static str) -> Self {
        Self::new(name, Kind::Uuid)
    }

    /// A column of integers within ±2^53.
    pub const fn int(name: &'static str) -> Self {
        Self::new(name, Kind::Int)
    }

    /// A column of booleans.
    pub const fn bool(name: &'static str) -> Self {
        Self::new(name, Kind::Bool)
    }

    /// A column of moments.
    pub const fn time(name: &'static str) -> Self {
        Self::new(name, Kind::Time)
    }

    /// A column of texts of at most `max_bytes` bytes.
    pub const fn text(name: &'static str, max_bytes: usize) -> Self {
        Self::new(name, Kind::Text { max_bytes })
    }

    /// A column of JSON documents of at most `max_bytes` bytes in canonical form.
    pub const fn json(name: &'static str, max_bytes: usize) -> Self {
        Self::new(name, Kind::Json { max_bytes })
    }

    /// Lets the column be null. An insert that leaves it out means null.
    pub const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// Makes it a counter; see [`Role::Counter`].
    pub const fn counter(mut self) -> Self {
        self.role = Role::Counter;
        self
    }

    /// Makes it immutable; see [`Role::Immutable`].
    pub const fn immutable(mut self) -> Self {
        self.role = Role::Immutable;
        self
    }

    /// Makes it secret; see [`Role::Secret`].
    pub const fn secret(mut self) -> Self {
        self.role = Role::Secret;
        self
    }

    /// Declares what an insert that leaves the column out means, and what older rows hold.
    pub const fn default(mut self, default: Fixed) -> Self {
        self.default = Some(default);
        self
    }

    /// The value where none was given; `None` where one must be.
    pub(crate) fn fallback(&self) -> Option<Value> {
        match self.default {
            Some(fixed) => Some(fixed.into()),
            None if self.nullable => Some(Value::Null),
            None => None,
        }
    }
}

/// A key that no two rows share. A row with a null in it collides with nothing.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Unique {
    /// The name that a refusal gives.
    pub name: &'static str,
    /// The columns, in order; the key can also be scanned in this order.
    pub columns: &'static [&'static str],
}

impl Unique {
    /// Declares a unique key.
    pub const fn new(name: &'static str, columns: &'static [&'static str]) -> Self {
        Self { name, columns }
    }
}

/// An order in which a table can be scanned: by these columns, then by primary key.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Index {
    /// The name that a scan gives.
    pub name: &'static str,
    /// The columns, in order.
    pub columns: &'static [&'static str],
}

impl Index {
    /// Declares an index.
    pub const fn new(name: &'static str, columns: &'static [&'static str]) -> Self {
        Self { name, columns }
    }
}

/// Columns that name a row of another table. The row must be there, and cannot be deleted while it is named
/// (RESTRICT). A reference with a null in it names nothing.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Reference {
    /// The name that a refusal and a scan give.
    pub name: &'static str,
    /// The columns here, in the order of the parent's key.
    pub columns: &'static [&'static str],
    /// The table whose primary key they hold. It is declared before this one, or is this one.
    pub parent: &'static str,
}

impl Reference {
    /// Declares a reference to the primary key of `parent`.
    pub const fn new(name: &'static str, columns: &'static [&'static str], parent: &'static str) -> Self {
        Self { name, columns, parent }
    }
}

/// A rule that every row keeps after every write. A null passes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Invariant {
    /// The name that a refusal gives.
    pub name: &'static str,
    /// What must hold.
    pub check: Check,
}

/// What an invariant says about the columns of one row.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Check {
    /// The integer is at least this.
    AtLeast(&'static str, i64),
    /// The integer is at most this.
    AtMost(&'static str, i64),
    /// The first integer or time is not above the second.
    NotAbove(&'static str, &'static str),
    /// The text is one of these.
    OneOf(&'static str, &'static [&'static str]),
    /// Either all of the columns are null or none is.
    TogetherNull(&'static [&'static str]),
}

impl Invariant {
    /// `column >= min`.
    pub const fn at_least(name: &'static str, column: &'static str, min: i64) -> Self {
        Self { name, check: Check::AtLeast(column, min) }
    }

    /// `column <= max`, always: a limit that may be lowered is a [`Ceiling`].
    pub const fn at_most(name: &'static str, column: &'static str, max: i64) -> Self {
        Self { name, check: Check::AtMost(column, max) }
    }

    /// `column <= other`.
    pub const fn not_above(name: &'static str, column: &'static str, other: &'static str) -> Self {
        Self { name, check: Check::NotAbove(column, other) }
    }

    /// The column holds one of `texts`.
    pub const fn one_of(name: &'static str, column: &'static str, texts: &'static [&'static str]) -> Self {
        Self { name, check: Check::OneOf(column, texts) }
    }

    /// All of the columns are null, or none is.
    pub const fn together_null(name: &'static str, columns: &'static [&'static str]) -> Self {
        Self { name, check: Check::TogetherNull(columns) }
    }
}

/// A limit on a counter, judged only when a write *raises* the counter: an insert, a patch, or an adjust in mode
/// `Admit`. The limit may be lowered below the counter, and use beyond it may be recorded; then the counter can
/// only come down. A null on either side passes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ceiling {
    /// The name that a refusal gives.
    pub name: &'static str,
    /// The counter.
    pub column: &'static str,
    /// What it must not be raised above.
    pub limit: Limit,
}

/// What a ceiling compares its counter with.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Limit {
    /// Another integer column of the same row.
    Column(&'static str),
    /// A constant.
    Value(i64),
}

impl Ceiling {
    /// `counter <= limit`, both columns of the same row.
    pub const fn column(name: &'static str, counter: &'static str, limit: &'static str) -> Self {
        Self { name, column: counter, limit: Limit::Column(limit) }
    }

    /// `counter <= limit`.
    pub const fn value(name: &'static str, counter: &'static str, limit: i64) -> Self {
        Self { name, column: counter, limit: Limit::Value(limit) }
    }
}
