//! Each store with users, nodes and a control plane, ready to be measured: [`Stores`] opens them, [`Fixture`] fills them.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::amount::{CpuMilli, GpuMilli, MemoryMib};
use apportion::entity::{Limits, TABLES, UserId};
use apportion::plane::{NewNode, NewUser};
use apportion::ports::PortRanges;
use apportion::store::{Store, memory::MemoryStore};
use apportion::time::SystemClock;
use apportion_postgres::{PostgresOptions, PostgresStore};
use apportion_redb::testing::SlowSync;
use apportion_redb::{RedbOptions, RedbStore};
use apportion_sqlite::{SqliteOptions, SqliteStore};
use redb::backends::FileBackend;

/// Anything that stops a measurement.
pub type Failed = Box<dyn Error + Send + Sync>;

/// What a durable commit must cost at least, for ratios of group commit to mean anything.
pub const SYNC_AT_LEAST: Duration = Duration::from_millis(3);
/// The largest group of a store with group commit.
pub const GROUPS: usize = 1_024;
/// The schema that the store has in a Postgres database, unless it is told another one.
pub const SCHEMA: &str = "apportion";
/// Machines of eight GPUs each.
const NODES: u32 = 512;

/// Opens stores, each new and empty.
#[derive(Debug)]
pub struct Stores {
    folder: tempfile::TempDir,
    /// How long a commit to a file takes at least.
    sync: Duration,
}

impl Stores {
    /// Files in a folder that goes when this does; each commit to one takes at least `sync`.
    pub fn new(sync: Duration) -> Result<Self, Failed> {
        Ok(Self { folder: tempfile::tempdir()?, sync })
    }

    /// A store in memory.
    pub fn memory() -> Result<Arc<dyn Store>, Failed> {
        Ok(Arc::new(MemoryStore::new(TABLES, Arc::new(SystemClock::new()))?))
    }

    /// A redb file that commits at most `max_group` batches at once.
    pub fn redb(&self, max_group: usize) -> Result<Arc<dyn Store>, Failed> {
        let file =
            File::options().read(true).write(true).create_new(true).open(self.path("redb", max_group))?;
        let backend = SlowSync::new(FileBackend::new(file)?, self.sync);
        let options = RedbOptions::default().max_group(max_group);
        Ok(Arc::new(RedbStore::open_backend(backend, TABLES, Arc::new(SystemClock::new()), options)?))
    }

    /// A SQLite file that commits at most `max_group` batches at once.
    pub async fn sqlite(&self, max_group: usize) -> Result<Arc<dyn Store>, Failed> {
        let options = SqliteOptions::default().max_group(max_group).slow_commits(self.sync);
        let path = self.path("sqlite", max_group);
        let store = SqliteStore::open_with(path, TABLES, Arc::new(SystemClock::new()), options).await?;
        Ok(Arc::new(store))
    }

    /// A schema of a Postgres database.
    pub async fn postgres(url: &str, schema: &str) -> Result<Arc<dyn Store>, Failed> {
        let options = PostgresOptions::default().schema(schema).max_group(GROUPS);
        let clock = Arc::new(SystemClock::new());
        Ok(Arc::new(PostgresStore::connect_with(url, TABLES, clock, options).await?))
    }

    /// Each store by its name: the reference store, files, and a schema of the database at `url`.
    pub async fn all(&self, url: &str) -> Result<[(&'static str, Arc<dyn Store>); 4], Failed> {
        Ok([
            ("memory", Self::memory()?),
            ("redb", self.redb(GROUPS)?),
            ("SQLite", self.sqlite(GROUPS).await?),
            ("Postgres", Self::postgres(url, SCHEMA).await?),
        ])
    }

    fn path(&self, kind: &str, max_group: usize) -> PathBuf {
        self.folder.path().join(format!("{max_group}.{kind}"))
    }

    /// How large the redb file of this group size is.
    pub fn redb_bytes(&self, max_group: usize) -> Result<u64, Failed> {
        Ok(std::fs::metadata(self.path("redb", max_group))?.len())
    }

    /// The folder of the files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A control plane on a store with users and nodes.
#[derive(Debug)]
pub struct Fixture {
    /// The control plane.
    pub plane: Arc<ControlPlane>,
    /// The accounts that are launched for.
    pub accounts: Arc<Accounts>,
}

/// An account for each caller, and a second one whose quota is used up.
#[derive(Debug)]
pub struct Accounts {
    open: Vec<UserId>,
    full: Vec<UserId>,
}

impl Accounts {
    /// The account of a caller.
    pub fn of(&self, caller: usize, full: bool) -> Result<UserId, Failed> {
        let accounts = if full { &self.full } else { &self.open };
        accounts.get(caller % accounts.len().max(1)).copied().ok_or_else(|| "there is no account".into())
    }
}

impl Fixture {
    /// Makes nodes, and accounts for so many callers.
    pub async fn new(store: Arc<dyn Store>, callers: usize) -> Result<Self, Failed> {
        let plane = Arc::new(ControlPlane::new(store));
        let gpu_milli_limit = Some(GpuMilli::from_u32(100_000_000));
        let limits = |instance_limit| Limits {
            instance_limit,
            node_limit: 10_000,
            gpu_milli_limit,
            ..Limits::default()
        };
        let open = users(&plane, "open", callers, limits(1_000_000)).await?;
        let full = users(&plane, "full", callers, limits(0)).await?;
        let owner = open.first().copied().ok_or("there are no callers")?;
        let ports = PortRanges::tcp(20_000, 60_000)?;
        let node = |at| {
            NewNode::new(owner, format!("node-{at}"))
                .cpu(CpuMilli::from_u32(4_000_000))
                .memory(MemoryMib::from_u32(4_000_000))
                .gpus(8, "A100")
                .ipv4_ports(ports.clone())
        };
        for node in plane.register_nodes((0..NODES).map(node).collect()).await {
            node?;
        }
        Ok(Self { plane, accounts: Arc::new(Accounts { open, full }) })
    }
}

async fn users(
    plane: &ControlPlane,
    kind: &str,
    count: usize,
    limits: Limits,
) -> Result<Vec<UserId>, Failed> {
    let user = |at| NewUser::new(format!("{kind}{at}@example.org"), format!("User {at}")).limits(limits);
    let made = plane.create_users((0..count).map(user).collect()).await;
    made.into_iter().map(|user| Ok(user?.id)).collect()
}
