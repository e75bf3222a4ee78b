//! The operations of the control plane, on the reference store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use apportion::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use apportion::entity::{
    Entry, GPUS, GpuId, Instance, InstanceState, Limits, NodeId, PORT_MAPS, TABLES, UserId,
};
use apportion::id::{IdSource, RandomIds, TimeOrderedIds};
use apportion::plane::{LaunchRequest, NewNode, NewUser, Operation, Options};
use apportion::ports::{Family, PortRanges, Protocol};
use apportion::store::memory::MemoryStore;
use apportion::store::{Cursor, Scan, Store, StoreExt, Write};
use apportion::time::{ManualClock, SystemClock, Timestamp};
use apportion::{ControlPlane, Error};

struct Cloud {
    plane: Arc<ControlPlane>,
    store: Arc<MemoryStore>,
    ids: Arc<dyn IdSource>,
    user: UserId,
}

impl Cloud {
    async fn new(limits: Limits) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let ids: Arc<dyn IdSource> = Arc::new(TimeOrderedIds::seeded(clock.clone(), 1));
        let store = Arc::new(MemoryStore::new(TABLES, clock).unwrap());
        let plane = Arc::new(ControlPlane::with(store.clone(), Options::default().ids(ids.clone())));
        let user = plane.create_user(NewUser::new("ada@example.org", "Ada").limits(limits)).await.unwrap().id;
        Self { plane, store, ids, user }
    }

    async fn node(&self, name: &str, gpus: u32) -> NodeId {
        let ports = PortRanges::tcp(63_000, 63_009).unwrap();
        let node = NewNode::new(self.user, name)
            .cpu(CpuMilli::from_u32(16_000))
            .memory(MemoryMib::from_u32(65_536))
            .storage(StorageMib::from_u32(1_000))
            .gpus(gpus, "A100")
            .ipv4_ports(ports);
        self.plane.register_node(node).await.unwrap().id
    }

    fn request(&self, name: &str) -> LaunchRequest {
        LaunchRequest::new(self.user, name).cpu(CpuMilli::from_u32(1_000)).memory(MemoryMib::from_u32(1_024))
    }

    async fn clean(&self) -> u64 {
        let report = self.plane.audit().await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        report.live_instances
    }
}

fn many() -> Limits {
    Limits::default().instances(1_000).nodes(100)
}

#[tokio::test]
async fn a_launch_takes_node_gpus_ports_and_quota_and_a_delete_gives_all_of_it_back_once() {
    let cloud = Cloud::new(many()).await;
    cloud.node("one", 2).await;
    let before = cloud.plane.capacity().await.unwrap();
    let request = cloud.request("train").gpus(2).storage(StorageMib::from_u32(100)).ports(
        Family::Ipv4,
        Protocol::Tcp,
        3,
    );
    let instance = cloud.plane.launch(request).await.unwrap();
    assert_eq!(instance.state, InstanceState::Running);
    assert_eq!(cloud.store.scan(Scan::of(&PORT_MAPS)).await.unwrap().value.rows.len(), 3);
    let gpus = cloud.store.scan(Scan::of(&GPUS)).await.unwrap().value.rows;
    assert!(gpus.iter().all(|gpu| gpu.int("used_milli").unwrap() == 1_000));
    assert_eq!(cloud.clean().await, 1);
    assert_eq!(cloud.plane.capacity().await.unwrap().gpu_idle_milli, 0);

    let deleted = cloud.plane.delete(instance.id).await.unwrap();
    assert_eq!((deleted.state, deleted.node_id), (InstanceState::Deleted, None));
    let head = cloud.store.changes(Cursor::START, 1).await.unwrap().lag;
    assert_eq!(cloud.plane.delete(instance.id).await.unwrap(), deleted);
    assert_eq!(
        cloud.store.changes(Cursor::START, 1).await.unwrap().lag,
        head,
        "a repeated delete changes nothing"
    );
    assert_eq!(cloud.clean().await, 0);
    assert_eq!(cloud.plane.capacity().await.unwrap(), before);
    assert!(cloud.store.scan(Scan::of(&PORT_MAPS)).await.unwrap().value.rows.is_empty());
}

#[tokio::test]
async fn a_stopped_instance_keeps_what_it_has_and_a_repeated_stop_changes_nothing() {
    let cloud = Cloud::new(many()).await;
    cloud.node("one", 1).await;
    let instance = cloud.plane.launch(cloud.request("web").gpus(1)).await.unwrap();
    let stopped = cloud.plane.stop(instance.id).await.unwrap();
    assert_eq!((stopped.state, stopped.revision), (InstanceState::Stopped, 2));
    assert_eq!(cloud.plane.stop(instance.id).await.unwrap(), stopped);
    assert!(matches!(cloud.plane.launch(cloud.request("other").gpus(1)).await, Err(Error::NoCapacity(_))));
    assert_eq!(cloud.plane.start(instance.id).await.unwrap().state, InstanceState::Running);
    cloud.plane.delete(instance.id).await.unwrap();
    let error = cloud.plane.start(instance.id).await.unwrap_err();
    assert_eq!(error.to_string(), "start is not possible while the instance is deleted");
    assert_eq!(cloud.clean().await, 0);
}

#[tokio::test]
async fn the_same_request_under_the_same_id_is_answered_and_another_is_refused() {
    let cloud = Cloud::new(many()).await;
    cloud.node("one", 4).await;
    let id = cloud.ids.next_id().into();
    let request = cloud.request("train").gpus(1).id(id);
    let first = cloud.plane.launch(request.clone()).await.unwrap();
    assert_eq!(cloud.plane.launch(request.clone()).await.unwrap(), first);
    let other = cloud.plane.launch(request.clone().gpus(2)).await.unwrap_err();
    assert!(matches!(other, Error::AlreadyExists { kind: "instance", key: "id" }), "{other:?}");
    let same_name = cloud.plane.launch(cloud.request("train")).await.unwrap_err();
    assert!(matches!(same_name, Error::AlreadyExists { kind: "instance", key: "name" }), "{same_name:?}");
    assert_eq!(cloud.clean().await, 1);
    // The refused launch of the same name has not kept its place.
    assert_eq!(cloud.plane.capacity().await.unwrap().gpu_idle_milli, 3_000);
}

#[tokio::test]
async fn a_user_and_a_node_are_created_once_under_their_id() {
    let cloud = Cloud::new(Limits { node_limit: 1, ..many() }).await;
    let id = cloud.ids.next_id().into();
    let bob = NewUser::new("Bob@Example.org", "Bob").id(id);
    let first = cloud.plane.create_user(bob.clone()).await.unwrap();
    assert_eq!(cloud.plane.create_user(bob).await.unwrap(), first);
    let other = cloud.plane.create_user(NewUser::new("bob2@example.org", "Bob").id(id)).await.unwrap_err();
    assert!(matches!(other, Error::AlreadyExists { key: "id", .. }));
    let richer = NewUser::new("bob@example.org", "Bob").id(id).limits(many());
    let other = cloud.plane.create_user(richer).await.unwrap_err();
    assert!(
        matches!(other, Error::AlreadyExists { kind: "user", key: "id" }),
        "other limits are another request"
    );
    let taken = cloud.plane.create_user(NewUser::new("BOB@example.ORG", "Bobby")).await.unwrap_err();
    assert!(matches!(taken, Error::AlreadyExists { key: "email", .. }), "{taken:?}");

    let node = NewNode::new(cloud.user, "one").gpus(2, "A100").id(cloud.ids.next_id().into());
    let first = cloud.plane.register_node(node.clone()).await.unwrap();
    assert_eq!(cloud.plane.register_node(node.clone()).await.unwrap(), first);
    assert!(matches!(
        cloud.plane.register_node(node.gpus(3, "A100")).await,
        Err(Error::AlreadyExists { key: "id", .. })
    ));
    let beyond = cloud.plane.register_node(NewNode::new(cloud.user, "two")).await.unwrap_err();
    assert_eq!(beyond.to_string(), "the node_limit is 1: 1 used, 1 more asked, 1 too many");
    assert_eq!(cloud.clean().await, 0);
}

#[tokio::test]
async fn refusals_carry_the_arithmetic() {
    let cloud = Cloud::new(Limits::default().instances(2).nodes(9).gpu(GpuMilli::from_u32(1_500))).await;
    let node = cloud.node("one", 2).await;
    cloud.plane.launch(cloud.request("aa").gpu_share(GpuMilli::from_u32(600))).await.unwrap();
    let gpu = cloud.plane.launch(cloud.request("bb").gpus(1)).await.unwrap_err();
    assert_eq!(gpu.to_string(), "the gpu_milli_limit is 1500: 600 used, 1000 more asked, 100 too many");
    cloud.plane.launch(cloud.request("bb")).await.unwrap();
    let third = cloud.plane.launch(cloud.request("cc")).await.unwrap_err();
    assert!(
        matches!(third, Error::QuotaExceeded { limit_name: "instance_limit", limit: 2, used: 2, asked: 1 }),
        "{third:?}"
    );

    let other = cloud.plane.create_user(NewUser::new("eve@example.org", "Eve")).await.unwrap().id;
    let request = |name: &str| LaunchRequest::new(other, name);
    let model = cloud.plane.launch(request("mm").gpus(1).gpu_model("H100")).await.unwrap_err();
    let Error::NoCapacity(no_fit) = model else { panic!("{model:?}") };
    assert_eq!((no_fit.nodes, no_fit.model), (1, 1));
    let cpu =
        cloud.plane.launch(request("mm").cpu(CpuMilli::from_u32(15_000)).on_node(node)).await.unwrap_err();
    assert!(matches!(cpu, Error::NoCapacity(no_fit) if no_fit.cpu == 1));
    let ports = cloud.plane.launch(request("mm").ports(Family::Ipv4, Protocol::Udp, 1)).await.unwrap_err();
    assert_eq!(ports.to_string(), "none of 1 nodes with room has 1 free ports of the kinds asked for");
    let many_ports =
        cloud.plane.launch(request("mm").ports(Family::Ipv4, Protocol::Tcp, 65)).await.unwrap_err();
    assert_eq!(many_ports.to_string(), "ports[0] is invalid: 1 to 64 ports can be asked in all");
    let name = cloud.plane.launch(request("no spaces")).await.unwrap_err();
    assert!(matches!(name, Error::Invalid { ref field, .. } if field == "name"), "{name:?}");
    let nobody = LaunchRequest::new(cloud.ids.next_id().into(), "mm");
    assert!(matches!(cloud.plane.launch(nobody).await, Err(Error::NotFound { kind: "user", .. })));
    assert_eq!(cloud.clean().await, 2);
}

#[tokio::test]
async fn dry_run_and_explain_decide_as_the_launch_does_and_change_nothing() {
    let cloud = Cloud::new(many()).await;
    cloud.node("one", 2).await;
    cloud.node("two", 4).await;
    let request =
        cloud.request("train").gpus(3).ports(Family::Ipv4, Protocol::Tcp, 1).id(cloud.ids.next_id().into());
    let head = cloud.store.changes(Cursor::START, 1).await.unwrap().lag;
    let plan = cloud.plane.dry_run(&request).await.unwrap();
    let explained = cloud.plane.explain(&request, 5).await.unwrap();
    assert_eq!((explained.nodes.fitting, explained.nodes.removed.gpu), (1, 1));
    assert!(explained.refused.is_none());
    assert_eq!(cloud.store.changes(Cursor::START, 1).await.unwrap().lag, head);
    let instance = cloud.plane.launch(request).await.unwrap();
    assert_eq!(instance.node_id, Some(plan.node));
    let ports = cloud.store.scan(Scan::of(&PORT_MAPS)).await.unwrap().value.rows;
    assert_eq!(
        ports.iter().map(|row| row.int("port").unwrap()).collect::<Vec<_>>(),
        [i64::from(plan.ports[0].port)]
    );
}

#[tokio::test]
async fn explain_names_the_gpus_that_would_have_to_be_freed_and_a_launch_fits_once_they_are() {
    let cloud = Cloud::new(many()).await;
    let small = cloud.node("small", 2).await;
    let large = cloud.node("large", 4).await;
    let mut held = Vec::new();
    for (name, node, milli) in [("aa", large, 300), ("bb", large, 800), ("cc", small, 100)] {
        let share = cloud.request(name).gpu_share(GpuMilli::from_u32(milli)).on_node(node);
        held.push(cloud.plane.launch(share).await.unwrap());
    }
    let request = || cloud.request("train").gpus(4);
    assert!(matches!(cloud.plane.launch(request()).await, Err(Error::NoCapacity(_))));
    let explained = cloud.plane.explain(&request(), 5).await.unwrap();
    // One of the nodes has too few GPUs, whatever is freed there.
    assert_eq!((explained.nodes.removed.gpu, explained.nodes.too_few_gpus), (2, 1));
    let [near] = &explained.nearest[..] else { panic!("{:?}", explained.nearest) };
    assert_eq!((near.node, near.shortfall.gpu_milli(), near.large_enough), (large, 1100, true));
    let gpus = cloud.store.scan(Scan::of(&GPUS)).await.unwrap().value.rows;
    let used = |id: &GpuId| {
        let row = gpus.iter().find(|row| row.id("id").is_ok_and(|held: GpuId| held == *id)).unwrap();
        row.int("used_milli").unwrap()
    };
    let in_use: Vec<i64> = near.gpus.iter().map(used).collect();
    assert_eq!(in_use, near.shortfall.gpus.iter().map(|gpu| gpu.milli).collect::<Vec<_>>());
    let greedy = request().cpu(CpuMilli::from_u32(16_001));
    let explained = cloud.plane.explain(&greedy, 5).await.unwrap();
    assert_eq!(explained.nearest.iter().map(|near| near.large_enough).collect::<Vec<_>>(), [false]);
    for instance in held {
        cloud.plane.delete(instance.id).await.unwrap();
    }
    cloud.plane.launch(request()).await.unwrap();
}

#[tokio::test]
async fn an_audit_finds_a_counter_that_drifted() {
    let cloud = Cloud::new(many()).await;
    cloud.node("one", 1).await;
    cloud.plane.launch(cloud.request("aa").gpu_share(GpuMilli::from_u32(300))).await.unwrap();
    let gpu = cloud.store.scan(Scan::of(&GPUS)).await.unwrap().value.rows.remove(0);
    let batch = apportion::store::Batch::new(cloud.ids.next_id(), "sabotage").with(Write::admit(
        &GPUS,
        gpu.key(),
        "used_milli",
        5,
    ));
    cloud.store.commit(batch).await.unwrap();
    let report = cloud.plane.audit().await.unwrap();
    let drift = report.drifts.first().expect("a drift");
    assert_eq!(
        (drift.table, drift.column, drift.recorded, drift.recounted),
        ("gpus", "used_milli", 305, 300)
    );
    assert_eq!(report.drifts.len(), 1);
}

#[tokio::test]
async fn many_at_once_give_what_one_after_the_other_gives() {
    let script = |cloud: &Cloud| {
        let ids: Vec<_> = (0..30).map(|_| cloud.ids.next_id().into()).collect();
        let mut script = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            let gpus = u32::try_from(at % 4).unwrap();
            script.push(Operation::Launch(Box::new(cloud.request(&format!("i-{at}")).gpus(gpus).id(*id))));
            if at % 3 == 2 {
                script.push(Operation::Delete(ids[at - 1]));
                script.push(Operation::Stop(ids[at]));
            }
        }
        script
    };
    let show = |outcome: &Result<Entry<Instance>, Error>| match outcome {
        Ok(entry) => format!("{} {} {} {}", entry.name, entry.state, entry.last_node_id, entry.revision),
        Err(error) => error.to_string(),
    };
    let mut results = Vec::new();
    for window in [1, 7, 100] {
        let cloud = Cloud::new(Limits { instance_limit: 15, ..many() }).await;
        for name in ["a", "b", "c", "d", "e"] {
            cloud.node(name, 4).await;
        }
        let mut outcomes = Vec::new();
        for operations in script(&cloud).chunks(window) {
            outcomes.extend(cloud.plane.apply_many(operations.to_vec()).await);
        }
        cloud.clean().await;
        results.push(outcomes.iter().map(show).collect::<Vec<_>>());
    }
    assert!(results[0].iter().any(|line| line.contains("too many")), "{:#?}", results[0]);
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn racing_launches_from_many_planes_never_pass_a_limit_nor_share_a_gpu_or_port() {
    let clock = Arc::new(SystemClock::new());
    let store = Arc::new(MemoryStore::new(TABLES, clock.clone()).unwrap());
    // Each has its own view, as processes would.
    let planes: Vec<_> = (0..4).map(|_| Arc::new(ControlPlane::new(store.clone()))).collect();
    let user = planes[0]
        .create_user(NewUser::new("a@bb.org", "A").limits(Limits { instance_limit: 12, ..many() }))
        .await
        .unwrap()
        .id;
    let node = NewNode::new(user, "one")
        .gpus(8, "A100")
        .cpu(CpuMilli::from_u32(100_000))
        .ipv4_ports(PortRanges::tcp(1, 10).unwrap());
    planes[0].register_node(node).await.unwrap();
    let launch = |at: usize| {
        let plane = planes[at % 4].clone();
        let request = LaunchRequest::new(user, format!("i-{at}")).cpu(CpuMilli::from_u32(1)).ports(
            Family::Ipv4,
            Protocol::Tcp,
            1,
        );
        let request = if at.is_multiple_of(2) { request.gpus(1) } else { request };
        tokio::spawn(async move { plane.launch(request).await })
    };
    let tasks: Vec<_> = (0..40).map(launch).collect();
    let mut launched = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => launched += 1,
            Err(
                Error::QuotaExceeded { .. }
                | Error::NoCapacity(_)
                | Error::NoFreePort { .. }
                | Error::Conflict { .. },
            ) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    let ports = store.scan(Scan::of(&PORT_MAPS)).await.unwrap().value.rows.len();
    assert_eq!(ports, launched);
    assert_eq!(launched, 10, "ten ports are the scarcest");
    let report = planes[0].audit().await.unwrap();
    assert!(report.is_clean() && report.live_instances == 10, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn the_node_limit_holds_under_races() {
    let cloud = Cloud::new(Limits { node_limit: 3, ..many() }).await;
    let tasks: Vec<_> = (0..16)
        .map(|at| {
            let (plane, user) = (cloud.plane.clone(), cloud.user);
            tokio::spawn(async move { plane.register_node(NewNode::new(user, format!("n{at}"))).await })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => made += 1,
            Err(Error::QuotaExceeded { limit_name: "node_limit", .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(made, 3);
}

#[tokio::test]
async fn a_commit_whose_deadline_has_passed_did_not_happen() {
    let cloud = Cloud::new(many()).await;
    cloud.node("one", 1).await;
    let options = Options::default().ids(cloud.ids.clone()).deadline(std::time::Duration::ZERO);
    let hurried = ControlPlane::with(cloud.store.clone(), options);
    for _ in 0..2 {
        let refused = hurried.launch(cloud.request("train").gpus(1)).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.is_retryable(), refused.is_unknown()),
            ("deadline_exceeded", true, false)
        );
    }
    assert_eq!(cloud.clean().await, 0);
    cloud.plane.launch(cloud.request("train").gpus(1)).await.unwrap();
}

#[tokio::test]
async fn entities_may_have_random_ids_while_batches_rise_with_time() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let ids = Arc::new(TimeOrderedIds::seeded(clock.clone(), 1));
    let store = Arc::new(MemoryStore::new(TABLES, clock).unwrap());
    let options = Options::default().ids(ids).entity_ids(Arc::new(RandomIds::seeded(2)));
    let plane = ControlPlane::with(store.clone(), options);
    let user = plane.create_user(NewUser::new("ada@example.org", "Ada").limits(many())).await.unwrap().id;
    let ports = PortRanges::tcp(63_000, 63_009).unwrap();
    let node = NewNode::new(user, "rack-1").cpu(CpuMilli::from_u32(16_000)).gpus(2, "A100").ipv4_ports(ports);
    plane.register_node(node).await.unwrap();
    let request = LaunchRequest::new(user, "one").gpus(1).ports(Family::Ipv4, Protocol::Tcp, 1);
    let instance = plane.launch(request).await.unwrap().id;
    plane.stop(instance).await.unwrap();
    let outcomes = plane.apply_many(vec![Operation::Start(instance), Operation::Delete(instance)]).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    for table in TABLES {
        for row in store.scan_all(Scan::of(table).limit(1000)).await.unwrap() {
            let version = row.key().as_uuid().map(|id| id.get_version_num());
            assert_eq!(version, Some(4), "{}", table.name);
        }
    }
    let feed = store.changes(Cursor::START, 100).await.unwrap();
    assert!(feed.records.iter().all(|record| record.batch.get_version_num() == 7));
    assert!(plane.audit().await.unwrap().is_clean());
}
