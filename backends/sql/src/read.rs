//! Answering queries: all of a call in one statement.

mod text;

use std::collections::BTreeMap;

use apportion::store::{
    Answer, Count, Key, Kind, Page, Query, Reads, Row, Scan, ScanPlan, StoreError, TableId, TableInfo, Value,
};
use apportion::time::Timestamp;
use rustc_hash::FxHashMap;

use crate::connection::{Connection, Failure};
use crate::load::last_at;
use crate::source::source;
use crate::statement::{Cell, Fetched, Statement};
use crate::tables::{Own, Tables};
use crate::union::{Selected, Union};
use text::Text;

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
    /// The row of a look-up, by its part and its number there.
    Row(&'t TableInfo, usize, i64),
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

/// Answers some queries: up to a hundred scans, and any number of look-ups by key, in one round trip and from one
/// state.
///
/// # Errors
/// [`StoreError::Invalid`] where a query does not fit the declarations, in a [`Failure::Store`].
pub async fn read<C: Connection>(
    connection: &mut C,
    tables: &Tables,
    queries: &[Query],
    clock: Timestamp,
) -> Result<Reads, Failure> {
    let mut all = Reads::new(clock, Vec::with_capacity(queries.len()));
    let mut rest = queries;
    loop {
        let (some, later) = rest.split_at(at_once(rest));
        let asked = Asked::new(tables, some)?;
        let rows = connection.rows(&asked.statement).await?;
        let reads = asked.answers(rows, all.now)?;
        all.now = reads.now;
        all.answers.extend(reads.answers);
        rest = later;
        if rest.is_empty() {
            return Ok(all);
        }
    }
}

/// How many queries fit one statement: look-ups by key share a part, and every other query has its own.
fn at_once(queries: &[Query]) -> usize {
    let mut parts = 0;
    let fits = |query: &&Query| {
        parts += usize::from(!matches!(query, Query::Get { .. }));
        parts <= MAX_PARTS
    };
    queries.iter().take_while(fits).take(MAX_KEYS).count()
}

/// The largest number of scans and counts in one statement: a few hundred are what databases take.
const MAX_PARTS: usize = 100;
/// The largest number of look-ups in one statement.
const MAX_KEYS: usize = 4096;

impl<'t> Asked<'t> {
    fn new(tables: &'t Tables, queries: &[Query]) -> Result<Self, StoreError> {
        let mut union = Union::new(&tables.names);
        // The first part tells the store's time.
        union.part(
            vec![(last_at(tables), Cell::Of(Kind::Time))],
            format!("FROM {} h WHERE h.id = 1", tables.names.table("kernel_head")),
        );
        let mut gets = Gets::new(tables, &mut union, queries)?;
        let mut wants = Vec::with_capacity(queries.len());
        for query in queries {
            wants.push(match query {
                Query::Get { .. } => {
                    gets.next().ok_or_else(|| StoreError::invalid("query", "it was lost"))?
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
        let mut looked_up = FxHashMap::default();
        for part in self.wants.iter().filter_map(Want::part_of_keys) {
            for mut row in parts.get_mut(part).map(std::mem::take).unwrap_or_default() {
                if let Some(Value::Int(number)) = row.values.pop() {
                    looked_up.insert((part, number), row);
                }
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
                Want::Row(info, part, number) => {
                    let row = looked_up.remove(&(part, number));
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

/// The look-ups by key, one part a table.
struct Gets<'t>(std::vec::IntoIter<Want<'t>>);

impl<'t> Gets<'t> {
    fn new(tables: &'t Tables, union: &mut Union, queries: &[Query]) -> Result<Self, StoreError> {
        let mut of_tables: BTreeMap<TableId, Vec<(usize, Key)>> = BTreeMap::new();
        let mut count = 0;
        for query in queries {
            if let Query::Get { table, key } = query {
                let info = tables.schema.plan_get(table, key)?;
                of_tables.entry(info.id).or_default().push((count, key.clone()));
                count += 1;
            }
        }
        let mut wants = Vec::with_capacity(count);
        for (table, keys) in of_tables {
            let info = tables.schema.table(table);
            let (places, keys): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
            let rows = source(&mut union.params, tables.dialect(), Tables::given(info, &info.key, &keys));
            let from = tables.look_up(&rows, info, &info.key);
            let mut columns = tables.row_columns(info, "t");
            columns.push(("s.n".into(), INT));
            let part = union.part(columns, from);
            wants.extend(places.into_iter().zip(1..).map(|(place, number)| (place, info, part, number)));
        }
        wants.sort_unstable_by_key(|(place, ..)| *place);
        let wants: Vec<_> =
            wants.into_iter().map(|(_, info, part, number)| Want::Row(info, part, number)).collect();
        Ok(Self(wants.into_iter()))
    }

    fn next(&mut self) -> Option<Want<'t>> {
        self.0.next()
    }
}

impl Want<'_> {
    fn part_of_keys(&self) -> Option<usize> {
        match self {
            Self::Row(_, part, _) => Some(*part),
            _ => None,
        }
    }
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
