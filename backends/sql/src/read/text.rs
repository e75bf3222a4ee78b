//! A scan as text: its bounds, its order, its tests.

use std::ops::Bound;

use apportion::store::{Bounds, Is, Kind, ScanPlan, TableInfo, Value};

use crate::names::Dialect;
use crate::statement::Param;
use crate::union::Params;

/// What is written about one table.
pub(super) struct Text<'t> {
    pub(super) info: &'t TableInfo,
    pub(super) table: String,
    pub(super) dialect: Dialect,
}

impl Text<'_> {
    fn column(&self, at: usize) -> (String, Kind, bool) {
        let column = self.info.table.columns.get(at);
        column.map_or((String::new(), Kind::Bool, false), |column| {
            (format!("t.\"{}\"", column.name), column.kind, column.nullable)
        })
    }

    /// The columns behind the prefix, whose values are fixed.
    fn free(bounds: &Bounds) -> &[usize] {
        bounds.columns.get(bounds.prefix.len()..).unwrap_or_default()
    }

    pub(super) fn order(&self, bounds: &Bounds, descending: bool) -> String {
        let nulls = match (self.dialect, descending) {
            // SQLite has nulls first by itself.
            (Dialect::Sqlite, _) => "",
            (Dialect::Postgres, false) => " NULLS FIRST",
            (Dialect::Postgres, true) => " NULLS LAST",
        };
        let direction = if descending { " DESC" } else { "" };
        let columns = Self::free(bounds).iter().map(|at| {
            let (name, _, nullable) = self.column(*at);
            format!("{name}{direction}{}", if nullable { nulls } else { "" })
        });
        let columns: Vec<_> = columns.collect();
        // Where everything is fixed there is one row at most.
        if columns.is_empty() { "1".into() } else { columns.join(", ") }
    }

    pub(super) fn bounds(&self, params: &mut Params, bounds: &Bounds, descending: bool) -> String {
        let mut tests = Vec::new();
        for (at, value) in bounds.columns.iter().zip(&bounds.prefix) {
            tests.push(self.compare(params, *at, "=", value));
        }
        if let Some(next) = Self::free(bounds).first() {
            for (end, closed, open) in [(&bounds.range.0, ">=", ">"), (&bounds.range.1, "<=", "<")] {
                match end {
                    Bound::Included(value) => tests.push(self.compare(params, *next, closed, value)),
                    Bound::Excluded(value) => tests.push(self.compare(params, *next, open, value)),
                    Bound::Unbounded => {}
                }
            }
        }
        if let Some(after) = &bounds.after {
            let values = after.get(bounds.prefix.len()..).unwrap_or_default();
            tests.push(self.behind(params, Self::free(bounds), values, descending));
        }
        if tests.is_empty() { "TRUE".into() } else { tests.join(" AND ") }
    }

    /// Comparison of a column with a value; with null, whether it is null.
    fn compare(&self, params: &mut Params, at: usize, operator: &str, value: &Value) -> String {
        let (name, kind, _) = self.column(at);
        match value {
            Value::Null => format!("{name} IS NULL"),
            value => format!("{name} {operator} {}", params.bind(Param::One(kind, value.clone()))),
        }
    }

    /// Whether an entry lies behind these values in the order's direction. Nulls come first.
    fn behind(&self, params: &mut Params, columns: &[usize], values: &[Value], descending: bool) -> String {
        let operator = if descending { "<" } else { ">" };
        if columns.is_empty() {
            return "FALSE".into();
        }
        if columns.iter().all(|at| !self.column(*at).2) {
            let names: Vec<_> = columns.iter().map(|at| self.column(*at).0).collect();
            let bound = columns.iter().zip(values);
            let bound: Vec<_> =
                bound.map(|(at, value)| params.bind(Param::One(self.column(*at).1, value.clone()))).collect();
            return format!("({}) {operator} ({})", names.join(", "), bound.join(", "));
        }
        let mut ways = Vec::with_capacity(columns.len());
        for (place, at) in columns.iter().enumerate() {
            let mut way: Vec<_> = columns
                .iter()
                .zip(values)
                .take(place)
                .map(|(at, value)| self.compare(params, *at, "=", value))
                .collect();
            let value = values.get(place).unwrap_or(&Value::Null);
            let (name, _, nullable) = self.column(*at);
            way.push(match (value.is_null(), descending) {
                (true, false) => format!("{name} IS NOT NULL"),
                (true, true) => "FALSE".into(),
                (false, true) if nullable => {
                    format!("({} OR {name} IS NULL)", self.compare(params, *at, operator, value))
                }
                (false, _) => self.compare(params, *at, operator, value),
            });
            ways.push(format!("({})", way.join(" AND ")));
        }
        format!("({})", ways.join(" OR "))
    }

    /// The tests of a scan; `None` where the database would not judge one of them as the store does.
    pub(super) fn tests(&self, params: &mut Params, plan: &ScanPlan) -> Option<String> {
        let mut all = Vec::with_capacity(plan.tests.len());
        for (at, is) in &plan.tests {
            let (name, kind, _) = self.column(*at);
            // Two documents are equal where their canonical texts are.
            if matches!(kind, Kind::Json { .. }) && !matches!(is, Is::Null | Is::NotNull) {
                return None;
            }
            let mut compare = |operator: &str, value: &Value| match value {
                Value::Null => "FALSE".into(),
                value => format!("{name} {operator} {}", params.bind(Param::One(kind, value.clone()))),
            };
            all.push(match is {
                Is::Null => format!("{name} IS NULL"),
                Is::NotNull => format!("{name} IS NOT NULL"),
                Is::Eq(value) => compare("=", value),
                Is::Ne(value) => compare("<>", value),
                Is::Lt(value) => compare("<", value),
                Is::Le(value) => compare("<=", value),
                Is::Gt(value) => compare(">", value),
                Is::Ge(value) => compare(">=", value),
                Is::In(values) if values.is_empty() => "FALSE".into(),
                Is::In(values) => {
                    let ways: Vec<_> = values.iter().map(|value| compare("=", value)).collect();
                    format!("({})", ways.join(" OR "))
                }
                _ => return None,
            });
        }
        Some(all.join(" AND "))
    }
}
