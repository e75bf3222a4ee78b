//! Bringing a database to the declarations: [`bring`].

use std::sync::Arc;
use std::time::Duration;

use apportion::store::{Kind, OpenProblem, Schema, StoreError, Value};
use apportion::time::Timestamp;
use apportion_sql::{
    Branch, Cell, Connection as _, Dialect, Difference, Failure, LiveTable, Migration, Names, Param,
    Session as _, Statement, Violation, catalogue, compare, create_schema, growth, history_table,
    live_tables, pending, to_be_made, wanted,
};
use sqlx_postgres::PgConnection;

use crate::error::refused;
use crate::link::{Link, Refusal};
use crate::options::Migrate;
use crate::reach::Reach;

const TEXT: Kind = Kind::Text { max_bytes: usize::MAX };
const HISTORY: &str = "kernel_migrations";
const META: &str = "kernel_meta";
/// The pauses between attempts, where somebody else was faster.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How often in a row something may be there that is to be made. Who is only faster makes a few things and is done.
const MAX_TAKEN: u32 = 20;

/// What is brought to the declarations.
pub(crate) struct Target {
    pub(crate) link: Link<Box<PgConnection>>,
    /// Where there is another connection, should this one fail: for one time.
    pub(crate) spare: Option<Reach>,
    pub(crate) names: Names,
    pub(crate) schema: Arc<Schema>,
    pub(crate) migrate: Migrate,
    /// When, for the history.
    pub(crate) now: Timestamp,
    /// The statements that begin a transaction in which everything is seen at one moment.
    pub(crate) look: Arc<str>,
    /// The statements that begin one that changes.
    pub(crate) change: Arc<str>,
}

/// Why a step was not done.
#[derive(Debug)]
enum Stopped {
    /// Somebody else was faster, or is at it: what is left is to be looked at again.
    Again,
    /// What is to be made is there or is being made. Either somebody else was faster, and a look shows it, or it stays
    /// in the way, which is this problem.
    Taken(OpenProblem),
    Because(OpenProblem),
}

/// What is left to do next.
#[derive(Debug)]
enum Next {
    Nothing,
    History,
    Migrations(Vec<&'static Migration>),
    Growth(Vec<String>),
}

type Step<T> = Result<T, Stopped>;

impl Target {
    /// Does what is left to do, one transaction a migration.
    ///
    /// Any number of processes may do so at once. A migration is claimed by its row in the history: who comes second
    /// waits for the first, finds it done, and goes on to the next. Between two of them nobody looks at what is there,
    /// which takes longer than to make it; who has come to the last one looks again.
    pub(crate) async fn bring(&mut self) -> Result<(), OpenProblem> {
        let mut pause = FIRST_PAUSE;
        // A replica can be looked at: who only verifies writes nothing here.
        let mut may_write = self.migrate == Migrate::Verify;
        let mut taken = 0;
        loop {
            let step = if may_write { self.step().await } else { self.may_write().await.map(|()| false) };
            may_write |= step.is_ok();
            match step {
                Ok(true) => return Ok(()),
                Ok(false) => (pause, taken) = (FIRST_PAUSE, 0),
                Err(Stopped::Because(problem)) => return Err(problem),
                Err(Stopped::Taken(problem)) if taken == MAX_TAKEN => return Err(problem),
                Err(again) => {
                    taken += u32::from(matches!(again, Stopped::Taken(_)));
                    self.undo().await?;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Undoes what a step has begun. A connection that failed is replaced, once: where it has taken the answer to a
    /// commit with it, looking again shows what happened.
    async fn undo(&mut self) -> Result<(), OpenProblem> {
        let Err(failure) = self.link.rollback().await else { return Ok(()) };
        let spare = self.spare.take().ok_or_else(|| problem_of(&failure))?;
        self.link.replace(Box::new(spare.acquire().await?));
        Ok(())
    }

    async fn may_write(&mut self) -> Step<()> {
        let found =
            self.texts("SELECT 0::bigint, current_setting('transaction_read_only')", Vec::new(), 1).await?;
        if found.first().is_some_and(|row| row.iter().any(|setting| setting == "on")) {
            return Err(Stopped::Because(OpenProblem::Other("the server can only be read".into())));
        }
        Ok(())
    }

    /// Does the next thing; true where nothing was left.
    async fn step(&mut self) -> Step<bool> {
        let next = self.look().await?;
        match (next, self.migrate) {
            (Next::Nothing, _) => return Ok(true),
            (Next::History, Migrate::Verify) => {
                return Err(unmigrated(format!("there is no table {}.{HISTORY}", self.names.schema())));
            }
            (Next::Migrations(left), Migrate::Verify) => {
                let first = left.first().map_or("", |migration| migration.name);
                return Err(unmigrated(format!("migration {first} was not applied")));
            }
            (Next::Growth(_), Migrate::Verify) => {
                let all = self.differences().await?;
                return Err(unmigrated(told(&all)));
            }
            (Next::History, Migrate::Apply) => self.make_history().await?,
            (Next::Migrations(left), Migrate::Apply) => {
                for migration in left {
                    self.apply(migration).await?;
                }
            }
            (Next::Growth(statements), Migrate::Apply) => self.grow(&statements).await?,
        }
        Ok(false)
    }

    async fn make_history(&mut self) -> Step<()> {
        let schema = vec![Param::One(TEXT, self.names.schema().into())];
        let sql =
            "SELECT 0::bigint, nspname::text FROM pg_catalog.pg_namespace WHERE nspname::text = $1::text";
        // One that is there may be used by who must not make any.
        let is_there = !self.texts(sql, schema, 1).await?.is_empty();
        if let Some(statement) = create_schema(&self.names).filter(|_| !is_there) {
            self.make(&statement).await?;
        }
        for statement in history_table(&self.names) {
            self.make(&statement).await?;
            // A view, say, of that name is passed over without a word.
            if find(&self.live().await?, HISTORY).is_none() {
                return Err(Stopped::Because(in_the_way(&statement)));
            }
        }
        Ok(())
    }

    /// Looks at what is there and what is left to do, all at one moment.
    async fn look(&mut self) -> Step<Next> {
        self.begin(Arc::clone(&self.look)).await?;
        let live = self.live().await?;
        if find(&live, HISTORY).is_none() {
            self.link.rollback().await.map_err(|failure| Stopped::Because(problem_of(&failure)))?;
            return match live.first() {
                None => Ok(Next::History),
                Some(table) => Err(Stopped::Because(OpenProblem::Foreign(format!(
                    "schema {} holds a table {} and no history of this store's",
                    self.names.schema(),
                    table.name
                )))),
            };
        }
        let (applied, min_writer) = self.history(&live).await?;
        self.link.rollback().await.map_err(|failure| Stopped::Because(problem_of(&failure)))?;
        let list = wanted(Dialect::Postgres, &self.schema);
        let left = pending(&list, &applied, min_writer.as_deref()).map_err(Stopped::Because)?;
        let made_yet = to_be_made(&list, &left);
        let taken = live.iter().find(|table| table.name != HISTORY && made_yet.contains(table.name.as_str()));
        if let Some(table) = taken {
            return Err(incompatible(format!(
                "there is a table {}, and no migration has made it",
                table.name
            )));
        }
        match growth(&self.names, &self.schema, &live) {
            Ok(_) if !left.is_empty() => Ok(Next::Migrations(left)),
            Ok(statements) if statements.is_empty() => match compare(&self.names, &self.schema, &live) {
                none if none.is_empty() => Ok(Next::Nothing),
                differences => Err(incompatible(told(&differences))),
            },
            Ok(statements) => Ok(Next::Growth(statements)),
            // Nothing is begun that could not be brought to an end. What a migration will make is not missed yet.
            Err(refused) => {
                let to_come = |name: &str| left.iter().any(|migration| migration.tables.contains(&name));
                let hopeless: Vec<_> = refused.into_iter().filter(|one| !to_come(&one.table)).collect();
                if left.is_empty() || !hopeless.is_empty() {
                    return Err(incompatible(told(&hopeless)));
                }
                Ok(Next::Migrations(left))
            }
        }
    }

    /// Applies a migration, and says so in the history: first of all, so that others wait. Where somebody else was faster,
    /// it is done.
    async fn apply(&mut self, migration: &Migration) -> Step<()> {
        self.begin(Arc::clone(&self.change)).await?;
        let params = vec![
            Param::One(TEXT, migration.name.into()),
            Param::One(TEXT, migration.checksum().into()),
            Param::One(Kind::Time, self.now.into()),
        ];
        let table = self.names.table(HISTORY);
        let sql = format!("INSERT INTO {table} (\"name\", \"checksum\", \"applied_at\") VALUES ($1, $2, $3)");
        match self.link.execute(&Statement { sql, params, branches: Vec::new() }).await {
            Err(Failure::Constraint(Violation::Unique)) => {
                return self.link.rollback().await.map_err(|_| Stopped::Again);
            }
            claimed => self.made(claimed)?,
        };
        for statement in migration.text(&self.names) {
            self.make(&statement).await?;
        }
        tracing::info!(migration = migration.name, schema = self.names.schema(), "migrated");
        self.commit().await
    }

    /// Makes what no migration makes. The row that is locked meanwhile is there after the first migration.
    async fn grow(&mut self, statements: &[String]) -> Step<()> {
        self.begin(Arc::clone(&self.change)).await?;
        let table = self.names.table(META);
        let lock =
            format!("SELECT 0::bigint, \"value\" FROM {table} WHERE \"key\" = 'min_writer' FOR UPDATE");
        self.texts(&lock, Vec::new(), 1).await?;
        let live = self.live().await?;
        // Somebody else may have done it, or some of it, while this waited for the lock.
        if growth(&self.names, &self.schema, &live).ok().as_deref() != Some(statements) {
            return Err(Stopped::Again);
        }
        for statement in statements {
            self.make(statement).await?;
        }
        self.commit().await
    }

    /// Runs a statement that makes something.
    async fn make(&mut self, statement: &str) -> Step<()> {
        let done = self.link.run(statement).await;
        match taken(self.link.refusal(), statement) {
            Some(problem) => Err(Stopped::Taken(problem)),
            None => self.made(done),
        }
    }

    async fn begin(&mut self, how: Arc<str>) -> Step<()> {
        self.link.begin_with(how);
        let begun = self.link.begin().await;
        self.made(begun)
    }

    async fn commit(&mut self) -> Step<()> {
        let committed = self.link.commit().await;
        self.made(committed)
    }

    async fn live(&mut self) -> Step<Vec<LiveTable>> {
        let found = self.link.rows(&catalogue(&self.names)).await;
        let rows = self.made(found)?;
        live_tables(&self.names, &rows).map_err(|error| Stopped::Because(problem_of(&error.into())))
    }

    async fn differences(&mut self) -> Step<Vec<Difference>> {
        let live = self.live().await?;
        Ok(compare(&self.names, &self.schema, &live))
    }

    /// The names and checksums of the migrations that were applied, and the oldest writer that is admitted.
    async fn history(&mut self, live: &[LiveTable]) -> Step<(Vec<(String, String)>, Option<String>)> {
        // A table of somebody else's under our name could not even be asked.
        let differs = compare(&self.names, &self.schema, live);
        let known = |name: &str| find(live, name).is_some();
        if let Some(difference) = differs
            .iter()
            .find(|found| [HISTORY, META].contains(&found.table.as_str()) && known(&found.table))
        {
            return Err(Stopped::Because(OpenProblem::Foreign(difference.to_string())));
        }
        let sql = format!("SELECT 0::bigint, \"name\", \"checksum\" FROM {}", self.names.table(HISTORY));
        let mut applied = Vec::new();
        for row in self.texts(&sql, Vec::new(), 2).await? {
            let mut texts = row.into_iter();
            applied.push((texts.next().unwrap_or_default(), texts.next().unwrap_or_default()));
        }
        if !known(META) {
            return Ok((applied, None));
        }
        let table = self.names.table(META);
        let sql = format!("SELECT 0::bigint, \"value\" FROM {table} WHERE \"key\" = 'min_writer'");
        let min_writer = self.texts(&sql, Vec::new(), 1).await?.pop().and_then(|mut row| row.pop());
        Ok((applied, min_writer))
    }

    async fn texts(&mut self, sql: &str, params: Vec<Param>, columns: usize) -> Step<Vec<Vec<String>>> {
        let columns = (1..=columns).map(|at| (at, Cell::Of(TEXT))).collect();
        let statement = Statement { sql: sql.into(), params, branches: vec![Branch { columns }] };
        let found = self.link.rows(&statement).await;
        let text = |value: Value| match value {
            Value::Text(text) => text.to_string(),
            _ => String::new(),
        };
        Ok(self.made(found)?.into_iter().map(|row| row.values.into_iter().map(text).collect()).collect())
    }

    /// What a failure means while tables are made, perhaps by several at once.
    fn made<T>(&self, done: Result<T, Failure>) -> Step<T> {
        let failure = match done {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let refusal = self.link.refusal();
        Err(match failure {
            Failure::Serialization | Failure::LockTimeout | Failure::Unknown => Stopped::Again,
            Failure::Constraint(_) => {
                incompatible(format!("rows that are there break {}", refusal.constraint))
            }
            Failure::Store(StoreError::Unavailable { .. }) if !refusal.code.is_empty() => {
                Stopped::Because(refused(&refusal.code))
            }
            failure @ Failure::Store(_) => Stopped::Because(problem_of(&failure)),
        })
    }
}

/// Why a statement that makes something is refused, where that may pass: somebody else may be making it.
fn taken(refusal: &Refusal, statement: &str) -> Option<OpenProblem> {
    match refusal.code.as_str() {
        // There is a schema, a table, a type of this name; or there will be, when another transaction commits.
        "42P06" | "42P07" | "42710" => Some(in_the_way(statement)),
        "23505" if refusal.in_catalogue => Some(in_the_way(statement)),
        // "Tuple concurrently updated", and whatever else the server did not expect.
        "XX000" => Some(OpenProblem::Other(format!(
            "the server refuses {} again and again (SQLSTATE XX000)",
            beginning(statement)
        ))),
        _ => None,
    }
}

fn in_the_way(statement: &str) -> OpenProblem {
    let made = beginning(statement);
    OpenProblem::Incompatible(format!("something that no migration has made is in the way of {made}"))
}

/// What a statement makes, without what it is made of.
fn beginning(statement: &str) -> &str {
    statement.split(" (").next().unwrap_or(statement)
}

fn problem_of(failure: &Failure) -> OpenProblem {
    match failure {
        Failure::Store(StoreError::Unavailable { reason, .. }) => OpenProblem::Unreachable(reason.clone()),
        Failure::Store(error) => OpenProblem::Damaged(error.to_string()),
        other => OpenProblem::Unreachable(crate::error::nothing_happened(other.clone()).to_string()),
    }
}

fn incompatible(what: String) -> Stopped {
    Stopped::Because(OpenProblem::Incompatible(what))
}

fn unmigrated(what: String) -> Stopped {
    Stopped::Because(OpenProblem::Unmigrated(what))
}

fn told(differences: &[Difference]) -> String {
    let all: Vec<String> = differences.iter().map(ToString::to_string).collect();
    all.join("; ")
}

fn find<'l>(live: &'l [LiveTable], name: &str) -> Option<&'l LiveTable> {
    live.iter().find(|table| table.name == name)
}
