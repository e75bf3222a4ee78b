//! What can be asked: by key, by scan, by count.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::row::{Key, Row};
use super::table::Table;
use super::value::Value;
use crate::time::Timestamp;

/// The largest page.
pub const MAX_PAGE: u32 = 1000;
/// The largest number of rows that one scan or count examines.
pub const MAX_EXAMINED: u32 = 100_000;

/// One question to a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Query {
    /// The row with this key.
    Get {
        /// The table.
        table: &'static Table,
        /// The key.
        key: Key,
    },
    /// A page of rows.
    Scan(Scan),
    /// How many rows a scan would give, counted up to its `examine` limit.
    Count(Scan),
}

/// The answer to one question.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// To [`Query::Get`].
    Row(Option<Row>),
    /// To [`Query::Scan`].
    Page(Page),
    /// To [`Query::Count`].
    Count(Count),
}

impl Answer {
    /// The row that was asked for, or the first one of a page.
    pub(crate) fn into_row(self) -> Option<Row> {
        match self {
            Self::Row(row) => row,
            Self::Page(page) => page.rows.into_iter().next(),
            Self::Count(_) => None,
        }
    }

    /// The page that was asked for; an empty one where something else was.
    pub(crate) fn into_page(self) -> Page {
        match self {
            Self::Page(page) => page,
            Self::Row(_) | Self::Count(_) => Page::default(),
        }
    }

    /// The rows of a page; one at most where a row was asked for.
    pub(crate) fn into_rows(self) -> Vec<Row> {
        match self {
            Self::Row(row) => row.into_iter().collect(),
            Self::Page(page) => page.rows,
            Self::Count(_) => Vec::new(),
        }
    }
}

/// Answers, and the store's time at which they were given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reads {
    /// The larger of the injected clock and the last commit's time.
    pub now: Timestamp,
    /// One answer a question, in order.
    pub answers: Vec<Answer>,
}

impl Reads {
    /// Answers, as a backend gives them.
    pub fn new(now: Timestamp, answers: Vec<Answer>) -> Self {
        Self { now, answers }
    }

    /// The rows of the first answer.
    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.answers.into_iter().next().map(Answer::into_rows).unwrap_or_default()
    }
}

/// Which rows, in which order, how many.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scan {
    /// The table.
    pub table: &'static Table,
    /// The index, unique key or reference whose order is followed; the primary key where there is none.
    pub index: Option<&'static str>,
    /// The values of the first columns of the order.
    pub prefix: Vec<Value>,
    /// The range of the column that follows the prefix.
    pub range: (Bound<Value>, Bound<Value>),
    /// Whether the order is reversed.
    pub descending: bool,
    /// What a row must also satisfy to be given.
    pub tests: Vec<Test>,
    /// Where the page before ended.
    pub after: Option<PageCursor>,
    /// The largest number of rows given, from 1 to [`MAX_PAGE`].
    pub limit: u32,
    /// The largest number of rows examined, from 1 to [`MAX_EXAMINED`].
    pub examine: u32,
}

impl Scan {
    /// All rows of a table in the order of the primary key, a hundred a page.
    pub fn of(table: &'static Table) -> Self {
        Self {
            table,
            index: None,
            prefix: Vec::new(),
            range: (Bound::Unbounded, Bound::Unbounded),
            descending: false,
            tests: Vec::new(),
            after: None,
            limit: 100,
            examine: 10_000,
        }
    }

    /// Follows an index, a unique key or a reference.
    pub fn by(mut self, index: &'static str) -> Self {
        self.index = Some(index);
        self
    }

    /// Fixes the next column of the order.
    pub fn with(mut self, value: impl Into<Value>) -> Self {
        self.prefix.push(value.into());
        self
    }

    /// Bounds the column that follows the prefix.
    pub fn range(mut self, from: Bound<Value>, to: Bound<Value>) -> Self {
        self.range = (from, to);
        self
    }

    /// Reverses the order.
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// Adds a test.
    pub fn test(mut self, test: Test) -> Self {
        self.tests.push(test);
        self
    }

    /// Goes on behind an earlier page.
    pub fn after(mut self, cursor: impl Into<Option<PageCursor>>) -> Self {
        self.after = cursor.into();
        self
    }

    /// Limits the page.
    pub fn limit(mut self, rows: u32) -> Self {
        self.limit = rows;
        self
    }

    /// Limits the rows examined.
    pub fn examine(mut self, rows: u32) -> Self {
        self.examine = rows;
        self
    }
}

/// What one column of a row must satisfy.
#[derive(Clone, PartialEq, Eq)]
pub struct Test {
    /// The column.
    pub column: &'static str,
    /// The comparison. Every one but `Null` fails on a null.
    pub is: Is,
}

/// A comparison with a column's value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Is {
    /// Null.
    Null,
    /// Not null.
    NotNull,
    /// Equal.
    Eq(Value),
    /// Not equal.
    Ne(Value),
    /// Below.
    Lt(Value),
    /// At most.
    Le(Value),
    /// Above.
    Gt(Value),
    /// At least.
    Ge(Value),
    /// One of these; at most 100.
    In(Vec<Value>),
}

impl Is {
    /// Whether `found` satisfies the comparison.
    pub fn holds(&self, found: &Value) -> bool {
        if found.is_null() {
            return matches!(self, Self::Null);
        }
        match self {
            Self::Null => false,
            Self::NotNull => true,
            Self::Eq(value) => found == value,
            Self::Ne(value) => found != value && !value.is_null(),
            Self::Lt(value) => ordered(found, value) == Some(Ordering::Less),
            Self::Le(value) => ordered(found, value).is_some_and(Ordering::is_le),
            Self::Gt(value) => ordered(found, value) == Some(Ordering::Greater),
            Self::Ge(value) => ordered(found, value).is_some_and(Ordering::is_ge),
            Self::In(values) => values.contains(found),
        }
    }

    /// The values that are compared with.
    pub fn values(&self) -> &[Value] {
        match self {
            Self::Null | Self::NotNull => &[],
            Self::Eq(value)
            | Self::Ne(value)
            | Self::Lt(value)
            | Self::Le(value)
            | Self::Gt(value)
            | Self::Ge(value) => std::slice::from_ref(value),
            Self::In(values) => values,
        }
    }
}

fn ordered(found: &Value, value: &Value) -> Option<Ordering> {
    (!value.is_null()).then(|| found.cmp(value))
}

impl Test {
    /// A comparison with a column.
    pub const fn new(column: &'static str, is: Is) -> Self {
        Self { column, is }
    }

    /// The column equals `value`.
    pub fn eq(column: &'static str, value: impl Into<Value>) -> Self {
        Self::new(column, Is::Eq(value.into()))
    }

    /// Whether a row satisfies the test.
    pub fn accepts(&self, row: &Row) -> bool {
        row.get(self.column).is_some_and(|found| self.is.holds(found))
    }
}

impl fmt::Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values may be of a secret column.
        write!(f, "Test({})", self.column)
    }
}

/// Where a page ended. Opaque; it can be sent to a client and back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageCursor(String);

impl PageCursor {
    pub(crate) fn from_entry(entry: &[u8]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(entry.len() * 2);
        for byte in entry {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    pub(crate) fn entry(&self) -> Option<Vec<u8>> {
        if !self.0.is_ascii() || !self.0.len().is_multiple_of(2) {
            return None;
        }
        let pairs = (0..self.0.len()).step_by(2);
        pairs.map(|at| u8::from_str_radix(self.0.get(at..at + 2)?, 16).ok()).collect()
    }
}

/// Some rows, and where to go on.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// The rows. There may be fewer than asked for although more follow: see `next`.
    pub rows: Vec<Row>,
    /// Where to go on; `None` where nothing follows.
    pub next: Option<PageCursor>,
}

impl Count {
    /// A count, as a backend made it.
    pub const fn new(rows: u64, capped: bool) -> Self {
        Self { rows, capped }
    }
}

/// A capped count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// How many rows satisfied the scan among those examined.
    pub rows: u64,
    /// Whether rows were left unexamined, so that there may be more.
    pub capped: bool,
}
