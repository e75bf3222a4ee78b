//! Durable launches through the whole control plane on a redb file, by many callers at once.

use std::error::Error;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apportion::ControlPlane;
use apportion::amount::{CpuMilli, GpuMilli, MemoryMib};
use apportion::entity::{Limits, TABLES, UserId};
use apportion::plane::{LaunchRequest, NewNode, NewUser};
use apportion::ports::{Family, PortRanges, Protocol};
use apportion::store::Store as _;
use apportion::time::SystemClock;
use apportion_redb::testing::SlowSync;
use apportion_redb::{RedbOptions, RedbStore};
use redb::backends::FileBackend;

/// What a sync must cost at least, for ratios of group commit to mean anything.
pub const SYNC_AT_LEAST: Duration = Duration::from_millis(3);
/// How many accounts the callers launch for.
const USERS: usize = 16;
/// Machines of eight GPUs each.
const NODES: u32 = 512;

/// A control plane on a file of its own.
#[derive(Debug)]
pub struct Bench {
    plane: Arc<ControlPlane>,
    store: Arc<RedbStore>,
    users: Vec<UserId>,
    next: Arc<AtomicUsize>,
    folder: tempfile::TempDir,
}

/// What some launches cost.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// How many were launched.
    pub launches: usize,
    /// How long that took.
    pub took: Duration,
    /// How many syncs it took.
    pub syncs: u64,
}

impl Figures {
    /// Launches in a second.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn per_second(&self) -> f64 {
        self.launches as f64 / self.took.as_secs_f64()
    }

    /// Launches that one sync made durable.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn per_sync(&self) -> f64 {
        self.launches as f64 / self.syncs as f64
    }
}

impl Bench {
    /// Users and nodes on a new file whose syncs take at least `sync`, committing at most `max_group` batches at once.
    pub async fn new(sync: Duration, max_group: usize) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let folder = tempfile::tempdir()?;
        let file =
            File::options().read(true).write(true).create_new(true).open(folder.path().join("bench.redb"))?;
        let backend = SlowSync::new(FileBackend::new(file)?, sync);
        let options = RedbOptions::default().max_group(max_group);
        let store =
            Arc::new(RedbStore::open_backend(backend, TABLES, Arc::new(SystemClock::new()), options)?);
        let plane = Arc::new(ControlPlane::new(store.clone()));
        let limits = Limits { instance_limit: 1_000_000, node_limit: 10_000, gpu_milli_limit: None };
        let new = (0..USERS)
            .map(|at| NewUser::new(format!("user{at}@example.org"), format!("User {at}")).limits(limits));
        let users: Result<Vec<UserId>, _> = plane
            .create_users(new.collect())
            .await
            .into_iter()
            .map(|user| user.map(|user| user.id))
            .collect();
        let users = users?;
        let Some(owner) = users.first().copied() else {
            return Err("no users".into());
        };
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
        Ok(Self { plane, store, users, next: Arc::default(), folder })
    }

    /// Launches `count` instances by `callers` at once, each waiting for its answer before it asks again. Each takes a
    /// hundredth of a GPU, processor time, memory and a port, and is granted and logged: eleven writes.
    pub async fn run(&self, callers: usize, count: usize) -> Result<Figures, Box<dyn Error + Send + Sync>> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let (end, next) = (first + count, Arc::new(AtomicUsize::new(first)));
        let syncs = self.store.syncs().unwrap_or(0);
        let began = now();
        let mut tasks = Vec::with_capacity(callers);
        for _ in 0..callers {
            let (plane, users, next) = (Arc::clone(&self.plane), self.users.clone(), Arc::clone(&next));
            tasks.push(tokio::spawn(async move {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(user) = users.get(at % users.len()).filter(|_| at < end) else {
                        return Ok(());
                    };
                    let request = LaunchRequest::new(*user, format!("instance-{at}"))
                        .cpu(CpuMilli::from_u32(10))
                        .memory(MemoryMib::from_u32(10))
                        .gpu_share(GpuMilli::from_u32(10))
                        .ports(Family::Ipv4, Protocol::Tcp, 1);
                    plane.launch(request).await.map(drop)?;
                }
            }));
        }
        for task in tasks {
            let done: Result<(), apportion::Error> = task.await?;
            done?;
        }
        let took = began.elapsed();
        Ok(Figures { launches: count, took, syncs: self.store.syncs().unwrap_or(0) - syncs })
    }

    /// Whether every counter equals its recount, and how large the file is.
    pub async fn check(&self) -> Result<(bool, u64), Box<dyn Error + Send + Sync>> {
        let clean = self.plane.audit().await?.is_clean();
        let bytes = std::fs::metadata(self.folder.path().join("bench.redb"))?.len();
        Ok((clean, bytes))
    }

    /// Decides a launch and commits nothing.
    pub async fn dry_run(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(user) = self.users.first() else {
            return Ok(());
        };
        let request = LaunchRequest::new(*user, "instance")
            .cpu(CpuMilli::from_u32(10))
            .gpu_share(GpuMilli::from_u32(10));
        self.plane.dry_run(&request).await?;
        Ok(())
    }
}

/// Wall-clock time, which is what is measured here.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures the time that passes")]
pub fn now() -> Instant {
    Instant::now()
}
