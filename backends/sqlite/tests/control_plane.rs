//! The repositories and the operations of the control plane on a SQLite file.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../sql/tests/history/mod.rs"]
mod history;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use apportion::amount::{CpuMilli, GpuMilli};
use apportion::entity::checks::check_repositories;
use apportion::entity::{InstanceState, Limits, PORT_MAPS, TABLES, UserId};
use apportion::id::TimeOrderedIds;
use apportion::identity::checks::check_identity;
use apportion::plane::checks::{
    ModelSize, ModelStores, check_machine_model, check_machines, check_rentals, check_run_model, check_runs,
    check_trainings,
};
use apportion::plane::{LaunchRequest, NewNode, NewUser};
use apportion::ports::{Family, PortRanges, Protocol};
use apportion::store::{Scan, Store, StoreExt as _};
use apportion::time::{ManualClock, SystemClock, Timestamp};
use apportion::{ControlPlane, Error};
use apportion_sql::Names;
use apportion_sqlite::SqliteStore;
use sqlx_core::connection::{ConnectOptions as _, Connection as _};
use sqlx_core::executor::Executor as _;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_sqlite::SqliteConnectOptions;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_repositories_keep_their_word_before_and_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let clock = Arc::new(SystemClock::new());
        let store = Arc::new(
            SqliteStore::open(folder.path().join("store.sqlite"), TABLES, clock.clone()).await.unwrap(),
        );
        check_repositories(store.clone(), Arc::new(TimeOrderedIds::new(clock))).await;
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn identity_and_access_hold() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = SqliteStore::open(folder.path().join("store.sqlite"), TABLES, clock.clone()).await.unwrap();
    check_identity(Arc::new(store), clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn machines_hold() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = SqliteStore::open(folder.path().join("store.sqlite"), TABLES, clock.clone()).await.unwrap();
    check_machines(Arc::new(store), clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn trainings_hold() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = SqliteStore::open(folder.path().join("store.sqlite"), TABLES, clock.clone()).await.unwrap();
    check_trainings(Arc::new(store), clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rented_machines_hold() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = SqliteStore::open(folder.path().join("store.sqlite"), TABLES, clock.clone()).await.unwrap();
    check_rentals(Arc::new(store), clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_hold() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = SqliteStore::open(folder.path().join("store.sqlite"), TABLES, clock.clone()).await.unwrap();
    check_runs(Arc::new(store), clock).await;
}

/// Files of which the last one is opened again.
struct Files(Mutex<tempfile::TempDir>);

impl Files {
    async fn open(&self, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        let path = self.0.lock().unwrap().path().join("store.sqlite");
        Arc::new(SqliteStore::open(path, TABLES, clock).await.unwrap())
    }
}

#[async_trait::async_trait]
impl ModelStores for Files {
    async fn fresh(&self, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        *self.0.lock().unwrap() = tempfile::tempdir().unwrap();
        self.open(clock).await
    }

    async fn reopened(&self, store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        store.close().await.unwrap();
        drop(store);
        self.open(clock).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn machines_are_as_a_model_of_them() {
    let files = Files(Mutex::new(tempfile::tempdir().unwrap()));
    check_machine_model(&files, ModelSize { sequences: 3, steps: 80, audit_every: 10 }, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_are_as_a_model_of_them() {
    let files = Files(Mutex::new(tempfile::tempdir().unwrap()));
    check_run_model(&files, ModelSize { sequences: 2, steps: 100, audit_every: 20 }, 1200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_planes_share_a_file_without_passing_a_limit_and_go_on_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let store = Arc::new(SqliteStore::open(&path, TABLES, Arc::new(SystemClock::new())).await.unwrap());
    // Each has its own view, as processes would.
    let planes: Vec<_> = (0..3).map(|_| Arc::new(ControlPlane::new(store.clone()))).collect();
    let limits = Limits::default().instances(100).nodes(1).gpu(GpuMilli::from_u32(6_000));
    let user = planes[0].create_user(NewUser::new("ada@example.org", "Ada").limits(limits)).await.unwrap().id;
    let node = NewNode::new(user, "one").gpus(8, "A100").cpu(CpuMilli::from_u32(64_000));
    planes[0].register_node(node.ipv4_ports(PortRanges::tcp(1, 64).unwrap())).await.unwrap();
    let tasks: Vec<_> = (0..24)
        .map(|at| {
            let plane = Arc::clone(&planes[at % 3]);
            let request = LaunchRequest::new(user, format!("i-{at}"))
                .gpu_share(GpuMilli::from_u32(500))
                .ports(Family::Ipv4, Protocol::Tcp, 2);
            tokio::spawn(async move { plane.launch(request).await })
        })
        .collect();
    let mut launched = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(entry) => launched.push(entry),
            Err(Error::QuotaExceeded { limit_name: "gpu_milli_limit", .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(launched.len(), 12, "six GPUs in halves");
    assert_eq!(store.scan(Scan::of(&PORT_MAPS)).await.unwrap().value.rows.len(), 24);
    drop(planes);
    store.close().await.unwrap();
    drop(store);

    let store = Arc::new(SqliteStore::open(&path, TABLES, Arc::new(SystemClock::new())).await.unwrap());
    let plane = ControlPlane::new(store.clone());
    let report = plane.audit().await.unwrap();
    assert!(report.is_clean() && report.live_instances == 12, "{report:?}");
    for entry in &launched {
        assert_eq!(plane.delete(entry.id).await.unwrap().state, InstanceState::Deleted);
    }
    assert_eq!(plane.capacity().await.unwrap().gpu_used_milli, 0);
    assert!(store.scan(Scan::of(&PORT_MAPS)).await.unwrap().value.rows.is_empty());
    assert!(plane.audit().await.unwrap().is_clean());
}

/// A launch of a whole GPU, of which there is one.
fn whole(user: UserId, name: &str) -> LaunchRequest {
    LaunchRequest::new(user, name).gpus(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gpu_goes_to_the_transaction_that_commits_or_to_one_of_those_who_race_with_it() {
    for commits in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        let store = Arc::new(SqliteStore::open(&path, TABLES, Arc::new(SystemClock::new())).await.unwrap());
        let plane = Arc::new(ControlPlane::new(store.clone()));
        let limits = Limits::default().instances(100).nodes(1);
        let ada = NewUser::new("ada@example.org", "Ada").limits(limits);
        let user = plane.create_user(ada).await.unwrap().id;
        let node = NewNode::new(user, "one").gpus(1, "A100").cpu(CpuMilli::from_u32(64_000));
        plane.register_node(node).await.unwrap();

        let bound = Arc::new(store.begin().await.unwrap());
        let inside = plane.within(bound.clone());
        let mine = inside.launch(whole(user, "mine")).await.unwrap().id;
        // Each has its own view, in which the GPU is free, and half of them a handle of their own as a process would.
        let mut racing = Vec::new();
        for at in 0..8 {
            let store = if at % 2 == 0 {
                store.clone()
            } else {
                Arc::new(SqliteStore::open(&path, TABLES, Arc::new(SystemClock::new())).await.unwrap())
            };
            let other = ControlPlane::new(store);
            racing.push(tokio::spawn(async move { other.launch(whole(user, &format!("other-{at}"))).await }));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(racing.iter().all(|launch| !launch.is_finished()), "they wait for the transaction");
        if commits {
            bound.commit().await.unwrap();
        } else {
            bound.rollback().await.unwrap();
        }
        drop(inside);
        let mut launched = Vec::new();
        for launch in racing {
            match launch.await.unwrap() {
                Ok(entry) => launched.push(entry.id),
                Err(Error::NoCapacity(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(launched.len(), usize::from(!commits), "{launched:?}");
        let is_there = plane.repositories().instances().get(mine).await.unwrap().is_some();
        assert_eq!(is_there, commits);
        let report = plane.audit().await.unwrap();
        assert!(report.is_clean() && report.live_instances == 1, "{report:?}");
        assert_eq!(plane.capacity().await.unwrap().gpu_used_milli, 1000);
        // Who planned with it knows again what is free.
        let owner = if commits { mine } else { launched[0] };
        plane.delete(owner).await.unwrap();
        plane.launch(whole(user, "next")).await.unwrap();
        assert!(plane.audit().await.unwrap().is_clean());
    }
}

#[tokio::test]
async fn a_file_from_before_the_limits_on_amounts_is_counted_when_it_is_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let clock = Arc::new(SystemClock::new());
    let store = Arc::new(SqliteStore::open(&path, TABLES, clock.clone()).await.unwrap());
    let before = history::make(&history::plane(store.clone())).await;
    store.close().await.unwrap();
    drop(store);
    let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let undo = history::undo(&Names::sqlite("apportion_").unwrap());
    other.execute(AssertSqlSafe(undo)).await.unwrap();
    other.close().await.unwrap();
    let store = Arc::new(SqliteStore::open(&path, TABLES, clock).await.unwrap());
    history::check(&history::plane(store), before).await;
}
