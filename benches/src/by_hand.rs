//! What a careful person writes without this library: [`ByHand`], a launch as one transaction, statement by statement.
//!
//! It writes the same rows as a launch of the control plane, into the same tables, with the same guarantees: a limit is
//! part of the UPDATE that charges it, what was read is locked, a repeated request finds its receipt, there is a launch
//! where there is room for one, and a task beside it gives the records their order, without which nobody could follow
//! them. Where the two differ it is spared something: it takes the first node that nobody else is using, not the best.
//!
//! With [`Choice::Told`] it is spared the search for a place, and the order, too.

mod statements;

use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use apportion::id::{IdSource, TimeOrderedIds};
use apportion::time::{Clock, SystemClock};
use chrono::{DateTime, Utc};
use sqlx_core::error::{DatabaseError, Error};
use sqlx_core::query_scalar::query_scalar;
use sqlx_postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, Postgres};
use uuid::Uuid;

use crate::launches::{Figures, Launcher, Load, run};
use crate::stores::{Accounts, Failed, Fixture, SCHEMA, Stores};
use statements::{
    Asked, Place, Statement, access, active, find, in_order, ledger, nodes, stamp, take, take_of,
};

/// How often records are given their positions.
const STAMPED_EVERY: Duration = Duration::from_millis(10);
/// How often a transaction is tried that met another one.
const ATTEMPTS: u64 = 8;
/// The first port of a node.
const FIRST_PORT: usize = 20_000;
/// How many a node has.
const PORTS: usize = 40_000;

/// How a launch by hand comes to its node, GPU and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It finds them: the first node with room that nobody else is putting something on at the moment, the fullest GPU
    /// of it that has a share left, and a port that is free.
    Found,
    /// It is told them, the next ones in turn, so that launches never meet. It looks for nothing, and fails where
    /// they are taken; and its records stay without positions. The least that the other writes can cost.
    Told,
}

impl Choice {
    /// The schema of its own copy of the tables.
    const fn schema(self) -> &'static str {
        match self {
            Self::Found => "by_hand",
            Self::Told => "by_hand_told",
        }
    }
}

/// Launches by a transaction that was written by hand, on its own copy of the tables.
#[derive(Clone, Debug)]
pub struct ByHand(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    choice: Choice,
    pool: PgPool,
    /// For the task that gives positions: it waits for no sync, since what is lost with the server is given again.
    stamping: PgPool,
    fixture: Fixture,
    nodes: Vec<(Uuid, Vec<Uuid>)>,
    /// What a record of a launch holds: of the size that the store writes.
    changes: Vec<u8>,
    ids: TimeOrderedIds,
    clock: SystemClock,
    numbers: Arc<AtomicUsize>,
    commits: AtomicU64,
}

impl ByHand {
    /// Makes the same accounts and nodes in a schema of the database in which the store launched something before, with
    /// at most so many connections.
    pub async fn new(url: &str, choice: Choice, callers: usize, connections: u32) -> Result<Self, Failed> {
        let fixture = Fixture::new(Stores::postgres(url, choice.schema()).await?, callers).await?;
        // It is the same server on the same machine: there is nothing to be found out before each use.
        let few = PgPoolOptions::new().test_before_acquire(false);
        let options = PgConnectOptions::from_str(url)?.options([("search_path", choice.schema())]);
        let pool = few.clone().max_connections(connections).connect_with(options.clone()).await?;
        let stamping =
            few.max_connections(1).connect_with(options.options([("synchronous_commit", "off")])).await?;
        let nodes = nodes().fetch_all(&pool).await?;
        debug_assert_eq!(SCHEMA, "apportion", "the statement names it");
        let sql = "SELECT changes FROM apportion.kernel_feed WHERE operation = 'instance.launch' LIMIT 1";
        let changes = query_scalar::<Postgres, Vec<u8>>(sql).fetch_one(&pool).await?;
        let clock = SystemClock::new();
        let ids = TimeOrderedIds::new(Arc::new(SystemClock::new()));
        let (numbers, commits) = (Arc::default(), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner {
            choice,
            pool,
            stamping,
            fixture,
            nodes,
            changes,
            ids,
            clock,
            numbers,
            commits,
        })))
    }

    /// Does these launches.
    pub async fn run(&self, load: Load) -> Result<Figures, Failed> {
        let launching = run(self, &self.0.numbers, load);
        if self.0.choice == Choice::Told {
            return launching.await;
        }
        let (inner, over) = (Arc::clone(&self.0), Arc::new(AtomicBool::new(false)));
        let ends = Arc::clone(&over);
        let stamping = tokio::spawn(async move { inner.keep_stamping(&ends).await });
        let figures = launching.await;
        over.store(true, Ordering::Relaxed);
        stamping.await??;
        figures
    }

    /// Fails where a counter is not its recount, or records are not in order: what is written here must be what the control
    /// plane writes.
    pub async fn check(&self) -> Result<(), Failed> {
        // First: whoever looks at a snapshot, as the audit does, gives positions as well.
        if self.0.choice == Choice::Found && !in_order().fetch_one(&self.0.pool).await? {
            return Err("records that were written by hand are not in order".into());
        }
        let clean = self.0.fixture.plane.audit().await?.is_clean();
        if clean { Ok(()) } else { Err("the audit found a drift in what was written by hand".into()) }
    }
}

impl Launcher for ByHand {
    async fn launch(&self, caller: usize, nth: usize, full: bool) -> Result<(), Failed> {
        let inner = &self.0;
        let accounts: &Accounts = &inner.fixture.accounts;
        let owner = accounts.of(caller, full)?.uuid();
        let asked = Asked { nth, owner, id: inner.ids.next_id(), changes: &inner.changes };
        let mut attempt = 1;
        let launched = loop {
            match inner.launch(&asked).await {
                Err(error) if met_another(&error) && attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(attempt)).await;
                    attempt += 1;
                }
                done => break done?,
            }
        };
        if launched == full { Err("a launch was not judged as expected".into()) } else { Ok(()) }
    }

    fn commits(&self) -> Option<u64> {
        Some(self.0.commits.load(Ordering::Relaxed))
    }
}

impl Inner {
    /// One transaction; whether there was room for it within the quota. Where there is none for it on a node it fails.
    async fn launch(&self, asked: &Asked<'_>) -> Result<bool, Error> {
        let now = DateTime::<Utc>::from(self.clock.now());
        let mut transaction = self.pool.begin().await?;
        let connection: &mut PgConnection = &mut transaction;
        if access(asked.owner).fetch_optional(&mut *connection).await?.is_none() {
            return Ok(false);
        }
        if !changed_one(asked.quota(), connection).await? {
            transaction.rollback().await?;
            return Ok(false);
        }
        let to = self.place(asked, connection).await?;
        asked.instance(to, now).execute(&mut *connection).await?;
        asked.binding(to, self.ids.next_id(), now).execute(&mut *connection).await?;
        self.port(asked, to, now, connection).await?;
        for other in [asked.grant(to, self.ids.next_id(), now), asked.log(to, self.ids.next_id(), now)] {
            other.execute(&mut *connection).await?;
        }
        for last in [asked.receipt(now), asked.record(now)] {
            last.execute(&mut *connection).await?;
        }
        transaction.commit().await?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    /// Gives records their positions, again and again, and once more when it is told to end.
    async fn keep_stamping(&self, over: &AtomicBool) -> Result<(), Error> {
        loop {
            let last = over.load(Ordering::Relaxed);
            stamp().execute(&self.stamping).await?;
            if last {
                return Ok(());
            }
            tokio::time::sleep(STAMPED_EVERY).await;
        }
    }

    /// Charges a node and one of its GPUs.
    async fn place(&self, asked: &Asked<'_>, connection: &mut PgConnection) -> Result<Place, Error> {
        let (node, told) = match self.choice {
            Choice::Found => (find().fetch_one(&mut *connection).await?, None),
            Choice::Told => {
                let (turn, at) = (asked.nth / self.nodes.len(), asked.nth % self.nodes.len());
                let (node, gpus) = self.nodes.get(at).ok_or(Error::RowNotFound)?;
                active(*node).fetch_one(&mut *connection).await?;
                (*node, Some(gpus.get(turn % gpus.len()).ok_or(Error::RowNotFound)?))
            }
        };
        if !changed_one(ledger(node), connection).await? {
            return Err(Error::RowNotFound);
        }
        let take = told.map_or_else(|| take_of(node), |gpu| take(*gpu));
        Ok(Place { node, gpu: take.fetch_one(&mut *connection).await? })
    }

    /// Takes a port of the node.
    async fn port(
        &self,
        asked: &Asked<'_>,
        on: Place,
        now: DateTime<Utc>,
        connection: &mut PgConnection,
    ) -> Result<(), Error> {
        let (first, tries) = match self.choice {
            // Any at random is rarely taken; the lowest that is free is the one that all others try as well.
            Choice::Found => {
                let [.., high, low] = asked.id.into_bytes();
                (usize::from(u16::from_be_bytes([high, low])), PORTS)
            }
            Choice::Told => (asked.nth / self.nodes.len(), 1),
        };
        for port in first..first + tries {
            let port = i64::try_from(FIRST_PORT + port % PORTS).unwrap_or(i64::MAX);
            if changed_one(asked.port(on, port, self.ids.next_id(), now), connection).await? {
                return Ok(());
            }
        }
        Err(Error::RowNotFound)
    }
}

async fn changed_one(statement: Statement<'_>, connection: &mut PgConnection) -> Result<bool, Error> {
    Ok(statement.execute(connection).await?.rows_affected() == 1)
}

/// Whether nothing happened since another transaction was in the way.
fn met_another(error: &Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    matches!(code.as_deref(), Some("40001" | "40P01"))
}
