//! What exists elsewhere is brought in.
#![expect(clippy::indexing_slicing, reason = "a check fails by panicking")]

mod along;
mod refused;
mod unfinished;

use std::time::Duration;

use super::World;
use crate::ControlPlane;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    AccessState, BindingState, ComputeNode, DesiredState, DisplayName, Email, Entity as _, GPU_BINDINGS, Gpu,
    GpuBinding, GpuDriver, GpuHealth, Image, ImageStatus, InstanceName, InstanceState, Limits, NetworkMode,
    NodeId, NodeName, NodeState, PORT_MAPS, QUOTAS, TABLES, User, UserId, UserPermission,
};
use crate::error::Error;
use crate::plane::{
    Imported, ImportedGpu, ImportedInstance, ImportedNode, ImportedPort, ImportedUser, LaunchRequest,
    NotImported,
};
use crate::ports::{Family, PortRanges, Protocol};
use crate::store::{Scan, StoreExt as _};
use crate::time::Timestamp;

pub(super) async fn check_import(world: &World) {
    what_is_brought_in_is_read_back_as_it_was(world).await;
    again_it_changes_nothing_and_another_content_is_refused(world).await;
    what_holds_too_much_is_recorded_and_nothing_more_is_given(world).await;
    launches_leave_it_what_it_has(world).await;
    what_is_deleted_gives_everything_back(world).await;
    what_has_ended_is_history_of_a_node_that_may_be_gone(world).await;
    administrators_are_counted(world).await;
    along::check_along(world).await;
    refused::check_refused(world).await;
    Box::pin(unfinished::check_unfinished(world)).await;
}

/// A cloud that exists elsewhere: two users, a node with two GPUs and ports, an image, and instances on it.
#[derive(Clone, Debug)]
struct Elsewhere {
    users: Vec<ImportedUser>,
    node: ImportedNode,
    image: Image,
    instances: Vec<ImportedInstance>,
    at: Timestamp,
}

impl Elsewhere {
    async fn new(world: &World, instances: usize) -> Self {
        let at = now(world).await.minus(Duration::from_hours(1000));
        let users: Vec<ImportedUser> = (0..2).map(|_| user(world, at)).collect();
        let node = node(world, users[0].user.id, at);
        let image = image(world, node.profile.id, at);
        let mut all = Self { users, node, image, instances: Vec::new(), at };
        all.instances = (0..instances).map(|_| all.instance(world)).collect();
        all
    }

    /// Another instance: of the second user, from the image, with a little of a GPU and a port of its own.
    fn instance(&self, world: &World) -> ImportedInstance {
        let number = world.fresh();
        let name = InstanceName::new(format!("i-{number}")).unwrap();
        let (owner, node) = (self.users[1].user.id, self.node.profile.id);
        let at = self.at.plus(Duration::from_secs(self.instances.len() as u64));
        let mut instance = ImportedInstance::new(world.id().into(), owner, node, name, at)
            .holds(CpuMilli::from_u32(500), MemoryMib::from_u32(256), StorageMib::from_u32(10))
            .key(format!("c-{number}"))
            .gpus([self.node.gpus[0].id], GpuMilli::from_u32(1))
            .port(port(u16::try_from(1 + world.fresh() % 60_000).unwrap(), at));
        instance.image = Some(self.image.id);
        instance.updated_at = at.plus(Duration::from_secs(5));
        instance
    }

    async fn bring(&self, cloud: &ControlPlane) -> Vec<Result<Imported, NotImported>> {
        let mut answers = cloud.import_users(&self.users).await;
        answers.extend(cloud.import_nodes(std::slice::from_ref(&self.node)).await);
        answers.extend(cloud.import_images(std::slice::from_ref(&self.image)).await);
        answers.extend(cloud.import_instances(&self.instances).await);
        answers
    }

    async fn brought(&self, world: &World) {
        let answers = self.bring(&world.cloud).await;
        assert!(answers.iter().all(|it| matches!(it, Ok(Imported::New))), "{answers:?}");
    }
}

async fn now(world: &World) -> Timestamp {
    world.cloud.store().read(Vec::new()).await.unwrap().now
}

fn user(world: &World, at: Timestamp) -> ImportedUser {
    let email = Email::new(format!("Elsewhere-{}@example.org", world.fresh())).unwrap();
    let mut user = User::new(world.id().into(), email, DisplayName::new("Ada").unwrap(), at);
    (user.activated, user.phone) = (true, Some("+44 1".into()));
    user.updated_at = at.plus(Duration::from_secs(1));
    ImportedUser::new(user).limits(Limits { instance_limit: 100, node_limit: 1, ..Limits::default() })
}

fn node(world: &World, owner: UserId, at: Timestamp) -> ImportedNode {
    let name = NodeName::new(format!("node-{}", world.fresh())).unwrap();
    let mut profile = ComputeNode::new(world.id().into(), owner, name, at);
    profile.gpu_model = Some("H100".into());
    profile.gpu_driver = Some(GpuDriver::Cuda);
    profile.ipv4 = Some([192, 0, 2, 1].into());
    profile.ipv4_ports = Some(PortRanges::tcp(1, 65_535).unwrap());
    profile.updated_at = at.plus(Duration::from_secs(2));
    let gpu = |slot: u32| {
        let key = format!("GPU-{}", world.fresh());
        ImportedGpu::new(world.id().into(), slot, "H100", at.plus(Duration::from_secs(3))).key(key)
    };
    let (cpu, memory) = (CpuMilli::from_u32(64_000), MemoryMib::from_u32(65_536));
    ImportedNode::new(profile).capacity(cpu, memory, StorageMib::from_u32(100_000)).gpu(gpu(0)).gpu(gpu(3))
}

fn image(world: &World, node_id: NodeId, at: Timestamp) -> Image {
    Image {
        id: world.id().into(),
        node_id,
        name: Some("ubuntu:24.04".into()),
        status: ImageStatus::Ready,
        command_id: None,
        key: Some(format!("sha256:{}", world.fresh())),
        url: None,
        remote: Some("docker.io".into()),
        size_mib: Some(120),
        os_hint: Some("ubuntu".into()),
        description: Some("as it was".into()),
        published: true,
        native_timestamp: at.minus(Duration::from_hours(1)),
        created_at: at,
        updated_at: at,
    }
}

fn port(number: u16, at: Timestamp) -> ImportedPort {
    ImportedPort::new(Family::Ipv4, Protocol::Tcp, number, at)
}

/// How many rows each table has.
async fn rows(world: &World) -> Vec<usize> {
    let mut rows = Vec::new();
    for table in TABLES {
        rows.push(world.cloud.store().scan_all(Scan::of(table).limit(1000)).await.unwrap().len());
    }
    rows
}

async fn clean(world: &World) {
    let audit = world.cloud.audit().await.unwrap();
    assert!(audit.is_clean(), "{audit:?}");
}

async fn what_is_brought_in_is_read_back_as_it_was(world: &World) {
    let mut there = Elsewhere::new(world, 1).await;
    there.users[0] = there.users[0].clone().suspended();
    there.node.state = NodeState::Cordoned;
    there.node.gpus[1].health = GpuHealth::Quarantined;
    let own = world.id().into();
    let at = there.at;
    let full = &mut there.instances[0];
    full.ports.push(ImportedPort { name: Some("ssh".into()), ..port(22, at).id(own) });
    (full.ipv4, full.local_ipv6) = (Some([192, 0, 2, 2].into()), Some("fd00::1".parse().unwrap()));
    full.state = InstanceState::Stopped;
    full.desired = DesiredState::Stopped;
    full.network_mode = NetworkMode::Host;
    full.ssh_key = Some(("laptop".into(), "ssh-dss AAAA old".into()));
    full.gpus = there.node.gpus.iter().map(|gpu| gpu.id).collect();
    full.gpu_milli = GpuMilli::from_u32(700);
    full.gpu_models = vec!["H100".into()];
    (full.base_image, full.description) = (Some("ubuntu".into()), Some("as it was".into()));
    (full.total_storage, full.status_info) = (Some(StorageMib::from_u32(20)), Some("Exited".into()));
    let full = full.clone();
    there.brought(world).await;
    let kept = world.cloud.repositories();
    for user in &there.users {
        assert_eq!(kept.users().require(user.user.id).await.unwrap().value, user.user);
        assert_eq!(kept.quotas().require(user.user.id).await.unwrap().limits(), user.limits);
    }
    let access = kept.user_access().require(there.users[0].user.id).await.unwrap().state;
    assert_eq!(access, AccessState::Suspended);
    let node = there.node.profile.id;
    assert_eq!(kept.compute_nodes().require(node).await.unwrap().value, there.node.profile);
    assert_eq!(world.cloud.node_status(node).await.unwrap().state, NodeState::Cordoned);
    let ledger = kept.node_ledgers().require(node).await.unwrap();
    assert_eq!((ledger.cpu_milli_total, ledger.cpu_milli), (there.node.cpu, full.cpu));
    assert_eq!((ledger.gpu_milli_total.get(), ledger.gpu_milli.get()), (2000, 1400));
    let gpus: Vec<Gpu> = super::machine::gpus(world, node).await;
    for (gpu, given) in gpus.iter().zip(&there.node.gpus) {
        assert_eq!(
            (gpu.id, gpu.slot, &gpu.key, gpu.health),
            (given.id, given.slot, &given.key, given.health)
        );
        assert_eq!((gpu.used_milli.get(), gpu.created_at), (700, given.created_at));
    }
    assert_eq!(kept.images().require(there.image.id).await.unwrap().value, there.image);
    let one = kept.instances().require(full.id).await.unwrap().value;
    assert_eq!(one, full.described(full.fingerprint().unwrap()));
    assert_eq!((one.node_id, one.live_name.as_ref()), (Some(node), Some(&full.name)));
    let ports = kept.instances().ports(full.id).await.unwrap();
    assert!(
        ports.len() == 2 && full.ports.iter().all(|port| ports.contains(&full.port_map(port))),
        "{ports:?}"
    );
    assert!(ports.iter().any(|port| port.id == own));
    assert!(kept.managed_instances().find(full.owner, full.id).await.unwrap().is_some());
    let held = Scan::of(&GPU_BINDINGS).by("gpu_bindings_instance").with(full.id);
    let held = world.cloud.store().scan_all(held).await.unwrap();
    let held: Vec<GpuBinding> = held.iter().map(|row| GpuBinding::from_row(row).unwrap()).collect();
    assert!(held.len() == 2 && held.iter().all(|it| it.state == BindingState::Bound), "{held:?}");
    clean(world).await;
}

async fn again_it_changes_nothing_and_another_content_is_refused(world: &World) {
    let there = Elsewhere::new(world, 3).await;
    there.brought(world).await;
    let before = rows(world).await;
    let answers = there.bring(&world.cloud).await;
    assert!(answers.iter().all(|it| matches!(it, Ok(Imported::WasThere))), "{answers:?}");
    let mut other = there.clone();
    other.users[0].user.phone = None;
    other.users[1].limits.instance_limit += 1;
    other.node.gpus[1].key = None;
    other.image.published = false;
    other.instances[0].description = Some("another".into());
    other.instances[1].ports[0].port ^= 1;
    other.instances[2].state = InstanceState::Stopped;
    for answer in other.bring(&world.cloud).await {
        let same_id = matches!(&answer, Err(it) if matches!(it.why, Error::AlreadyExists { key: "id", .. }));
        assert!(same_id, "{answer:?}");
    }
    assert_eq!(rows(world).await, before, "neither has written anything");
    // What has become of it since does not make it another one.
    world.cloud.stop(there.instances[0].id).await.unwrap();
    world.cloud.delete(there.instances[1].id).await.unwrap();
    world.cloud.cordon_node(there.node.profile.id).await.unwrap();
    let answers = there.bring(&world.cloud).await;
    assert!(answers.iter().all(|it| matches!(it, Ok(Imported::WasThere))), "{answers:?}");
    clean(world).await;
}

async fn what_holds_too_much_is_recorded_and_nothing_more_is_given(world: &World) {
    let mut there = Elsewhere::new(world, 4).await;
    let full = there.users[1].clone();
    there.users[1] = full.limits(Limits { instance_limit: 2, ..Limits::default() });
    there.users[0].limits.node_limit = 0;
    there.node.cpu = CpuMilli::from_u32(1_700);
    there.brought(world).await;
    let kept = world.cloud.repositories();
    let quota = kept.quotas().require(there.users[1].user.id).await.unwrap();
    assert_eq!((quota.instances, quota.instance_limit), (4, 2));
    assert_eq!(kept.quotas().require(there.users[0].user.id).await.unwrap().nodes, 1);
    let node = there.node.profile.id;
    let ledger = kept.node_ledgers().require(node).await.unwrap();
    assert_eq!((ledger.cpu_milli.get(), ledger.cpu_milli_total.get()), (2_000, 1_700));
    clean(world).await;
    // Nobody gets more of what there is too little of.
    let name = format!("i-{}", world.fresh());
    let more = LaunchRequest::new(there.users[1].user.id, name.clone()).on_node(node);
    let refused = world.cloud.launch(more).await;
    let limit = matches!(refused, Err(Error::QuotaExceeded { limit_name: "instance_limit", used: 4, .. }));
    assert!(limit, "{refused:?}");
    let more = LaunchRequest::new(there.users[0].user.id, name).on_node(node).cpu(CpuMilli::from_u32(1));
    let refused = world.cloud.launch(more).await;
    assert!(matches!(refused, Err(Error::NoCapacity(_))), "{refused:?}");
}

async fn launches_leave_it_what_it_has(world: &World) {
    let there = Elsewhere::new(world, 4).await;
    there.brought(world).await;
    let (node, taken) = (there.node.profile.id, there.instances[0].ports[0].port);
    let request = || {
        let name = format!("i-{}", world.fresh());
        LaunchRequest::new(there.users[0].user.id, name).on_node(node)
    };
    let refused = world.cloud.launch(request().port(Family::Ipv4, Protocol::Tcp, taken)).await;
    assert!(matches!(refused, Err(Error::NoFreePort { .. })), "{refused:?}");
    assert!(world.cloud.launch(request().gpus(2)).await.is_err(), "a little of one is used");
    let whole = world.cloud.launch(request().gpus(1)).await.unwrap();
    let held: Vec<i64> =
        super::machine::gpus(world, node).await.iter().map(|gpu| gpu.used_milli.get()).collect();
    assert_eq!(held, [4, 1000]);
    let same_name = LaunchRequest::new(there.users[1].user.id, there.instances[0].name.as_str());
    let refused = world.cloud.launch(same_name.on_node(node)).await;
    assert!(matches!(refused, Err(Error::AlreadyExists { key: "name", .. })), "{refused:?}");
    world.cloud.delete(whole.id).await.unwrap();
    clean(world).await;
}

async fn what_is_deleted_gives_everything_back(world: &World) {
    let mut there = Elsewhere::new(world, 5).await;
    there.instances[1].gpus = there.node.gpus.iter().map(|gpu| gpu.id).collect();
    there.instances[1].gpu_milli = GpuMilli::from_u32(900);
    there.brought(world).await;
    for instance in &there.instances {
        let deleted = world.cloud.delete(instance.id).await.unwrap();
        assert_eq!((deleted.state, deleted.node_id), (InstanceState::Deleted, None));
    }
    let (node, owner) = (there.node.profile.id, there.users[1].user.id);
    let ledger = world.cloud.repositories().node_ledgers().require(node).await.unwrap();
    let held = (ledger.instances, ledger.cpu_milli.get(), ledger.memory_mib.get(), ledger.gpu_milli.get());
    assert_eq!((held, ledger.storage_mib.get()), ((0, 0, 0, 0), 0));
    let quota = world.cloud.store().get(&QUOTAS, owner).await.unwrap().value.unwrap();
    for column in ["instances", "cpu_milli", "memory_mib", "storage_mib", "gpu_milli"] {
        assert_eq!(quota.int(column).unwrap(), 0, "{column}");
    }
    assert!(super::machine::gpus(world, node).await.iter().all(|gpu| gpu.used_milli.is_zero()));
    let ports = Scan::of(&PORT_MAPS).by("port_maps_node").with(node);
    assert_eq!(world.cloud.store().scan_all(ports).await.unwrap(), []);
    world.cloud.delete_node(node).await.unwrap();
    clean(world).await;
}

async fn what_has_ended_is_history_of_a_node_that_may_be_gone(world: &World) {
    let mut there = Elsewhere::new(world, 1).await;
    let ended = [InstanceState::Deleted, InstanceState::Failed, InstanceState::Lost].map(|state| {
        let mut one = there.instance(world).state(state, DesiredState::Deleted);
        (one.node, one.image) = (world.id().into(), None);
        (one.ports, one.gpus) = (Vec::new(), vec![world.id().into(), world.id().into()]);
        // It has the name of one that lives.
        one.name = there.instances[0].name.clone();
        one
    });
    there.instances.extend(ended.clone());
    there.brought(world).await;
    for one in &ended {
        let kept = world.cloud.repositories().instances().require(one.id).await.unwrap().value;
        assert_eq!((kept.node_id, kept.last_node_id, kept.live_name), (None, one.node, None));
        assert_eq!((kept.state, kept.gpu_count, kept.created_at), (one.state, 2, one.created_at));
    }
    let quota = world.cloud.repositories().quotas().require(there.users[1].user.id).await.unwrap();
    assert_eq!(quota.instances, 1);
    let mut with_port = ended[0].clone();
    with_port.id = world.id().into();
    with_port.ports = vec![port(7, there.at)];
    let answers = world.cloud.import_instances(&[with_port]).await;
    assert!(matches!(&answers[0], Err(it) if it.why.code() == "invalid"), "{answers:?}");
    clean(world).await;
}

async fn administrators_are_counted(world: &World) {
    let at = now(world).await.minus(Duration::from_hours(1));
    let mut users: Vec<ImportedUser> = (0..5).map(|_| user(world, at)).collect();
    for user in users.iter_mut().take(3) {
        user.user.permission = UserPermission::Administrator;
    }
    users[1] = users[1].clone().suspended();
    let answers = world.cloud.import_users(&users).await;
    assert!(matches!(&answers[1], Err(it) if matches!(it.why, Error::WrongState { .. })), "{answers:?}");
    assert_eq!(answers.iter().filter(|it| matches!(it, Ok(Imported::New))).count(), 4);
    users[1].access = AccessState::Active;
    let answers = world.cloud.import_users(&users).await;
    assert_eq!(answers.iter().filter(|it| matches!(it, Ok(Imported::New))).count(), 1);
    clean(world).await;
}
