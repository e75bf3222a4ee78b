//! What cannot be seen from outside: that a view kept by the feed equals one built anew.

use std::sync::Arc;

use proptest::prelude::*;

use super::follow::Held;
use super::launch::Decision;
use super::launch_rows::{LaunchRows, Tentative, launch_queries};
use super::retry::lost_race;
use super::view::{Pending, View};
use super::{ControlPlane, LaunchRequest, NewNode, NewUser, Operation, Options};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib};
use crate::entity::{GPUS, InstanceId, Limits, NODE_LEDGERS, NODE_LIFECYCLES, TABLES, USER_ACCESS, UserId};
use crate::error::{Error, Result};
use crate::id::TimeOrderedIds;
use crate::ports::{Family, PortRanges, Protocol};
use crate::sched::{Cluster, Policy};
use crate::store::memory::MemoryStore;
use crate::store::{
    Batch, Cause, Cursor, Key, Refusal, Scan, Store as _, StoreError, StoreExt as _, Table, Write,
};
use crate::time::{ManualClock, Timestamp};

#[derive(Clone, Debug)]
enum Step {
    Launch { plane: usize, cpu: u32, gpus: u32, milli: u32, ports: u32 },
    Delete { plane: usize, which: usize },
    Cordon { which: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let launch = (0..2_usize, 0..9_000_u32, 0..4_u32, 0..999_u32, 0..3_u32)
        .prop_map(|(plane, cpu, gpus, milli, ports)| Step::Launch { plane, cpu, gpus, milli, ports });
    let delete = (0..2_usize, 0..20_usize).prop_map(|(plane, which)| Step::Delete { plane, which });
    let cordon = (0..3_usize).prop_map(|which| Step::Cordon { which });
    prop::collection::vec(prop_oneof![6 => launch, 3 => delete, 1 => cordon], 1..40)
}

struct World {
    store: Arc<MemoryStore>,
    planes: Vec<ControlPlane>,
    user: UserId,
    nodes: Vec<crate::entity::NodeId>,
}

impl World {
    async fn new(policy: Policy) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let store = Arc::new(MemoryStore::new(TABLES, clock.clone()).unwrap());
        let plane = |seed| {
            let ids = Arc::new(TimeOrderedIds::seeded(clock.clone(), seed));
            ControlPlane::with(store.clone(), Options::default().policy(policy).ids(ids))
        };
        let planes = vec![plane(1), plane(2)];
        let limits = Limits::default().instances(12).nodes(3).gpu(GpuMilli::from_u32(9_000));
        let user =
            planes[0].create_user(NewUser::new("ada@example.org", "Ada").limits(limits)).await.unwrap().id;
        let mut nodes = Vec::new();
        for (name, gpus) in [("a", 1), ("b", 2), ("c", 4)] {
            let node = NewNode::new(user, name)
                .cpu(CpuMilli::from_u32(20_000))
                .memory(MemoryMib::from_u32(9_000))
                .gpus(gpus, "A100")
                .ipv4_ports(PortRanges::tcp(1, 4).unwrap());
            nodes.push(planes[0].register_node(node).await.unwrap().id);
        }
        Self { store, planes, user, nodes }
    }

    async fn cluster(plane: &ControlPlane) -> Cluster {
        plane.followed.refresh().await.unwrap();
        plane.followed.with(|view| Ok(view.cluster.clone())).unwrap()
    }

    /// Closes an open node, opens a closed one.
    async fn cordon(&self, which: usize) {
        let node = self.nodes[which];
        let row = self.store.get(&crate::entity::NODE_LIFECYCLES, node).await.unwrap().value.unwrap();
        let to = if row.text("state").unwrap() == "active" { "cordoned" } else { "active" };
        let write =
            Write::update(&crate::entity::NODE_LIFECYCLES, node, row.revision(), vec![("state", to.into())]);
        let batch = Batch::new(self.planes[0].ids.next_id(), "cordon").with(write);
        self.store.commit(batch).await.unwrap();
    }
}

fn same(
    dry: &Result<super::LaunchPlan>,
    real: &Result<crate::entity::Entry<crate::entity::Instance>>,
) -> bool {
    match (dry, real) {
        (Ok(plan), Ok(entry)) => Some(plan.node) == entry.node_id,
        (Err(dry), Err(real)) => dry.to_string() == real.to_string(),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_followed_view_equals_a_rebuilt_one_and_what_a_dry_run_accepts_commits(
        steps in steps(),
        policy in prop::sample::select(vec![Policy::Fgd, Policy::BestFit, Policy::Clustering, Policy::Packing, Policy::DotProduct]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new(policy).await;
            let mut live: Vec<InstanceId> = Vec::new();
            for (at, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Launch { plane, cpu, gpus, milli, ports } => {
                        let plane = &world.planes[plane];
                        let request = LaunchRequest::new(world.user, format!("i-{at}")).cpu(CpuMilli::from_u32(cpu)).id(plane.ids.next_id().into());
                        let request = if gpus == 1 && milli > 0 { request.gpu_share(GpuMilli::from_u32(milli)) } else { request.gpus(gpus) };
                        let request = if ports > 0 { request.ports(Family::Ipv4, Protocol::Tcp, ports) } else { request };
                        let dry = plane.dry_run(&request).await;
                        let real = plane.launch(request).await;
                        prop_assert!(same(&dry, &real), "{dry:?} against {real:?}");
                        live.extend(real.ok().map(|entry| entry.id));
                    }
                    Step::Delete { plane, which } if !live.is_empty() => {
                        let id = live.swap_remove(which % live.len());
                        world.planes[plane].delete(id).await.unwrap();
                    }
                    Step::Delete { .. } => {}
                    Step::Cordon { which } => world.cordon(which).await,
                }
            }
            let rebuilt = World::cluster(&ControlPlane::new(world.store.clone())).await;
            for plane in &world.planes {
                prop_assert_eq!(&World::cluster(plane).await, &rebuilt);
            }
            prop_assert!(world.planes[0].audit().await.unwrap().is_clean());
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_refused_launch_is_not_held_against_its_node() {
    let world = World::new(Policy::Fgd).await;
    let plane = &world.planes[0];
    plane.launch(LaunchRequest::new(world.user, "one").gpus(1)).await.unwrap();
    let before = World::cluster(plane).await;
    let refused = plane.launch(LaunchRequest::new(world.user, "one").gpus(2)).await.unwrap_err();
    assert!(matches!(refused, Error::AlreadyExists { key: "name", .. }));
    assert_eq!(World::cluster(plane).await, before);
}

/// Changes one plain column of a row by hand.
async fn set(world: &World, table: &'static Table, key: Key, column: &'static str, value: &str) {
    let row = world.store.get(table, key.clone()).await.unwrap().value.unwrap();
    let write = Write::update(table, key, row.revision(), vec![(column, value.into())]);
    world.store.commit(Batch::new(world.planes[0].ids.next_id(), "by hand").with(write)).await.unwrap();
}

/// What changes between a decision and its commit.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Nothing,
    OwnerSuspended,
    NodeCordoned,
    GpuQuarantined,
    GpuTaken,
    PortsTaken,
    CpuTaken,
    QuotaUsed,
}

impl Meanwhile {
    async fn happen(self, world: &World) {
        let (other, node) = (&world.planes[1], world.nodes[0]);
        let rival = |name: &str| LaunchRequest::new(world.user, name).on_node(node);
        match self {
            Self::Nothing => {}
            Self::OwnerSuspended => set(world, &USER_ACCESS, world.user.into(), "state", "suspended").await,
            Self::NodeCordoned => set(world, &NODE_LIFECYCLES, node.into(), "state", "cordoned").await,
            Self::GpuQuarantined => {
                for gpu in world.store.scan_all(Scan::of(&GPUS)).await.unwrap() {
                    set(world, &GPUS, gpu.key(), "health", "quarantined").await;
                }
            }
            Self::GpuTaken => drop(other.launch(rival("rival").gpus(1)).await.unwrap()),
            Self::PortsTaken => {
                drop(other.launch(rival("rival").ports(Family::Ipv4, Protocol::Tcp, 4)).await.unwrap());
            }
            Self::CpuTaken => {
                drop(other.launch(rival("rival").cpu(CpuMilli::from_u32(19_500))).await.unwrap());
            }
            Self::QuotaUsed => {
                for at in 0..12 {
                    other.launch(LaunchRequest::new(world.user, format!("rival-{at}"))).await.unwrap();
                }
            }
        }
    }
}

#[tokio::test]
async fn what_a_launch_was_decided_on_is_guarded_by_its_batch() {
    for (meanwhile, refused_by) in [
        (Meanwhile::Nothing, None),
        (Meanwhile::OwnerSuspended, Some(("user_access", "conflict"))),
        (Meanwhile::NodeCordoned, Some(("node_lifecycles", "conflict"))),
        (Meanwhile::GpuQuarantined, Some(("gpus", "test_failed"))),
        (Meanwhile::GpuTaken, Some(("gpus", "invariant"))),
        (Meanwhile::PortsTaken, Some(("port_maps", "duplicate"))),
        (Meanwhile::CpuTaken, Some(("node_ledgers", "ceiling"))),
        (Meanwhile::QuotaUsed, Some(("quotas", "ceiling"))),
    ] {
        let world = World::new(Policy::BestFit).await;
        let plane = &world.planes[0];
        let mut request =
            LaunchRequest::new(world.user, "one").cpu(CpuMilli::from_u32(1_000)).on_node(world.nodes[0]);
        // A ledger refuses before a GPU does: one thing at a time.
        request = match meanwhile {
            Meanwhile::GpuTaken => request.gpu_share(GpuMilli::from_u32(1)),
            _ => request.gpus(1),
        };
        let request = request.ports(Family::Ipv4, Protocol::Tcp, 1);
        let id = plane.ids.next_id().into();
        World::cluster(plane).await;
        let reads = world.store.read(launch_queries(&request)).await.unwrap();
        let rows = LaunchRows::from_answers(&request, reads.answers);
        let mut held = Held::none(&plane.followed);
        let decided =
            plane.decide_launch(&request, id, &rows, Tentative::default(), reads.now, 0, &mut held).unwrap();
        let Decision::Commit(_, batch) = decided else { panic!("it was not launched before") };
        if matches!(meanwhile, Meanwhile::GpuTaken) {
            // The node's ledger would say it first: raise it, as a node that grew would.
            let row = world.store.get(&NODE_LEDGERS, world.nodes[0]).await.unwrap().value.unwrap();
            let write = Write::update(
                &NODE_LEDGERS,
                world.nodes[0],
                row.revision(),
                vec![("gpu_milli_total", 9_000_i64.into())],
            );
            world.store.commit(Batch::new(plane.ids.next_id(), "grow").with(write)).await.unwrap();
        }
        meanwhile.happen(&world).await;
        let committed = world.store.commit(batch).await;
        let refusal = committed.as_ref().err().and_then(|error| error.refusal());
        let found = refusal.map(|refusal| (refusal.table, refusal.cause.code()));
        assert_eq!(found, refused_by, "{meanwhile:?}: {committed:?}");
        assert!(plane.audit().await.unwrap().is_clean());
    }
}

#[tokio::test]
async fn a_launch_that_nobody_waits_for_is_not_held_against_its_node() {
    let world = World::new(Policy::Fgd).await;
    let plane = &world.planes[0];
    let before = World::cluster(plane).await;
    let request = LaunchRequest::new(world.user, "one").gpus(2);
    let reads = world.store.read(launch_queries(&request)).await.unwrap();
    let rows = LaunchRows::from_answers(&request, reads.answers);
    let id = plane.ids.next_id().into();
    let mut held = Held::none(&plane.followed);
    plane.decide_launch(&request, id, &rows, Tentative::default(), reads.now, 0, &mut held).unwrap();
    assert_ne!(
        plane.followed.with(|view| Ok(view.cluster.clone())).unwrap(),
        before,
        "it is taken off the view"
    );
    drop(held);
    assert_eq!(plane.followed.with(|view| Ok(view.cluster.clone())).unwrap(), before);
}

#[tokio::test]
async fn ports_that_are_about_to_be_taken_or_given_back_count_as_such() {
    let world = World::new(Policy::Fgd).await;
    let plane = &world.planes[0];
    let wants = |name: &str, ports| {
        let request = LaunchRequest::new(world.user, name).on_node(world.nodes[0]);
        request.ports(Family::Ipv4, Protocol::Tcp, ports).id(plane.ids.next_id().into())
    };
    let all = wants("all", 4);
    World::cluster(plane).await;
    let reads = world.store.read(launch_queries(&all)).await.unwrap();
    let rows = LaunchRows::from_answers(&all, reads.answers);
    let mut held = Held::none(&plane.followed);
    plane.decide_launch(&all, all.id.unwrap(), &rows, Tentative::default(), reads.now, 0, &mut held).unwrap();
    let refused = plane.dry_run(&wants("one", 1)).await.unwrap_err();
    assert!(matches!(refused, Error::NoFreePort { asked: 1, nodes: 1 }), "{refused:?}");
    drop(held);
    let all = plane.launch(all).await.unwrap();
    // In one window: what the deletion gives back, the launch behind it may take.
    let next = Operation::Launch(Box::new(wants("next", 4)));
    for outcome in plane.apply_many(vec![Operation::Delete(all.id), next]).await {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn a_port_that_is_given_by_its_number_is_had_or_refused() {
    let world = World::new(Policy::Fgd).await;
    let plane = &world.planes[0];
    let tcp = |port| crate::plane::PortKey { family: Family::Ipv4, protocol: Protocol::Tcp, port };
    let wants = |name: &str, given: &[u16]| {
        let request = LaunchRequest::new(world.user, name).on_node(world.nodes[0]);
        given.iter().fold(request, |request, port| request.port(Family::Ipv4, Protocol::Tcp, *port))
    };
    let offered = plane.repositories().compute_nodes().require(world.nodes[0]).await.unwrap();
    let (low, high) = offered.ipv4_ports.as_ref().unwrap().of(Protocol::Tcp)[0];
    assert_eq!(high - low, 3, "the node offers four ports");
    // Two by number and one by choice: they are three.
    let request = wants("one", &[high, low]).ports(Family::Ipv4, Protocol::Tcp, 1);
    let one = plane.launch(request).await.unwrap();
    let mut ports = plane.repositories().instances().ports(one.id).await.unwrap();
    ports.sort_by_key(|port| port.port);
    let numbers: Vec<_> = ports.iter().map(|port| port.port).collect();
    assert!(numbers.len() == 3 && numbers[0] == low && numbers[2] == high, "{numbers:?}");
    for taken in [&[low][..], &[numbers[1]], &[high + 1]] {
        let refused = plane.launch(wants("two", taken)).await.unwrap_err();
        assert!(matches!(refused, Error::NoFreePort { asked: 1, nodes: 1 }), "{taken:?}: {refused:?}");
    }
    for (bad, field) in [(vec![low, low], "given_ports[1]"), (vec![0], "given_ports[0]")] {
        let refused = plane.launch(wants("two", &bad)).await.unwrap_err();
        assert!(matches!(&refused, Error::Invalid { field: of, .. } if of == field), "{refused:?}");
    }
    let many: Vec<_> = (1..=65).collect();
    assert!(matches!(plane.launch(wants("two", &many)).await.unwrap_err(), Error::Invalid { .. }));
    // Another node has it free.
    let elsewhere = LaunchRequest::new(world.user, "two").port(Family::Ipv4, Protocol::Tcp, low);
    let elsewhere = plane.launch(elsewhere).await.unwrap();
    assert_ne!(elsewhere.node_id, Some(world.nodes[0]));
    assert!(plane.dry_run(&wants("three", &[high])).await.is_err());
    plane.delete(one.id).await.unwrap();
    let again = plane.dry_run(&wants("three", &[low])).await.unwrap();
    assert_eq!(again.ports, [tcp(low)]);
}

#[tokio::test]
async fn what_is_noted_twice_is_taken_off_a_node_once() {
    let world = World::new(Policy::Fgd).await;
    let plane = &world.planes[0];
    World::cluster(plane).await;
    let (id, node) = (plane.ids.next_id(), world.nodes[2].uuid());
    let pending = Pending {
        node,
        release: false,
        gpus: Vec::new(),
        milli_per_gpu: 0,
        cpu_milli: 1_000,
        memory_mib: 0,
        storage_mib: 0,
        ports: Vec::new(),
    };
    let free = plane.followed.with(|view| {
        view.begin(id, pending.clone())?;
        view.begin(id, pending)?;
        Ok(view.state(node).map(|state| state.cpu_free))
    });
    assert_eq!(free.unwrap(), Some(19_000));
}

#[tokio::test]
async fn a_launch_that_lost_a_race_is_decided_again_on_what_is_so_now() {
    let world = World::new(Policy::BestFit).await;
    let plane = &world.planes[0];
    let request = LaunchRequest::new(world.user, "one").gpus(1);
    let first = plane.dry_run(&request).await.unwrap().node;
    // Nobody brings the view up to date while the node that it would choose is closed.
    let gate = plane.followed.gate.lock().await;
    set(&world, &NODE_LIFECYCLES, first.into(), "state", "cordoned").await;
    let launch = plane.launch(request);
    let open = async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        drop(gate);
    };
    let (launched, ()) = tokio::join!(launch, open);
    assert_ne!(launched.unwrap().node_id, Some(first));
}

#[test]
fn only_what_another_decision_could_change_is_decided_again() {
    let refused = |cause| {
        let refusal = Refusal { write: 0, table: "a table", key: Key::from("key"), cause };
        lost_race(&StoreError::from(refusal))
    };
    let ceiling = |rule| Cause::Ceiling { rule, limit: 1, used: 1, asked: 1 };
    for (cause, again) in [
        (Cause::Missing, true),
        (Cause::Conflict { expected: 1, found: 2 }, true),
        (Cause::TestFailed { column: "health" }, true),
        (Cause::NoParent { reference: "instances_node" }, true),
        (Cause::Duplicate { unique: "port_maps_slot", owner: Key::from("other") }, true),
        (Cause::Duplicate { unique: "instances", owner: Key::from("other") }, false),
        (Cause::Invariant { rule: "gpus_used_at_most_whole" }, true),
        (Cause::Invariant { rule: "gpus_used_not_negative" }, false),
        (ceiling("node_cpu"), true),
        (ceiling("node_memory"), true),
        (ceiling("node_storage"), true),
        (ceiling("node_gpu"), true),
        (ceiling("instance_limit"), false),
        (ceiling("node_limit"), false),
        (ceiling("gpu_milli_limit"), false),
        (Cause::StillReferenced { reference: "a reference", by: "a table" }, false),
        (Cause::Overflow { column: "instances" }, false),
    ] {
        assert_eq!(refused(cause.clone()), again, "{cause:?}");
    }
    assert!(!lost_race(&StoreError::Closed));
}

#[tokio::test]
async fn records_that_a_snapshot_showed_already_are_passed_over() {
    let world = World::new(Policy::Fgd).await;
    let changes = world.store.changes(Cursor::START, 1_000).await.unwrap();
    let mut view = View::new(Cursor::START, Cluster::new());
    view.skip = changes.records.iter().map(|record| record.batch).collect();
    view.take_records(&changes.records).unwrap();
    assert_eq!((view.cursor, view.cluster.len(), view.skip.len()), (changes.next, 0, 0));
}

#[tokio::test]
async fn a_launch_waits_for_those_in_flight_before_it_is_told_that_there_is_no_room() {
    let world = World::new(Policy::Fgd).await;
    let plane = &world.planes[0];
    let wants = |name: &str| LaunchRequest::new(world.user, name).gpus(4);
    let in_flight = wants("in-flight");
    World::cluster(plane).await;
    let reads = world.store.read(launch_queries(&in_flight)).await.unwrap();
    let rows = LaunchRows::from_answers(&in_flight, reads.answers);
    let mut held = Held::none(&plane.followed);
    let id = plane.ids.next_id().into();
    plane.decide_launch(&in_flight, id, &rows, Tentative::default(), reads.now, 0, &mut held).unwrap();
    let refused = async {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        drop(held);
    };
    let (launched, ()) = tokio::join!(plane.launch(wants("one")), refused);
    launched.unwrap();
    assert!(matches!(plane.launch(wants("two")).await, Err(Error::NoCapacity(_))));
}
