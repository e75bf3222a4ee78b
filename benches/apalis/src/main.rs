//! What it costs to take and to acknowledge jobs with apalis: `apalis-bench SQLITE_FILE POSTGRES_URL JOBS ROUNDS`.
//!
//! Prints a line for each database and setting: its name, workers, the size of a batch, and the jobs a second of the median
//! round, apart by tabs. A job does nothing. The time is from the start of the workers until all of them have ended and every
//! job is marked as done in the database. The file of SQLite is opened as ours is: write-ahead log, `synchronous=FULL`.

use std::error::Error;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

type Failed = Box<dyn Error + Send + Sync>;

/// What is tried: how many workers, and how many jobs each takes at once.
const SETTINGS: [(usize, usize); 4] = [(64, 1), (1, 10), (4, 10), (4, 100)];
/// Jobs that are pushed in one statement.
const PUSHED: usize = 500;
/// How often a worker asks when nothing wakes it.
const POLL: Duration = Duration::from_millis(1);

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: apalis-bench SQLITE_FILE POSTGRES_URL JOBS ROUNDS");
    let (file, url) = (next()?, next()?);
    let (jobs, rounds): (usize, usize) = (next()?.parse()?, next()?.parse()?);
    let sqlite = sqlite(&file).await?;
    let postgres = PgPoolOptions::new().max_connections(80).connect(&url).await?;
    PostgresStorage::<()>::setup(&postgres).await?;
    for (workers, batch) in SETTINGS {
        // One at a time they take long, and fewer tell as much.
        let jobs = if batch == 1 { jobs.div_ceil(4) } else { jobs };
        let (mut on_sqlite, mut on_postgres) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let load = Load { queue: format!("{workers}-{batch}-{round}"), jobs, workers, batch };
            on_sqlite.push(load.sqlite(&sqlite).await?);
            on_postgres.push(load.postgres(&postgres).await?);
        }
        print("SQLite", workers, batch, jobs, on_sqlite);
        print("Postgres", workers, batch, jobs, on_postgres);
    }
    Ok(())
}

fn print(name: &str, workers: usize, batch: usize, jobs: usize, mut took: Vec<Duration>) {
    took.sort_unstable();
    if let Some(median) = took.get(took.len() / 2) {
        println!("{name}\t{workers}\t{batch}\t{:.1}", jobs as f64 / median.as_secs_f64());
    }
}

async fn sqlite(file: &str) -> Result<SqlitePool, Failed> {
    let options = SqliteConnectOptions::from_str(file)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(60))
        .synchronous(SqliteSynchronous::Full);
    // Its own set-up turns syncing off on the connection that it uses: on one that is closed before anything is measured.
    let setting_up = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    SqliteStorage::setup(&setting_up).await?;
    setting_up.close().await;
    Ok(SqlitePoolOptions::new().max_connections(8).connect_with(options).await?)
}

/// One round.
struct Load {
    queue: String,
    jobs: usize,
    workers: usize,
    batch: usize,
}

/// Runs the workers of a load over clones of a storage until all jobs are done.
macro_rules! work {
    ($load:expr, $storage:expr) => {{
        let load: &Load = $load;
        let done = Arc::new(AtomicUsize::new(0));
        let contexts: Arc<Vec<WorkerContext>> = Arc::new(
            (0..load.workers).map(|at| WorkerContext::new(&format!("{}-{at}", load.queue))).collect(),
        );
        let began = Instant::now();
        let mut running = Vec::new();
        for context in contexts.iter() {
            let (done, contexts, jobs) = (Arc::clone(&done), Arc::clone(&contexts), load.jobs);
            let job = move |_: u32| {
                let (done, contexts) = (Arc::clone(&done), Arc::clone(&contexts));
                async move {
                    if done.fetch_add(1, Ordering::Relaxed) + 1 == jobs {
                        for context in contexts.iter() {
                            context.stop()?;
                        }
                    }
                    Ok::<(), BoxDynError>(())
                }
            };
            let backend = $storage.clone().poll_with_interval(POLL);
            let worker = WorkerBuilder::new(context).backend(backend).concurrency(load.batch).build(job);
            running.push(tokio::spawn(worker.run()));
        }
        for worker in running {
            worker.await??;
        }
        began.elapsed()
    }};
}

impl Load {
    /// The jobs, as many together as are pushed at once.
    fn pushed(&self) -> impl Iterator<Item = Vec<u32>> {
        let some = |from| (from..self.jobs.min(from + PUSHED)).map(|job| job as u32).collect();
        (0..self.jobs).step_by(PUSHED).map(some)
    }

    async fn sqlite(&self, pool: &SqlitePool) -> Result<Duration, Failed> {
        let config = apalis_sqlite::Config::default().queue(&self.queue).batch_size(self.batch);
        let mut storage = SqliteStorage::<u32>::new(pool).with_config(config);
        for some in self.pushed() {
            storage.push_bulk(some).await?;
        }
        let took = work!(self, storage);
        let sql = "SELECT count(*) FROM Jobs WHERE job_type = ?1 AND status = 'Done'";
        let done: i64 = sqlx::query_scalar(sql).bind(&self.queue).fetch_one(pool).await?;
        self.all(done)?;
        Ok(took)
    }

    async fn postgres(&self, pool: &PgPool) -> Result<Duration, Failed> {
        let config = apalis_postgres::Config::default().queue(&self.queue).batch_size(self.batch);
        let mut storage = PostgresStorage::<u32>::new(pool).with_config(config);
        for some in self.pushed() {
            storage.push_bulk(some).await?;
        }
        let took = work!(self, storage);
        let sql = "SELECT count(*) FROM apalis.jobs WHERE job_type = $1 AND status = 'Done'";
        let done: i64 = sqlx::query_scalar(sql).bind(&self.queue).fetch_one(pool).await?;
        self.all(done)?;
        Ok(took)
    }

    fn all(&self, done: i64) -> Result<(), Failed> {
        if usize::try_from(done)? == self.jobs {
            Ok(())
        } else {
            Err(format!("{done} of {} jobs are done", self.jobs).into())
        }
    }
}
