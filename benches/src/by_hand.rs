//! What a careful person writes without this library: [`ByHand`], a launch as one transaction, statement by statement.
//!
//! It writes the same rows as a launch of the control plane, into the same tables, with the same guarantees: a limit is
//! part of the UPDATE that charges it, what was read is locked, a repeated request finds its receipt. Where the two
//! differ it is spared something: it reads no view of the nodes but takes the next one in turn, so that launches do
//! not meet on a node or GPU; it picks ports without looking; its records are not yet in order, which somebody
//! would have to see to.

use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use apportion::id::{IdSource, TimeOrderedIds};
use apportion::time::{Clock, SystemClock};
use chrono::{DateTime, Utc};
use sqlx_core::error::{DatabaseError, Error};
use sqlx_core::query::{Query, query};
use sqlx_core::query_as::query_as;
use sqlx_core::query_scalar::query_scalar;
use sqlx_postgres::{PgArguments, PgConnectOptions, PgConnection, PgPool, PgPoolOptions, Postgres};
use uuid::Uuid;

use crate::launches::{Figures, Launcher, Load, run};
use crate::stores::{Accounts, Failed, Fixture, SCHEMA, Stores};

/// The schema of its own copy of the tables.
const OWN_SCHEMA: &str = "by_hand";
/// How often a transaction is tried that met another one.
const ATTEMPTS: u64 = 8;
/// What a launch takes of processor time and memory.
const AMOUNT: i64 = 10;
/// What a launch takes of a GPU.
const MILLI: i64 = 10;
/// The first port of a node.
const FIRST_PORT: usize = 20_000;

/// Launches by a transaction that was written by hand, on its own copy of the tables.
#[derive(Clone, Debug)]
pub struct ByHand(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    fixture: Fixture,
    nodes: Vec<(Uuid, Vec<Uuid>)>,
    /// What a record of a launch holds: of the size that the store writes.
    changes: Vec<u8>,
    ids: TimeOrderedIds,
    clock: SystemClock,
    numbers: Arc<AtomicUsize>,
    commits: AtomicU64,
}

/// What is taken for one launch.
struct Taken<'t> {
    nth: usize,
    owner: Uuid,
    node: Uuid,
    gpu: Uuid,
    port: i64,
    id: Uuid,
    changes: &'t [u8],
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

impl ByHand {
    /// Makes the same accounts and nodes in a schema of the database in which the store launched something before, with
    /// at most so many connections.
    pub async fn new(url: &str, callers: usize, connections: u32) -> Result<Self, Failed> {
        let fixture = Fixture::new(Stores::postgres(url, OWN_SCHEMA).await?, callers).await?;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            // It is the same server on the same machine: there is nothing to be found out before each use.
            .test_before_acquire(false)
            .connect_with(PgConnectOptions::from_str(url)?.options([("search_path", OWN_SCHEMA)]))
            .await?;
        let sql = "SELECT node_id, array_agg(id ORDER BY slot) FROM gpus GROUP BY node_id ORDER BY node_id";
        let nodes = query_as::<Postgres, (Uuid, Vec<Uuid>)>(sql).fetch_all(&pool).await?;
        debug_assert_eq!(SCHEMA, "apportion", "the statement names it");
        let sql = "SELECT changes FROM apportion.kernel_feed WHERE operation = 'instance.launch' LIMIT 1";
        let changes = query_scalar::<Postgres, Vec<u8>>(sql).fetch_one(&pool).await?;
        let clock = SystemClock::new();
        let ids = TimeOrderedIds::new(Arc::new(SystemClock::new()));
        let (numbers, commits) = (Arc::default(), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { pool, fixture, nodes, changes, ids, clock, numbers, commits })))
    }

    /// Does these launches.
    pub async fn run(&self, load: Load) -> Result<Figures, Failed> {
        run(self, &self.0.numbers, load).await
    }

    /// Fails where a counter is not its recount: what is written here must be what the control plane writes.
    pub async fn check(&self) -> Result<(), Failed> {
        let clean = self.0.fixture.plane.audit().await?.is_clean();
        if clean { Ok(()) } else { Err("the audit found a drift in what was written by hand".into()) }
    }
}

impl Launcher for ByHand {
    async fn launch(&self, caller: usize, nth: usize, full: bool) -> Result<(), Failed> {
        let inner = &self.0;
        let accounts: &Accounts = &inner.fixture.accounts;
        let (node, gpus) = inner.nodes.get(nth % inner.nodes.len()).ok_or("there are no nodes")?;
        let turn = nth / inner.nodes.len();
        let taken = Taken {
            nth,
            owner: accounts.of(caller, full)?.uuid(),
            node: *node,
            gpu: *gpus.get(turn % gpus.len()).ok_or("there are no gpus")?,
            port: i64::try_from(FIRST_PORT + turn)?,
            id: inner.ids.next_id(),
            changes: &inner.changes,
        };
        let mut attempt = 1;
        let launched = loop {
            match inner.launch(&taken).await {
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
    /// One transaction; whether there was room for it within the quota.
    async fn launch(&self, taken: &Taken<'_>) -> Result<bool, Error> {
        let now = DateTime::<Utc>::from(self.clock.now());
        let mut transaction = self.pool.begin().await?;
        let connection: &mut PgConnection = &mut transaction;
        let allowed = query_scalar::<Postgres, i64>(
            "SELECT revision FROM user_access WHERE user_id = $1 AND state = 'active' FOR SHARE",
        );
        if allowed.bind(taken.owner).fetch_optional(&mut *connection).await?.is_none() {
            return Ok(false);
        }
        // A limit is part of what charges it. The account is the caller's own, so that nobody waits for it.
        if !changed_one(taken.quota(), connection).await? {
            transaction.rollback().await?;
            return Ok(false);
        }
        let active = query_scalar::<Postgres, i64>(
            "SELECT revision FROM node_lifecycles WHERE node_id = $1 AND state = 'active' FOR SHARE",
        );
        let active = active.bind(taken.node).fetch_optional(&mut *connection).await?.is_some();
        if !active
            || !changed_one(taken.ledger(), connection).await?
            || !changed_one(taken.gpu(), connection).await?
        {
            return Err(Error::RowNotFound);
        }
        taken.instance(now).execute(&mut *connection).await?;
        for child in [taken.binding(self.ids.next_id(), now), taken.port(self.ids.next_id(), now)] {
            child.execute(&mut *connection).await?;
        }
        for other in [taken.grant(self.ids.next_id(), now), taken.log(self.ids.next_id(), now)] {
            other.execute(&mut *connection).await?;
        }
        for last in [taken.receipt(now), taken.record(now)] {
            last.execute(&mut *connection).await?;
        }
        transaction.commit().await?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(true)
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

impl<'t> Taken<'t> {
    fn quota(&self) -> Statement<'t> {
        query(
            "UPDATE quotas SET instances = instances + 1, gpu_milli = gpu_milli + $2, cpu_milli = cpu_milli + $3, \
             memory_mib = memory_mib + $4, version = version + 1 \
             WHERE account_id = $1 AND instances + 1 <= instance_limit \
             AND (gpu_milli_limit IS NULL OR gpu_milli + $2 <= gpu_milli_limit) \
             AND (cpu_milli_limit IS NULL OR cpu_milli + $3 <= cpu_milli_limit) \
             AND (memory_mib_limit IS NULL OR memory_mib + $4 <= memory_mib_limit)",
        )
        .bind(self.owner)
        .bind(MILLI)
        .bind(AMOUNT)
        .bind(AMOUNT)
    }

    fn ledger(&self) -> Statement<'t> {
        query(
            "UPDATE node_ledgers SET instances = instances + 1, cpu_milli = cpu_milli + $2, \
             memory_mib = memory_mib + $3, gpu_milli = gpu_milli + $4, version = version + 1 \
             WHERE node_id = $1 AND cpu_milli + $2 <= cpu_milli_total \
             AND memory_mib + $3 <= memory_mib_total AND gpu_milli + $4 <= gpu_milli_total",
        )
        .bind(self.node)
        .bind(AMOUNT)
        .bind(AMOUNT)
        .bind(MILLI)
    }

    fn gpu(&self) -> Statement<'t> {
        query(
            "UPDATE gpus SET used_milli = used_milli + $2, version = version + 1 \
             WHERE id = $1 AND health = 'healthy' AND used_milli + $2 <= 1000",
        )
        .bind(self.gpu)
        .bind(MILLI)
    }

    fn instance(&self, now: DateTime<Utc>) -> Statement<'t> {
        query(
            "INSERT INTO instances (id, owner_id, name, live_name, node_id, last_node_id, state, cpu_milli, \
             memory_mib, storage_mib, gpu_count, gpu_milli, network_mode, request_fingerprint, created_at, \
             updated_at, revision, version) \
             VALUES ($1, $2, $3, $3, $4, $4, 'running', $5, $6, 0, 1, $7, 'bridge', $8, $9, $9, 1, 1)",
        )
        .bind(self.id)
        .bind(self.owner)
        .bind(format!("instance-{}", self.nth))
        .bind(self.node)
        .bind(AMOUNT)
        .bind(AMOUNT)
        .bind(MILLI)
        .bind(self.id.simple().to_string())
        .bind(now)
    }

    fn binding(&self, id: Uuid, now: DateTime<Utc>) -> Statement<'t> {
        query(
            "INSERT INTO gpu_bindings (id, gpu_id, instance_id, held_by, milli, state, created_at, revision, \
             version) VALUES ($1, $2, $3, $3, $4, 'bound', $5, 1, 1)",
        )
        .bind(id)
        .bind(self.gpu)
        .bind(self.id)
        .bind(MILLI)
        .bind(now)
    }

    fn port(&self, id: Uuid, now: DateTime<Utc>) -> Statement<'t> {
        query(
            "INSERT INTO port_maps (id, node_id, instance_id, family, protocol, port, created_at, revision, \
             version) VALUES ($1, $2, $3, 'ipv4', 'tcp', $4, $5, 1, 1)",
        )
        .bind(id)
        .bind(self.node)
        .bind(self.id)
        .bind(self.port)
        .bind(now)
    }

    fn grant(&self, id: Uuid, now: DateTime<Utc>) -> Statement<'t> {
        query(
            "INSERT INTO managed_instances (id, user_id, node_id, instance_id, created_at, revision, version) \
             VALUES ($1, $2, $3, $4, $5, 1, 1)",
        )
        .bind(id)
        .bind(self.owner)
        .bind(self.node)
        .bind(self.id)
        .bind(now)
    }

    fn log(&self, id: Uuid, now: DateTime<Utc>) -> Statement<'t> {
        query(
            "INSERT INTO logs (id, title, description, actor_id, subject_kind, subject_id, timestamp, revision, \
             version) VALUES ($1, 'instance.launch', $2, $3, 'instance', $4, $5, 1, 1)",
        )
        .bind(id)
        .bind(format!("instance-{} on node {}", self.nth, self.node))
        .bind(self.owner)
        .bind(self.id)
        .bind(now)
    }

    fn receipt(&self, now: DateTime<Utc>) -> Statement<'t> {
        query("INSERT INTO kernel_receipts (batch, at, fingerprint) VALUES ($1, $2, $1)")
            .bind(self.id)
            .bind(now)
    }

    fn record(&self, now: DateTime<Utc>) -> Statement<'t> {
        query(
            "INSERT INTO kernel_feed (batch, arrival, place, at, actor, operation, fingerprint, changes) \
             VALUES ($1, nextval('kernel_arrivals'), 1, $2, $3, 'instance.launch', $1, $4)",
        )
        .bind(self.id)
        .bind(now)
        .bind(self.owner)
        .bind(self.changes)
    }
}
