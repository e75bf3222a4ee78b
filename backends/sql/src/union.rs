//! Statements of several parts whose rows come together: [`Union`].
//!
//! One round trip answers several questions although their rows have different columns: every part puts its columns
//! into slots of their types, and fills the other slots with nulls.

use apportion::store::Kind;

use crate::names::{Dialect, Names};
use crate::statement::{Branch, Cell, Param, Statement};

/// The types of slots, with what a slot of it is called in a cast.
const SLOTS: [&str; 6] = ["boolean", "bigint", "uuid", "timestamptz", "text", "bytea"];

/// What is bound, while text is written.
#[derive(Debug)]
pub(crate) struct Params {
    dialect: Dialect,
    bound: Vec<Param>,
}

impl Params {
    pub(crate) fn new(names: &Names) -> Self {
        Self { dialect: names.dialect(), bound: Vec::new() }
    }

    /// Binds a parameter, and gives its placeholder.
    pub(crate) fn bind(&mut self, param: Param) -> String {
        self.bound.push(param);
        let mark = if self.dialect == Dialect::Postgres { '$' } else { '?' };
        format!("{mark}{}", self.bound.len())
    }

    /// A statement whose rows nobody reads.
    pub(crate) fn statement(self, sql: String) -> Statement {
        Statement { sql, params: self.bound, branches: Vec::new() }
    }
}

/// A column of a part: the expression, and what it holds.
pub(crate) type Selected = (String, Cell);

/// A statement while it is made.
#[derive(Debug)]
pub(crate) struct Union {
    pub(crate) params: Params,
    dialect: Dialect,
    with: Vec<String>,
    parts: Vec<(Vec<Selected>, String)>,
}

impl Union {
    pub(crate) fn new(names: &Names) -> Self {
        Self { params: Params::new(names), dialect: names.dialect(), with: Vec::new(), parts: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Names a query for the parts, and gives its name.
    pub(crate) fn with(&mut self, query: &str) -> String {
        let name = format!("w{}", self.with.len());
        self.with.push(format!("{name} AS ({query})"));
        name
    }

    /// Adds a part: `SELECT columns` and what follows them. Gives its number.
    pub(crate) fn part(&mut self, columns: Vec<Selected>, from: String) -> usize {
        self.parts.push((columns, from));
        self.parts.len() - 1
    }

    /// The statement. The rows of a part come in its order, but those of different parts may come mixed.
    pub(crate) fn finish(self) -> Statement {
        let mut widths = [0; SLOTS.len()];
        for (columns, _) in &self.parts {
            let mut used = [0; SLOTS.len()];
            for (_, cell) in columns {
                if let Some(used) = used.get_mut(slot(*cell)) {
                    *used += 1;
                }
            }
            for (width, used) in widths.iter_mut().zip(used) {
                *width = (*width).max(used);
            }
        }
        let mut sql = String::with_capacity(256 * self.parts.len());
        if !self.with.is_empty() {
            sql.push_str("WITH ");
            sql.push_str(&self.with.join(", "));
            sql.push(' ');
        }
        let mut branches = Vec::with_capacity(self.parts.len());
        for (number, (columns, from)) in self.parts.iter().enumerate() {
            if number > 0 {
                sql.push_str(" UNION ALL ");
            }
            let (list, branch) = lay_out(columns, &widths, self.dialect);
            sql.push_str("SELECT ");
            sql.push_str(&number.to_string());
            if self.dialect == Dialect::Postgres {
                sql.push_str("::bigint");
            }
            sql.push_str(&list);
            sql.push(' ');
            sql.push_str(from);
            branches.push(branch);
        }
        Statement { branches, ..self.params.statement(sql) }
    }
}

/// The select list of a part behind the number of its branch, and where its columns are.
fn lay_out(columns: &[Selected], widths: &[usize; SLOTS.len()], dialect: Dialect) -> (String, Branch) {
    let mut list = String::new();
    let mut places = vec![(0, Cell::Bytes); columns.len()];
    let mut next = 1;
    for (kind, (width, name)) in widths.iter().zip(SLOTS).enumerate() {
        let mut mine = columns.iter().enumerate().filter(|(_, (_, cell))| slot(*cell) == kind);
        for _ in 0..*width {
            list.push_str(", ");
            match mine.next() {
                Some((at, (expression, cell))) => {
                    list.push_str(expression);
                    if let Some(place) = places.get_mut(at) {
                        *place = (next, *cell);
                    }
                }
                None if dialect == Dialect::Postgres => {
                    list.push_str("NULL::");
                    list.push_str(name);
                }
                None => list.push_str("NULL"),
            }
            next += 1;
        }
    }
    (list, Branch { columns: places })
}

const fn slot(cell: Cell) -> usize {
    match cell {
        Cell::Of(Kind::Bool) => 0,
        Cell::Of(Kind::Int) => 1,
        Cell::Of(Kind::Uuid) => 2,
        Cell::Of(Kind::Time) => 3,
        Cell::Of(_) => 4,
        Cell::Bytes => 5,
    }
}
