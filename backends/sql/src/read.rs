//! Answering queries: all of a call in one statement.

use apportion::store::{
    Answer, Bounds, Count, Is, Key, Kind, Page, Query, Reads, Row, Scan, ScanPlan, StoreError, TableInfo,
    Value,
};
use apportion::time::Timestamp;
use std::ops::Bound;

use crate::connection::{Connection, Failure};
use crate::load::last_at;
use crate::names::Dialect;
use crate::statement::{Cell, Fetched, Param, Statement};
use crate::tables::{Own, Tables};
use crate::union::{Params, Selected, Union};

const INT: Cell = Cell::Of(Kind::Int);

/// Some queries, made into one statement.
#[derive(Debug)]
struct Asked<'t> {
    statement: Statement,
    wants: Vec<Want<'t>>,
}

#[derive(Debug)]
enum Want<'t> {
    /// What is known to be empty was not asked for.
    Nothing(Answer),
    Row(&'t TableInfo, usize),
    /// Rows of the order, from the first on; judged here.
    Entries(&'t TableInfo, usize, ScanPlan, Reading),
    /// Rows that the database judged, with their numbers.
    Judged(&'t TableInfo, usize, ScanPlan),
    /// A count that the database made.
    Counted(usize, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Page,
    Count,
}

/// Answers some queries, all in one round trip and from one state.
///
/// # Errors
/// [`StoreError::Invalid`] where a query does not fit the declarations, in a [`Failure::Store`].
pub async fn read<C: Connection>(
    connection: &mut C,
    tables: &Tables,
    queries: &[Query],
    clock: Timestamp,
) -> Result<Reads, Failure> {
    let asked = Asked::new(tables, queries)?;
    let rows = connection.rows(&asked.statement).await?;
    Ok(asked.answers(rows, clock)?)
}

impl<'t> Asked<'t> {
    fn new(tables: &'t Tables, queries: &[Query]) -> Result<Self, StoreError> {
        let mut union = Union::new(&tables.names);
        // The first part tells the store's time.
        union.part(
            vec![(last_at(tables), Cell::Of(Kind::Time))],
            format!("FROM {} h WHERE h.id = 1", tables.names.table("kernel_head")),
        );
        let mut wants = Vec::with_capacity(queries.len());
        for query in queries {
            wants.push(match query {
                Query::Get { table, key } => {
                    get(tables, &mut union, tables.schema.plan_get(table, key)?, key)
                }
                Query::Scan(scan) => ask(tables, &mut union, scan, Reading::Page)?,
                Query::Count(scan) => ask(tables, &mut union, scan, Reading::Count)?,
                _ => return Err(StoreError::invalid("query", "this backend does not know it")),
            });
        }
        Ok(Self { statement: union.finish(), wants })
    }

    fn answers(self, fetched: Vec<Fetched>, clock: Timestamp) -> Result<Reads, StoreError> {
        let mut parts: Vec<Vec<Fetched>> = Vec::new();
        parts.resize_with(self.statement.branches.len(), Vec::new);
        for row in fetched {
            if let Some(part) = parts.get_mut(row.branch) {
                part.push(row);
            }
        }
        let mut take = |at: usize| parts.get_mut(at).map(std::mem::take).unwrap_or_default();
        let mut now = clock;
        for row in take(0) {
            now = now.max(Own::new("kernel_head", &row).time()?);
        }
        let mut answers = Vec::with_capacity(self.wants.len());
        for want in self.wants {
            answers.push(match want {
                Want::Nothing(answer) => answer,
                Want::Row(info, part) => {
                    let row = take(part).into_iter().next();
                    Answer::Row(row.map(|mut row| Tables::row(info, &mut row.values)).transpose()?)
                }
                Want::Entries(info, part, plan, reading) => entries(info, &plan, take(part), reading)?,
                Want::Judged(info, part, plan) => Answer::Page(judged(info, &plan, take(part))?),
                Want::Counted(part, examine) => Answer::Count(counted(&take(part), examine)?),
            });
        }
        Ok(Reads::new(now, answers))
    }
}

fn get<'t>(tables: &'t Tables, union: &mut Union, info: &'t TableInfo, key: &Key) -> Want<'t> {
    let columns = info.key.iter().filter_map(|at| info.table.columns.get(*at));
    let tests: Vec<_> = columns
        .zip(key.values())
        .map(|(column, value)| {
            let bound = union.params.bind(Param::One(column.kind, value.clone()));
            format!("t.\"{}\" = {bound}", column.name)
        })
        .collect();
    let from = format!("FROM {} t WHERE {}", tables.table(info), tests.join(" AND "));
    Want::Row(info, union.part(tables.row_columns(info, "t"), from))
}

fn ask<'t>(
    tables: &'t Tables,
    union: &mut Union,
    scan: &Scan,
    reading: Reading,
) -> Result<Want<'t>, StoreError> {
    let plan = tables.schema.plan(scan)?;
    let info = tables.schema.table(plan.table);
    if plan.is_empty() {
        return Ok(Want::Nothing(match reading {
            Reading::Page => Answer::Page(Page::default()),
            Reading::Count => Answer::Count(plan.count(nothing())?),
        }));
    }
    let text = Text { info, table: tables.table(info), dialect: tables.dialect() };
    let params = &mut union.params;
    let within = text.bounds(params, &plan.bounds, plan.descending);
    let order = text.order(&plan.bounds, plan.descending);
    let window = plan.examine().saturating_add(1);
    let tests = text.tests(params, &plan);
    let name = &text.table;
    match (tests, reading) {
        // What the database cannot judge as the store does is judged here.
        (None, _) => {
            let from =
                format!("FROM (SELECT * FROM {name} t WHERE {within} ORDER BY {order} LIMIT {window}) t");
            let part = union.part(tables.row_columns(info, "t"), from);
            Ok(Want::Entries(info, part, plan, reading))
        }
        (Some(tests), Reading::Page) if tests.is_empty() => {
            let rows = plan.limit().min(plan.examine()).saturating_add(1);
            let from =
                format!("FROM (SELECT * FROM {name} t WHERE {within} ORDER BY {order} LIMIT {rows}) t");
            let part = union.part(tables.row_columns(info, "t"), from);
            Ok(Want::Entries(info, part, plan, reading))
        }
        (Some(tests), Reading::Page) => {
            let (last, rows) = (plan.examine(), plan.limit().saturating_add(1));
            let from = format!(
                "FROM (SELECT * FROM (SELECT e.*, count(*) OVER () AS apportion_all FROM \
                 (SELECT t.*, row_number() OVER (ORDER BY {order}) AS apportion_n FROM {name} t WHERE {within} \
                 ORDER BY {order} LIMIT {window}) e) t WHERE ({tests}) OR t.apportion_n = {last} \
                 ORDER BY t.apportion_n LIMIT {rows}) t"
            );
            let mut columns = tables.row_columns(info, "t");
            columns.extend([("t.apportion_n".into(), INT), ("t.apportion_all".into(), INT)]);
            Ok(Want::Judged(info, union.part(columns, from), plan))
        }
        (Some(tests), Reading::Count) => {
            let tests = if tests.is_empty() { "TRUE".into() } else { tests };
            let from = format!(
                "FROM (SELECT t.*, row_number() OVER (ORDER BY {order}) AS apportion_n FROM {name} t WHERE {within} \
                 ORDER BY {order} LIMIT {window}) t"
            );
            let examine = plan.examine();
            let columns: Vec<Selected> = vec![
                ("count(*)".into(), INT),
                (format!("count(CASE WHEN ({tests}) AND t.apportion_n <= {examine} THEN 1 END)"), INT),
            ];
            let part = union.part(columns, from);
            Ok(Want::Counted(part, u64::try_from(examine).unwrap_or(u64::MAX)))
        }
    }
}

fn nothing() -> impl Iterator<Item = Result<(Vec<u8>, Row), StoreError>> {
    std::iter::empty()
}

fn entries(
    info: &TableInfo,
    plan: &ScanPlan,
    fetched: Vec<Fetched>,
    reading: Reading,
) -> Result<Answer, StoreError> {
    let mut rows = Vec::with_capacity(fetched.len());
    for mut row in fetched {
        let row = Tables::row(info, &mut row.values)?;
        rows.push((plan.entry(&row), row));
    }
    // The parts of a statement come in their order, but no rule of SQL says so.
    rows.sort_unstable_by(
        |(one, _), (other, _)| if plan.descending { other.cmp(one) } else { one.cmp(other) },
    );
    let entries = rows.into_iter().map(Ok::<_, StoreError>);
    Ok(match reading {
        Reading::Page => Answer::Page(plan.page(entries)?),
        Reading::Count => Answer::Count(plan.count(entries)?),
    })
}

fn judged(info: &TableInfo, plan: &ScanPlan, fetched: Vec<Fetched>) -> Result<Page, StoreError> {
    let mut rows = Vec::with_capacity(fetched.len());
    let mut examined = 0;
    for mut row in fetched {
        let found = Tables::row(info, &mut row.values)?;
        // What is left behind the row: two for its revision and version, then the numbers.
        let number = |at: usize| match row.values.get(at) {
            Some(Value::Int(number)) => usize::try_from(*number).unwrap_or(0),
            _ => 0,
        };
        examined = number(3);
        rows.push((number(2), found));
    }
    rows.sort_unstable_by_key(|(number, _)| *number);
    Ok(plan.page_of(rows, examined))
}

fn counted(fetched: &[Fetched], examine: u64) -> Result<Count, StoreError> {
    let row = fetched.first();
    let row = row.ok_or_else(|| StoreError::corrupt("the answer", None, "", "a count without a row"))?;
    let mut own = Own::new("the answer", row);
    let (all, rows) = (own.position()?, own.position()?);
    Ok(Count::new(rows, all > examine))
}

/// What is written about one table.
struct Text<'t> {
    info: &'t TableInfo,
    table: String,
    dialect: Dialect,
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

    fn order(&self, bounds: &Bounds, descending: bool) -> String {
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

    fn bounds(&self, params: &mut Params, bounds: &Bounds, descending: bool) -> String {
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
    fn tests(&self, params: &mut Params, plan: &ScanPlan) -> Option<String> {
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
