//! Bringing a database to the declarations: [`migrate`].

use apportion::store::{Kind, OpenProblem, Value};
use apportion::time::Timestamp;
use apportion_sql::{
    Branch, Cell, Connection, Dialect, Difference, Failure, Fetched, LiveTable, Migration, Param, Session,
    Statement, Tables, catalogue, compare, growth, history_table, live_tables, pending, to_be_made, wanted,
};

use crate::error::while_opening;
use crate::link::Link;

const TEXT: Kind = Kind::Text { max_bytes: usize::MAX };

/// Why a database was not brought to the declarations.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// Somebody else has the file: it can be tried again.
    Busy,
    Because(OpenProblem),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::LockTimeout | Failure::Serialization => Self::Busy,
            other => Self::Because(while_opening(other)),
        }
    }
}

impl From<OpenProblem> for Stopped {
    fn from(problem: OpenProblem) -> Self {
        Self::Because(problem)
    }
}

/// What is left to do.
#[derive(Debug)]
pub(crate) struct Plan {
    migrations: Vec<&'static Migration>,
    /// What the declarations ask for beyond what the migrations make.
    differences: Vec<Difference>,
}

impl Plan {
    pub(crate) fn is_empty(&self) -> bool {
        self.migrations.is_empty() && self.differences.is_empty()
    }

    /// What is missing, where something is.
    pub(crate) fn missing(&self) -> Option<String> {
        let told = || self.differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        match self.migrations.first() {
            Some(migration) => Some(format!("migration {} was not applied", migration.name)),
            None => (!self.differences.is_empty()).then(told),
        }
    }
}

/// What would have to be done, or why it cannot be. Nothing is changed.
pub(crate) async fn plan(connection: &mut impl Connection, tables: &Tables) -> Result<Plan, Stopped> {
    let live = live(connection, tables).await?;
    let list = wanted(Dialect::Sqlite, tables.schema());
    let (applied, min_writer) = history(connection, tables, &live).await?;
    let left = pending(&list, &applied, min_writer.as_deref())?;
    for table in to_be_made(&list, &left) {
        // What the history itself is kept in comes before the first migration.
        if table != "kernel_migrations" && find(&live, table).is_some() {
            return Err(incompatible(format!("there is a table {table}, and no migration has made it")));
        }
    }
    let to_come: Vec<&str> = left.iter().flat_map(|migration| migration.tables).copied().collect();
    let grows = !growth_of(tables, &live, &to_come)?.is_empty();
    let differences = if grows { compare(tables.names(), tables.schema(), &live) } else { Vec::new() };
    Ok(Plan { migrations: left, differences })
}

/// Does what is left, all of it or nothing.
pub(crate) async fn migrate(link: &mut Link, tables: &Tables, now: Timestamp) -> Result<(), Stopped> {
    link.begin().await?;
    let done = inside(link, tables, now).await;
    match done {
        Ok(()) => Ok(link.commit().await?),
        Err(stopped) => {
            link.rollback().await?;
            Err(stopped)
        }
    }
}

async fn inside(link: &mut Link, tables: &Tables, now: Timestamp) -> Result<(), Stopped> {
    // Somebody else may have done it since.
    let plan = plan(link, tables).await?;
    if !plan.migrations.is_empty() {
        run(link, history_table(tables.names())).await?;
    }
    for migration in plan.migrations {
        run(link, migration.text(tables.names())).await?;
        let params = vec![
            Param::One(TEXT, migration.name.into()),
            Param::One(TEXT, migration.checksum().into()),
            Param::One(Kind::Time, now.into()),
        ];
        let table = tables.names().table("kernel_migrations");
        let sql = format!("INSERT INTO {table} (\"name\", \"checksum\", \"applied_at\") VALUES (?1, ?2, ?3)");
        link.execute(&Statement { sql, params, branches: Vec::new() }).await?;
    }
    let statements = growth_of(tables, &live(link, tables).await?, &[])?;
    run(link, statements).await?;
    let left = compare(tables.names(), tables.schema(), &live(link, tables).await?);
    match left.first() {
        None => Ok(()),
        Some(first) => Err(incompatible(first.to_string())),
    }
}

async fn run(link: &mut Link, statements: Vec<String>) -> Result<(), Failure> {
    for sql in statements {
        link.execute(&Statement { sql, params: Vec::new(), branches: Vec::new() }).await?;
    }
    Ok(())
}

/// The statements that bring what is there to the declarations, but for the tables of migrations `to_come`.
fn growth_of(tables: &Tables, live: &[LiveTable], to_come: &[&str]) -> Result<Vec<String>, Stopped> {
    let refused = match growth(tables.names(), tables.schema(), live) {
        Ok(statements) => return Ok(statements),
        Err(refused) => refused,
    };
    let lasting = refused.iter().filter(|found| !to_come.contains(&found.table.as_str()));
    let lasting: Vec<String> = lasting.map(ToString::to_string).collect();
    if lasting.is_empty() { Ok(Vec::new()) } else { Err(incompatible(lasting.join("; "))) }
}

fn incompatible(what: String) -> Stopped {
    Stopped::Because(OpenProblem::Incompatible(what))
}

async fn live(connection: &mut impl Connection, tables: &Tables) -> Result<Vec<LiveTable>, Failure> {
    let rows = connection.rows(&catalogue(tables.names())).await?;
    Ok(live_tables(tables.names(), &rows)?)
}

fn find<'l>(live: &'l [LiveTable], name: &str) -> Option<&'l LiveTable> {
    live.iter().find(|table| table.name == name)
}

/// The names and checksums of the migrations that were applied, and the oldest writer that is admitted.
type History = (Vec<(String, String)>, Option<String>);

async fn history(
    connection: &mut impl Connection,
    tables: &Tables,
    live: &[LiveTable],
) -> Result<History, Stopped> {
    let own: Vec<&LiveTable> =
        ["kernel_migrations", "kernel_meta"].into_iter().filter_map(|name| find(live, name)).collect();
    // A table of somebody else's under our name could not even be asked.
    let differs = compare(tables.names(), tables.schema(), live);
    if let Some(difference) = differs.iter().find(|found| own.iter().any(|table| table.name == found.table)) {
        return Err(incompatible(difference.to_string()));
    }
    let mut applied = Vec::new();
    if find(live, "kernel_migrations").is_some() {
        let table = tables.names().table("kernel_migrations");
        let sql = format!("SELECT 0, \"name\", \"checksum\" FROM {table}");
        for row in texts(connection, sql, 2).await? {
            let mut values = row.values.into_iter().map(text);
            applied.push((values.next().unwrap_or_default(), values.next().unwrap_or_default()));
        }
    }
    let mut min_writer = None;
    if find(live, "kernel_meta").is_some() {
        let table = tables.names().table("kernel_meta");
        let sql = format!("SELECT 0, \"value\" FROM {table} WHERE \"key\" = 'min_writer'");
        let row = texts(connection, sql, 1).await?.pop();
        min_writer = row.and_then(|row| row.values.into_iter().next()).map(text);
    }
    Ok((applied, min_writer))
}

async fn texts(
    connection: &mut impl Connection,
    sql: String,
    columns: usize,
) -> Result<Vec<Fetched>, Failure> {
    let columns = (1..=columns).map(|at| (at, Cell::Of(TEXT))).collect();
    connection.rows(&Statement { sql, params: Vec::new(), branches: vec![Branch { columns }] }).await
}

fn text(value: Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        _ => String::new(),
    }
}
