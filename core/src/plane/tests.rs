//! What cannot be seen from outside: that a view kept by the feed equals one built anew.

use std::sync::Arc;

use proptest::prelude::*;

use super::{ControlPlane, LaunchRequest, NewNode, NewUser, Options};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib};
use crate::entity::{InstanceId, Limits, TABLES, UserId};
use crate::error::{Error, Result};
use crate::id::TimeOrderedIds;
use crate::ports::{Family, PortRanges, Protocol};
use crate::sched::{Cluster, Policy};
use crate::store::memory::MemoryStore;
use crate::store::{Batch, StoreExt as _, Test, Write};
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
        let limits = Limits { instance_limit: 12, node_limit: 3, gpu_milli_limit: GpuMilli::new(9_000).ok() };
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

#[tokio::test]
async fn a_gpu_that_is_no_longer_healthy_is_not_given_by_a_planner_that_has_not_heard() {
    let world = World::new(Policy::BestFit).await;
    let plane = &world.planes[0];
    World::cluster(plane).await;
    let gpus = world
        .store
        .scan_all(crate::store::Scan::of(&crate::entity::GPUS).test(Test::eq("slot", 0_i64)))
        .await
        .unwrap();
    for gpu in gpus {
        let write = Write::update(
            &crate::entity::GPUS,
            gpu.key(),
            gpu.revision(),
            vec![("health", "quarantined".into())],
        );
        world.store.commit(Batch::new(plane.ids.next_id(), "quarantine").with(write)).await.unwrap();
    }
    let instance = plane.launch(LaunchRequest::new(world.user, "one").gpus(1)).await.unwrap();
    let bindings = world.store.scan_all(crate::store::Scan::of(&crate::entity::GPU_BINDINGS)).await.unwrap();
    let gpu = world
        .store
        .get(&crate::entity::GPUS, bindings[0].id::<()>("gpu_id").unwrap().uuid())
        .await
        .unwrap()
        .value
        .unwrap();
    assert_eq!(
        (gpu.text("health").unwrap(), bindings[0].id("instance_id").unwrap()),
        ("healthy", instance.id)
    );
}
