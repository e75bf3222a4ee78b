//! A statement with what is bound to it and how its rows are read: [`Statement`].

use apportion::store::{Kind, Value};

/// One parameter, as a driver binds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// A value, of this kind where it is not null. JSON is bound as text.
    One(Kind, Value),
    /// An array of values, each of which may be null. JSON is bound as an array of texts. Postgres only.
    Many(Kind, Vec<Value>),
    /// Bytes: `bytea`, `BLOB`.
    Bytes(Vec<u8>),
    /// An array of bytes. Postgres only.
    ManyBytes(Vec<Vec<u8>>),
    /// A JSON array of rows, each an array of values, bound as text. SQLite only.
    Rows(String),
}

/// A statement. It is made of declarations and nothing else: every value is bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text, with `$1` or `?1` for the first parameter.
    pub sql: String,
    /// What is bound, in order.
    pub params: Vec<Param>,
    /// How rows are read. Where there are branches, the first column of every row is the number of its branch
    /// (`bigint`), and the branch names the kinds and columns of its values.
    pub branches: Vec<Branch>,
}

/// How the rows of one part of a statement are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Branch {
    /// For each value, the position of its column in the statement's rows and its kind. JSON arrives as text.
    pub columns: Vec<(usize, Cell)>,
}

/// What a column of an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// A value that may be null.
    Of(Kind),
    /// Bytes.
    Bytes,
}

/// One row of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    /// The number of the branch.
    pub branch: usize,
    /// The values, in the order of [`Branch::columns`]; null where bytes are.
    pub values: Vec<Value>,
    /// The bytes, in order, of those columns that hold bytes.
    pub bytes: Vec<Vec<u8>>,
}
