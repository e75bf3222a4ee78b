//! The repositories and the operations of the control plane on a redb file.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use apportion::amount::{CpuMilli, GpuMilli, MemoryMib};
use apportion::entity::checks::check_repositories;
use apportion::entity::{InstanceState, Limits, PORT_MAPS, TABLES};
use apportion::id::{IdSource as _, TimeOrderedIds};
use apportion::identity::checks::check_identity;
use apportion::plane::checks::{
    ModelSize, ModelStores, check_machine_model, check_machines, check_rentals, check_run_model, check_runs,
    check_trainings,
};
use apportion::plane::{LaunchRequest, NewNode, NewUser};
use apportion::ports::{Family, PortRanges, Protocol};
use apportion::store::memory::MemoryStore;
use apportion::store::{
    Batch, Cause, Column, Fixed, NewRow, Reference, Scan, Store, StoreExt as _, Table, Write,
};
use apportion::time::{ManualClock, SystemClock, Timestamp};
use apportion::{ControlPlane, Error};
use apportion_redb::RedbStore;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_repositories_keep_their_word_before_and_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let clock = Arc::new(SystemClock::new());
        let store =
            Arc::new(RedbStore::open(folder.path().join("store.redb"), TABLES, clock.clone()).unwrap());
        check_repositories(store.clone(), Arc::new(TimeOrderedIds::new(clock))).await;
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn identity_and_access_hold() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = RedbStore::open(folder.path().join("store.redb"), TABLES, clock.clone()).unwrap();
    check_identity(Arc::new(store), clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn machines_hold() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = RedbStore::open(folder.path().join("store.redb"), TABLES, clock.clone()).unwrap();
    check_machines(Arc::new(store), clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn trainings_hold() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = RedbStore::open(folder.path().join("store.redb"), TABLES, clock.clone()).unwrap();
    check_trainings(Arc::new(store), clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rented_machines_hold() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = RedbStore::open(folder.path().join("store.redb"), TABLES, clock.clone()).unwrap();
    check_rentals(Arc::new(store), clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_hold() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let store = RedbStore::open(folder.path().join("store.redb"), TABLES, clock.clone()).unwrap();
    check_runs(Arc::new(store), clock).await;
}

/// Files of which the last one is opened again.
struct Files(Mutex<tempfile::TempDir>);

impl Files {
    fn open(&self, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        let path = self.0.lock().unwrap().path().join("store.redb");
        Arc::new(RedbStore::open(path, TABLES, clock).unwrap())
    }
}

#[async_trait::async_trait]
impl ModelStores for Files {
    async fn fresh(&self, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        *self.0.lock().unwrap() = tempfile::tempdir().unwrap();
        self.open(clock)
    }

    async fn reopened(&self, store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        store.close().await.unwrap();
        drop(store);
        self.open(clock)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn machines_are_as_a_model_of_them() {
    let files = Files(Mutex::new(tempfile::tempdir().unwrap()));
    check_machine_model(&files, ModelSize { sequences: 4, steps: 80, audit_every: 8 }, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_are_as_a_model_of_them() {
    let files = Files(Mutex::new(tempfile::tempdir().unwrap()));
    check_run_model(&files, ModelSize { sequences: 3, steps: 100, audit_every: 20 }, 1100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_planes_share_a_file_without_passing_a_limit_and_go_on_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Arc::new(RedbStore::open(&path, TABLES, Arc::new(SystemClock::new())).unwrap());
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

    let store = Arc::new(RedbStore::open(&path, TABLES, Arc::new(SystemClock::new())).unwrap());
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

/// The quotas as they were before processor time, memory and disk space were counted.
static OLD_QUOTAS: Table = Table::new(
    "quotas",
    &[
        Column::uuid("account_id"),
        Column::int("instances").counter().default(Fixed::Int(0)),
        Column::int("instance_limit"),
        Column::int("nodes").counter().default(Fixed::Int(0)),
        Column::int("node_limit"),
        Column::int("gpu_milli").counter().default(Fixed::Int(0)),
        Column::int("gpu_milli_limit").nullable(),
    ],
    &["account_id"],
)
.references(&[Reference::new("quotas_user", &["account_id"], "users")]);

#[tokio::test]
async fn a_file_from_before_the_limits_on_amounts_is_repaired_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(SystemClock::new());
    // What an older build would have written: the same rows without the columns that it did not know.
    let now = Arc::new(MemoryStore::new(TABLES, clock.clone()).unwrap());
    let plane = ControlPlane::new(now.clone());
    let user = plane.create_user(NewUser::new("ada@example.org", "Ada")).await.unwrap().id;
    let node = NewNode::new(user, "one").cpu(CpuMilli::from_u32(8_000)).memory(MemoryMib::from_u32(8_000));
    plane.register_node(node).await.unwrap();
    let request = |name| LaunchRequest::new(user, name).cpu(CpuMilli::from_u32(1_500));
    let first = plane.launch(request("first").memory(MemoryMib::from_u32(700))).await.unwrap().id;
    plane.launch(request("second")).await.unwrap();
    let old = |table: &'static Table| if table.name == OLD_QUOTAS.name { &OLD_QUOTAS } else { table };
    let tables: Vec<&'static Table> = TABLES.iter().map(|table| old(table)).collect();
    let mut batch = Batch::new(TimeOrderedIds::new(clock.clone()).next_id(), "copy");
    for table in TABLES {
        for row in now.scan_all(Scan::of(table)).await.unwrap() {
            let columns = old(table).columns.iter();
            let copy = columns.fold(NewRow::new(old(table)), |copy, column| {
                copy.set(column.name, row.get(column.name).unwrap().clone())
            });
            batch.push(Write::Insert(copy));
        }
    }
    let store = RedbStore::open(&path, &tables, clock.clone()).unwrap();
    store.commit(batch).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let store = Arc::new(RedbStore::open(&path, TABLES, clock).unwrap());
    let plane = ControlPlane::new(store.clone());
    assert_eq!(plane.repositories().quotas().require(user).await.unwrap().cpu_milli, CpuMilli::ZERO);
    let Err(Error::Store(error)) = plane.delete(first).await else { panic!("a use below nothing") };
    assert_eq!(
        error.refusal().unwrap().cause,
        Cause::Invariant { rule: "quotas_cpu_milli_not_negative" },
        "use below nothing is not recorded"
    );
    let report = plane.audit().await.unwrap();
    let drifts: Vec<_> = report.drifts.iter().map(|d| (d.column, d.recorded, d.recounted)).collect();
    assert_eq!(drifts, [("cpu_milli", 0, 3_000), ("memory_mib", 0, 700)]);
    let repaired = plane.repair(&report).await.unwrap();
    assert_eq!((repaired.mended, repaired.changed, repaired.impossible), (2, 0, 0));
    assert!(plane.audit().await.unwrap().is_clean());
    plane.delete(first).await.unwrap();
    assert_eq!(plane.repositories().quotas().require(user).await.unwrap().cpu_milli.get(), 1_500);
    assert!(plane.audit().await.unwrap().is_clean());
}
